"""Where the user's own files are looked for."""

from __future__ import annotations

import os
from pathlib import Path


def user_file(name: str) -> Path | None:
    """Return a file of the user's configuration folder, None where it is not there.

    Source of the folder: XDG Base Directory Specification ($XDG_CONFIG_HOME if absolute, else ~/.config).
    """
    home = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = home if home.is_absolute() else Path.home() / ".config"
        path = folder / "kubeshield" / name
        return path if path.is_file() else None
    except (OSError, RuntimeError):
        return None
