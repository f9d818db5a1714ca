"""The page of the API, in a browser: everything that the server describes, and a search."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, expect

from tests.e2e.conftest import Studio


def test_the_page_shows_what_the_server_describes(context: BrowserContext, program: Studio) -> None:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(f"{program.url}/api.html")
    expect(page.locator("summary", has_text="/api/prompt").first).to_be_visible()
    described = program.get("/openapi.json")["paths"]
    expect(page.locator("details")).to_have_count(sum(len(methods) for methods in described.values()))

    page.get_by_label("Find").fill("/api/jobs/cancel")
    expect(page.locator("details:visible")).to_have_count(1)
    page.locator("details:visible summary").click()
    expect(page.locator("details:visible pre", has_text="job_ids").first).to_be_visible()
    expect(page.locator("details:visible pre", has_text="remedy").first).to_be_visible()
    assert errors == []
