"""Parameters against the schema of a flow's parameters (design, "Manifest" and "Running").

The schema is JSON Schema 2020-12, read as Prefect reads it: what pydantic 1 wrote is corrected
first, and values that only a Prefect server can fill in (`{{ … }}`, `__prefect_kind`, references
to blocks) fit whatever is wanted. References are followed inside the schema and nowhere else.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from git_deployments.errors import DeploymentsError
from git_deployments.leaks import key_takes_secret, text_looks_secret, variable_looks_secret
from git_deployments.model import Json
from git_deployments.names import shown

if TYPE_CHECKING:
    from jsonschema import FormatChecker

_SCHEMA = "parameter_openapi_schema"
_MOST_LINES = 10
_MOST_STEPS = 50_000
_STEPS_A_VALUE = 20
"""Keywords looked at, and more of them for each value: alternatives of alternatives can double at each level."""
_LONGEST = 60
"""Characters of one value in a message."""


class BadParameters(DeploymentsError):
    """Parameters that do not fit the schema that they are held to."""


class _TooMuch(Exception):
    """The schema takes too long to apply."""


class _Problem(NamedTuple):
    """One error of jsonschema, without its text, which would show whole values."""

    keyword: str
    """Empty where the schema is `false`."""
    wanted: Any
    """The keyword's own value."""
    value: Json
    path: tuple[str | int, ...]
    """To the value, from the top."""
    nested: bool
    """Within alternatives: it is about a part of the value that they are for."""
    of_key: bool
    """The value is a key of what is at `path`."""
    schema: Mapping[str, Json]
    alternatives: tuple[tuple[_Problem, ...], ...]
    """What is wrong by each of them, for anyOf and oneOf."""


def mismatches(parameters: Mapping[str, Json], schema: Mapping[str, Json], required: bool) -> list[str]:
    """Where the parameters do not fit the schema, a line each; empty if they do.

    A line is `config.hosts[2]: must be a string, not 5`; after ten the last is `and more`. Parameters
    that the schema does not know pass. `required` says whether a required parameter that is missing
    counts: for a run it does, for a deployment not. Where the schema is none, one line says so.
    """
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of `re`, about patterns
            problems = _problems(dict(parameters), _corrected(schema, whole=True, required=required))
            found: dict[str, str] = {}
            for where, what in chain.from_iterable(map(_clauses, islice(problems, 2 * _MOST_LINES))):
                found.setdefault(where, what)
        lines = [f"{where}: {what}" for where, what in found.items()]
        return lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], "and more"]
    except SchemaError as error:
        return [_schema_line(_problem(error))]
    except Unresolvable as problem:
        reference = shown(_shortened(str(problem.ref)))
        return [f"{_SCHEMA}: there is no '{reference}' inside it, and references lead nowhere else; correct it"]
    except RecursionError:
        return [f"{_SCHEMA} or a parameter is nested too deeply, or refers to itself without end; correct it"]
    except _TooMuch:
        return [f"{_SCHEMA} takes too long to apply; write its alternatives without repeating each other"]
    except Exception as problem:
        # What a reference leads to need not be a schema, and jsonschema then fails in many ways of its own.
        return [f"{_SCHEMA} cannot be applied to the parameters ({type(problem).__name__}); correct it or them"]


def needs_validation(parameters: Mapping[str, Json], schema: Mapping[str, Json], required: bool = False) -> bool:
    """Whether `mismatches` must be asked: False only where it is plain that it would find nothing.

    Cheap, for most deployments: jsonschema takes 60 ms to import. A schema with any keyword that
    `signature` does not write is always left to `mismatches`, which also says whether it is one.
    """
    known, definitions, names = schema.get("properties"), schema.get("definitions", {}), schema.get("required", [])
    if not schema:
        return False
    if not (isinstance(known, dict) and isinstance(definitions, dict) and isinstance(names, list)):
        return True
    try:
        plain = (
            _is_plain_whole(schema)
            and all(_is_plain(part, definitions) for part in known.values())
            # One that refers to a definition may come back to itself without end, which jsonschema finds.
            and all(_is_plain(part, {}) for part in definitions.values())
        )
        missing = required and any(name not in parameters for name in names)
        given = ((value, known[name]) for name, value in parameters.items() if name in known)
        return not plain or missing or not all(_plainly_fits(value, part, definitions) for value, part in given)
    except RecursionError:
        return True


# What is plain without jsonschema


_TYPES: Mapping[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}

