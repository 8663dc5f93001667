"""Whether a condition holds for a packet: true, false or unknown, in Kleene's sense."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Scalar, Value
from kubeshield_tui.evidence.netfilter.fields import READERS, read
from kubeshield_tui.evidence.netfilter.flow import Flow, Held
from kubeshield_tui.evidence.netfilter.routing import Routing
from kubeshield_tui.evidence.netfilter.ruleset import (
    ANY_BIT,
    EQUAL,
    NO_BIT,
    UNEQUAL,
    UNEQUAL_EACH,
    AnyOf,
    Bits,
    Condition,
    Constant,
    Doubt,
    Expression,
    Field,
    Generated,
    Joined,
    Mapped,
    Match,
    NamedSet,
    SetName,
    SomeBits,
    Unsure,
)
from kubeshield_tui.evidence.netfilter.shown import shown

T = TypeVar("T")
ANY: tuple[Scalar, ...] = ()
NUMBERS_LIMIT = 4096
"""Numbers of a draw that are looked up one by one."""


class Partly(Unsure, frozen=True):
    """A concatenation of which some parts are known; None is a part that is not."""

    parts: tuple[Scalar | None, ...] = ()


class Drawn(Unsure, frozen=True, kw_only=True):
    """A number of a draw: any from `low` on, `count` of them."""

    low: int
    count: int


class Place(Protocol):
    """Where a condition is asked: the packet, the sets of the table, and who decides what can't be known."""

    flow: Flow
    routing: Routing
    sets: Mapping[str, NamedSet]
    changed: dict[tuple[str, Value], object]
    """What rules added to the table's sets (data) or deleted from them (None) on this connection's way.

    The key `ANY` stands for one that is not known.
    """

    def choose(self, kind: Doubt, text: str, options: tuple[str, ...]) -> int:
        """Take one of several ways."""
        ...


COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
BITWISE: Mapping[str, Callable[[int, int], int]] = {
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}


def value(expression: Expression, at: Place) -> Held:
    """Return what an expression says of the packet; None where the packet has no such field or a map no such key."""
    kind = type(expression)
    if kind is Field:
        name = expression.name  # type: ignore[union-attr]
        reader = None if at.flow.assigned else READERS.get(name)
        return reader(at.flow) if reader is not None else read(name, at.flow, at.routing)
    if kind is Constant:
        constant = expression.value  # type: ignore[union-attr]
        if isinstance(constant, Interval):
            return Unsure(kind=Doubt.RANDOM, text=f"one of {constant.low} to {constant.high}")
        return constant
    return _composed(expression, at)


def _composed(expression: Expression, at: Place) -> Held:
    match expression:
        case Bits():
            return _bits(expression, at)
        case Joined():
            return _joined([value(part, at) for part in expression.parts])
        case Generated():
            if expression.modulus <= 1:
                return expression.offset
            return Drawn(kind=Doubt.RANDOM, text=expression.text, low=expression.offset, count=expression.modulus)
        case Mapped():
            found = look_up(expression.key, expression.data, at)
            return None if found is None else value(found, at)
        case _:
            return expression  # type: ignore[return-value]


def _bits(expression: Bits, at: Place) -> Held:
    left, right = value(expression.left, at), value(expression.right, at)
    if left is None or right is None:
        return None
    if isinstance(left, int) and isinstance(right, int):
        return BITWISE[expression.operator](left, right) & 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF
    if isinstance(left, SomeBits) and isinstance(right, int) and expression.operator == "&" and not right & ~left.mask:
        return left.bits & right
    doubt = left if isinstance(left, Unsure) else right
    if not isinstance(doubt, Unsure):
        return Unsure(kind=Doubt.MODULE, text="bits of what is no number")
    return Unsure(kind=doubt.kind, text=f"{doubt.text} {expression.operator} ...")


def _joined(parts: list[Held]) -> Held:
    doubt = None
    known: list[Scalar | None] = []
    for part in parts:
        if part is None:
            return None
        if isinstance(part, Unsure):
            doubt = part
            known.extend(part.parts if isinstance(part, Partly) else (None,))
        elif isinstance(part, tuple):
            known.extend(part)
        else:
            known.append(part)
    if doubt is None:
        return tuple(known)  # type: ignore[arg-type]
    return Partly(kind=doubt.kind, text=doubt.text, parts=tuple(known))


def holds(condition: Condition, at: Place) -> bool | Unsure:
    """Whether a condition is met."""
    if isinstance(condition, AnyOf):
        return _any_holds(condition, at)
    left = value(condition.left, at)
    if left is None:
        return False
    right = condition.right
    if isinstance(right, Elements | SetName):
        member = _member(right, left, at)
        if condition.operator == UNEQUAL:
            return member if isinstance(member, Unsure) else not member
        return member
    if type(right) is Constant:
        other: object = right.value
    else:
        other = value(right, at)
        if other is None:
            return False
    if isinstance(left, SomeBits) and isinstance(other, int) and condition.operator in {ANY_BIT, NO_BIT}:
        return _some_set(left, condition.operator, other)
    for side in (left, other):
        if isinstance(side, Unsure):
            return side
    if condition.operator == UNEQUAL_EACH:
        return _all_differ(left, other)  # type: ignore[arg-type]
    return _compare(left, condition.operator, other)


