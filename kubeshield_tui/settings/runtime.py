"""How the interpreter is run."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000


def tune_collector() -> None:
    """Look for garbage less often: a burst of ten thousand answers is not garbage.

    With 700 young objects, the default, a tenth of such a burst goes into looking (`python -m tests.bench filtered`).
    """
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
