"""What the reason of a write and the name of a version must be, and must not hold."""

from __future__ import annotations

from git_deployments.errors import DeploymentsError
from git_deployments.names import brief, label_fault
from git_deployments.repository import Repository


class BadVersionName(DeploymentsError):
    """A text that cannot name a version."""


class ReasonMissing(DeploymentsError):
    """`deployments.requireReason` wants to know why."""


class SecretReason(DeploymentsError):
    """A reason that would keep a secret in the log."""


def check_label(label: str) -> None:
    """Raise `BadVersionName` unless `label` can be the human name of a version."""
    from git_deployments.leaks import text_looks_secret

    if kind := text_looks_secret(label):
        raise BadVersionName(f"--version: the name holds what looks like {kind}, and history keeps it; choose another")
    fault = label_fault(label)
    if fault:
        raise BadVersionName(f"bad version name '{brief(label)}': {fault}; choose another --version")


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
