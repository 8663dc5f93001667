"""`python -m tests.mutation [MODULE ...]`: flip operators one by one and see whether the tests notice.

A mutant is one change of one module: a comparison, `and` and `or`, `not`, an arithmetic or bit operator, a constant, a
condition, or a statement left out. Each runs in a child of its own, until the first test fails; what no test notices
is printed with its line. What changes nothing that can be seen is listed with its reason in `equivalent/`; what is
listed there and noticed, or no mutant any more, is said too. Exits 1 where something is left or listed wrongly.

`--only LINE` looks at one line's. Without modules: all of `round.toml`, with its tests.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import tomllib
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.mutation.mutants import Name, mutants

SECONDS = 60
"""What runs longer goes in circles: noticed."""
HOW = ("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-profile=ci")
"""Only whether a test fails is asked; none notices a mutant by chance, or by what it remembers of another one."""
HERE = Path(__file__).parent


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed module to who imports it."""

    def __init__(self, name: str, tree: ast.Module, path: str) -> None:
        self.name, self.tree, self.path = name, tree, path

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(self.tree, self.path, "exec"), module.__dict__)


def _warm_up(tests: Sequence[str]) -> None:
    """Load what all children need, but for the package and the tests themselves."""
    pytest.main(["--collect-only", "-qq", *tests])
    for name in [name for name in sys.modules if name.partition(".")[0] in {"kubeshield_tui", "tests"}]:
        if not name.startswith("tests.mutation"):
            del sys.modules[name]


def noticed(name: str, tree: ast.Module, path: str, tests: Sequence[str]) -> bool:
    """Run the tests with a changed module in a child; returns whether one failed."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.meta_path.insert(0, _Finder(name, tree, path))
        code = 1
        try:
            code = pytest.main([*HOW, *tests])
        finally:
            os._exit(int(code))
    return os.waitpid(child, 0)[1] != 0


def equivalent(path: str) -> dict[Name, str]:
    """Return a module's mutants that nothing can notice, each with the reason."""
    listed = HERE / "equivalent" / f"{Path(path).stem}.toml"
    if not listed.exists():
        return {}
    found = tomllib.loads(listed.read_text("utf-8"))["mutant"]
    return {Name(each["at"], each["line"], each["change"]): each["why"] for each in found}


def look(path: str, tests: Sequence[str], only: int | None) -> tuple[int, int, int]:
    """Try a module's mutants; returns how many there are, how many are equivalent, and how many are wrong."""
    name = path.removesuffix(".py").replace("/", ".")
    reasons = equivalent(path)
    count, same, left, unmet = 0, 0, 0, set(reasons)
    for mutant in mutants(Path(path).read_text("utf-8")):
        if only not in {None, mutant.number}:
            continue
        count += 1
        if noticed(name, mutant.tree, path, tests):
            continue
        unmet.discard(mutant.name)
        same += mutant.name in reasons
        if mutant.name not in reasons:
            left += 1
            print(f"{path}:{mutant.number}: {' | '.join(mutant.name)}", flush=True)
    for wrong in sorted(unmet) if only is None else ():
        left += 1
        print(f"{path}: listed, but noticed or not there: {' | '.join(wrong)}", flush=True)
    return count, same, left


def main() -> int:
    whole = tomllib.loads((HERE / "round.toml").read_text("utf-8"))
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="files, of the package's root")
    parser.add_argument("--tests", nargs="+", metavar="TEST", default=whole["tests"])
    parser.add_argument("--only", type=int, metavar="LINE")
    arguments = parser.parse_args()
    _warm_up(arguments.tests)
    left_in_all = 0
    for path in arguments.modules or whole["modules"]:
        unchanged = ast.parse(Path(path).read_text("utf-8"))
        if noticed(path.removesuffix(".py").replace("/", "."), unchanged, path, arguments.tests):
            parser.error(f"the tests fail with {path} as it is: mend that first")
        count, same, left = look(path, arguments.tests, arguments.only)
        left_in_all += left
        print(f"{path}: {count} mutants, {same} of them equivalent, {left} left", flush=True)
    return 1 if left_in_all else 0


if __name__ == "__main__":
    sys.exit(main())
