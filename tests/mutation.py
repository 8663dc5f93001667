"""`python -m tests.mutation MODULE ... --tests TEST ...`: flip operators one by one and see whether the tests notice.

A mutant is one change of one module: a comparison, `and` and `or`, `not`, an arithmetic or bit operator, a constant, a
condition, or a statement left out. Each runs in a child of its own, until the first test fails; what no test notices
is printed with its line. Exits 1 where something is left. `--only LINE` looks at one line's.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SECONDS = 60
"""What runs longer goes in circles: noticed."""
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Mult: ast.Add,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what a node can be made into, with a word for it."""
    made = copy.copy(node)
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                if type(operator) in COMPARISONS:
                    ops = [*node.ops]
                    ops[at] = COMPARISONS[type(operator)]()
                    yield type(ops[at]).__name__, ast.Compare(node.left, ops, node.comparators)
        case ast.BoolOp():
            made = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            yield type(made.op).__name__, made
        case ast.UnaryOp(op=ast.Not()):
            yield "no not", node.operand
        case ast.BinOp() if type(node.op) in OPERATORS:
            made = ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
            yield type(made.op).__name__, made
        case ast.Constant(value=bool()):
            yield str(not node.value), ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield f"{node.value} + 1", ast.Constant(node.value + 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if not isinstance(test, ast.Compare):
            made.test = ast.UnaryOp(ast.Not(), test)  # type: ignore[attr-defined]
            yield "not the condition", made
        case ast.Assign(targets=[ast.Attribute()]) | ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield "left out", ast.Pass()


class _Replace(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.old:
            return ast.copy_location(self.new, node)
        return self.generic_visit(node)


def _nodes(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield what runs: annotations do not."""
    for name, field in ast.iter_fields(tree):
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and name not in {"annotation", "returns"}:
                if isinstance(child, ast.expr | ast.stmt):
                    yield child
                yield from _nodes(child)


def mutants(source: str) -> Iterator[tuple[int, str, ast.Module]]:
    """Yield line, what was changed, and the changed module, once for every change."""
    for number, node in enumerate(_nodes(ast.parse(source))):
        for choice, (word, _) in enumerate(list(changes(node))):
            tree = ast.parse(source)
            same = list(_nodes(tree))[number]
            new = list(changes(same))[choice][1]
            yield node.lineno, word, ast.fix_missing_locations(_Replace(same, new).visit(tree))


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
        if name != "tests.mutation":
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
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests])
        finally:
            os._exit(int(code))
    return os.waitpid(child, 0)[1] != 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="files, of the package's root")
    parser.add_argument("--tests", nargs="+", required=True, metavar="TEST")
    parser.add_argument("--only", type=int, metavar="LINE")
    arguments = parser.parse_args()
    _warm_up(arguments.tests)
    count, left = 0, 0
    for path in arguments.modules:
        name = path.removesuffix(".py").replace("/", ".")
        for line, word, tree in mutants(Path(path).read_text("utf-8")):
            if arguments.only not in {None, line}:
                continue
            count += 1
            if not noticed(name, tree, path, arguments.tests):
                left += 1
                text = Path(path).read_text("utf-8").splitlines()[line - 1].strip()
                print(f"{path}:{line}: {word}: {text}", flush=True)
    print(f"{count} mutants, {left} not noticed", flush=True)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