_HERE = "#/definitions/"
_NOTES = ("default", "description", "examples", "position", "title", "writeOnly")
"""Keywords that constrain nothing."""
_UUIDS = ("uuid", "uuid1", "uuid3", "uuid4", "uuid5")
_DATES = ("date", "date-time")
_CHECKED = (*_UUIDS, *_DATES)
"""The formats that are checked: those that Prefect and pydantic both refuse, whatever is installed. More
would depend on packages that happen to be there, or refuse what pydantic takes."""
_COUNTS = ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")
_LIMITS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum")


def _is_plain_whole(schema: Mapping[str, Json]) -> bool:
    """Whether a schema of parameters has the keys that `signature` gives it, its parts aside."""
    names = schema.get("required", [])
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return (
        schema.keys() <= {"title", "type", "properties", "required", "definitions"}
        and schema.get("type") == "object"
        and isinstance(schema.get("title", ""), str)
        and names == [*dict.fromkeys(texts)]
    )


def _is_plain(schema: Json, definitions: Mapping[str, Json]) -> bool:
    """Whether this is a schema, and one of the keywords that `signature` writes alone."""
    return isinstance(schema, dict) and all(_is_plain_keyword(key, schema[key], definitions) for key in schema)


def _is_plain_keyword(key: str, value: Json, definitions: Mapping[str, Json]) -> bool:
    if key in ("anyOf", "prefixItems"):
        return isinstance(value, list) and bool(value) and all(_is_plain(part, definitions) for part in value)
    if key in ("additionalProperties", "items", "propertyNames"):
        return value is True or _is_plain(value, definitions)
    if key == "$ref":
        return isinstance(value, str) and value in {_HERE + name for name in definitions if name.isidentifier()}
    if key == "type":
        return isinstance(value, str) and value in _TYPES
    if key in ("description", "format", "title"):
        return isinstance(value, str)
    if key in ("enum", "examples"):
        return isinstance(value, list)
    if key in ("uniqueItems", "writeOnly"):
        return isinstance(value, bool)
    if key in _COUNTS:
        return type(value) is int and value >= 0
    return key in ("const", "default", "position") or (key in _LIMITS and type(value) in (int, float))


def _plainly_fits(value: Json, schema: Json, definitions: Mapping[str, Json]) -> bool:
    """Whether a value fits a plain schema at first sight; what is not seen so is left to jsonschema."""
    if not isinstance(schema, dict):
        return False
    return _is_deferred(value) or all(_plainly_satisfies(value, key, schema[key], definitions) for key in schema)


def _plainly_satisfies(value: Json, key: str, wanted: Json, definitions: Mapping[str, Json]) -> bool:
    if key == "type":
        return _is_of_type(value, str(wanted))
    if key == "format":
        return wanted not in _CHECKED
    if key == "enum":
        return isinstance(value, str) and isinstance(wanted, list) and value in wanted
    if key == "anyOf":
        return isinstance(wanted, list) and any(_plainly_fits(value, part, definitions) for part in wanted)
    if key == "items":
        return not isinstance(value, list) or all(_plainly_fits(item, wanted, definitions) for item in value)
    if key == "additionalProperties" and wanted is not True:
        return not isinstance(value, dict) or all(_plainly_fits(one, wanted, definitions) for one in value.values())
    if key == "$ref":
        # Without definitions it goes no further: plain ones refer to none.
        return _plainly_fits(value, definitions.get(str(wanted)[len(_HERE) :]), {})
    return key in _NOTES or key == "additionalProperties"


def _is_of_type(value: Json, kind: str) -> bool:
    return isinstance(value, _TYPES.get(kind, ())) and (kind == "boolean" or not isinstance(value, bool))


# Validation


def _problems(parameters: dict[str, Json], schema: dict[str, Json]) -> Iterator[_Problem]:
    """What jsonschema finds, as it goes. Raises SchemaError, and whatever else a bad schema leads to."""
    from jsonschema.validators import Draft202012Validator, extend
    from referencing import Registry

    Draft202012Validator.check_schema(schema)
    steps = iter(range(_MOST_STEPS + _STEPS_A_VALUE * sum(1 for _ in _values(parameters))))
    checks = {key: _lenient(key, check, steps) for key, check in Draft202012Validator.VALIDATORS.items()}
    validator = extend(Draft202012Validator, checks)  # type: ignore[no-untyped-call]
    # A registry of one's own is never asked to fetch.
    found = validator(schema, registry=Registry(), format_checker=_format_checker())
    yield from map(_problem, found.iter_errors(parameters))


