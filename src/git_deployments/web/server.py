"""The server: routes on 127.0.0.1 that hand plain values to templates."""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, NamedTuple

from flask import Flask, Response, redirect, request, send_from_directory
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter, ValidationError
from werkzeug.wrappers import Response as AnyResponse

from git_deployments import publish, store, sync, tracking
from git_deployments.errors import Contested, DeploymentsError, ExpectationFailed
from git_deployments.history import State, UnknownDeployment, UnknownVersion, find, properties, settings
from git_deployments.model import Json
from git_deployments.moving import after_moves
from git_deployments.names import BadName, decode, encode
from git_deployments.reason import ReasonMissing, SecretReason, check_reason
from git_deployments.repository import Repository
from git_deployments.resolve import resolve
from git_deployments.web import code, drift, pages
from git_deployments.web.gate import HEADERS, Barred, Gate
from git_deployments.web.site import ASSETS, Site

LONGEST_REQUEST = 1 << 18
"""Bytes that the body of a request may have: a reason, not a book."""
MOST_EVENTS = 10_000
"""Events that one page of a history shows at most."""
_THREADS = 6
_MOST_TROUBLES = 100
"""Moves made here of which it is remembered what did not follow them."""


class Name(BaseConverter):
    """A deployment's name in an address, in the form that refs have."""

    regex = "[^/]+(?:/[^/]+)?"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """The full name; no page where it is none."""
        try:
            return decode(value)
        except BadName:
            raise ValidationError from None

    def to_url(self, value: str) -> str:
        """The encoded name."""
        return encode(value)


Opener = Callable[[], Repository]
Troubles = dict[str, tuple[str, ...]]
"""What did not follow a move that was made here, by the commit of its event. No repository keeps that."""


