"""Logging in with a browser: the token behind the hash opens the editor, stays in no address, and a cookie follows."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.async_api import async_playwright

from tests.server.support import opened

PATIENCE_MS = 60_000


async def test_an_address_with_the_token_opens_the_editor(tmp_path: Path) -> None:
    async with opened(tmp_path, "--workers", "0", "--token", "open sesame") as site, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{site.running.url}/#token=wrong")
        await page.get_by_text("That is not the token.").wait_for()
        await page.goto(f"{site.running.url}/#token=open%20sesame")
        await page.reload()  # as opening the address in a new window does: a change behind the hash alone loads nothing
        await page.locator('script[src="boot.js"]').wait_for(state="attached")
        assert "sesame" not in page.url
        (cookie,) = await page.context.cookies()
        assert (cookie.get("name"), cookie.get("sameSite"), cookie.get("httpOnly")) == ("loom_session", "Strict", True)
        assert "sesame" not in str(cookie.get("value"))
        await browser.close()
