"""A graph without a mouse: among nodes, into their sockets and fields, along links, and joining."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor


def test_tab_goes_through_sockets_and_fields_of_the_node_in_use(page: Page) -> None:
    page.locator("[data-node='3']").focus()
    seen: list[str] = []
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert seen[0].startswith("Input model, MODEL, from Load Checkpoint 4")
    assert seen[4].startswith("Output LATENT, LATENT, to VAE Decode 8")
    assert seen[5] == "seed"
    assert page.locator("[data-node='8'] .socket[tabindex='0']").count() == 0


def test_arrows_and_alt_walk_from_socket_to_socket(page: Page) -> None:
    page.locator("[data-node='3']").focus()
    page.keyboard.press("Alt+ArrowDown")
    expect(page.locator("[data-node='3'] [data-slot='in:0:']")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-node='3'] [data-slot='in:2:']")).to_be_focused()
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator("[data-node='7'] [data-slot='out:0:']")).to_be_focused()
    page.keyboard.press("Alt+ArrowRight")
    expect(page.locator("[data-node='3'] [data-slot='in:2:']")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-node='3'] [data-slot='out:0:']")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("[data-node='3']")).to_be_focused()


def test_delete_cuts_and_space_joins_again(page: Page, editor: Editor) -> None:
    said = page.locator("[aria-live], [role=status]")
    target = page.locator("[data-node='3'] [data-slot='in:2:']")
    target.focus()
    page.keyboard.press("Delete")
    assert (7, 0, 3, 2) not in editor.links()
    expect(target).to_be_focused()
    expect(said.filter(has_text="Link removed")).to_have_count(1)
    page.keyboard.press(" ")
    expect(said.filter(has_text="Choose an output")).to_have_count(1)
    page.locator("[data-node='6'] [data-slot='out:0:']").focus()
    page.keyboard.press(" ")
    assert (6, 0, 3, 2) in editor.links()
    expect(said.filter(has_text="Connected")).to_have_count(1)


def test_enter_on_a_socket_lists_its_partners(page: Page, editor: Editor) -> None:
    page.locator("[data-node='6'] [data-slot='out:0:']").focus()
    page.keyboard.press("Enter")
    rows = page.get_by_role("option")
    expect(rows).to_have_count(2)
    rows.filter(has_text="negative").click()
    assert (6, 0, 3, 2) in editor.links()


def test_a_field_and_its_socket_are_beside_each_other(page: Page, editor: Editor) -> None:
    editor.widget(3, "steps").locator("input").focus()
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator("[data-node='3'] [data-slot='in:-1:steps']")).to_be_focused()
    page.keyboard.press("Alt+ArrowRight")
    expect(editor.widget(3, "steps").locator("input")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("[data-node='3']")).to_be_focused()


def test_a_press_on_one_socket_and_then_another_joins_them(page: Page, editor: Editor) -> None:
    page.mouse.click(*editor.dot(6, "out:0"))
    expect(page.locator(".socket.fits")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".socket.fits")).to_have_count(0)
    page.mouse.click(*editor.dot(3, "in:2"))
    page.mouse.click(*editor.dot(6, "out:0"))
    assert (6, 0, 3, 2) in editor.links()
