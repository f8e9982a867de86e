"""prefect.yaml to values (design, "Manifest"; Prefect, "How to define deployments with YAML").

Two steps, so that what is not deployed cannot stand in the way of what is: `read` checks the
structure of the whole file and gives one `Draft` for each entry, `expand` reads one of them with the
environment. Inside a deployment, errors name keys as `show --key` and `--allow-secret` do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from git_deployments import leaks, names, templates, yamltext
from git_deployments.errors import DeploymentsError
from git_deployments.model import PROPERTIES, SETTINGS, Entry, Json, Place
from git_deployments.names import brief, label_fault, shown
from git_deployments.templates import BadTemplate, Scope
from git_deployments.yamltext import BadYaml, Map, Node, Scalar, Seq

VERSION_TYPES = ("vcs:github", "vcs:gitlab", "vcs:bitbucket", "vcs:azuredevops", "vcs:git", "prefect:simple")
LARGEST = 16 * 2**20
"""Characters that the templated texts of one deployment may have together."""

_LEFT_OUT = ("triggers", "sla", "build", "push")
ENTRY_KEYS = (
    *("name", "version", "version_type", "flow_name", "work_pool", "pull", "schedule"),
    *(*PROPERTIES, *SETTINGS, *_LEFT_OUT),
)
"""The keys of a deployment."""
_TOP_KEYS = ("name", "prefect-version", "build", "push", "pull", "definitions", "deployments")
_POOL_KEYS = ("name", "work_queue_name", "job_variables")
_RECORDED = ("created_by", "updated_by", "version_info")
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "job_variables": ("work_pool.job_variables", "job_variables"),
    "pull_steps": ("pull", "pull_steps"),
    "schedules": ("schedule", "schedules"),
    "work_pool_name": ("work_pool.name", "work_pool_name"),
    "work_queue_name": ("work_pool.work_queue_name", "work_queue_name"),
}
"""Where a property may stand, if prefect.yaml has another name for it than the design's tables."""
_ONCE = (
    *_SPELLINGS.values(),
    ("concurrency_limit.collision_strategy", "concurrency_options"),
    ("concurrency_limit.grace_period_seconds", "concurrency_options"),
)
"""Of each of these, only one may be given."""
_SCHEDULE_KEYS: Mapping[str, tuple[str, ...]] = {
    "cron": ("timezone", "day_or"),
    "interval": ("timezone", "anchor_date"),
    "rrule": ("timezone",),
}
_EVERY_SCHEDULE = ("active", "parameters", "slug", "replaces")
_OPTION_KEYS = ("collision_strategy", "grace_period_seconds")
_COLLISION_STRATEGIES = ("ENQUEUE", "CANCEL_NEW")
_LIMITS = range(1, 2**31)
_GRACE_PERIOD = range(60, 86400 + 1)

_CODE_KEYS = frozenset((("pull_steps", "commit_sha"), ("pull_steps", "branch"), ("job_variables", "image")))
"""What decides which code runs: the property, and the last part of the key."""
_JOB_TEXTS = frozenset(("image", "env", "labels", "annotations"))
"""Variables of Prefect's workers, and keys of Kubernetes manifests in them, that hold nothing but texts."""
_JOB_FLAGS = frozenset(("optional",))
"""In the sources of variables, as Kubernetes has them: `env: [{name: A, valueFrom: {secretKeyRef: {…}}}]`."""
_STEP_TEXTS = frozenset(
    (
        *("id", "requires", "repository", "branch", "commit_sha", "access_token", "credentials", "directories"),
        *("clone_directory_name", "directory", "script", "env", "requirements_file", "url", "bucket", "container"),
        *("folder", "block_document_name", "block_type_slug"),
    )
)
"""Arguments of Prefect's own steps that are texts, or hold nothing but texts."""
_STEP_FLAGS = ("include_submodules", "stream_output", "expand_env_vars", "shell")
_CLONE_TEXTS = ("repository", "branch", "commit_sha")
_PREFECT_STEP = "prefect.deployments.steps."
_CLONES = frozenset(("git_clone", "agit_clone", "git_clone_project"))

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CRON_FIELD = r"[A-Za-z0-9*,/#?\-]+"
_CRON_PARTS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ("l",)),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
    ("second", 0, 59, ()),
)
"""What the fields of a cron line are: the first and the last number, and the names."""
_CRON_ALIASES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_ZONE = r"[A-Za-z0-9_+\-/]+"
_DECIMAL = r"(\d+(?:\.\d+)?)"
_DAYS = r"\+?(\d+) ?(?i:d(?:ays?)?),? ?"
_CLOCK = r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)"
_ISO = (
    rf"\+?P(?=\d|T)(?:{_DECIMAL}Y)?(?:{_DECIMAL}M)?(?:{_DECIMAL}W)?(?:{_DECIMAL}D)?"
    rf"(?:T(?=\d)(?:{_DECIMAL}H)?(?:{_DECIMAL}M)?(?:{_DECIMAL}S)?)?"
)
_DURATIONS = (
    (_DECIMAL, (1,)),
    (rf"\+?{_CLOCK}", (3600, 60, 1)),
    (r"\+?(\d\d):([0-5]\d)", (3600, 60)),
    (rf"{_DAYS}(?:{_CLOCK})?", (86400, 3600, 60, 1)),
    (_ISO, (31536000, 2592000, 604800, 86400, 3600, 60, 1)),
)
"""The texts that Prefect reads as a duration, and the seconds in each of their groups; compiled when there is one."""
_ANCHOR = r"now|(?:\d{4}|T?\d\d:)[0-9TWZtwz:+\-./, ]*"
"""What begins as a year or a time of day; Prefect reads far more forms of both than it names."""
_LONGEST_INTERVAL = 86400 * 999_999_999
"""Seconds in Python's longest `timedelta`, in which Prefect keeps an interval."""
_FREQUENCY = r"(?i)\bFREQ=(?:YEAR|MONTH|WEEK|DAI|HOUR|MINUTE|SECOND)LY\b|\b(?:R|EX)DATE[:;]"
"""What a recurrence rule cannot do without: how often, or dates."""
_LONGEST_RRULE = 6500
"""Characters that Prefect accepts."""


