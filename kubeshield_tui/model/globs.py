"""Names with `*` for any run of characters and `?` for one. Brackets mean themselves: IPv6 addresses have them."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4_096)
def glob(text: str) -> re.Pattern[str]:
    """Return the pattern; use its `fullmatch`. Upper and lower case differ, as in the names of Kubernetes."""
    first, *rest = ["".join("." if sign == "?" else re.escape(sign) for sign in run) for run in text.split("*")]
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    # The earliest place of each run is as good as any later one: atomic groups never go back on it.
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle if run) + f".*{last}", re.DOTALL)


def is_glob(text: str) -> bool:
    """Whether a text can match more than itself."""
    return "*" in text or "?" in text
