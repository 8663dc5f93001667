"""Read a host's addresses, rules, routes and settings: what `ip -j addr`, `ip -j rule`, `ip -j route` and sysctl print.

One file may hold all of them one after the other, or one JSON object with the keys addr, rule, rule6, route and sysctl.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.routing import (
    DEFAULT_RULES,
    Address,
    Hop,
    Host,
    Interface,
    PolicyRule,
    Route,
)
from kubeshield_tui.evidence.netfilter.words import address, prefix_bounds, width
from kubeshield_tui.model.text import printable

SHOWN = 200
"""Characters shown of what was not understood."""
BROKEN_LIMIT = 100
"""JSON values that are broken, after which no more are looked for: each may be read to the end of the text."""

_SETTING = re.compile(r"^\s*([a-z][\w./-]*\.[\w./-]+)\s*=\s*(\S.*?)\s*$")
_SECTIONS = {
    "addr": "addr", "address": "addr", "addresses": "addr", "interfaces": "addr", "rule": "rule", "rules": "rule",
    "rule6": "rule6", "rules6": "rule6", "route": "route", "routes": "route", "route6": "route", "routes6": "route",
}  # fmt: skip
_UNJUDGED = (
    "ipproto", "sport", "sport_start", "dport", "dport_start", "uid_start", "tos", "tun_id", "l3mdev", "dsfield",
    "iif_group", "suppress_ifgroup", "goto_unresolved",
)  # fmt: skip
"""Selectors of policy rules that need more of the packet than is asked here."""


def parse_host(text: str) -> Host:
    """Read a host. What is not understood becomes a note; `holds_nothing` tells that all of it was that."""
    reading = _Reading()
    for part in _parts(text):
        reading.take(part)
    return reading.host()


def holds_nothing(host: Host) -> bool:
    """Whether neither addresses nor routes nor settings were found."""
    return host.interfaces is None and host.routes is None and not host.settings and not host.rules


def _parts(text: str) -> Iterator[object]:
    """Yield the JSON values of a text one after the other; lines between them as text."""
    decoder = json.JSONDecoder()
    at, failed = 0, 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] in "[{" and failed < BROKEN_LIMIT:
            try:
                value, at = decoder.raw_decode(text, at)
                yield value
                continue
            except (ValueError, RecursionError):
                failed += 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[at:end].rstrip("\r")
        at = end


class _Reading:
    """Collects what was read so far."""

    def __init__(self) -> None:
        self.interfaces: dict[str, Interface] = {}
        self.has_interfaces = False
        self.rules: dict[str, tuple[PolicyRule, ...]] = {}
        self.routes: list[Route] = []
        self.has_routes = False
        self.settings: dict[str, str] = {}
        self.notes: list[str] = []
        self.is_whole = True

    def host(self) -> Host:
        return Host(
            interfaces=tuple(self.interfaces.values()) if self.has_interfaces else None,
            rules=self.rules,
            routes=tuple(self.routes) if self.has_routes else None,
            settings=self.settings,
            notes=tuple(self.notes),
            is_whole=self.is_whole,
        )

    def take(self, part: object) -> None:
        if isinstance(part, str):
            self._line(part)
        elif isinstance(part, Mapping):
            for key, value in part.items():
                self._section(str(key), value)
        elif isinstance(part, list) and part:
            self._list(_kind(part), part)

    def _line(self, line: str) -> None:
        found = _SETTING.match(line)
        if found:
            self.settings[found[1].replace("/", ".")] = found[2]
        else:
            self._odd(line)

    def _section(self, key: str, value: object) -> None:
        if key == "sysctl" and isinstance(value, Mapping):
            self.settings.update({str(name).replace("/", "."): str(said) for name, said in value.items()})
        elif key in _SECTIONS and isinstance(value, list):
            self._list(_SECTIONS[key], value)
        else:
            self._odd({key: value})

    def _list(self, kind: str, items: Sequence[object]) -> None:
        tables = [item for item in items if isinstance(item, Mapping)]
        for item in items:
            if not isinstance(item, Mapping):
                self._odd(item)
        if kind == "addr":
            self.has_interfaces = True
            for item in tables:
                self._interface(item)
        elif kind == "route":
            self.has_routes = True
            for item in tables:
                self._route(item)
        elif kind in {"rule", "rule6"}:
            family = "ip6" if kind == "rule6" or _rules_are_ipv6(tables) or "ip" in self.rules else "ip"
            made = [_policy_rule(item, family) for item in tables]
            self.rules[family] = tuple(sorted(made, key=lambda rule: rule.priority)) or DEFAULT_RULES
        else:
            self._odd(items)

    def _interface(self, item: Mapping[str, Any]) -> None:
        if item.get("ifname"):
            made, is_whole = _interface(item)
            known = self.interfaces.get(made.name)
            if known is not None:  # listed again, for the other family
                made = replace(made, addresses=tuple(dict.fromkeys((*known.addresses, *made.addresses))))
            self.interfaces[made.name] = made
            if not is_whole:
                self._odd(item)
        elif item:  # `ip` prints {} for what it leaves out
            self._odd(item)

    def _route(self, item: Mapping[str, Any]) -> None:
        flags = item.get("flags")
        if isinstance(flags, list) and "dead" in flags:
            return
        route = _route(item)
        if route is None:
            self._odd(item)
        else:
            self.routes.append(route)

    def _odd(self, what: object) -> None:
        said = what if isinstance(what, str) else json.dumps(what, ensure_ascii=False, default=str)
        if not isinstance(what, str) or '":' in what or what.startswith(("[", "{")):
            self.is_whole = False  # what was cut off or is of another form may be an address or a route
        self.notes.append(f"not understood: {printable(said, SHOWN)}")


def _kind(items: Sequence[object]) -> str:
    keys: set[str] = set()
    for item in items:
        if isinstance(item, Mapping):
            keys.update(map(str, item))
    if "ifname" in keys:
        return "addr"
    if "priority" in keys:
        return "rule"
    return "route" if "dst" in keys else ""


def _interface(item: Mapping[str, Any]) -> tuple[Interface, bool]:
    """Return an interface, and whether all its addresses were understood."""
    addresses, is_whole = [], True
    told = item.get("addr_info")
    for each in told if isinstance(told, list) else ():
        number = address(str(each.get("local", ""))) if isinstance(each, Mapping) else None
        family = {"inet": "ip", "inet6": "ip6"}.get(str(each.get("family")), "") if number is not None else ""
        if number is None or not family or number >> width(family):
            is_whole = False
            continue
        length = each.get("prefixlen")
        addresses.append(
            Address(
                family=family,
                number=number,
                length=length if isinstance(length, int) and 0 <= length <= width(family) else width(family),
                is_global=each.get("scope", "global") in {"global", "site", 0},
                secondary=bool(each.get("secondary")),
            )
        )
    index = item.get("ifindex")
    made = Interface(
        name=printable(item["ifname"]),
        index=index if isinstance(index, int) else None,
        addresses=tuple(addresses),
        master=printable(item.get("master", "")),
    )
    return made, is_whole and (told is None or isinstance(told, list))


def _route(item: Mapping[str, Any]) -> Route | None:
    family = _family_of_route(item)
    bounds = _prefix(str(item.get("dst", "")), family)
    if bounds is None:
        return None
    number, length = bounds
    ways = item.get("nexthops")
    hops = tuple(_hop(way) for way in (ways if isinstance(ways, list) and ways else [item]) if isinstance(way, Mapping))
    source = address(str(item.get("prefsrc", "")))
    metric = item.get("metric", 0)
    words = ["" if item.get("type", "unicast") == "unicast" else str(item["type"]), str(item["dst"])]
    words += [f"{word} {item[key]}" for key, word in (("gateway", "via"), ("dev", "dev")) if key in item]
    return Route(
        family=family,
        number=number,
        length=length,
        kind=str(item.get("type", "unicast")),
        hops=tuple(hop for hop in hops if hop.device),
        table=str(item.get("table", "main")),
        metric=metric if isinstance(metric, int) else 0,
        source=source,
        text=printable(" ".join(word for word in words if word)),
    )


def _hop(way: Mapping[str, Any]) -> Hop:
    via = way.get("via")
    gateway = way.get("gateway") or (via.get("host") if isinstance(via, Mapping) else None)
    return Hop(device=printable(way.get("dev", "")), gateway=address(str(gateway)) if gateway else None)


def _family_of_route(item: Mapping[str, Any]) -> str:
    """`default` stands for both families: only IPv6 routes carry a router preference."""
    words = [str(item.get(key, "")) for key in ("dst", "gateway", "prefsrc", "from")]
    if any(":" in word for word in words):
        return "ip6"
    return "ip6" if "pref" in item and not any("." in word for word in words) else "ip"


def _prefix(text: str, family: str) -> tuple[int, int] | None:
    if text in {"default", "all", "any"}:
        return 0, 0
    name, slash, length = text.partition("/")
    number = address(name)
    if number is None:
        return None
    bits = width(family)
    if number >> bits:
        return None
    if not slash:
        return number, bits
    return (number, int(length)) if length.isdecimal() and int(length) <= bits else None


def _rules_are_ipv6(items: Sequence[Mapping[str, Any]]) -> bool:
    return any(":" in str(item.get(key, "")) for item in items for key in ("src", "dst"))


def _policy_rule(item: Mapping[str, Any], family: str) -> PolicyRule:
    priority = item.get("priority")
    action = next((word for word in ("goto", "nop") if word in item), str(item.get("action", "lookup")))
    doubts = [key for key in _UNJUDGED if key in item]
    bounds = {}
    for side in ("src", "dst"):
        told = str(item.get(side, "all"))
        if told == "all":
            continue
        if f"{side}len" in item:
            told = f"{told}/{item[f'{side}len']}"
        prefix = _prefix(told, family)
        if prefix is None:
            doubts.append(side)
        else:
            bounds[side] = prefix_bounds(*prefix, width(family))
    mark = _number(item.get("fwmark"))
    if "fwmark" in item and mark is None:
        doubts.append("fwmark")
    mask = _number(item.get("fwmask", 0xFFFFFFFF))
    return PolicyRule(
        priority=priority if isinstance(priority, int) else 0,
        table=str(item.get("table", "")),
        action=action,
        source=bounds.get("src"),
        destination=bounds.get("dst"),
        mark=None if mark is None else (mark, 0xFFFFFFFF if mask is None else mask),
        iif=printable(item.get("iif", "")),
        oif=printable(item.get("oif", "")),
        inverted="not" in item,
        shortest=item["suppress_prefixlen"] + 1 if isinstance(item.get("suppress_prefixlen"), int) else 0,
        goto=item["goto"] if isinstance(item.get("goto"), int) else 0,
        doubt=", ".join(doubts),
    )


def _number(value: object) -> int | None:
    if isinstance(value, int):
        return value
    try:
        return int(str(value), 0)
    except ValueError:
        return None