def _problem(error: Any) -> _Problem:
    """A SchemaError or a ValidationError as a value. (Their types say of much that it may be unset.)"""
    alternatives: dict[object, list[_Problem]] = {}
    for inner in error.context or () if error.validator in ("anyOf", "oneOf") else ():
        alternatives.setdefault(inner.relative_schema_path[0], []).append(_problem(inner))
    return _Problem(
        error.validator or "",
        error.validator_value,
        error.instance,
        tuple(error.absolute_path),
        bool(error.relative_path),
        "propertyNames" in error.relative_schema_path,
        error.schema if isinstance(error.schema, dict) else {},
        tuple(map(tuple, alternatives.values())),
    )


def _corrected(schema: Mapping[str, Json], whole: bool = False, required: bool = True) -> dict[str, Json]:
    """A schema with its properties corrected as Prefect corrects them (its `preprocess_schema`).

    With `whole`, it is the schema of all parameters: its `definitions` are corrected too.
    """
    found = {key: value for key, value in schema.items() if not whole or key != "$schema"}
    names, properties, definitions = schema.get("required"), schema.get("properties"), schema.get("definitions")
    if not required:
        found.pop("required", None)
    if isinstance(properties, dict):
        needed = names if isinstance(names, list) else []
        found["properties"] = {name: _corrected_property(part, name in needed) for name, part in properties.items()}
    if whole and isinstance(definitions, dict):
        parts = definitions.items()
        found["definitions"] = {name: _corrected(part) if isinstance(part, dict) else part for name, part in parts}
    return found


def _corrected_property(schema: Json, required: bool) -> Json:
    """What pydantic 1 wrote: an optional property that may be null, and the items of a tuple in a list."""
    if not isinstance(schema, dict):
        return {"not": {}} if schema is False else schema  # of the two, only `not` gets its path from jsonschema
    found = _corrected(schema)
    kind = found.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    known = all(isinstance(kind, str) and kind in _TYPES for kind in kinds)
    if known and not required and "default" not in found and "null" not in kinds:
        found["type"] = [*kinds, "null"]
    if isinstance(found.get("items"), list):
        found.setdefault("prefixItems", found.pop("items"))
    return found


_ON_THE_WHOLE = ("const", "contains", "enum", "if", "not", "oneOf")
"""Keywords that a value may fail because a part of it is not known yet."""

_Check = Callable[[Any, Any, Any, Any], Any]


