"""Call the entrypoint of a version: what `run` starts, in the Python or the container that the version is for.

It runs as a file or with `-c`, in a Python that need not have this package: so it imports nothing
but the standard library, and its one argument says everything, as JSON or as the path of a file of it:
`entrypoint`, `parameters`, `file` (that the function must come from; empty: from anywhere), `moved`
(each work tree of the user's and what stands for it in this run; those within others first).
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # where this file lies: its neighbours are no modules of the user's

import importlib
import importlib.util
import inspect
import json
import os
from typing import Any


def main() -> None:
    """Do what the argument says; the exit status is Python's own."""
    given = sys.argv[1]
    if not given.startswith("{"):
        with open(given, encoding="utf-8") as stream:
            given = stream.read()
    order = json.loads(given)
    place, colon, name = order["entrypoint"].rpartition(":")
    if not colon:
        place, _, name = name.rpartition(".")
    is_file = place.endswith(".py") or not all(part.isidentifier() for part in place.split("."))
    _move_imports(order["moved"])
    sys.path[:0] = _first_places(place if is_file else "", order["file"])
    sys.argv[:] = [place]
    try:
        found: Any = _from_file(place) if is_file else importlib.import_module(place)
        _check_file(found, order["file"])
        for part in name.split("."):
            found = getattr(found, part)
        _finish(_call(found, order["parameters"]))
    except Exception as error:
        _tell(error)
        sys.exit(1)


def _move_imports(moved: list[list[str]]) -> None:
    """What is installed from a work tree of the user's is imported from this run's code."""
    for at, entry in enumerate(sys.path):
        there = _moved(entry, moved) if entry else None
        if there and os.path.isdir(there):
            sys.path[at] = there
    # Where a directory on the path would show too much, setuptools installs a finder that looks into these.
    for name, module in list(sys.modules.items()):
        if not name.startswith("__editable__"):
            continue
        places = getattr(module, "MAPPING", {})
        for package, place in places.items():
            there = _moved(place, moved)
            if there and (os.path.isdir(there) or os.path.isfile(there + ".py")):
                places[package] = there
        for several in getattr(module, "NAMESPACES", {}).values():
            several[:] = [_moved(place, moved) or place for place in several]


def _moved(place: str, moved: list[list[str]]) -> str | None:
    """What stands for a place of a work tree in this run; None for any other place."""
    there = os.path.realpath(place)
    for old, new in moved:
        if there == old or there.startswith(old + os.sep):
            return os.path.normpath(os.path.join(new, os.path.relpath(there, old)))
    return None


def _first_places(script: str, file: str) -> list[str]:
    """Where imports look first: beside the script, the working directory, and `src` if a module is there."""
    here = os.getcwd()
    if script:
        return [os.path.dirname(os.path.abspath(script)), here]
    source = os.path.join(here, "src")
    return [here, source] if file.startswith(source + os.sep) else [here]


def _from_file(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    if not name.isidentifier() or name in sys.modules or name in getattr(sys, "stdlib_module_names", ()):
        name = "__flow__"
    # As Prefect loads it: `from .beside import …` finds what lies beside the file, whether or not that is a package.
    file = os.path.abspath(path)
    beside = [os.path.dirname(file), os.getcwd()]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=beside)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _check_file(module: Any, expected: str) -> None:
    found = getattr(module, "__file__", None) or "elsewhere"
    if expected and os.path.realpath(found) != os.path.realpath(expected):
        raise ImportError(f"the entrypoint was imported from {found} and not from the version's code, {expected}")


def _call(function: Any, parameters: dict[str, Any]) -> Any:
    """As Prefect calls a flow: what `*rest` and `**more` take is given under these names."""
    try:
        bound = inspect.signature(function).bind_partial()
    except (TypeError, ValueError):  # it says nothing of what it takes
        return function(**parameters)
    known = bound.signature.parameters
    if not any(known[name].kind in _NOT_BY_NAME for name in parameters if name in known):
        return function(**parameters)
    bound.arguments.update({name: value for name, value in parameters.items() if name in known})
    bound.apply_defaults()
    others = {name: value for name, value in parameters.items() if name not in known}
    return function(*bound.args, **bound.kwargs, **others)


_NOT_BY_NAME = (
    inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD,
)  # fmt: skip


def _finish(result: Any) -> None:
    """See to its end what a call gave: a generator, a coroutine or an asynchronous generator, too."""
    if inspect.isgenerator(result):
        for _ in result:
            pass
    elif inspect.isawaitable(result) or inspect.isasyncgen(result):
        import asyncio

        asyncio.run(_awaited(result))


async def _awaited(result: Any) -> None:
    if inspect.isawaitable(result):
        result = await result
    if inspect.isasyncgen(result):
        async for _ in result:
            pass


def _tell(error: Exception) -> None:
    """The traceback, without our own part of it."""
    import traceback

    trace = error.__traceback__
    while trace and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith((_HERE, "<frozen importlib")):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


_HERE = main.__code__.co_filename

if __name__ == "__main__":
    main()