class BadManifest(DeploymentsError):
    """A manifest, or one deployment of it, that cannot be accepted."""


class Draft(NamedTuple):
    """One entry of a manifest, its structure checked, its values not yet read."""

    half: str
    """The deployment's own half of the name, expanded."""
    flow_name: str | None
    """Expanded where that is possible, else as written."""
    entrypoint: str | None
    """Expanded where that is possible, else as written."""
    place: Place
    entry: Map
    pull: Node | None
    """The pull steps at the top of the file."""
    warnings: tuple[str, ...]
    """About the top of the file."""


class Context(NamedTuple):
    """What a deployment is expanded with."""

    env: Mapping[str, str]
    runtime: frozenset[str] = frozenset()
    """Variables that stay literal in pull steps."""
    allow_secret: frozenset[str] = frozenset()
    """Keys that may hold what looks like a secret: dotted, or their last part alone."""
    literal: bool = False
    """The texts come from a server: what it has not expanded stays, unless it decides which code runs."""


class _Spot(NamedTuple):
    """Where a value stands, for messages."""

    place: Place
    half: str
    """Of the deployment's name."""
    key: str
    """Dotted, list positions as numbers; empty for the entry itself."""
    line: int

    def error(self, reason: str) -> BadManifest:
        return BadManifest(f"{self.said()}: {reason}")

    def said(self) -> str:
        key = f", key '{_tail(self.key)}'" if self.key else ""
        return f"{_at(self.place, self.line)}: deployment '{brief(self.half)}'{key}"

    def on(self, line: int) -> _Spot:
        return self._replace(line=line)

    def below(self, key: str, line: int) -> _Spot:
        return _Spot(self.place, self.half, f"{self.key}.{key}" if self.key else key, line)


def read(data: bytes, place: Place, env: Mapping[str, str]) -> tuple[Draft, ...]:
    """The deployments of a manifest, in its order; at least one. `place` is the file's, its line is not used.

    Checks whatever needs no variable but those in the names, of the whole file. Raises `BadManifest`.
    """
    try:
        top = yamltext.load(data, file_of(place))
    except BadYaml as error:
        raise BadManifest(str(error)) from None
    _check_keys(top, _TOP_KEYS, lambda key, reason: BadManifest(f"{_at(place, top.lines[key])}: {reason}"))
    pull = _given(top, "pull")
    if isinstance(pull, Scalar):
        raise BadManifest(f"{_at(place, top.lines['pull'])}: key 'pull': a list of steps is expected")
    entries = _given(top, "deployments")
    if not isinstance(entries, Seq) or not entries.items:
        at = _at(place, top.lines.get("deployments", top.line))
        raise BadManifest(f"{at}: no deployments here; list at least one under 'deployments'")
    warnings = tuple(
        f"{_at(place, top.lines[key])}: '{key}' steps are not run, and no part of a version"
        for key in ("build", "push")
        if _is_filled(top, key)
    )
    drafts = tuple(_draft(node, place, env, pull, warnings) for node in entries.items)
    _check_twins(drafts)
    return drafts


def draft_of(entry: Mapping[str, Json], place: Place, env: Mapping[str, str]) -> Draft:
    """A draft of values that are JSON already, a stored version's for one, to hold them to the same rules.

    Keys are those of a manifest's entry. Raises `BadManifest`.
    """
    try:
        tree = yamltext.of_json(dict(entry))
    except BadYaml as error:
        raise BadManifest(f"{file_of(place)}: {error}") from None
    return draft_of_tree(tree, place, env)


