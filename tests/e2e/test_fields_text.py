"""Words: prompts that grow, names of embeddings, notes with pages."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor

NOTE = """# Models

Put *these* in **place**:

- [one](https://example.org/one), 2 GB
- two
  - inside

1. first
2. second

| name | size |
|------|------|
| a    | `1`  |

> said

```
code <b>
```
<img src=x onerror="window.hit = 1"> <script>window.hit = 1</script> [bad](javascript:window.hit=1)
"""


def _note(page: Page) -> None:
    page.evaluate(
        """text => loom.session.document.transact("Note", (tx) => tx.insert("node", 50, {
          id: 50, type: "MarkdownNote", pos: [420, 40], size: [320, 420], flags: {}, mode: 0, inputs: [], outputs: [],
          properties: {}, widgets_values: [text] }))""",
        NOTE,
    )


def test_a_note_is_a_page_and_its_markup_is_text(page: Page) -> None:
    _note(page)
    note = page.locator("[data-node='50'] .markdown")
    expect(note.get_by_role("heading", name="Models")).to_be_visible()
    expect(note.locator("ul > li")).to_have_count(3)
    expect(note.locator("ul ul > li")).to_have_text("inside")
    expect(note.locator("ol > li")).to_have_count(2)
    expect(note.locator("td code")).to_have_text("1")
    expect(note.locator("pre")).to_have_text("code <b>")
    expect(note.locator("strong")).to_have_text("place")
    link = note.get_by_role("link", name="one")
    expect(link).to_have_attribute("href", "https://example.org/one")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(note.get_by_role("link")).to_have_count(1)
    expect(note.locator("img, script")).to_have_count(0)
    assert page.evaluate("window.hit") is None


def test_a_note_is_written_where_it_is_read(page: Page, editor: Editor) -> None:
    _note(page)
    note = page.locator("[data-node='50'] .markdown")
    note.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type("## New")
    page.keyboard.press("Escape")
    expect(note.get_by_role("heading", name="New")).to_be_visible()
    node = editor.node(50)
    assert node and node["widgets_values"] == ["## New"]


def test_a_prompt_grows_with_its_words_and_shrinks_with_undo(page: Page, editor: Editor) -> None:
    before = editor.node(6)
    area = page.get_by_role("textbox", name="text").first
    area.click()
    area.press("End")
    page.keyboard.type("\n".join("word " * 12 for _ in range(12)))
    after = editor.node(6)
    assert before and after and after["size"][1] > before["size"][1]
    expect(area).to_be_focused()
    area.press("Escape")
    page.keyboard.press("Control+z")
    assert editor.node(6) == before


def test_names_of_embeddings_are_offered(page: Page, editor: Editor, program: Studio) -> None:
    folder = program.base / "models" / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("soft-light", "hard-light", "grain"):
        (folder / f"{name}.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    area = page.get_by_role("textbox", name="text").first
    area.click()
    area.press("Control+a")
    page.keyboard.type("a cat, embedding:li")
    offers = page.get_by_role("listbox", name="Embeddings").get_by_role("option")
    expect(offers).to_have_count(2)
    page.keyboard.press("ArrowDown")
    expect(offers.nth(1)).to_have_attribute("aria-selected", "true")
    chosen = offers.nth(1).inner_text()
    page.keyboard.press("Enter")
    expect(area).to_have_value(f"a cat, embedding:{chosen}")
    expect(offers).to_have_count(0)
    node = editor.node(6)
    assert node and node["widgets_values"] == [f"a cat, embedding:{chosen}"]
