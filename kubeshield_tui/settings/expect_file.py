"""Reads an expectations file: every error names file, line and key, and what was probably meant."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.text import printable
from kubeshield_tui.settings.expect_form import ExceptionForm, ExpectForm, RuleForm
from kubeshield_tui.settings.expect_problems import Problem, problem_of, problems_of, unknown_key
from kubeshield_tui.settings.toml_lines import KeyPath, key_lines, line_of

FILE_LIMIT = 1 << 20
MOST_LINES = 1_000
"""Rules and exceptions of one file: each is weighed for every endpoint and every vantage."""
MOST_PROBLEMS = 10
HINT = "`kubeshield expect schema` prints all keys, `kubeshield expect init` a file to begin with"
NONE_KNOWN: Mapping[str, str] = {}
F = TypeVar("F", RuleForm, ExceptionForm)
_TOML_LINE = re.compile(r"\(at line (\d+)")


class Placed(NamedTuple, Generic[F]):
    """A rule or an exception with the place where it stands."""

    where: str
    """`expect.toml:12`."""
    form: F


class Declared(NamedTuple):
    """What a file declares, in its order."""

    rules: tuple[Placed[RuleForm], ...] = ()
    exceptions: tuple[Placed[ExceptionForm], ...] = ()


def read_expectations(path: Path, components: Mapping[str, str] = NONE_KNOWN) -> Declared:
    """Read a file. Raises SettingsError naming file, line and key of each problem.

    `components`: those that exist, with their kind; with them a misspelt one is an error, not a rule that never
    matches.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}", "Check the path") from error
    if len(data) > FILE_LIMIT:
        raise SettingsError(f"{path}: larger than {FILE_LIMIT >> 20} MB", "Is this an expectations file?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: not UTF-8 ({error.reason})", "A TOML file is UTF-8 text") from error
    return parse_expectations(text, str(path), path.name, components)


def parse_expectations(text: str, path: str, name: str, components: Mapping[str, str] = NONE_KNOWN) -> Declared:
    """Read a text; `path` stands in errors, `name` in front of a line that decided. Raises SettingsError."""
    try:
        told = tomllib.loads(text)
        lines = key_lines(text)
    except (ValueError, RecursionError) as error:  # nesting and numbers without end are no TOMLDecodeError
        said = "nested too deep" if isinstance(error, RecursionError) else printable(error, 200)
        at = _TOML_LINE.search(said)
        place = f"{path}:{at[1]}" if at else path
        raise SettingsError(f"{place}: not TOML: {said}", "Check quotes and brackets") from error
    problems = [unknown_key((), key, ExpectForm) for key in told if key not in ExpectForm.__struct_encode_fields__]
    rules = _read_all("rule", told, RuleForm, problems)
    exceptions = _read_all("exception", told, ExceptionForm, problems)
    both: list[tuple[KeyPath, RuleForm | ExceptionForm]] = [*rules, *exceptions]
    for at_path, form in both:
        problems.extend(problems_of(at_path, form, components))
    if problems:
        raise _refusal(path, problems, told, lines)
    return Declared(
        tuple(Placed(f"{name}:{line_of(at_path, lines)}", form) for at_path, form in rules),
        tuple(Placed(f"{name}:{line_of(at_path, lines)}", form) for at_path, form in exceptions),
    )


def _read_all(key: str, told: dict[str, Any], kind: type[F], problems: list[Problem]) -> list[tuple[KeyPath, F]]:
    """All elements of an array of tables that are well formed; what is wrong with the others is added to `problems`."""
    elements = told.get(key, [])
    if not isinstance(elements, list):
        problems.append(Problem((key,), f"expected an array of tables: write [[{key}]], not [{key}]"))
        return []
    if len(elements) > MOST_LINES:
        problems.append(Problem((key, MOST_LINES), f"more than {MOST_LINES:,} of them"))
        return []
    found: list[tuple[KeyPath, F]] = []
    for number, element in enumerate(elements):
        try:
            found.append(((key, number), msgspec.convert(element, kind)))
        except msgspec.ValidationError as error:
            problems.append(problem_of((key, number), error, kind))
    return found


def _refusal(path: str, problems: list[Problem], told: dict[str, Any], lines: dict[KeyPath, int]) -> SettingsError:
    """One error that lists the problems in the order of their lines."""
    sentences = sorted((line_of(problem.path, lines), _sentence(problem, told)) for problem in problems)
    shown = [f"{path}:{line}: {sentence}" for line, sentence in sentences[:MOST_PROBLEMS]]
    if len(sentences) > MOST_PROBLEMS:
        shown.append(f"{path}: and {len(sentences) - MOST_PROBLEMS} more problems")
    return SettingsError("\n            ".join(shown), HINT)


def _sentence(problem: Problem, told: dict[str, Any]) -> str:
    """`rule "only ops": to.namspace: no such key; did you mean namespace?`."""
    table, *inside = problem.path
    owner = ""
    if inside and isinstance(inside[0], int):
        element = told[str(table)][inside[0]] if inside[0] < MOST_LINES else {}
        name = element.get("name") if isinstance(element, dict) else None
        owner = f'{table} "{printable(name, 80)}": ' if isinstance(name, str) and name else f"{table}: "
        inside = inside[1:]
    else:
        inside = [table]
    key = ".".join(str(part) for part in inside if isinstance(part, str))
    return owner + (f"{printable(key, 80)}: " if key else "") + problem.sentence
