"""`ipset save` as named sets. What can't be read makes its set incomplete; unknown kinds are left out.

Kinds and forms: ipset(8).
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import pairwise

from kubeshield_tui.evidence.netfilter import iptables_values as values
from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Key, Range
from kubeshield_tui.evidence.netfilter.iptables import Sets
from kubeshield_tui.evidence.netfilter.iptables_matches import SetKey
from kubeshield_tui.evidence.netfilter.iptables_options import split
from kubeshield_tui.evidence.netfilter.iptables_values import Unreadable
from kubeshield_tui.evidence.netfilter.ruleset import NamedSet
from kubeshield_tui.model.text import printable

MEMBERS = 1_000_000
"""Elements read of all sets together."""


class _Set:
    def __init__(self, kind: str, options: list[str]) -> None:
        self.kind = kind
        self.parts = tuple(kind.partition(":")[2].split(",")) if ":" in kind else ()
        self.family = "ip6" if "inet6" in options else "ip"
        self.timed = "timeout" in options
        self.complete = True
        self.doubted = False
        """What can't be read takes members out, and any of them may be meant."""
        self.pairs: list[tuple[Key, bool]] = []
        self.excluded: list[Key] = []
        self.members: list[str] = []

    @property
    def key(self) -> SetKey:
        """How a packet's key is made: a port beside an address carries its protocol."""
        several = len(self.parts) > 1
        parts = tuple("protoport" if part == "port" and several else part for part in self.parts)
        return SetKey(parts, self.family if {"ip", "net"} & {*self.parts} else "")


def is_dump(text: str) -> bool:
    """Whether a text looks like `ipset save`."""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    words = first.split()
    return len(words) >= 3 and words[0] == "create" and (":" in words[2])


def parse(text: str) -> Sets:
    """Read a dump. Never raises."""
    sets: dict[str, _Set] = {}
    last: _Set | None = None
    """What is not understood may be a member of it."""
    count = 0
    for line in text.splitlines():
        words = split(line) or [line]
        if len(words) >= 3 and words[0] == "create":
            last = sets[printable(words[1])] = _Set(words[2], words[3:])
        elif len(words) >= 3 and words[0] == "add":
            last = sets.get(printable(words[1]), last)
            count += 1
            if last is not None and (count > MEMBERS or printable(words[1]) not in sets):
                last.complete = False
            elif last is not None:
                _add(last, words[2], "nomatch" in words[3:])
        elif last is not None and line.strip() and not line.startswith("#"):
            last.complete = False
    _join(sets)
    known = {name: each for name, each in sets.items() if each.parts and each.kind != "list:set"}
    return Sets(
        named={name: NamedSet(name=name, elements=_elements(each), dynamic=each.timed) for name, each in known.items()},
        keys={name: each.key for name, each in known.items()},
    )


def _add(into: _Set, text: str, excluded: bool) -> None:
    if into.kind == "list:set":
        into.members.append(text)
        return
    try:
        key = _key(into, text)
    except (Unreadable, ValueError):
        into.complete = False
        into.doubted = into.doubted or excluded
        return
    if excluded:
        into.excluded.append(key)
    else:
        into.pairs.append((key, True))


def _key(into: _Set, text: str) -> Key:
    pieces = text.split(",")
    if len(pieces) != len(into.parts):
        raise Unreadable(text)
    parts: list[Range] = []
    for at, part in enumerate(into.parts):
        piece = pieces[at]
        match part:
            case "ip" | "net":
                parts.append(_place(piece, into.family))
            case "port":
                protocol, colon, port = piece.rpartition(":")
                if len(into.parts) > 1:
                    parts.append(values.protocol(protocol) if colon else 6)
                parts.append(values.span(port, "-"))
            case "iface":
                parts.append(piece.removeprefix("physdev:"))
            case "mark":
                parts.append(values.number(piece))
            case _:
                raise Unreadable(text)
    return parts[0] if len(parts) == 1 else tuple(parts)


def _place(text: str, family: str) -> Range:
    if "-" in text:
        return values.address_span(text, family)
    if family == "ip" and text.endswith("/0"):
        return Interval(low=0, high=values.ALL_BITS)
    key = values.network(text, family)
    assert not isinstance(key, tuple)
    return key


def _join(sets: dict[str, _Set]) -> None:
    """Make of a list:set what its members hold together, where they are of one form."""
    for each in sets.values():
        if each.kind != "list:set":
            continue
        members = [sets[name] for name in each.members if name in sets]
        kinds = {(member.parts, member.family) for member in members}
        if len(kinds) == 1 and len(members) == len(each.members) and not any(member.excluded for member in members):
            each.parts, each.family = kinds.pop()
            each.kind = "joined"
            each.complete = each.complete and all(member.complete for member in members)
            each.doubted = any(member.doubted for member in members)
            each.timed = each.timed or any(member.timed for member in members)
            each.pairs = [pair for member in members for pair in member.pairs]


def _elements(each: _Set) -> Elements[object]:
    if each.doubted:
        return Elements((), complete=False)
    if len(each.parts) > 1:
        # An exclusion inside several dimensions: what is left has no simple form.
        return Elements(each.pairs, complete=each.complete and not each.excluded)
    return Elements(((key, True) for key in _without(each)), complete=each.complete)


def _without(each: _Set) -> list[Key]:
    """The members as intervals that do not overlap; the longest prefix decides, as in hash:net with nomatch."""
    if not each.excluded:
        return [key for key, _ in each.pairs]
    marked = [(*_bounds(key), True) for key, _ in each.pairs] + [(*_bounds(key), False) for key in each.excluded]
    marked.sort(reverse=True)
    edges = sorted({edge for low, high, _ in marked for edge in (low, high + 1)})
    held: list[Key] = []
    over: list[tuple[int, bool, int]] = []
    """Those that cover the place: size, whether members, end; the smallest first."""
    for low, after in pairwise(edges):
        while marked and marked[-1][0] == low:
            first, high, keep = marked.pop()
            heappush(over, (high - first, keep, high))
        while over and over[0][2] < low:
            heappop(over)
        if over and over[0][1]:
            held.append(Interval(low=low, high=after - 1))
    return held


def _bounds(key: Key) -> tuple[int, int]:
    if isinstance(key, Interval):
        return int(key.low), int(key.high)
    return int(key), int(key)  # type: ignore[arg-type]
