"""Thousands of nodes cost little, because the far ones are not in the page."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.e2e.editor import script

BIG = script("big.js")


def test_far_nodes_have_no_elements(page: Page) -> None:
    page.evaluate(BIG, 3000)
    page.wait_for_timeout(300)
    assert page.locator(".node").count() < 120