def draft_of_tree(entry: Node, place: Place, env: Mapping[str, str]) -> Draft:
    """The same of an entry whose scalars have their text still. Raises `BadManifest`."""
    if not isinstance(entry, Scalar) and entry.height > yamltext.DEEPEST:
        raise BadManifest(f"{file_of(place)}: {yamltext.TOO_DEEP}")
    return _draft(entry, place, env, None, ())


def expand(draft: Draft, context: Context) -> Entry:
    """Everything that an entry says, templates expanded, secrets refused. Raises `BadManifest`.

    Parameters have the types that YAML gives them, or are text where a `parameter_openapi_schema` in
    the entry wants strings; `retype` does the same for a schema found elsewhere.
    """
    work = _Expanding(draft, context)
    schema = work.read("parameter_openapi_schema")
    work.schema = schema
    properties = {key: schema if key == "parameter_openapi_schema" else work.read(key) for key in PROPERTIES}
    settings = dict(work.settings())
    label, version_type, flow_name = work.version(), work.version_type(), work.flow_name()
    work.refuse_secrets({**properties, **settings, "version": label})
    return Entry(
        half=draft.half,
        flow_name=flow_name,
        label=label,
        version_type=version_type,
        properties=properties,
        settings=settings,
        place=draft.place,
        warnings=(*draft.warnings, *work.warnings()),
    )


def retype(entry: Entry, draft: Draft, context: Context, schema: Mapping[str, Json]) -> Entry:
    """`entry` with its parameters, those of its schedules too, read again for this parameter schema.

    Where the schema wants a string, `1.10` and `no` are their text. Raises `BadManifest`.
    """
    work = _Expanding(draft, context)
    work.schema = dict(schema)
    settings = dict(entry.settings)
    if "schedules" in settings:
        settings["schedules"] = work.schedules()
    return entry._replace(properties={**entry.properties, "parameters": work.read("parameters")}, settings=settings)


def is_full_id(text: str) -> bool:
    """Whether a text is a whole commit id, of SHA-1 or SHA-256."""
    return _FULL_ID.fullmatch(text) is not None


def commit_shas(properties: Mapping[str, Json]) -> list[tuple[str, str]]:
    """The dotted key and the text of each `commit_sha` in a git_clone step; it may be abbreviated (`is_full_id`)."""
    return [(key, text) for _, key, text in _pins(properties)]


def with_commit_sha(properties: Mapping[str, Json], key: str, full: str) -> dict[str, Json]:
    """The properties with another id for the `commit_sha` at `key`, one of those that `commit_shas` gives."""
    steps = properties["pull_steps"]
    changed: list[Json] = list(steps) if isinstance(steps, list) else []
    for at, found, _ in _pins(properties):
        step = changed[at]
        if found == key and isinstance(step, dict):
            changed[at] = {
                function: {**arguments, "commit_sha": full} if isinstance(arguments, dict) else arguments
                for function, arguments in step.items()
            }
    return {**properties, "pull_steps": changed}


def runtime_variables(properties: Mapping[str, Json]) -> frozenset[str]:
    """The variables that pull steps leave to the run; whoever deploys them again has to say so again."""
    return templates.left(json.dumps(properties["pull_steps"], ensure_ascii=False))


def _pins(properties: Mapping[str, Json]) -> Iterator[tuple[int, str, str]]:
    steps = properties["pull_steps"]
    for at, step in enumerate(steps if isinstance(steps, list) else ()):
        for function, arguments in step.items() if isinstance(step, dict) else ():
            commit = arguments.get("commit_sha") if isinstance(arguments, dict) else None
            if isinstance(commit, str) and function.rpartition(".")[2] in _CLONES:
                yield at, f"pull_steps.{at}.{function}.commit_sha", commit


# The structure of the file


def _draft(node: Node, place: Place, env: Mapping[str, str], pull: Node | None, warnings: tuple[str, ...]) -> Draft:
    if not isinstance(node, Map):
        raise BadManifest(
            f"{_at(place, node.line)}: each deployment is a mapping of keys to values, starting with its name"
        )
    half = _half(node, place, env)
    spot = _Spot(place, half, "", node.line)
    _check_entry(node, spot)
    flow_name, entrypoint = (_text_if_possible(node, key, spot, env) for key in ("flow_name", "entrypoint"))
    return Draft(half, flow_name, entrypoint, place._replace(line=node.line), node, pull, warnings)


def _half(entry: Map, place: Place, env: Mapping[str, str]) -> str:
    node = _given(entry, "name")
    at = _at(place, entry.lines.get("name", entry.line))
    if node is None:
        raise BadManifest(f"{at}: this deployment has no name; add a line 'name: …' to it")
    if not isinstance(node, Scalar):
        raise BadManifest(f"{at}: key 'name': text is expected, not {_kind(node)}")
    told = "…" if leaks.text_looks_secret(node.text) else node.text
    spot = _Spot(place, told, "name", entry.lines["name"])
    try:
        half, variables = templates.expand(node.text, Scope(env))
    except BadTemplate as error:
        raise spot.error(str(error)) from None
    for variable in filter(leaks.variable_looks_secret, variables):
        raise spot.error(f"${brief(variable)} is named like a secret, and everybody sees names; leave it out")
    return _checked_half(half, spot)


