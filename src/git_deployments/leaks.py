"""Secrets do not enter history (design, "Manifest"): pure functions that say what looks like one.

What is refused is a short list on purpose: a refusal that is wrong too often gets switched off. No
message and no `Leak` ever holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from git_deployments.model import Json

_NAMES = ("TOKEN", "SECRET", "PASSW", "CREDENTIAL")
_LITERAL_KEYS = (
    "access_token",
    "api_key",
    "apikey",
    "auth_token",
    "client_secret",
    "passwd",
    "password",
    "private_key",
    "secret_access_key",
    "secret_key",
)
"""Keys, or ends of keys after `_`, whose value is the secret itself. Not `token` or `secret` alone: those
name tokenizers, Kubernetes secrets and special tokens of language models as often."""

_START = r"(?<![A-Za-z0-9])"
_SHAPES = (
    ("gh", "a GitHub token", _START + r"gh[opusr]_[A-Za-z0-9]{20}"),
    ("github_pat_", "a GitHub token", _START + r"github_pat_[A-Za-z0-9_]{20}"),
    ("gl", "a GitLab token", _START + r"gl(?:pat|dt|rt|ptt|ft|soat|cbt|imt|agent)-[A-Za-z0-9_\-]{20}"),
    ("xox", "a Slack token", _START + r"xox[a-z]-[A-Za-z0-9\-]{10}"),
    ("AKIA", "an AWS access key", _START + r"AKIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("ASIA", "an AWS access key", _START + r"ASIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("AIza", "a Google API key", _START + r"AIza[A-Za-z0-9_\-]{35}"),
    ("k_live_", "a Stripe key", _START + r"[sr]k_live_[A-Za-z0-9]{16}"),
    ("pn", "a Prefect API key", _START + r"pn[ub]_[A-Za-z0-9]{20}"),
    ("pypi-", "a PyPI token", _START + r"pypi-[A-Za-z0-9_\-]{40}"),
    ("npm_", "an npm token", _START + r"npm_[A-Za-z0-9]{36}"),
    ("sk-ant-", "an Anthropic key", _START + r"sk-ant-[A-Za-z0-9_\-]{20}"),
    ("sk-", "an OpenAI key", _START + r"sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{20}|[A-Za-z0-9]{32})"),
    ("Key=", "an Azure account key", r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{40}"),
    # Only where a run of such characters starts: a long run is then read once, not once for each `eyJ` in it.
    (".eyJ", "a JSON Web Token", r"(?<![\w\-])eyJ[A-Za-z0-9_\-]{5,}\.eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]"),
    ("PRIVATE KEY", "a private key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY"),
)
"""A text that every such secret contains, which is quick to look for, what it is, and the shape itself: compiled when
it is first needed, for most manifests have no such text."""
_USERINFO = r"://[^\s/@:]*:([^\s/@]+)@"
_STAND_IN = (
    r"\{\{[^{}]*\}\}"  # a template
    r"|\*+"
    r"|\$\w+|\$?\{\w+\}|\$\(\w+\)|%\w+%|%\(\w+\)s"  # variables of shells, of Kubernetes, of format strings
    r"|<[^<>]*>"  # a placeholder
)
"""What may stand where a password would."""


class Leak(NamedTuple):
    """One place that seems to hold a secret."""

    key: str
    """Dotted, list positions as numbers: `pull_steps.0.prefect.deployments.steps.git_clone.access_token`."""
    kind: str
    """With its article: `a GitHub token`."""

    @property
    def hint(self) -> str:
        """What to do instead."""
        return advice(self.key)


def variable_looks_secret(name: str) -> bool:
    """Whether an environment variable is named like a secret: *TOKEN*, *SECRET*, *PASSW*, *_KEY, *CREDENTIAL*."""
    upper = name.upper()
    return upper.endswith("_KEY") or any(part in upper for part in _NAMES)


def text_looks_secret(text: str) -> str | None:
    """The kind of secret whose known shape stands in `text`, with its article; None if there is none.

    Takes time linear in the length of `text`.
    """
    for mark, kind, pattern in _SHAPES:
        if mark in text and re.search(pattern, text):
            return kind
    if "://" in text and any(map(_is_secret, re.findall(_USERINFO, text))):
        return "a password in a URL"
    return None


def _is_secret(text: str) -> bool:
    return re.fullmatch(_STAND_IN, text) is None


def key_takes_secret(key: str) -> bool:
    """Whether the value of a key of that name is a secret itself: `access_token`, `DB_PASSWORD`."""
    name = key.lower().replace("-", "_")
    return name.endswith(_LITERAL_KEYS) and any(name == end or name.endswith(f"_{end}") for end in _LITERAL_KEYS)


def allowed(key: str, allow: Collection[str]) -> bool:
    """Whether `--allow-secret` names this dotted key, whole or by its last part."""
    return key in allow or key.rpartition(".")[2] in allow


def advice(key: str) -> str:
    """Where a secret belongs that stands at this dotted key."""
    block = "use a Prefect block, {{ prefect.blocks.secret.NAME }}"
    return f"{block}, or a runtime variable" if key.startswith("pull_steps.") else block


def find(properties: Mapping[str, Json]) -> list[Leak]:
    """Every place of a configuration that holds what looks like a secret, in the order of its keys."""
    leaks: list[Leak] = []
    waiting: list[tuple[str, str, Json]] = [("", "", dict(properties))]
    while waiting:
        path, name, value = waiting.pop()
        if isinstance(value, dict):
            leaks += [Leak(path, kind) for kind in map(text_looks_secret, value) if kind]
            named = _named(value)
            waiting += reversed(
                [(f"{path}.{key}" if path else key, named.get(key, key), child) for key, child in value.items()]
            )
        elif isinstance(value, list):
            # Items keep the name of the list: `password: [a, b]` holds two.
            waiting += reversed([(f"{path}.{at}", name, child) for at, child in enumerate(value)])
        elif kind := _secret_kind(name, value):
            leaks.append(Leak(path, kind))
    return leaks


def _named(value: Mapping[str, Json]) -> dict[str, str]:
    """What a value is called by its neighbour, as in the `{name: DB_PASSWORD, value: …}` of Kubernetes and ECS."""
    name = value.get("name")
    return {"value": name} if isinstance(name, str) else {}


def _secret_kind(name: str, value: Json) -> str | None:
    if isinstance(value, str) and (kind := text_looks_secret(value)):
        return kind
    if key_takes_secret(name) and _is_literal(value):
        return "a literal secret"
    return None


def _is_literal(value: Json) -> bool:
    """Whether a value is given outright: no null, no flag, nothing empty, no template and no stand-in."""
    if value is None or isinstance(value, bool):
        return False
    text = str(value).strip()
    return bool(text) and "{{" not in text and _is_secret(text)
