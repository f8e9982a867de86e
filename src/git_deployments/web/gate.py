"""Who may ask: this browser, which came with the token, for this address, from a page of ours. Pure.

Another program on the machine or a page from anywhere can send requests to a loopback port. What it cannot do is
know the token, choose the Host header of a browser's request to us (DNS rebinding shows there), or hide the
Origin and Sec-Fetch-Site that browsers add.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from threading import Lock

from git_deployments.errors import DeploymentsError

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Every answer has them. (`no-referrer` would make browsers say `Origin: null` of our own forms.)"""


class Barred(DeploymentsError):
    """A request that is not answered."""


class Gate:
    """The door of one server: knows its address, its token and the one session that the token was exchanged for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = secrets.token_urlsafe(32)
        self.session = secrets.token_urlsafe(32)
        self._lock = Lock()
        self._spent = False

    @property
    def cookie(self) -> str:
        """Name of the cookie. Ports share cookies, so the port is in it."""
        return f"git-deployments-{self.port}"

    @property
    def address(self) -> str:
        """Where a browser goes first."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def redeem(self, token: str) -> bool:
        """Whether a token opens the door; it does so once."""
        with self._lock:
            if self._spent or not secrets.compare_digest(token.encode(), self.token.encode()):
                return False
            self._spent = True
            return True

    def check_address(self, host: str, origin: str | None, site: str | None, writes: bool) -> None:
        """Raise `Barred` unless the request is to us and, where a page caused it, from a page of ours.

        `site` is Sec-Fetch-Site; `none` is a person who typed the address or opened a bookmark.
        """
        if host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            raise Barred("The Host header names another place.")
        if origin != f"http://{host}" and (writes or origin is not None):
            raise Barred("The request comes from a page of another place.")
        if site not in (None, "same-origin") and (writes or site != "none"):
            raise Barred("The request comes from a page of another place.")

    def check_session(self, session: str) -> None:
        """Raise `Barred` unless the cookie is that of the session."""
        if not secrets.compare_digest(session.encode(), self.session.encode()):
            raise Barred(
                "Open the address that git deployments web printed. It opens once; after that, start it again."
            )