def _checked_half(half: str, spot: _Spot) -> str:
    if kind := leaks.text_looks_secret(half):
        raise spot.error(f"it holds {kind}, and everybody sees names; leave it out")
    if "{{" in half:
        raise spot.error("a template that is known only later cannot be part of a name; write it out")
    if "/" in half:
        then = "" if spot.key == "flow_name" else ", the flow's half of the name goes into 'flow_name'"
        raise spot.error(f"'/' is not allowed{then}; rename it")
    try:
        names.check(half)
    except names.BadName as error:
        raise spot.error(str(error)) from None
    return half


def _check_entry(entry: Map, spot: _Spot) -> None:
    for key in _RECORDED:
        if key in entry.entries:
            raise spot.below(key, entry.lines[key]).error("it is recorded, not configured; remove it")
    _check_keys(entry, ENTRY_KEYS, lambda key, reason: spot.on(entry.lines[key]).error(reason))
    pool = _given(entry, "work_pool")
    if isinstance(pool, Map):
        lines = pool.lines
        _check_keys(pool, _POOL_KEYS, lambda key, reason: spot.below("work_pool", lines[key]).error(reason))
    elif pool is not None:
        raise spot.below("work_pool", entry.lines["work_pool"]).error(f"a mapping is expected, not {_kind(pool)}")
    for spellings in _ONCE:
        several = [(spelling, line) for spelling in spellings for _, line in _look(entry, spelling)]
        if len(several) > 1:
            (first, _), (second, line) = several
            raise spot.below(second, line).error(f"'{first}' says the same; remove one of them")


def _text_if_possible(entry: Map, key: str, spot: _Spot, env: Mapping[str, str]) -> str | None:
    node = _given(entry, key)
    if node is None:
        return None
    if not isinstance(node, Scalar):
        raise spot.below(key, entry.lines[key]).error(f"text is expected, not {_kind(node)}")
    try:
        text, variables = templates.expand(node.text, Scope(env))
    except BadTemplate:
        return node.text
    # Names are shown: `expand` refuses this one, unless it is allowed.
    return node.text if any(map(leaks.variable_looks_secret, variables)) else text


def _check_twins(drafts: Collection[Draft]) -> None:
    seen: dict[tuple[str, str | None], Draft] = {}
    for draft in drafts:
        first = seen.setdefault((draft.half, draft.flow_name or draft.entrypoint), draft)
        if first is not draft:
            raise BadManifest(
                f"{_at(draft.place, draft.place.line)}: deployment '{brief(draft.half)}': "
                f"the one on line {first.place.line} has the same name; rename one of them"
            )


def _check_keys(node: Map, known: Collection[str], failure: Callable[[str, str], BadManifest]) -> None:
    for key in node.entries:
        if key not in known:
            raise failure(key, f"unknown key '{brief(key)}'; {_nearest(key, known)}")


def _nearest(key: str, known: Collection[str]) -> str:
    import difflib

    near = difflib.get_close_matches(key[:80], list(known), 1, 0.5)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(set(known)))}"


def _given(node: Map, key: str) -> Node | None:
    """What stands at a key, None where that is null or missing."""
    found = node.entries.get(key)
    return None if found is None or yamltext.is_null(found) else found


def _is_filled(node: Map, key: str) -> bool:
    found = _given(node, key)
    return bool(found.items if isinstance(found, Seq) else found.entries if isinstance(found, Map) else found)


def _look(entry: Map, spelling: str) -> Iterator[tuple[Node, int]]:
    """What stands at a key, or at `outer.inner`, and on which line; nothing where that is null or missing."""
    outer, _, inner = spelling.rpartition(".")
    holder = _given(entry, outer) if outer else entry
    if isinstance(holder, Map) and (node := _given(holder, inner)) is not None:
        yield node, holder.lines[inner]


# One deployment


