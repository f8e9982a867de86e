"""What the reason of a write must be, and must not hold."""

from __future__ import annotations

from git_deployments.errors import DeploymentsError
from git_deployments.repository import Repository


class ReasonMissing(DeploymentsError):
    """`deployments.requireReason` wants to know why."""


class SecretReason(DeploymentsError):
    """A reason that would keep a secret in the log."""


def check_reason(repository: Repository, reason: str, needed: bool = True) -> None:
    """A reason where one is required, and none that the log should not keep. Raises `ReasonMissing`, `SecretReason`."""
    if reason:
        from git_deployments.leaks import text_looks_secret

        kind = text_looks_secret(reason)
        if kind:
            raise SecretReason(
                f"-m: the text holds what looks like {kind}, and the log keeps it for ever; leave it out"
            )
    if needed and not reason and repository.flag("requireReason"):
        raise ReasonMissing("deployments.requireReason is set: say why with -m TEXT")
