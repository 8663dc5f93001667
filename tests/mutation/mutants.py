"""What a module can be made into, one change at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Mult: ast.Add,
}  # fmt: skip


class Name(NamedTuple):
    """What tells one mutant of a module from others, wherever its line moves to."""

    at: str
    """Function, as `Class.method`; `module` outside of all."""
    line: str
    """Text of the line that the changed part begins on."""
    change: str


class Mutant(NamedTuple):
    """One change of one module."""

    name: Name
    number: int
    """Of its line."""
    tree: ast.Module


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
        case ast.Constant(value=int(number)):
            yield f"{number} + 1", ast.Constant(number + 1)
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


def _nodes(tree: ast.AST, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    """Yield what runs, each with the function that it is in: annotations and what makes a class a record do not."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        at = (*at, tree.name)
    for name, field in ast.iter_fields(tree):
        if name in ({"keywords", "decorator_list"} if isinstance(tree, ast.ClassDef) else {"annotation", "returns"}):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                if isinstance(child, ast.expr | ast.stmt):
                    yield ".".join(at) or "module", child
                yield from _nodes(child, at)


def mutants(source: str) -> Iterator[Mutant]:
    """Yield a module's mutants, in the order of its text."""
    lines = source.splitlines()
    for number, (at, node) in enumerate(_nodes(ast.parse(source))):
        for choice, (word, _) in enumerate(list(changes(node))):
            tree = ast.parse(source)
            same = list(_nodes(tree))[number][1]
            new = list(changes(same))[choice][1]
            name = Name(at, lines[node.lineno - 1].strip(), word)
            _Replace(same, new).visit(tree)
            yield Mutant(name, node.lineno, ast.fix_missing_locations(tree))