class _Expanding:
    """A deployment while it is read: what it is expanded with, and what went into it."""

    __slots__ = ("context", "draft", "schema", "size")

    def __init__(self, draft: Draft, context: Context) -> None:
        self.draft = draft
        self.context = context
        self.schema: Json = None
        """Of the parameters."""
        self.size = 0
        """Of the templated texts, expanded."""

    def spot(self, key: str, line: int) -> _Spot:
        return _Spot(self.draft.place, self.draft.half, key, line)

    def read(self, name: str) -> Json:
        """The value of one of `PROPERTIES`, its empty form where the entry says nothing."""
        found = next(self._find(name), None)
        if found is None:
            return None if name == "parameter_openapi_schema" else _fresh(PROPERTIES[name])
        node, line = found
        spot = self.spot(name, line)
        if name == "pull_steps":
            return self._steps(node, spot)
        node = self.expanded(node, spot)
        return self._parameters(node, spot) if name == "parameters" else _PROPERTY[name](node, spot)

    def _find(self, name: str) -> Iterator[tuple[Node, int]]:
        for spelling in _SPELLINGS.get(name, (name,)):
            yield from _look(self.draft.entry, spelling)
        if name == "pull_steps" and self.draft.pull is not None:
            yield self.draft.pull, self.draft.pull.line

    def text(self, key: str) -> tuple[str, _Spot] | None:
        """The text at a key of the entry and its place; None where that is null or missing."""
        for node, line in _look(self.draft.entry, key):
            spot = self.spot(key, line)
            return _text(self.expanded(node, spot), spot), spot
        return None

    def version(self) -> str | None:
        found = self.text("version")
        if found is None:
            return None
        text, spot = found
        if "{{" in text:
            raise spot.error("a template that is known only later cannot name a version; write it out")
        fault = label_fault(text)
        if fault is not None:
            raise spot.error(f"{fault}; write another one")
        return text

    def version_type(self) -> str | None:
        found = self.text("version_type")
        if found is not None and found[0] not in VERSION_TYPES:
            raise found[1].error(f"unknown version type; write one of {', '.join(VERSION_TYPES)}")
        return None if found is None else found[0]

    def flow_name(self) -> str | None:
        found = self.text("flow_name")
        return None if found is None else _checked_half(*found)

    def settings(self) -> Iterator[tuple[str, Json]]:
        """Those of `SETTINGS` that the entry mentions."""
        entry = self.draft.entry
        if "schedule" in entry.entries or "schedules" in entry.entries:
            yield "schedules", self.schedules()
        for key, reader in (("concurrency_limit", _limit), ("concurrency_options", _options)):
            if key in entry.entries:
                spot = self.spot(key, entry.lines[key])
                yield from reader(self.expanded(entry.entries[key], spot), spot)
        if "is_schedule_active" in entry.entries:
            yield "is_schedule_active", None
        for key in ("is_schedule_active", "paused", "disabled"):
            for node, line in _look(entry, key):
                spot = self.spot(key, line)
                yield key, _flag(self.expanded(node, spot), spot)

    def schedules(self) -> list[Json]:
        """Each as prefect.yaml has it: its kind's keys flat, those that are null left out, an interval in seconds."""
        for node, line in self._find("schedules"):
            spot = self.spot("schedules", line)
            node = self.expanded(node, spot)
            if isinstance(node, Scalar):
                raise spot.error("a list of schedules is expected, each with one of cron, interval, rrule")
            # A mapping is one schedule; an empty one, as `prefect init` writes it, is none.
            return self._schedules(node.items if isinstance(node, Seq) else [node] if node.entries else [], spot)
        return []

    def _schedules(self, items: list[Node], spot: _Spot) -> list[Json]:
        found: list[Json] = []
        slugs: set[Json] = set()
        for at, item in enumerate(items):
            below = spot.below(str(at), item.line)
            schedule = self._schedule(_map(item, below), below)
            slug = schedule.get("slug")
            if slug is not None and slug in slugs:
                raise below.below("slug", item.line).error("another schedule has this slug; rename it")
            slugs.add(slug)
            found.append(schedule)
        return found

    def _schedule(self, node: Map, spot: _Spot) -> dict[str, Json]:
        given = {key: child for key, child in node.entries.items() if not yamltext.is_null(child)}
        kinds = [key for key in _SCHEDULE_KEYS if key in given]
        if len(kinds) != 1:
            raise spot.error("exactly one of cron, interval and rrule is expected; write one schedule for each")
        known = (kinds[0], *_SCHEDULE_KEYS[kinds[0]], *_EVERY_SCHEDULE)
        _check_keys(node, (*_SCHEDULE_KEYS, *known), lambda key, reason: spot.on(node.lines[key]).error(reason))
        schedule: dict[str, Json] = {}
        for key, child in given.items():
            below = spot.below(key, node.lines[key])
            schedule[key] = self._parameters(child, below) if key == "parameters" else _SCHEDULE[key](child, below)
        return schedule

    def _parameters(self, node: Node, spot: _Spot) -> Json:
        _map(node, spot)
        try:
            return yamltext.typed(node, self.schema)
        except BadYaml as error:
            raise spot.error(str(error)) from None

    def _steps(self, node: Node, spot: _Spot) -> list[Json]:
        """Pull steps. One alone may stand without its list, as in Prefect."""
        items = node.items if isinstance(node, Seq) else [node] if isinstance(node, Map) and node.entries else []
        if isinstance(node, Scalar):
            raise spot.error("a list of steps is expected")
        ids: set[str] = set()
        steps: list[Json] = []
        for at, step in enumerate(items):
            below = spot.below(str(at), step.line)
            if not isinstance(step, Map) or len(step.entries) != 1:
                raise below.error("a step is a mapping with one key, its function; indent its arguments under it")
            ((function, arguments),) = step.entries.items()
            read = self._step(function, arguments, below.below(function, step.lines[function]), frozenset(ids))
            steps.append({function: read})
            ids.add(str(read.get("id")))
        return steps

    def _step(self, function: str, node: Node, spot: _Spot, ids: frozenset[str]) -> dict[str, Json]:
        if "{{" in function:
            raise spot.error("a template cannot name a step; write the function's name")
        if yamltext.is_null(node):
            return {}
        node = _map(self.expanded(node, spot, ids), spot)
        read = _object(node, spot, _STEP_TEXTS)
        for key in (*_STEP_FLAGS, *_CLONE_TEXTS) if function.startswith(_PREFECT_STEP) else ():
            given = read.get(key)
            # A template that is left by now is for the run to resolve.
            if given is not None and not (isinstance(given, str) and "{{" in given):
                reader = _flag if key in _STEP_FLAGS else _line
                read[key] = reader(node.entries[key], spot.below(key, node.lines[key]))
        return read

    def expanded(self, node: Node, spot: _Spot, steps: frozenset[str] = frozenset()) -> Node:
        """A tree with its templates expanded; the tree itself where it has none. `steps` are ids of pull steps."""
        if isinstance(node, Scalar):
            return self._expanded_text(node, spot, steps) if "{{" in node.text else node
        if not node.templated:
            return node
        if isinstance(node, Seq):
            items = enumerate(node.items)
            return node._replace(
                items=[self.expanded(item, spot.below(str(at), item.line), steps) for at, item in items]
            )
        entries: dict[str, Node] = {}
        for key, child in node.entries.items():
            below = spot.below(key, node.lines[key])
            if "{{" in key and not self.context.literal:
                raise below.error("templates are not expanded in keys; write the key out")
            entries[key] = self.expanded(child, below, steps)
        return node._replace(entries=entries)

    def _expanded_text(self, node: Scalar, spot: _Spot, steps: frozenset[str]) -> Scalar:
        root, last = spot.key.partition(".")[0], spot.key.rpartition(".")[2]
        pinned = (root, last) in _CODE_KEYS
        waits = pinned or root == "pull_steps"
        if self.context.literal and not waits:
            return node
        runtime = self.context.runtime if waits else frozenset()
        try:
            text, variables = templates.expand(node.text, Scope(self.context.env, runtime, steps, pinned))
        except BadTemplate as error:
            raise spot.on(node.line).error(str(error)) from None
        for variable in filter(leaks.variable_looks_secret, variables):
            self._refuse(spot.on(node.line), f"it takes ${brief(variable)}, which is named like a secret")
        self.size += len(text)
        if self.size > LARGEST:
            raise spot.error(f"with variables expanded it has more than {LARGEST} characters; make them smaller")
        return Scalar(text, node.line)

    def refuse_secrets(self, values: Mapping[str, Json]) -> None:
        """Raise for the first value of what history would keep that looks like a secret and is not allowed."""
        for leak in leaks.find(values):
            root, _, path = leak.key.partition(".")
            node, line = next(self._find(root), (self.draft.entry, self.draft.place.line))
            self._refuse(self.spot(leak.key, _line_of(node, path, line)), f"it holds {leak.kind}")

    def _refuse(self, spot: _Spot, reason: str) -> None:
        if not leaks.allowed(spot.key, self.context.allow_secret):
            option = f"--allow-secret {_tail(spot.key.rpartition('.')[2])}"
            raise spot.error(f"{reason}, and history keeps it; {leaks.advice(spot.key)}, or {option} if it is none")

    def warnings(self) -> Iterator[str]:
        entry = self.draft.entry
        for key in _LEFT_OUT:
            if _is_filled(entry, key):
                yield f"{self.spot(key, entry.lines[key]).said()}: it is no part of a version, and left out"


