"""What is handed out: the wheel's content, the pinned requirements, and text that speaks of the product alone."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT, shown, versioned

REQUIREMENTS = sorted((ROOT / ".ci").glob("requirements-*.txt"))
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>\S+) \\$", re.MULTILINE)
FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|root)/"),
    "the address of a package registry": re.compile(
        r"p[y]pi\.(?:org|io)|p[y]thonhosted\.|registry\.n[p]mjs|deb\.d[e]bian"
    ),
    "a number of some tracker": re.compile(r"\b(?:issue|ticket|pull request|PR) #?\d+\b", re.IGNORECASE),
}
"""What must stand in no file. The patterns do not match themselves."""


ASKED_FOR = {"cluster", "bench"}
"""Folders of tests/ that run only when they are named: a real cluster, figures."""


def canonical(name: str) -> str:
    """A distribution's name as requirement files spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names inside the wheel as built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=50,
    )
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_package_and_its_data(wheel: set[str]) -> None:
    data = [
        path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix in {".py", ".toml", ".tcss", ".typed"}
    ]
    themes = list((ROOT / "themes").glob("*.toml"))
    scenarios = list((PACKAGE / "range").rglob("*.toml"))
    assert themes, "no theme in themes/"
    assert scenarios, "no scenario in the range"
    expected = {shown(path) for path in data} | {f"kubeshield_tui/themes/{path.name}" for path in themes}
    assert expected - wheel == set()


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    assert {name for name in wheel if not name.startswith(("kubeshield_tui/", "kubeshield_tui-"))} == set()
    assert {name for name in wheel if "__pycache__" in name} == set()


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_are_pinned_by_hash_and_name_no_index(path: Path) -> None:
    text = path.read_text("utf-8")
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    assert len(PIN.findall(text)) == len(packages), "a line is not NAME==VERSION with hashes"
    for line, following in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        assert not line.endswith("\\") or following.startswith("    --hash=sha256:"), f"{line} has no hash"
    assert "://" not in text
    assert "--index" not in text


def test_pins_lie_within_the_declared_limits() -> None:
    from packaging.requirements import Requirement

    pins = dict(PIN.findall((ROOT / ".ci" / "requirements-run.txt").read_text("utf-8")))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(pins[canonical(requirement.name)]), requirement


def test_files_do_not_pin_one_package_twice_differently() -> None:
    seen: dict[str, str] = {}
    for path in REQUIREMENTS:
        for name, version in PIN.findall(path.read_text("utf-8")):
            assert seen.setdefault(name, version) == version, f"{name} in {path.name}"


@pytest.mark.parametrize("what", FOREIGN)
def test_text_speaks_of_the_product_alone(what: str) -> None:
    found = []
    for path in versioned():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # an image
        lines = enumerate(text.splitlines(), start=1)
        found += [
            f"{shown(path)}:{number}: {line.strip()[:100]}" for number, line in lines if FOREIGN[what].search(line)
        ]
    assert found == []


def test_no_folder_of_tests_is_forgotten() -> None:
    paths = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["testpaths"]
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders - ASKED_FOR <= {Path(path).name for path in paths}