def _some_set(left: SomeBits, operation: str, right: int) -> bool | Unsure:
    if left.bits & right:
        return operation == ANY_BIT
    return left if right & ~left.mask else operation == NO_BIT


def _all_differ(left: tuple[Scalar, ...], right: tuple[Scalar, ...]) -> bool | Unsure:
    """Compare part by part: nft 1.0.6 loads two neighbouring `!=` as one of both together, and lists them as two."""
    differ = set(map(operator.ne, left, right))
    if len(differ) == 1:
        return differ == {True}
    return Unsure(kind=Doubt.MODULE, text="two neighbouring != that nft may have loaded as one")


def _any_holds(condition: AnyOf, at: Place) -> bool | Unsure:
    said = [_all_hold(group, at) for group in condition.groups]
    return True if True in said else next((each for each in said if each is not False), False)


def _all_hold(group: Iterable[Match], at: Place) -> bool | Unsure:
    said = [holds(each, at) for each in group]
    return False if False in said else next((each for each in said if each is not True), True)


def _compare(left: object, operation: str, right: object) -> bool:
    if operation == EQUAL:
        return right.holds(left) if isinstance(right, Interval) else left == right  # type: ignore[arg-type]
    if operation == UNEQUAL:
        return not _compare(left, EQUAL, right)
    if isinstance(left, int) and isinstance(right, int):
        if operation == ANY_BIT:
            return bool(left & right)
        if operation == NO_BIT:
            return not left & right
        return COMPARE[operation](left, right)
    return False


def _member(where: Elements[bool] | SetName, left: Value | Unsure, at: Place) -> bool | Unsure:
    name = where.name if isinstance(where, SetName) else ""
    elements = _elements(where, at)
    if isinstance(elements, Unsure):
        return elements
    if isinstance(left, Unsure):
        possible = any(True for _ in _possible(left, elements)) or any(name == key[0] for key in at.changed)
        return left if possible or not elements.complete else False
    if (name, left) in at.changed:
        return at.changed[name, left] is not None
    if elements.find(left) is not None:
        return True
    if elements.complete and (name, ANY) not in at.changed:
        return False
    return Unsure(kind=Doubt.SET, text="not all elements of a set are known")


def _elements(where: Elements[T] | SetName, at: Place) -> Elements[T] | Unsure:
    if isinstance(where, Elements):
        return where
    found = at.sets.get(where.name)
    if found is None:
        return Unsure(kind=Doubt.SET, text=f"set {where.name} is not in the dump")
    return found.elements


def _possible(key: Unsure, elements: Elements[T]) -> Iterable[T]:
    if isinstance(key, Drawn) and key.count <= NUMBERS_LIMIT:
        found = (elements.find(number) for number in range(key.low, key.low + key.count))
        return (data for data in found if data is not None)
    return elements.possible(key.parts if isinstance(key, Partly) else (None,))


def look_up(key: Expression, data: Elements[T] | SetName, at: Place) -> T | Unsure | None:
    """Return what a map holds for a key, None where nothing; one of all that it could be where the key is unknown.

    Unsure is a map whose content is not known.
    """
    held = value(key, at)
    if held is None:
        return None
    elements = _elements(data, at)
    if isinstance(elements, Unsure):
        return elements
    name = data.name if isinstance(data, SetName) else ""
    if not isinstance(held, Unsure):
        if (name, held) in at.changed:
            return at.changed[name, held]  # type: ignore[return-value]
        found = elements.find(held)
        if found is not None or (elements.complete and (name, ANY) not in at.changed):
            return found
    if not elements.complete or any(name == key[0] for key in at.changed):
        return Unsure(kind=Doubt.SET, text=f"not all elements of {name or 'a map'} are known")
    return _one_of(held, elements, at) if isinstance(held, Unsure) else None


def _one_of(held: Unsure, elements: Elements[T], at: Place) -> T | None:
    ways: list[T | None] = []
    for found in _possible(held, elements):
        if found not in ways:
            ways.append(found)
    if not _covers_all(held, elements):
        ways.append(None)
    if len(ways) == 1:
        return ways[0]
    options = tuple(f"{held.text}: {'nothing of the map' if way is None else shown(way)}" for way in ways)
    return ways[at.choose(held.kind, held.text, options)]


def _covers_all(held: Unsure, elements: Elements[T]) -> bool:
    if elements.otherwise is not None:
        return True
    if not isinstance(held, Drawn) or held.count > NUMBERS_LIMIT:
        return False
    return all(elements.find(number) is not None for number in range(held.low, held.low + held.count))