# One value


def _fresh(empty: Json) -> Json:
    return [] if isinstance(empty, list) else {} if isinstance(empty, dict) else empty


def _map(node: Node, spot: _Spot) -> Map:
    if not isinstance(node, Map):
        raise spot.error(f"a mapping is expected, not {_kind(node)}")
    return node


def _object(
    node: Node, spot: _Spot, text_keys: frozenset[str] = frozenset(), flag_keys: frozenset[str] = frozenset()
) -> dict[str, Json]:
    try:
        found = yamltext.value(_map(node, spot), text_keys, flag_keys)
    except BadYaml as error:
        raise spot.error(str(error)) from None
    assert isinstance(found, dict)
    return found


def _text(node: Node, spot: _Spot) -> str:
    if not isinstance(node, Scalar) or yamltext.is_null(node):
        raise spot.error(f"text is expected, not {_kind(node)}")
    return node.text


def _line(node: Node, spot: _Spot) -> str:
    text = _text(node, spot)
    if not text.strip() or _CONTROL.search(text):
        raise spot.error("it is empty, or has control characters; write one line of text")
    return text


def _scalar(node: Node, spot: _Spot) -> Json:
    if not isinstance(node, Scalar):
        return None
    try:
        return yamltext.value(node)
    except BadYaml as error:
        raise spot.error(str(error)) from None


