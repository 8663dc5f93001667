"""Who may import whom: the contracts of pyproject.toml, the doors by file, and what a start must not load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import AGENT, PACKAGE, ROOT, modules, shown

DOORS = {
    "textual": ("ui/",),
    "rich": ("ui/",),
    "kubernetes": ("cluster/",),
    "aiohttp": ("cluster/", "range/"),
    "asyncssh": ("vantages/ssh", "range/"),
    "httpx": ("probes/inspect.py", "probes/inspect_wire.py"),
    "httpcore": ("probes/inspect_wire.py",),
    "nmap": ("probes/nmap.py",),
    "yaml": ("cluster/", "range/", "evidence/netpol/yaml_lines.py"),
    "cryptography": ("probes/certificate.py", "range/"),
    "msgspec": ("",),
}
"""Third-party library -> beginnings of the paths that may import it. A library that is not here may not be imported."""

HEAVY = (
    "aiohttp",
    "asyncssh",
    "cryptography",
    "httpx",
    "kubernetes",
    "nmap",
    "pydantic",
    "requests",
    "rich",
    "textual",
    "yaml",
)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import of a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def loaded_after(statement: str) -> set[str]:
    """Top-level packages in sys.modules after a statement in a fresh interpreter."""
    script = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def command(*argv: str) -> str:
    """A statement that runs a command line, whatever its exit code."""
    return f"from kubeshield_tui.cli.main import main\ntry:\n    main({list(argv)!r})\nexcept SystemExit:\n    pass"


def test_import_contracts_hold() -> None:
    linter = (
        "import sys; from importlinter.cli import lint_imports_command as lint; sys.argv[0] = 'lint-imports'; lint()"
    )
    done = subprocess.run(
        [sys.executable, "-c", linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_each_library_has_one_door() -> None:
    wrong = [
        f"{shown(path)}:{line} imports {name}"
        for path in modules()
        for line, name in imported(path)
        if name not in sys.stdlib_module_names
        and name != "kubeshield_tui"
        and not path.relative_to(PACKAGE).as_posix().startswith(DOORS.get(name, ()))
    ]
    assert wrong == []


def test_every_library_is_declared() -> None:
    declared = {
        requirement.partition(">")[0].partition("=")[0].strip().lower()
        for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    }
    sold_as = {"yaml": "pyyaml", "nmap": "python-nmap"}
    rides_on = {"rich": "textual", "httpcore": "httpx"}
    used = {name for path in modules() for _, name in imported(path)} & set(DOORS)
    assert {rides_on.get(name, sold_as.get(name, name)) for name in used} <= declared


def test_the_agent_needs_nothing_but_the_standard_library() -> None:
    source = AGENT.read_text("utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert {name for _, name in imported(AGENT)} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    "statement",
    ["import kubeshield_tui.cli.main", command("--help"), command("--version"), command("audit", "--help")],
    ids=["import", "help", "version", "audit-help"],
)
def test_a_start_loads_no_library(statement: str) -> None:
    assert loaded_after(statement) & {*HEAVY, "msgspec", "asyncio", "ssl"} == set()


def test_an_audit_from_here_loads_no_other_front_end_and_no_other_door(tmp_path: Path) -> None:
    targets = tmp_path / "targets"
    targets.write_text("127.0.0.1:1\n")
    output = tmp_path / "report.json"
    argv = ["audit", "--no-discovery", "--targets", str(targets), "--timeout", "0.2", "--attempts", "1"]
    loaded = loaded_after(command(*argv, "--format", "json", "--output", str(output)))
    assert json.loads(output.read_text("utf-8"))["endpoints"], "nothing was audited"
    assert loaded & {"textual", "rich", "kubernetes", "asyncssh", "httpx", "nmap", "aiohttp"} == set()
