"""Files and functions stay small enough to be read at once, and names say what a thing is."""

from __future__ import annotations

import ast

from tests.architecture.source import AGENT, CARRIED, ROOT, modules, shown

FILE_CEILING = 400
"""Lines of a file; the aim is 300."""
FUNCTION_CEILING = 60
"""Lines of a function, docstring included; the aim is 40."""
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "core"}


def test_files_are_short() -> None:
    # The agent travels as one file, so it is one file.
    files = [*modules(), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {shown(path): len(path.read_text("utf-8").splitlines()) for path in files if path != AGENT}
    assert {path: length for path, length in lengths.items() if length > FILE_CEILING} == {}


def test_functions_are_short() -> None:
    long = {
        f"{shown(path)}:{node.lineno} {node.name}": length
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_CEILING
    }
    assert long == {}


def test_module_names_say_what_is_inside() -> None:
    named = {shown(path) for path in modules() if {path.stem, path.parent.name} & NAMES_THAT_SAY_NOTHING}
    assert named == set()


def test_every_module_says_its_duty() -> None:
    silent = [
        shown(path)
        for path in modules()
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_only_the_command_line_ends_the_process() -> None:
    exits = [
        f"{shown(path)}:{node.lineno}"
        for path in modules()
        if path.parent.name != "cli" and path not in {AGENT, CARRIED}
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"exit", "_exit"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"sys", "os"}
    ]
    assert exits == []
