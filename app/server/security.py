"""Who may talk to the server: Host first, then where a browser's request comes from, then the token.

A browser can be made to send requests by any page it shows. It says so in `Origin` and `Sec-Fetch-Site`, which pages
cannot forge; programs send neither and are let through. Host names are checked because a page may let its own name
stand for this machine's address (DNS rebinding); addresses cannot be rebound.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from app.errors import Forbidden, InvalidRequest
from app.settings import ServeSettings, is_loopback

COOKIE = "loom_session"
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_JSON = frozenset({"application/json"})
_BODIES_OF_PAGES: Mapping[str, frozenset[str]] = {
    "/login": frozenset({"application/x-www-form-urlencoded"}),
    "/upload/image": frozenset({"multipart/form-data"}),
    "/upload/mask": frozenset({"multipart/form-data"}),
}
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# For the page of --front-end-root only: other people's editors write scripts and styles into the page and make code of
# text. They still load nothing from elsewhere, tell nobody, and are put into no frame.
FOREIGN_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; media-src 'self' blob: data:; font-src 'self' data:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_SHARED: Mapping[str, str] = {
    "Access-Control-Allow-Methods": "POST, GET, DELETE, PUT, PATCH, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, Comfy-User, Idempotency-Key, Last-Event-ID",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules, from the settings."""

    settings: ServeSettings

    def check_host(self, request: web.Request) -> None:
        """Refuse names that are not known to be this machine's.

        Raises:
            InvalidRequest: none or several.
            Forbidden: a foreign one.
        """
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            raise InvalidRequest("A request needs exactly one Host header.")
        name, _ = split_host(hosts[0])
        if not self._knows(name):
            raise Forbidden(
                f"This server does not answer to the name {name[:100]!r}.", remedy="Start it with --allow-host NAME."
            )

    def check_origin(self, request: web.Request) -> None:
        """Refuse what a foreign page made a browser send.

        Raises:
            Forbidden: the request comes from another origin, or changes something in a form's way.
        """
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site")
        invited = self.invites(origin)
        if origin is not None and not invited and not same_origin(origin, request.headers.get("Host", "")):
            raise Forbidden(
                f"Requests from {origin[:100]!r} are not taken.",
                remedy="Use the editor at this address, or start the server with --enable-cors-header ORIGIN.",
            )
        navigates = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        top_level = request.headers.get("Sec-Fetch-Dest", "document") == "document"
        if site in ("cross-site", "same-site") and not invited and not (navigates and top_level):
            raise Forbidden("Requests from other sites are not taken.", remedy="Use the editor at this address.")
        if origin is not None and request.method in _CHANGING:
            self._check_form(request)

    def invites(self, origin: str | None) -> bool:
        """Whether pages of that origin may ask, by `--enable-cors-header`."""
        return origin is not None and self.settings.cors in ("*", origin.lower())

    def check_token(self, request: web.Request) -> bool:
        """Whether the request shows the token, where one is needed."""
        token = self.settings.token
        if token is None:
            return True
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and equal(shown.strip(), token):
            return True
        return equal(request.cookies.get(COOKIE, ""), session_of(token))

    def _knows(self, name: str) -> bool:
        if name in self.settings.allowed_hosts or is_loopback(name) or name.endswith(".localhost"):
            return True
        addresses = self.settings.addresses
        if all(map(is_loopback, addresses)):
            return False
        return _is_address(name) or name in (*map(str.lower, addresses), socket.gethostname().lower())

    def _check_form(self, request: web.Request) -> None:
        """Pages of other sites can send forms and plain text without asking; JSON they cannot."""
        path = request.path.removeprefix("/api")
        wanted = request.content_type in _BODIES_OF_PAGES.get(path, _JSON)
        ours = request.match_info.http_exception is None  # a pack's own route may take what it likes from our pages
        # The bodies of these are bare values and files, which other people's editors send as plain text. A page of
        # another site cannot: its Origin has been refused before this.
        bare = path.startswith(("/userdata/", "/settings/"))
        if ours and not wanted and request.can_read_body and not bare:
            raise Forbidden(
                f"A browser must send JSON here, not {request.content_type}.",
                remedy="Set Content-Type: application/json.",
            )


def cors_headers(settings: ServeSettings) -> Mapping[str, str]:
    """What tells browsers that pages of `--enable-cors-header` may read the answers; nothing without it."""
    if settings.cors is None:
        return {}
    # Cookies are for one named site only; for all sites the token travels in a header that the page must know.
    cookies = {} if settings.cors == "*" else {"Access-Control-Allow-Credentials": "true"}
    return {**_SHARED, "Access-Control-Allow-Origin": settings.cors, **cookies}


def split_host(host: str) -> tuple[str, str]:
    """(name in lower case without brackets, port or "") of a Host header."""
    host = host.strip().lower()
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name.rstrip("."), port


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the host that was asked; `null` never does."""
    try:
        parts = urlsplit(origin)
        port = str(parts.port or "")
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    name, asked_port = split_host(host)
    usual = _DEFAULT_PORTS[parts.scheme]
    return (parts.hostname, port or usual) == (name, asked_port or usual)


def session_of(token: str) -> str:
    """What the cookie holds: not the token itself, but what only its owner can have."""
    return hmac.new(token.encode(), b"latent-loom session", hashlib.sha256).hexdigest()


def equal(shown: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(shown.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
