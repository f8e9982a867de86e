"""The long runs of `make soak`: many writers at once, and a longer search for what goes wrong."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("GIT_DEPLOYMENTS_SOAK"))
"""Read before a test seals the environment off."""
