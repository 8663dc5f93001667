"""Pages of the reference that hold what commands print: they hold what is printed today.

`python -m tests.unit.test_reference` writes them anew.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from kubeshield_tui.cli.main import run
from kubeshield_tui.cluster.rights import Feature
from kubeshield_tui.session.doctor.check import Health
from kubeshield_tui.session.doctor.machine import TOOLS
from tests.architecture.source import ROOT

RBAC = ROOT / "docs/reference/rbac.md"
DOCTOR = ROOT / "docs/reference/doctor.md"
BLOCK = re.compile(r"(```console\n\$ kubeshield (rbac [^|\n]*)\n```\n```yaml\n).*?(?=```\n)", re.DOTALL)


def written(path: Path) -> str:
    """A page with every printed role in it as it is printed now."""

    def printed(found: re.Match[str]) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert run(found[2].split()) == 0
        text = out.getvalue()
        return found[1] + text[text.index("---\n") :]  # what stands above names the version

    return BLOCK.sub(printed, path.read_text("utf-8"))


def test_the_roles_on_the_page_are_those_that_are_printed() -> None:
    text = RBAC.read_text("utf-8")
    assert len(BLOCK.findall(text)) >= 4
    assert written(RBAC) == text, "write it anew: python -m tests.unit.test_reference"


def test_the_page_names_every_feature() -> None:
    text = RBAC.read_text("utf-8")
    for feature in Feature:
        assert f"| `{feature}` | {feature.duty} |" in text


def test_the_doctors_page_names_every_word_and_program() -> None:
    text = DOCTOR.read_text("utf-8")
    for word in (*Health, *(name for name, *_ in TOOLS)):
        assert f"`{word}`" in text


if __name__ == "__main__":
    RBAC.write_text(written(RBAC), "utf-8")
