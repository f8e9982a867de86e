"""A Prefect server, through Prefect's own client library; the only importer of it, when it is needed.

`PREFECT_API_URL` and everything about access is Prefect's own (its profiles and variables). A server
that is not named is an error: the client would start one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from git_deployments.deployed import Row
from git_deployments.errors import DeploymentsError
from git_deployments.model import Json
from git_deployments.names import brief, shown
from git_deployments.source import without_credentials

OLDEST = (3, 4)
"""The first server whose update takes pull steps and the parameter schema."""
_AT_ONCE = 200
"""Deployments that one question asks for (Prefect's own limit)."""


class ServerFailed(DeploymentsError):
    """A Prefect server cannot be asked, or refuses; the message says what to see to."""


class PrefectMissing(DeploymentsError):
    """Prefect's client library is not installed beside us."""


class Found(NamedTuple):
    """A deployment as a server has it."""

    name: str
    """Full name."""
    row: Row
    """The JSON of Prefect's `DeploymentResponse`."""


@contextmanager
def connect() -> Iterator[Server]:
    """A server to ask. Raises `PrefectMissing`, `ServerFailed`."""
    try:
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "prefect":
            raise
        raise PrefectMissing(
            "Prefect's client library is not installed beside git-deployments; pip install 'git-deployments[prefect]'"
        ) from None

    url = PREFECT_API_URL.value()
    if not url:
        raise ServerFailed("no Prefect server is named; set PREFECT_API_URL, for example to http://127.0.0.1:4200/api")
    with _said(url, "it cannot be asked"), _silence():
        client = get_client(sync_client=True)
        with client:
            server = Server(client, url)
            server.check_version()
            yield server


@contextmanager
def _silence() -> Iterator[None]:
    """What is wrong is said in one line of ours; whose process this is may want to hear all else."""
    import logging

    logger = logging.getLogger("prefect")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class Server:
    """What is asked of a Prefect server. Every method raises `ServerFailed`."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._flows: dict[str, str] = {}
        self.url = without_credentials(url)

    def check_version(self) -> None:
        """Raise unless it is a server of a version that can be worked with."""
        with _said(self.url, f"no Prefect server answers at {shown(self.url)}; see that PREFECT_API_URL is right"):
            found = str(self._client.api_version())
        numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
        if len(numbers) < 2 or numbers[0] != OLDEST[0] or numbers < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise ServerFailed(
                f"the server at {shown(self.url)} is of version {brief(found)}, and {wanted} or a newer 3 is needed; "
                "upgrade it"
            )

    def find(self, name: str) -> Found | None:
        """The deployment of a full name; None if the server has none, as of a name without a flow."""
        if "/" not in name:
            return None
        with _said(self.url, f"'{shown(name)}' cannot be read"):
            try:
                row = self._client.read_deployment_by_name(name)
            except Exception as error:
                if _status(error) == 404:
                    return None
                raise
            return Found(name, row.model_dump(mode="json"))

    def all(self) -> list[Found]:
        """Every deployment, by name."""
        found: list[Found] = []
        with _said(self.url, "its deployments cannot be listed"):
            while True:
                rows = self._client.read_deployments(limit=_AT_ONCE, offset=len(found))
                found += [Found(self._name(row), row.model_dump(mode="json")) for row in rows]
                if len(rows) < _AT_ONCE:
                    return sorted(found, key=lambda one: one.name)

    def _name(self, row: Any) -> str:
        flow = str(row.flow_id)
        if flow not in self._flows:
            self._flows[flow] = str(self._client.read_flow(row.flow_id).name)
        return f"{self._flows[flow]}/{row.name}"

    def check_pool(self, pool: str) -> None:
        """Raise where there is no such work pool: an update that names it would fail half-way."""
        with _said(self.url, f"there is no work pool '{shown(pool)}'; make it there first"):
            self._client.read_work_pool(pool)

    def scheduled(self, found: Found) -> int:
        """How many runs wait for their time."""
        from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter

        with _said(self.url, f"the runs of '{shown(found.name)}' cannot be read"):
            runs = self._client.read_flow_runs(
                deployment_filter=DeploymentFilter(id={"any_": [found.row["id"]]}),
                flow_run_filter=FlowRunFilter(state={"type": {"any_": ["SCHEDULED"]}}),
                limit=_AT_ONCE,
            )
            return len(runs)

    def update(self, found: Found, fields: Mapping[str, Json]) -> None:
        """Set these fields of a deployment, and leave all others."""
        from prefect.client.schemas.actions import DeploymentUpdate

        with _said(self.url, f"'{shown(found.name)}' cannot be updated"):
            self._client.update_deployment(found.row["id"], DeploymentUpdate(**fields))

    def create(self, name: str, fields: Mapping[str, Json]) -> Found:
        """A new deployment, and its flow if need be."""
        flow, _, half = name.rpartition("/")
        given = {key: value for key, value in fields.items() if value is not None and key != "version_info"}
        with _said(self.url, f"'{shown(name)}' cannot be created"):
            self._client.create_deployment(self._client.create_flow_from_name(flow or half), half, **given)
        made = self.find(name)
        if made is None:
            raise ServerFailed(f"the server at {shown(self.url)} has no '{shown(name)}' after creating it; see its log")
        return made


@contextmanager
def _said(url: str, what: str) -> Iterator[None]:
    """Turn whatever Prefect's client raises into one line."""
    try:
        yield
    except DeploymentsError:
        raise
    except Exception as error:
        raise ServerFailed(_reason(without_credentials(url), what, error)) from None


def _reason(url: str, what: str, error: Exception) -> str:
    where, status = shown(url), _status(error)
    if status in (401, 403):
        return f"the server at {where} refuses us ({status}); set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
    if status is None and not _is_answer(error):
        return f"no Prefect server answers at {where}; start it, or set PREFECT_API_URL to where it is"
    if status == 422 and "extra_forbidden" in _detail(error):
        return f"the server at {where} is too old: {what}: {brief(_detail(error))}; upgrade it"
    if status == 404 or status is None:
        return f"{what} (at {where})" if status else f"the server at {where}: {what}: {brief(_one_line(str(error)))}"
    detail = _detail(error)
    return f"the server at {where}: {what}: {status}{': ' + brief(detail) if detail else ''}; see its log"


def _status(error: BaseException) -> int | None:
    for one in (error, getattr(error, "http_exc", None), error.__cause__):
        code = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(code, int):
            return code
    return None


def _is_answer(error: BaseException) -> bool:
    """It came from somewhere else than the wire."""
    names = {kind.__name__ for one in (error, error.__cause__) if one for kind in type(one).__mro__}
    return not names & {"TransportError", "OSError", "InvalidURL", "UnsupportedProtocol"} and "reach API" not in str(
        error
    )


def _detail(error: BaseException) -> str:
    response = getattr(getattr(error, "http_exc", None) or error, "response", None)
    try:
        body = response.json() if response is not None else {}
    except ValueError:
        return ""
    found = body.get("detail") or body.get("exception_detail") or body.get("exception_message") or ""
    return _one_line(found if isinstance(found, str) else str(found))


def _one_line(text: str) -> str:
    return " ".join(text.split())