def _flag(node: Node, spot: _Spot) -> bool:
    found = _scalar(node, spot)
    if isinstance(found, str):
        found = _FLAGS.get(found.lower())
    if not isinstance(found, bool):
        raise spot.error("true or false is expected")
    return found


def _whole(node: Node, spot: _Spot, allowed: range) -> int:
    found = _scalar(node, spot)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or found not in allowed:
        raise spot.error(f"a whole number from {allowed[0]} to {allowed[-1]} is expected")
    return found


def _tags(node: Node, spot: _Spot) -> list[Json]:
    if not isinstance(node, Seq):
        raise spot.error(f"a list of texts is expected, not {_kind(node)}; write it as [a, b]")
    return [_line(item, spot.below(str(at), item.line)) for at, item in enumerate(node.items)]


def _labels(node: Node, spot: _Spot) -> dict[str, Json]:
    found = _object(node, spot)
    for key, value in found.items():
        if value is None or isinstance(value, (dict, list)):
            raise spot.below(key, _map(node, spot).lines[key]).error("a text, a number, true or false is expected")
    return found


def _limit(node: Node, spot: _Spot) -> Iterator[tuple[str, Json]]:
    """`concurrency_limit` in both of its forms; each sets the options too."""
    options: Json = None
    limit: Json = None
    if isinstance(node, Map):
        known = ("limit", *_OPTION_KEYS)
        _check_keys(node, known, lambda key, reason: spot.on(node.lines[key]).error(reason))
        if "limit" not in node.entries:
            raise spot.error("'limit' is missing; add it, or write null for no limit")
        number, below = _given(node, "limit"), spot.below("limit", node.lines["limit"])
        limit = None if number is None else _whole(number, below, _LIMITS)
        options = _option_values(node, spot)
    elif not yamltext.is_null(node):
        limit = _whole(node, spot, _LIMITS)
    yield "concurrency_limit", limit
    yield "concurrency_options", options


def _options(node: Node, spot: _Spot) -> Iterator[tuple[str, Json]]:
    if yamltext.is_null(node):
        yield "concurrency_options", None
        return
    holder = _map(node, spot)
    _check_keys(holder, _OPTION_KEYS, lambda key, reason: spot.on(holder.lines[key]).error(reason))
    yield "concurrency_options", _option_values(holder, spot)


def _option_values(node: Map, spot: _Spot) -> dict[str, Json]:
    strategy, grace = (_given(node, key) for key in _OPTION_KEYS)
    found: dict[str, Json] = {"collision_strategy": _COLLISION_STRATEGIES[0], "grace_period_seconds": None}
    if strategy is not None:
        below = spot.below("collision_strategy", node.lines["collision_strategy"])
        found["collision_strategy"] = _text(strategy, below)
        if found["collision_strategy"] not in _COLLISION_STRATEGIES:
            raise below.error(f"write {' or '.join(_COLLISION_STRATEGIES)}")
    if grace is not None:
        below = spot.below("grace_period_seconds", node.lines["grace_period_seconds"])
        found["grace_period_seconds"] = _whole(grace, below, _GRACE_PERIOD)
    return found


def _cron(node: Node, spot: _Spot) -> str:
    text = _line(node, spot)
    fields = text.split()
    is_fields = len(fields) in (5, 6) and all(re.fullmatch(_CRON_FIELD, field) for field in fields)
    if not is_fields and text.strip().lower() not in _CRON_ALIASES:
        raise spot.error(f"a cron line of 5 or 6 fields is expected, or one of {', '.join(_CRON_ALIASES)}")
    if is_fields and (found := _cron_fault(fields)):
        raise spot.error(f"{found}; correct it")
    return text


def _cron_fault(fields: list[str]) -> str | None:
    """The first item of a cron line that Prefect would not take, and what it should be."""
    for field, (part, first, last, named) in zip(fields, _CRON_PARTS, strict=False):
        if field == "?" and part.startswith("day"):
            continue
        # In a line of six fields Prefect reads day 0 as day 1.
        least = 0 if len(fields) == 6 and part == "day of the month" else first
        for item in field.split(","):
            if not _is_cron_item(item.lower(), part, range(least, last + 1), named):
                return f"'{brief(item)}' is no {part} ({first} to {last})"
    return None


