"""The refs of a deployment, built and taken apart in pairs: pure strings (design, "Refs")."""

from functools import lru_cache
from typing import NamedTuple

from git_deployments.names import BadName, decode, decode_half, encode, encode_half

ROOT = "refs/deployments/"
REMOTE_ROOT = "refs/remote-deployments/"

LIVE = "live"
LOG = "log"
VERSIONS = "versions"
SOURCES = "sources"


class Ref(NamedTuple):
    """One ref of a deployment, taken apart."""

    name: str
    kind: str
    """`live`, `log`, `versions` or `sources`."""
    number: int | None
    """The version's number, for `versions` and `sources`."""


decoded = lru_cache(maxsize=1024)(decode)
"""As `names.decode`, for many in a row: the refs of a deployment, and its commits, all have its name."""


def prefix(name: str) -> str:
    """`refs/deployments/<name>/`."""
    return f"{ROOT}{encode(name)}/"


def live_ref(name: str) -> str:
    """The ref that says which version is live."""
    return prefix(name) + LIVE


def log_ref(name: str) -> str:
    """The ref of the record of events."""
    return prefix(name) + LOG


def version_ref(name: str, number: int) -> str:
    """The index ref of version `number`."""
    return f"{prefix(name)}{VERSIONS}/{number}"


def source_ref(name: str, number: int) -> str:
    """The ref that keeps the code of version `number` alive."""
    return f"{prefix(name)}{SOURCES}/{number}"


def parse_ref(ref: str, root: str = ROOT) -> Ref | None:
    """Take a full ref name apart; None where it is under no known kind or wrongly encoded.

    `root` is what precedes the name: `ROOT`, or `remote_root(remote)`.
    """
    if not ref.startswith(root):
        return None
    head, _, kind = ref[len(root) :].rpartition("/")
    number: int | None = None
    if kind not in (LIVE, LOG):
        digits = kind
        head, _, kind = head.rpartition("/")
        if kind not in (VERSIONS, SOURCES) or not (digits.isascii() and digits.isdigit() and digits[0] != "0"):
            return None
        if len(digits) >= 12:
            return None
        number = int(digits)
    try:
        return Ref(decoded(head), kind, number)
    except BadName:
        return None


def remote_root(remote: str) -> str:
    """`refs/remote-deployments/<remote>/`, where what was last seen at a remote is kept."""
    parts = (encode_half(part.replace("%", "%25")) for part in remote.split("/"))
    return f"{REMOTE_ROOT}{'%2F'.join(parts)}/"


def remote_of(ref: str) -> str:
    """The remote whose a ref below `REMOTE_ROOT` is, as it is configured: what `remote_root` was made of."""
    component = ref[len(REMOTE_ROOT) :].partition("/")[0]
    try:
        return decode_half(component)
    except ValueError:  # written by somebody else
        return component
