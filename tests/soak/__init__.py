"""The long runs of `make soak`: many writers at once, and a longer search for what goes wrong."""

from __future__ import annotations

import os

SIZE = os.environ.get("GIT_DEPLOYMENTS_SOAK", "")
"""Read before a test seals the environment off: `1` for `make soak`, `short` for `make soak-short`, else empty."""
SOAK = bool(SIZE)
SHORT = SIZE == "short"
FULL = SOAK and not SHORT
SEED = os.environ.get("GIT_DEPLOYMENTS_SEED", "1")
"""What chance begins with; another one looks elsewhere."""
TIMES = float(os.environ.get("GIT_DEPLOYMENTS_TIMES", "0.05" if SHORT else "1"))
"""How many times as many cases of chance as a full run has."""