def _is_cron_item(item: str, part: str, numbers: range, named: tuple[str, ...]) -> bool:
    body, slash, step = item.partition("/")
    if slash and not (step.isdigit() and step.strip("0")):
        return False
    if body == "*" or (body == "r" and slash):
        return True
    if part == "day of the week":
        body, mark, nth = body.partition("#")
        if mark and not re.fullmatch("0*[1-5]", nth):
            return False
        body = re.sub(r"^l(?=\d)", "", body)
    low, dash, high = body.partition("-")
    ends = ((low, numbers), (high, range(numbers.stop))) if dash else ((low, numbers),)
    return all(end in named or (end.isdigit() and len(end) < 10 and int(end) in allowed) for end, allowed in ends)


def _interval(node: Node, spot: _Spot) -> int | float:
    """Seconds; as in Prefect also from `1:30:00`, `1 day, 0:00:00` or ISO 8601."""
    found = _scalar(node, spot)
    seconds = _duration(found) if isinstance(found, str) else found
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= _LONGEST_INTERVAL:
        raise spot.error("a positive number of seconds is expected, or a duration such as 'PT10M' or '1:30:00'")
    return int(seconds) if float(seconds).is_integer() else seconds


def _duration(text: str) -> float | None:
    for pattern, seconds in _DURATIONS:
        if match := re.fullmatch(pattern, text):
            return sum(float(group) * unit for group, unit in zip(match.groups(), seconds, strict=True) if group)
    return None


def _anchor(node: Node, spot: _Spot) -> str:
    from datetime import date

    text = _line(node, spot)
    day = re.match(r"\d{4}-\d\d-\d\d(?!\d)", text)
    try:
        known = re.fullmatch(_ANCHOR, text) is not None and bool(not day or date.fromisoformat(day[0]))
    except ValueError:
        known = False
    if not known:
        raise spot.error("a date is expected, with a time or without, such as 2020-01-01T09:00:00Z")
    return text


def _rrule(node: Node, spot: _Spot) -> str:
    text = _text(node, spot)
    if not text.strip() or len(text) > _LONGEST_RRULE:
        raise spot.error(f"a recurrence rule of 1 to {_LONGEST_RRULE} characters is expected")
    if not re.search(_FREQUENCY, text):
        raise spot.error("a recurrence rule says how often, such as FREQ=WEEKLY;BYDAY=MO")
    return text


def _zone(node: Node, spot: _Spot) -> str:
    text = _line(node, spot)
    if not re.fullmatch(_ZONE, text):
        raise spot.error("the name of a time zone is expected, such as Europe/Paris")
    if not _is_zone(text) and _is_zone("Europe/Paris"):  # else this machine knows none, and nobody can tell
        import difflib
        import zoneinfo

        near = difflib.get_close_matches(text[:80], zoneinfo.available_timezones(), 1)
        hint = f"did you mean '{near[0]}'?" if near else "give one such as Europe/Paris"
        raise spot.error(f"there is no time zone '{brief(text)}'; {hint}")
    return text


def _is_zone(name: str) -> bool:
    """Whether the time zone database has it, which a server asks too."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # the last one is of a folder of it
        return False
    return True


_PROPERTY: Mapping[str, Callable[[Node, _Spot], Json]] = {
    "description": _text,
    "enforce_parameter_schema": _flag,
    "entrypoint": _line,
    "job_variables": lambda node, spot: _object(node, spot, _JOB_TEXTS, _JOB_FLAGS),
    "labels": _labels,
    "parameter_openapi_schema": _object,
    "tags": _tags,
    "work_pool_name": _line,
    "work_queue_id": _line,
    "work_queue_name": _line,
}
_SCHEDULE: Mapping[str, Callable[[Node, _Spot], Json]] = {
    "active": _flag,
    "anchor_date": _anchor,
    "cron": _cron,
    "day_or": _flag,
    "interval": _interval,
    "replaces": _line,
    "rrule": _rrule,
    "slug": _line,
    "timezone": _zone,
}


# Words of messages


def _line_of(node: Node, path: str, line: int) -> int:
    """Where the value at a dotted path below `node` stands, as near as the file has it; `line` is the node's."""
    while path and not isinstance(node, Scalar):
        if isinstance(node, Seq):
            head, _, path = path.partition(".")
            node = node.items[int(head)]
            line = node.line
        else:
            # Keys may hold dots themselves.
            key = next((key for key in node.entries if f"{path}.".startswith(f"{key}.")), None)
            if key is None:
                break
            line, node, path = node.lines[key], node.entries[key], path[len(key) + 1 :]
    return line


def _at(place: Place, line: int) -> str:
    return f"{file_of(place)}:{line}"


def file_of(place: Place) -> str:
    """The manifest as messages call it."""
    return "standard input" if place.file == "-" else shown(place.file)


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "null" if yamltext.is_null(node) else "a single value"
    return "a list" if isinstance(node, Seq) else "a mapping"


def _tail(key: str) -> str:
    """The end of a dotted key is what tells it apart; its beginning may be a step's long name."""
    return shown(key if len(key) <= 120 else f"…{key[-120:]}")
