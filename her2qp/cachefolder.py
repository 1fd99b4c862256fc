"""Where her2qp keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "HER2QP_CACHE"


def user_cache() -> Path:
    """Return the user's cache folder for her2qp, or what the environment variable ``HER2QP_CACHE`` says."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("her2qp", appauthor=False)