def application(opener: Opener, site: Site, gate: Gate) -> Flask:
    """The routes over what `opener` opens, anew for each request."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LONGEST_REQUEST
    app.url_map.converters["deployment"] = Name
    app.url_map.merge_slashes = False
    troubles: Troubles = {}
    _guard(app, gate)
    _read(app, Reader(opener, site), troubles)
    _read_documents(app, opener)
    _read_changes(app, opener)
    _read_server(app, opener)
    if not site.read_only:
        _write(app, opener, site, troubles)
    _fail(app, site)
    return app


def serve(opener: Opener, site: Site, port: int, ready: Callable[[str], None]) -> None:
    """Answer on 127.0.0.1 until interrupted. `port` 0: any free one. `ready` is told the address.

    Raises `PortTaken`.
    """
    import waitress

    with closing(_listen(port)) as door:
        gate = Gate(door.getsockname()[1])
        server = waitress.create_server(
            application(opener, site, gate),
            sockets=[door],
            threads=_THREADS,
            ident=None,
            clear_untrusted_proxy_headers=True,
            max_request_body_size=LONGEST_REQUEST,
            max_request_header_size=1 << 14,
            channel_timeout=60,
        )
        with suppress(KeyboardInterrupt):  # that is how it ends
            ready(gate.address)
            server.run()
        server.close()


def _listen(port: int) -> socket.socket:
    door = socket.socket()
    if os.name == "posix":  # elsewhere it would let two programs share the port
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("127.0.0.1", port))
    except OSError as error:
        door.close()
        raise PortTaken(f"port {port} cannot be used ({error.strerror}); choose another --port, or none") from None
    return door


class PortTaken(DeploymentsError):
    """The port cannot be listened on."""


# The door


def _guard(app: Flask, gate: Gate) -> None:
    def enter() -> AnyResponse | None:
        writes = request.method not in ("GET", "HEAD")
        headers = request.headers
        gate.check_address(headers.get("Host", ""), headers.get("Origin"), headers.get("Sec-Fetch-Site"), writes)
        if request.endpoint == "asset":  # an answer to a stranger has its style too, and there is no secret in it
            return None
        session = request.cookies.get(gate.cookie, "")
        token = request.args.get("token")
        if token is None or writes or request.path != "/":
            gate.check_session(session)
            return None
        answer = redirect("./", 303)
        if gate.redeem(token):
            answer.set_cookie(gate.cookie, gate.session, httponly=True, samesite="Strict")
        else:
            gate.check_session(session)
        return answer

    def leave(answer: Response) -> Response:
        answer.headers.update(HEADERS)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    app.before_request(enter)
    app.after_request(leave)


# Reading


class Reader(NamedTuple):
    """What the routes read from, and where their pages are."""

    opener: Opener
    site: Site

    def page(self, template: str, path: str, name: str | None, make: Callable[[Repository], Mapping[str, Any]]) -> str:
        """A page that follows what moves: everything, or the deployment `name`."""
        with closing(self.opener()) as repository:
            seen = pages.digest(repository, name)  # first, so that what moves meanwhile shows as a change
            shared = {
                "digest": seen,
                "watch": self.site.state(name),
                "origin": pages.origin(repository),
                "server": drift.configured(repository),
            }
            return self.site.page(template, path, **shared, **make(repository))


def _read(app: Flask, reader: Reader, troubles: Troubles) -> None:
    opener, site = reader

    @app.get("/")
    def overview() -> str:
        return reader.page(
            "index.html", site.overview(), None, lambda repository: {"overview": pages.overview(repository)}
        )

    @app.get("/deployments/<deployment:name>/log/")
    def deployment(name: str) -> str:
        limit = max(1, min(request.args.get("events", pages.ENTRIES, int), MOST_EVENTS))

        def make(repository: Repository) -> Mapping[str, Any]:
            page = pages.deployment(repository, name, limit)
            oid = request.args.get("done", "")
            return {
                "page": page,
                "done": pages.done(page, oid),
                "troubles": troubles.get(oid, ()),
                "published": "published" in request.args,
                "limit": limit,
            }

        return reader.page("deployment.html", site.deployment(name), name, make)

    @app.get("/deployments/<deployment:name>/versions/<int:number>")
    def version(name: str, number: int) -> str:
        def make(repository: Repository) -> Mapping[str, Any]:
            return {"page": pages.shown_version(repository, name, f"number:{number}")}

        return reader.page("version.html", site.version(name, number), name, make)

    @app.get("/deployments/<deployment:name>/versions/<int:a>..<int:b>")
    def comparison(name: str, a: int, b: int) -> str:
        def make(repository: Repository) -> Mapping[str, Any]:
            return {"page": pages.compared(repository, name, f"number:{a}", f"number:{b}")}

        return reader.page("comparison.html", site.comparison(name, a, b), name, make)

    @app.get("/deployments/<deployment:name>/versions/")
    def choose(name: str) -> AnyResponse:
        with closing(opener()) as repository:
            found = find(repository, name)
            a, b = (resolve(repository, found, request.args.get(side, "")).number for side in "ab")
        return redirect(f"{a}..{b}", 303)


def _read_documents(app: Flask, opener: Opener) -> None:
    """What pages only show a part of, whole."""

    @app.get("/deployments/<deployment:name>/log/settings.json")
    def settings_document(name: str) -> Response:
        with closing(opener()) as repository:
            return _json(settings(repository, find(repository, name).event))

    @app.get("/deployments/<deployment:name>/log/<oid>.txt")
    def message(name: str, oid: str) -> Response:
        with closing(opener()) as repository:
            return _text(pages.message(repository, name, oid))

    @app.get("/deployments/<deployment:name>/versions/<int:number>.json")
    def document(name: str, number: int) -> Response:
        with closing(opener()) as repository:
            found = find(repository, name)
            return _json(properties(repository, resolve(repository, found, f"number:{number}")))

    @app.get("/deployments/<deployment:name>/versions/<int:a>..<int:b>.diff")
    def patch(name: str, a: int, b: int) -> Response:
        with closing(opener()) as repository:
            found = find(repository, name)
            before, after = (resolve(repository, found, f"number:{number}").source.commit for number in (a, b))
        return Response(_whole_diff(opener, before, after), content_type="text/plain; charset=utf-8")


def _read_changes(app: Flask, opener: Opener) -> None:
    """What a page asks again and again, and what it is made of."""

    @app.get("/state")
    def state() -> Response:
        return _state(opener, None)

    @app.get("/deployments/<deployment:name>/log/state")
    def deployment_state(name: str) -> Response:
        return _state(opener, name)

    @app.get("/assets/<path:file>")
    def asset(file: str) -> Response:
        answer = send_from_directory(os.path.join(os.path.dirname(__file__), ASSETS), file)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def _read_server(app: Flask, opener: Opener) -> None:
    """What a Prefect server has. Pages do not wait for it: their script asks, once they are there."""

    @app.get("/server")
    def server() -> Response:
        with closing(opener()) as repository:
            return _asked(lambda: {"standings": drift.of_all(repository)})

    @app.get("/deployments/<deployment:name>/log/server")
    def deployment_server(name: str) -> Response:
        with closing(opener()) as repository:
            return _asked(lambda: drift.of(repository, find(repository, name).name)._asdict())


def _asked(question: Callable[[], dict[str, Any]]) -> Response:
    """The answer; 503 where another question is on its way, 502 with the reason where there is no answer."""
    try:
        return _json(question())
    except (drift.Busy, drift.NotAnswered) as error:
        answer = _text(str(error))
        answer.status_code = 503 if isinstance(error, drift.Busy) else 502
        return answer


def _state(opener: Opener, name: str | None) -> Response:
    with closing(opener()) as repository:
        return _text(pages.digest(repository, name))


def _whole_diff(opener: Opener, before: str | None, after: str | None) -> Iterator[bytes]:
    if not before or not after:
        return
    with closing(opener()) as repository:
        process = code.whole(repository, before, after)
        try:
            while chunk := process.read():
                yield chunk
        finally:
            process.stop()


def _text(words: str) -> Response:
    return Response(words.encode("utf-8", "replace"), content_type="text/plain; charset=utf-8")


def _json(value: Json) -> Response:
    words = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    return Response(words, content_type="application/json; charset=utf-8")


# Moving


def _write(app: Flask, opener: Opener, site: Site, troubles: Troubles) -> None:
    def page(repository: Repository, name: str, words: str | None, problem: DeploymentsError | None) -> AnyResponse:
        """The preview of a move, or where it stands once there is nothing left to move."""
        state, preview = _previewed(repository, name, words, problem)
        if preview is None and problem is None:
            return redirect(site_root(site.move(name)) + site.deployment(name), 303)
        given = {
            "reason": request.form.get("reason", ""),
            "hold": "hold" in request.form,
            "push": "push" in request.form,
        }
        content = site.page(
            "move.html", site.move(name), name=name, state=state, preview=preview, problem=problem, given=given,
            digest="", watch="", origin=pages.origin(repository),
        )  # fmt: skip
        return Response(content, _status(problem) if problem else 200)

    @app.get("/deployments/<deployment:name>/log/move")
    def preview(name: str) -> AnyResponse:
        with closing(opener()) as repository:
            return page(repository, name, request.args.get("to"), None)

    @app.post("/deployments/<deployment:name>/log/move")
    def move(name: str) -> AnyResponse:
        to, expect, reason = (request.form.get(key, "") for key in ("to", "expect", "reason"))
        with closing(opener()) as repository:
            try:
                outcome = _move(repository, name, to, expect, reason.strip())
            except DeploymentsError as error:
                return page(repository, name, to, error)
            oid = outcome.record.event.commit if outcome.record else ""
            if found := _followed(repository, outcome):
                troubles[oid] = found
                for oldest in list(troubles)[:-_MOST_TROUBLES]:
                    troubles.pop(oldest, None)
        return redirect(f"{site_root(site.move(name))}{site.deployment(name)}?done={oid}", 303)

    @app.post("/deployments/<deployment:name>/log/fetch")
    def fetch(name: str) -> AnyResponse:
        with closing(opener()) as repository:
            sync.fetch(repository, request.form.get("remote", ""), [find(repository, name).name])
        return redirect(f"{site_root(site.fetch(name))}{site.deployment(name)}#remotes", 303)

    @app.post("/deployments/<deployment:name>/log/publish")
    def publish_log(name: str) -> AnyResponse:
        with closing(opener()) as repository:
            publish.push(repository, tracking.chosen_remote(repository, None), [name])
        return redirect(f"{site_root(site.publish(name))}{site.deployment(name)}?published", 303)


def _previewed(
    repository: Repository, name: str, words: str | None, problem: DeploymentsError | None
) -> tuple[State, pages.Preview | None]:
    """The state and what the move would do; after a problem, what it would do now, if anything."""
    try:
        return pages.preview(repository, name, words)
    except DeploymentsError:
        if problem is None:
            raise
    return find(repository, name), None


def _move(repository: Repository, name: str, to: str, expect: str, reason: str) -> store.Outcome:
    if not to or not expect:
        raise BadForm("the form is not complete; open the page again")
    check_reason(repository, reason)
    state = find(repository, name)
    decide = pages.move(repository, state, to, "hold" in request.form, reason, expect)
    if "push" not in request.form:
        (outcome,) = store.write(repository, repository.who(), [name], decide)
    else:
        remote = tracking.chosen_remote(repository, None)
        (outcome,) = publish.write(repository, remote, store.Wanted(lambda: [name], True), decide).outcomes
    return outcome


def _followed(repository: Repository, outcome: store.Outcome) -> tuple[str, ...]:
    """Do what is to follow a move; what of it was not done, in words. The move stands."""
    told: list[str] = []
    try:
        after_moves(repository, [outcome], quiet=True, warned=told.append)
    except (DeploymentsError, OSError) as error:
        told.append(str(error))
    return tuple(told)


class BadForm(DeploymentsError):
    """A form that no page of ours sends."""


def site_root(path: str) -> str:
    """What leads from a path to the root of the site."""
    return "../" * path.count("/")


# Failing


def _status(error: DeploymentsError) -> int:
    if isinstance(error, Barred):
        return 403
    if isinstance(error, (UnknownDeployment, UnknownVersion)):
        return 404
    if isinstance(error, (Contested, ExpectationFailed)):
        return 409
    return 422 if isinstance(error, (ReasonMissing, SecretReason, BadForm)) else 500


def _fail(app: Flask, site: Site) -> None:
    def page(title: str, words: str, status: int) -> Response:
        content = site.page(
            "problem.html", request.path[1:], title=title, words=words, status=status, digest="", watch=""
        )
        return Response(content, status)

    @app.errorhandler(DeploymentsError)
    def known(error: DeploymentsError) -> Response:
        status = _status(error)
        titles = {403: "Not for this browser", 404: "Not here", 409: "Somebody was first"}
        otherwise = "This was not done" if request.method == "POST" else "This cannot be shown"
        return page(titles.get(status, otherwise), str(error), status)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        words = {404: "There is no such page.", 405: "This address does not take that kind of request."}
        answer = page(error.name, words.get(status, error.description or ""), status)
        if isinstance(error, MethodNotAllowed):
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return answer

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        traceback.print_exception(error, file=sys.stderr)
        return page("Something broke", "The terminal that runs git deployments web says more.", 500)
