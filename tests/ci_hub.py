"""A bare repository behind smart HTTP on 127.0.0.1 that asks who is there and tells readers from writers."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from .conftest import Project

SERVICE = re.compile(r"/(info/refs|git-upload-pack|git-receive-pack)$")


class Hub(ThreadingHTTPServer):
    """Every path on it is the one repository. Use it as a context, which ends the server."""

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
        self.repository = Project(path)
        self.repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.readers: set[str] = set()
        """Values of the Authorization header that may fetch; their first word in lower case."""
        self.writers: set[str] = set()
        """Those that may fetch and push."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def server_close(self) -> None:
        """End the server and wait for what it still answers."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        super().server_close()


class _Request(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        service = SERVICE.search(url.path)
        if service is None:
            self.send_error(404)
        elif (refusal := self._refusal(url.scheme, "git-receive-pack" in self.path)) is not None:
            self.send_response(refusal)
            self.send_header("WWW-Authenticate", 'Basic realm="hub"')
            self.end_headers()
        else:
            self._pass_on(service[0], url.query, body)

    def _refusal(self, scheme: str, writing: bool) -> int | None:
        """The status for who may not; None for who may.

        A request that names a scheme comes through us as a proxy, and a proxy adds the credential itself.
        """
        kind, _, secret = self.headers.get("Authorization", "").partition(" ")
        credential = f"{kind.lower()} {secret}"
        if scheme or credential in self.server.writers:
            return None
        if credential not in self.server.readers:
            return 401
        return 403 if writing else None

    def _pass_on(self, service: str, query: str, body: bytes) -> None:
        path = self.server.repository.path
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{path.name}{service}",
            "REMOTE_USER": "somebody",
            "REQUEST_METHOD": self.command,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for field, value in fields.items():
            self.send_header(field, value)
        self.end_headers()
        self.wfile.write(content)
