"""The first visit, settings, the page of keys, the map, the pictures, what is said aloud, the way round by keyboard."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.e2e.editor import Editor, until


def dialog(page: Page, name: str) -> Locator:
    return page.get_by_role("dialog", name=name)


def test_the_welcome_is_put_away_once_and_for_all(page: Page, editor: Editor) -> None:
    card = page.get_by_role("region", name="Welcome")
    expect(card).to_contain_text("Ctrl+Enter")
    card.get_by_role("button", name="Put the welcome away").click()
    expect(card).to_have_count(0)
    page.reload()
    editor.settled("window.loom?.map")
    expect(card).to_have_count(0)


def test_the_first_run_takes_the_welcome_away(page: Page) -> None:
    card = page.get_by_role("region", name="Welcome")
    expect(card).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(card).to_have_count(0)


def test_settings_take_effect_at_once_and_stay(page: Page, editor: Editor) -> None:
    page.keyboard.press("Control+,")
    settings = dialog(page, "Settings")
    settings.get_by_text("Light", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    settings.get_by_text("Less", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-motion", "reduce")
    settings.get_by_role("group", name="Links").get_by_text("Straight").click()
    settings.get_by_role("group", name="Picture strip").get_by_text("Off").click()
    expect(page.locator(".strip")).to_be_hidden()
    settings.get_by_role("button", name="Done").click()
    page.reload()
    editor.settled("window.loom?.session && loom.ready")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate("loom.settings.get('links')") == "straight"
    expect(page.locator(".strip")).to_be_hidden()


def test_settings_are_changed_with_the_keyboard(page: Page) -> None:
    page.keyboard.press("Control+,")
    expect(dialog(page, "Settings").get_by_role("radio", name="As the system").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.keyboard.press("Escape")
    expect(dialog(page, "Settings")).to_have_count(0)


def test_keys_are_found_by_what_they_do(page: Page) -> None:
    page.keyboard.press("?")
    keys = dialog(page, "Keys and gestures")
    expect(keys.get_by_text("Two fingers")).to_be_visible()
    keys.get_by_role("searchbox").fill("bypass")
    expect(keys.locator(".key-row")).to_have_count(1)
    expect(keys.locator(".key-row")).to_contain_text("Ctrl+B")
    keys.get_by_role("searchbox").fill("no such thing")
    expect(keys.get_by_text("Nothing by that name")).to_be_visible()


def test_every_key_in_the_help_belongs_to_a_command_of_the_palette(page: Page) -> None:
    labels = page.evaluate("loom.commands.map((command) => command.label)")
    assert len(labels) == len(set(labels))
    page.keyboard.press("Control+k")
    shown = page.get_by_role("option").all_inner_texts()
    hidden = [label for label in labels if not any(label in row for row in shown)]
    enabled = page.evaluate("loom.commands.filter((c) => c.enabled?.() ?? true).map((command) => command.label)")
    assert not set(hidden) & set(enabled)


def test_the_map_comes_when_something_is_out_of_sight_and_leads_there(page: Page, editor: Editor) -> None:
    chart = page.get_by_role("img", name="Map of the graph")
    editor.settled("window.loom.map")
    expect(chart).to_be_hidden()
    editor.drag((1100, 700), (300, 700))
    expect(chart).to_be_visible()
    before = page.evaluate("loom.session.viewport.offset[0]")
    box = chart.bounding_box()
    assert box
    page.mouse.click(box["x"] + 20, box["y"] + box["height"] / 2)
    assert page.evaluate("loom.session.viewport.offset[0]") > before
    page.keyboard.press(".")
    expect(chart).to_be_hidden()
    editor.drag((1100, 700), (300, 700))
    page.keyboard.press("Shift+M")
    expect(chart).to_be_hidden()


def test_pictures_are_found_by_the_words_that_made_them(page: Page) -> None:
    for count, words in enumerate(("a large red circle on a white background", "a small blue square"), 1):
        page.locator("[data-node='6'] textarea").fill(words)
        page.keyboard.press("Control+Enter")
        expect(page.locator(".strip .thumb")).to_have_count(count)
    page.locator("main").focus()
    page.keyboard.press("i")
    pictures = page.get_by_role("complementary", name="Pictures")
    expect(pictures.get_by_role("listitem")).to_have_count(2)
    pictures.get_by_role("searchbox").fill("blue")
    expect(pictures.get_by_role("listitem")).to_have_count(1)
    pictures.get_by_role("button", name="a small blue square").click()
    expect(dialog(page, "Picture")).to_contain_text("a small blue square")


def test_news_is_said_in_a_region_that_was_there_before(page: Page) -> None:
    voice = page.locator("[aria-live=polite]")
    expect(voice).to_have_count(1)
    page.keyboard.press("Control+Enter")
    expect(voice).to_contain_text("Done in")
    page.get_by_role("button", name="Open LatentLoom").focus()
    page.keyboard.press("Enter")
    expect(dialog(page, "Picture")).to_be_visible()


def test_every_control_of_the_frame_is_reached_with_tab(page: Page) -> None:
    page.keyboard.press("q")
    page.locator(".panel-body").wait_for()
    page.locator(".mark").focus()
    reached: set[str] = set()
    while not page.evaluate("Boolean(document.activeElement.closest('.stage'))"):
        here = "document.activeElement"
        reached.add(page.evaluate(f"{here}.getAttribute('aria-label') ?? {here}.textContent"))
        assert page.evaluate(f"getComputedStyle({here}).outlineStyle") != "none", page.evaluate(f"{here}.outerHTML")
        page.keyboard.press("Tab")
    wanted = {"Light or dark", "Menu", "Run", "Run options", "Nodes (N)", "Pictures (I)", "Settings (Ctrl+,)"}
    assert wanted <= reached, wanted - reached
    assert {"Pause the queue", "Search the history", "Close panel"} <= reached


def test_a_phone_has_everything_within_its_width(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for key in ("n", "w", "q", "i", "o"):
        page.locator("main").focus()
        page.keyboard.press(key)
        page.locator(".panel-body").wait_for()
        until(page, "document.documentElement.scrollWidth <= 390")
        outside = page.evaluate(
            "[...document.querySelectorAll('.panel button, .panel input, .rail button, .top button')].filter((e) =>"
            " e.offsetParent && e.getBoundingClientRect().right > 391).map((e) => e.className)"
        )
        assert outside == []