def _lenient(key: str, check: _Check, steps: Iterator[int]) -> _Check:
    """A keyword of jsonschema that lets pass what is not known before the run."""

    def lenient(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        if next(steps, None) is None:
            raise _TooMuch
        if _is_deferred(value) or (key in _ON_THE_WHOLE and _holds_deferred(value)):
            return ()
        return check(validator, wanted, value, schema)

    return lenient


def _is_deferred(value: Json) -> bool:
    """Whether a value stands for one that only the run has: a template, a Prefect kind, a block."""
    if isinstance(value, str):
        return "}}" in value.partition("{{")[2]
    return isinstance(value, dict) and ("__prefect_kind" in value or value.keys() == {"$ref"})


def _holds_deferred(value: Json) -> bool:
    return any(map(_is_deferred, _values(value)))


def _values(value: Json) -> Iterator[Json]:
    """A value and all values in it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def _format_checker() -> FormatChecker:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name in _CHECKED:
        checker.checks(name)(_is_uuid if name in _UUIDS else _is_date)
    return checker


def _is_uuid(value: object) -> bool:
    from uuid import UUID

    try:
        return not isinstance(value, str) or bool(UUID(value))
    except ValueError:
        return False


_DATE = re.compile(r"\s*(\d{4}-\d{2}-\d{2})(?!\d)")


def _is_date(value: object) -> bool:
    """Whether a text begins with a date, or is a number, which pydantic takes as seconds since the epoch."""
    from datetime import date

    if not isinstance(value, str):
        return True
    match = _DATE.match(value)
    try:
        date.fromisoformat(match[1]) if match else float(value)
    except ValueError:
        return False
    return True


# Lines


_A: Mapping[str, str] = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a string",
}

_WANTED: Mapping[str, str] = {
    "exclusiveMaximum": "less than {}",
    "exclusiveMinimum": "more than {}",
    "format": "of the format {}",
    "maxItems": "a list of at most {} items",
    "maxLength": "a string of at most {} characters",
    "maxProperties": "a mapping of at most {} keys",
    "maximum": "at most {}",
    "minItems": "a list of at least {} items",
    "minLength": "a string of at least {} characters",
    "minProperties": "a mapping of at least {} keys",
    "minimum": "at least {}",
    "multipleOf": "a multiple of {}",
    "pattern": "a string that matches {}",
    "uniqueItems": "a list without repetition",
}


def _schema_line(problem: _Problem) -> str:
    where = _path(_SCHEMA, problem.path)
    return f"{where}: must be {_wanted(problem)}, not {_shown_value(problem)}: it is no JSON Schema, correct it"


def _clauses(problem: _Problem) -> list[tuple[str, str]]:
    """Where and what: one, or one for each key that is missing or not allowed."""
    closest = _closest(problem)
    if closest:
        return [clause for inner in closest for clause in _clauses(inner)]
    where, deny = _path("", problem.path), "is not allowed here"
    if problem.keyword == "required":
        return [(_path("", (*problem.path, name)), "is required") for name in _missing(problem)]
    if problem.keyword == "additionalProperties":
        return [(_path("", (*problem.path, name)), deny) for name in _additional(problem)] or [(where, deny)]
    if not problem.keyword or (problem.keyword == "not" and problem.wanted == {}):
        return [(where, deny)]
    subject = "a key of it " if problem.of_key else ""
    return [(where, f"{subject}must be {_wanted(problem)}, not {_shown_value(problem)}")]


def _closest(problem: _Problem) -> tuple[_Problem, ...]:
    """What is wrong by the one alternative that is for this kind of value; empty if there is no such one."""
    fitting = [errors for errors in problem.alternatives if not any(map(_is_of_another_kind, errors))]
    return fitting[0] if len(fitting) == 1 else ()


def _is_of_another_kind(problem: _Problem) -> bool:
    return not problem.nested and problem.keyword in ("type", "enum", "const")


def _missing(problem: _Problem) -> list[str]:
    given = problem.value if isinstance(problem.value, dict) else {}
    return [name for name in problem.wanted if name not in given]


def _additional(problem: _Problem) -> list[str]:
    given = problem.value if isinstance(problem.value, dict) else {}
    known, patterns = problem.schema.get("properties"), problem.schema.get("patternProperties")
    others = [name for name in given if not isinstance(known, dict) or name not in known]
    return [name for name in others if not isinstance(patterns, dict) or not any(re.search(p, name) for p in patterns)]


def _wanted(problem: _Problem) -> str:
    """What a value must be, to stand after `must be`."""
    wanted = problem.wanted
    if problem.alternatives:
        firsts = [errors[0] for errors in problem.alternatives]
        return " or ".join(dict.fromkeys("of another form" if first.nested else _wanted(first) for first in firsts))
    if problem.keyword == "type":
        return " or ".join(_A[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted))
    if problem.keyword == "enum":
        return f"one of {_listed(wanted)}"
    if problem.keyword == "const":
        return _text(wanted)
    if problem.keyword == "required":
        return f"a mapping with {_listed(_missing(problem))}"
    phrase = _WANTED.get(problem.keyword, f"as '{problem.keyword}' in the schema says")
    return phrase.format(shown(_shortened(wanted)) if isinstance(wanted, str) else _text(wanted))


def _shown_value(problem: _Problem) -> str:
    """The value that does not fit, as JSON; no more than its kind where it is long or may be a secret."""
    value = problem.value
    if isinstance(value, (list, dict)):
        return f"{_A['array' if isinstance(value, list) else 'object']} of {len(value)}"
    if _may_be_secret(problem):
        return next(phrase for kind, phrase in _A.items() if _is_of_type(value, kind))
    return _text(value)


def _may_be_secret(problem: _Problem) -> bool:
    names = [part for part in problem.path if isinstance(part, str)]
    schemas = [problem.schema, *(inner.schema for errors in problem.alternatives for inner in errors)]
    return (
        any(variable_looks_secret(name) or key_takes_secret(name) for name in names)
        or any(schema.get("writeOnly") or schema.get("format") == "password" for schema in schemas)
        or (isinstance(problem.value, str) and text_looks_secret(problem.value) is not None)
    )


def _text(value: Json) -> str:
    return shown(_shortened(json.dumps(value, ensure_ascii=False)))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _listed(values: Iterable[Json]) -> str:
    texts = [_text(value) for value in islice(values, 11)]
    return ", ".join([*texts[:10], *(["…"] if len(texts) > 10 else [])])


def _path(root: str, parts: Iterable[str | int]) -> str:
    """`config.hosts[2]`; a key that would not read so is quoted."""
    found = root
    for part in parts:
        if isinstance(part, int):
            found += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[\w-]+", part) else json.dumps(part, ensure_ascii=False)
            found += ("." if found else "") + shown(_shortened(name))
    return found or "parameters"
