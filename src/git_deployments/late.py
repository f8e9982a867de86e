"""Modules that are imported when they are first used, whoever imports them.

click imports `inspect`, and with it half a compiler, to tidy the help that it prints: a tenth of the start of a command
that prints none.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any


def late(name: str) -> None:
    """Import a module of the standard library at the first look into it; nothing where it is there already.

    The rule is Python's own (Python reference, "Customizing module attribute access").
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, module = spec.loader, module_from_spec(spec)

    def load(attribute: str) -> Any:
        del vars(module)["__getattr__"]
        loader.exec_module(module)
        return getattr(module, attribute)

    vars(module)["__getattr__"] = load
    sys.modules[name] = module
