"""Version history, rollback and promotion for workflow deployments, inside the Git repository.

    import git_deployments

    deployments = git_deployments.open()
    deployments.deploy()
    deployments.rollback("etl/prod", message="wrong totals")

`open` gives a repository's deployments; its methods are the verbs of the command line, on typed and
frozen values. They never print and never exit; what they raise is a `DeploymentsError`. Importing
this package imports neither pygit2 nor click.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself costs half a start of Python
if TYPE_CHECKING:
    from git_deployments.api import Deployments, Snapshot, open  # noqa: A004  the verb of the design
    from git_deployments.compare import Difference
    from git_deployments.errors import Contested, DeploymentsError, ExpectationFailed
    from git_deployments.history import Pointer, State
    from git_deployments.model import Event, Identity, Json, Source, Version, VersionInfo
    from git_deployments.rules import Finding
    from git_deployments.store import Outcome

__version__ = "0.1.0"

_HOMES = {
    "Contested": "errors",
    "Deployments": "api",
    "DeploymentsError": "errors",
    "Difference": "compare",
    "Event": "model",
    "ExpectationFailed": "errors",
    "Finding": "rules",
    "Identity": "model",
    "Json": "model",
    "Outcome": "store",
    "Pointer": "history",
    "Snapshot": "api",
    "Source": "model",
    "State": "history",
    "Version": "model",
    "VersionInfo": "model",
    "open": "api",
}

__all__ = [
    "Contested",
    "Deployments",
    "DeploymentsError",
    "Difference",
    "Event",
    "ExpectationFailed",
    "Finding",
    "Identity",
    "Json",
    "Outcome",
    "Pointer",
    "Snapshot",
    "Source",
    "State",
    "Version",
    "VersionInfo",
    "open",
]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for: scripts start by importing this package."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'git_deployments' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"git_deployments.{home}"), name)


def __dir__() -> list[str]:
    """Names of the public surface."""
    return sorted((*__all__, "__version__"))
