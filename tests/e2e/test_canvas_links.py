"""Links and what they pass: bodies of nodes, rings, reroute points, guides."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor, Point


def _screen(page: Page, x: float, y: float) -> Point:
    """A place of the graph, in the window."""
    return tuple(
        page.evaluate(
            """at => { const [x, y] = loom.session.viewport.toScreen(at);
              const { left, top } = loom.editor.stage.getBoundingClientRect(); return [x + left, y + top]; }""",
            [x, y],
        )
    )


def _body(page: Page, editor: Editor, node_id: int) -> Point:
    box = page.locator(f"[data-node='{node_id}']").bounding_box()
    assert box
    return box["x"] + box["width"] * 0.5, box["y"] + box["height"] - 8


def test_over_a_body_the_best_socket_lights_up_and_is_taken(page: Page, editor: Editor) -> None:
    editor.drag(editor.dot(3, "in:2"), _screen(page, -150, -150))  # "negative" is free now
    page.mouse.move(*editor.dot(6, "out:0"))
    page.mouse.down()
    page.mouse.move(*_body(page, editor, 3), steps=4)
    expect(page.locator(".socket.target")).to_have_count(1)
    expect(page.locator(".socket.target")).to_have_attribute("data-slot", "in:2:")
    page.mouse.up()
    assert {(6, 0, 3, 1), (6, 0, 3, 2)} <= editor.links()


def test_a_socket_that_would_make_a_ring_is_none(page: Page, editor: Editor) -> None:
    page.evaluate("loom.editor.services.search({ at: [1150, 300], screen: [900, 500] })")
    editor.choose("upscale latent by")
    page.mouse.move(*editor.dot(10, "out:0"))
    page.mouse.down()
    page.mouse.move(*_body(page, editor, 3), steps=4)
    expect(page.locator(".socket.fits[data-slot='in:3:']")).to_have_count(1)
    page.keyboard.press("Escape")
    page.mouse.up()
    editor.drag(editor.dot(3, "out:0"), editor.dot(10, "in:0"))
    page.mouse.move(*editor.dot(10, "out:0"))
    page.mouse.down()
    page.mouse.move(*_body(page, editor, 3), steps=4)
    expect(page.locator(".socket.fits[data-slot='in:3:']")).to_have_count(0)
    page.keyboard.press("Escape")
    page.mouse.up()


def test_all_links_of_an_output_move(page: Page, editor: Editor) -> None:
    page.evaluate("loom.editor.services.search({ at: [-260, 480], screen: [300, 500] })")
    editor.choose("load checkpoint")
    before = {link[2:] for link in editor.links() if link[:2] == (4, 1)}
    assert len(before) == 2
    editor.drag(editor.dot(4, "out:1"), editor.dot(10, "out:1"), "Shift")
    assert {link[2:] for link in editor.links() if link[:2] == (10, 1)} == before


def test_a_branch_from_a_reroute_point_keeps_to_it(page: Page, editor: Editor) -> None:
    page.evaluate("loom.session.document.transact('Cut', (tx) => null)")
    start, end = editor.dot(6, "out:0"), editor.dot(3, "in:1")
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    page.keyboard.down("Alt")
    page.mouse.click(*middle)
    page.keyboard.up("Alt")
    [point] = editor.record()["extra"]["reroutes"]
    editor.drag(_screen(page, *point["pos"]), editor.dot(3, "in:2"), "Shift")
    assert {(6, 0, 3, 1), (6, 0, 3, 2)} <= editor.links()
    [point] = editor.record()["extra"]["reroutes"]
    assert len(point["linkIds"]) == 2
    through = {link["id"]: link["parentId"] for link in editor.record()["extra"]["linkExtensions"]}
    assert through == dict.fromkeys(point["linkIds"], point["id"])
    page.keyboard.press("Control+z")
    [point] = editor.record()["extra"]["reroutes"]
    assert len(point["linkIds"]) == 1


def test_a_dragged_node_comes_to_rest_in_line_with_another(page: Page, editor: Editor) -> None:
    before, other = editor.node(9), editor.node(8)
    assert before and other
    scale = page.evaluate("loom.session.viewport.scale")
    x, y = editor.middle(editor.head(9))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 60, steps=3)
    page.mouse.move(x + 30, y + (other["pos"][1] - before["pos"][1] + 4) * scale, steps=4)
    assert page.evaluate("loom.editor.overlay.guides.some((line) => line.axis === 'y')")
    page.mouse.up()
    after = editor.node(9)
    assert after and after["pos"][1] == other["pos"][1]
    assert page.evaluate("loom.editor.overlay.guides.length") == 0


def test_links_are_found_where_they_are_drawn_in_every_style(page: Page) -> None:
    pieces: dict[str, int] = {}
    for _ in range(4):
        page.keyboard.press("l")
        style = page.evaluate("loom.session.scene.style")
        pieces[style] = page.evaluate("loom.session.scene.paths.get(6).curves.length")
        assert page.evaluate(
            """(() => { const { scene } = loom.session; const [a, b, c, d] = scene.paths.get(6).curves[0];
              const at = [0, 1].map((k) => (a[k] + 3 * b[k] + 3 * c[k] + d[k]) / 8);
              return scene.linkAt(at, 3) !== null; })()"""
        ), style
    assert pieces == {"straight": 1, "square": 3, "hidden": 1, "spline": 1}


def test_a_link_that_hangs_free_is_kept_and_shown(page: Page, editor: Editor) -> None:
    floating = {
        "id": 40,
        "origin_id": 4,
        "origin_slot": 2,
        "target_id": -1,
        "target_slot": -1,
        "type": "VAE",
        "parentId": 9,
    }
    page.evaluate(
        """floating => { const record = loom.session.document.toRecord(); record.floatingLinks = [floating];
          const point = { id: 9, pos: [220, 560], linkIds: [], floating: { slotType: "output" } };
          record.extra = { ...record.extra, reroutes: [point] };
          loom.tabs.open(record, { name: "Floating" }); }""",
        floating,
    )
    editor.settled("loom.session.document.name === 'Floating' && loom.editor.nodes.mounted.size > 5")
    page.wait_for_timeout(200)
    colour = page.evaluate(
        """(() => { const { viewport, scene } = loom.session; const [x, y] = scene.socket(4, "out", 2);
          const [u, v] = viewport.toScreen([(x + 220) / 2, (y + 560) / 2]);
          const { data } = loom.editor.canvas.context.getImageData(u - 25, v - 25, 50, 50);
          for (let i = 0; i < data.length; i += 4) if (data[i] > 200 && data[i + 1] < 160) return true;
          return false; })()"""
    )
    assert colour
    assert editor.record()["floatingLinks"] == [floating]
    assert editor.record()["extra"]["reroutes"][0]["floating"] == {"slotType": "output"}
