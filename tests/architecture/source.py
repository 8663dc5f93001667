"""The product's own files, for the tests that read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "kubeshield_tui"
AGENT = PACKAGE / "probes" / "agent.py"
CARRIED = PACKAGE / "probes" / "carried.py"
"""The script that is carried: it runs alone on other machines."""


def modules() -> list[Path]:
    """Every module of the product."""
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 50, f"the package is not at {PACKAGE}"
    return found


def shown(path: Path) -> str:
    """A path as a failure names it."""
    return path.relative_to(ROOT).as_posix()


def versioned() -> list[Path]:
    """Every file that is, or would be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    found = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in found if path.is_file()]
