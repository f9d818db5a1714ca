"""An encrypted server: clients over https and wss, workers through a door of this machine's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from app.client import Client
from app.errors import InvalidRequest
from app.server.serve import serving
from app.settings import Settings
from tests.server.support import Site, ear, fake_command, opened, settings_for, show


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Who has signed `key.pem` and `cert.pem` for this machine."""
    made = trustme.CA()
    certificate = made.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return made


def options(folder: Path) -> list[str]:
    return ["--tls-keyfile", str(folder / "key.pem"), "--tls-certfile", str(folder / "cert.pem")]


async def test_jobs_run_over_an_encrypted_connection(tmp_path: Path, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    settings = settings_for(tmp_path, *options(tmp_path), "--token", "secret")
    async with (
        serving(settings, fake_command(settings)) as running,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusting), headers={"Authorization": "Bearer secret"}
        ) as session,
    ):
        assert running.url.startswith("https://127.0.0.1:")
        site = Site(running, session, tmp_path)
        async with ear(site, "me") as heard:
            job = await site.submit({"1": show("hidden")}, client_id="me")
            await heard.until("execution_success", prompt_id=job)
        login = {"data": {"token": "secret"}, "allow_redirects": False}
        async with session.post(f"{running.url}/login", **login) as answer:
            assert answer.cookies["loom_session"]["secure"]
        with pytest.raises(aiohttp.ClientError):
            await site.session.get(running.url.replace("https", "http"))


async def test_a_certificate_that_is_none_is_told(tmp_path: Path, authority: trustme.CA) -> None:
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(InvalidRequest, match=r"cert\.pem and key\.pem are no certificate and its key"):
        async with opened(tmp_path, "--workers", "0", *options(tmp_path)):
            pass


def test_both_files_are_needed(tmp_path: Path, authority: trustme.CA) -> None:
    with pytest.raises(InvalidRequest, match="a key and a certificate"):
        Settings.from_arguments(options(tmp_path)[:2])
    (tmp_path / "cert.pem").unlink()
    with pytest.raises(InvalidRequest, match=r"no file .*cert\.pem"):
        Settings.from_arguments(options(tmp_path))


def test_the_client_refuses_a_certificate_that_nobody_vouches_for(tmp_path: Path, authority: trustme.CA) -> None:
    from tests.server.hosted import Hosted

    host = Hosted(tmp_path, "--workers", "0", *options(tmp_path))
    try:
        with pytest.raises(OSError, match="certificate"):
            Client(host.url).queue()
    finally:
        host.close()
