"""Where a host sends a packet, as its addresses, policy rules and routes say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from kubeshield_tui.evidence.netfilter.words import address_text, prefix_bounds, width
from kubeshield_tui.model.record import Record


class Address(Record, frozen=True):
    """An address of an interface; `number` is the address."""

    family: str
    number: int
    length: int
    is_global: bool
    secondary: bool


class Interface(Record, frozen=True):
    """A network interface."""

    name: str
    index: int | None = None
    addresses: tuple[Address, ...] = ()
    master: str = ""


class Hop(Record, frozen=True):
    """One way of a route: the device, and the gateway's address where there is one."""

    device: str
    gateway: int | None = None


class Route(Record, frozen=True):
    """A route. `kind` is unicast, local, broadcast, multicast, anycast, unreachable, prohibit, blackhole or throw."""

    family: str
    number: int
    length: int
    kind: str = "unicast"
    hops: tuple[Hop, ...] = ()
    table: str = "main"
    metric: int = 0
    source: int | None = None
    text: str = ""


class PolicyRule(Record, frozen=True):
    """A rule of `ip rule`: which table is asked for which packets. `doubt` names a selector that can't be judged."""

    priority: int
    table: str = ""
    action: str = "lookup"
    """lookup, unreachable, prohibit, blackhole, goto or nop."""
    source: tuple[int, int] | None = None
    """First and last address; the same for destination."""
    destination: tuple[int, int] | None = None
    mark: tuple[int, int] | None = None
    """Value and mask."""
    iif: str = ""
    oif: str = ""
    inverted: bool = False
    shortest: int = 0
    """Routes of a shorter prefix do not count."""
    goto: int = 0
    """Priority of the rule to go on with; 0: the next one."""
    doubt: str = ""


class Ask(Record, frozen=True):
    """A question to the routes. `iif` is empty for what begins on the host; None is not known."""

    family: str
    destination: int
    source: int | None = None
    mark: int | None = 0
    iif: str | None = ""
    oif: str = ""


class Decision(Record, frozen=True):
    """What the routes say: kind as Route has it, or `none` where nothing matches. Several hops: one of them."""

    kind: str
    hops: tuple[Hop, ...] = ()
    text: str = ""


REFUSED_KINDS = frozenset({"none", "unreachable", "prohibit", "blackhole", "throw"})
LOCAL_RULE = PolicyRule(priority=0, table="local")
DEFAULT_RULES = (LOCAL_RULE, PolicyRule(priority=32766, table="main"), PolicyRule(priority=32767, table="default"))


class Host(Record, frozen=True):
    """Addresses, policy rules, routes and settings of one network namespace; None is not collected."""

    interfaces: tuple[Interface, ...] | None = None
    rules: Mapping[str, tuple[PolicyRule, ...]] = msgspec.field(default_factory=dict)
    """By family; a family that is not there has the rules that every host begins with."""
    routes: tuple[Route, ...] | None = None
    settings: Mapping[str, str] = msgspec.field(default_factory=dict)
    """sysctl: `net.ipv4.ip_forward` -> `1`."""
    notes: tuple[str, ...] = ()
    is_whole: bool = True
    """False: some addresses or routes could not be read, so what is not here may be there."""


class Routing:
    """The routes of a host by prefix, ready to be asked."""

    def __init__(self, host: Host) -> None:
        self.host = host
        told = {route.family for route in host.routes or ()}
        self._families = told or (set() if host.routes is None else {"ip", "ip6"})
        self.reads_mark = any(rule.mark or rule.doubt for rules in host.rules.values() for rule in rules)
        """Whether a packet's mark can decide where it goes."""
        self._tables: dict[tuple[str, str], dict[int, dict[int, list[Route]]]] = {}
        routes = host.routes or ()
        for route in routes:
            self._add(route)
        if not any(route.table == "local" for route in routes):
            self._add_local(host.interfaces or ())
        for table in self._tables.values():
            for prefixes in table.values():
                for ways in prefixes.values():
                    ways.sort(key=lambda route: route.metric)
        self._local = {
            (address.family, address.number): interface.name
            for interface in host.interfaces or ()
            for address in interface.addresses
        }

    def _add(self, route: Route) -> None:
        table = self._tables.setdefault((route.family, route.table), {})
        low, _ = prefix_bounds(route.number, route.length, width(route.family))
        table.setdefault(route.length, {}).setdefault(low, []).append(route)

    def _add_local(self, interfaces: Sequence[Interface]) -> None:
        """Make up the local table of the addresses, where only the main table was collected."""
        for interface in interfaces:
            for own in interface.addresses:
                loopback = own.family == "ip" and own.number >> 24 == 127
                length = own.length if loopback else width(own.family)
                text = f"local {address_text(own.number, own.family)} dev {interface.name}"
                hops = (Hop(device=interface.name),)
                self._add(
                    Route(family=own.family, number=own.number, length=length, kind="local", hops=hops,
                          table="local", text=text)
                )  # fmt: skip

    def knows(self, family: str) -> bool:
        """Whether routes of a family are there. A family without any beside the other's was not collected."""
        return family in self._families

    def is_local(self, family: str, number: int) -> bool | None:
        """Whether an address is the host's own; None where it can't be told."""
        if (family, number) in self._local:
            return True
        found = self._in_table("local", Ask(family=family, destination=number))
        if found is not None:
            return found.kind == "local"
        return False if self.host.interfaces is not None or self.knows(family) else None

    def address_type(self, family: str, number: int, device: str = "") -> str | None:
        """Return the type of an address as `fib ... type` has it; None where it can't be told.

        `device`: only an address of that device is local. IPv4 looks at the local table alone, IPv6 at all routes.
        """
        if family == "ip" and (number >> 24 == 0 or number == 0xFFFFFFFF):
            return "broadcast"
        if number >> (width(family) - (4 if family == "ip" else 8)) == (0xE if family == "ip" else 0xFF):
            return "multicast"
        found = self._in_table("local", Ask(family=family, destination=number))
        if found is not None and (not device or any(hop.device == device for hop in found.hops)):
            return found.kind
        if family == "ip":
            return "unicast" if self.host.interfaces is not None or self.knows(family) else None
        if not self.knows(family):
            return None
        decision = self.decide(Ask(family=family, destination=number))
        if isinstance(decision, Unsure):
            return None
        if decision.kind == "local":
            return "local" if not device else "unicast"
        return {"none": "unreachable", "blackhole": "blackhole", "prohibit": "prohibit"}.get(decision.kind, "unicast")

    def decide(self, ask: Ask) -> Decision | Unsure:
        """Return where a packet goes."""
        if not self.knows(ask.family):
            if self.is_local(ask.family, ask.destination):
                return Decision(kind="local", hops=(Hop(device="lo"),), text="an address of this host")
            return Unsure(kind=Doubt.ROUTING, text="routes were not collected")
        skip_to = 0
        for rule in self.host.rules.get(ask.family, DEFAULT_RULES):
            if rule.priority < skip_to:
                continue
            applies = _applies(rule, ask)
            if applies is None:
                return Unsure(kind=Doubt.ROUTING, text=f"ip rule {rule.priority}: {rule.doubt or 'mark'} is not known")
            if not applies:
                continue
            if rule.goto:
                skip_to = rule.goto
            elif rule.action in {"unreachable", "prohibit", "blackhole"}:
                return Decision(kind=rule.action, text=f"ip rule {rule.priority}: {rule.action}")
            elif rule.action == "lookup" and (decision := self._in_table(rule.table, ask, rule.shortest)):
                return decision
        return Decision(kind="none", text=f"no route to {address_text(ask.destination, ask.family)}")

    def _in_table(self, name: str, ask: Ask, shortest: int = 0) -> Decision | None:
        table = self._tables.get((ask.family, name))
        if table is None:
            return None
        for route in _matching(table, ask.destination, width(ask.family)):
            hops = tuple(hop for hop in route.hops if not ask.oif or hop.device == ask.oif)
            if ask.oif and route.hops and not hops:
                continue
            if route.kind == "throw" or route.length < shortest:
                return None
            return Decision(kind=route.kind, hops=hops, text=route.text)
        return None

    def addresses(self, family: str, device: str) -> tuple[int, ...] | None:
        """Return a device's addresses in the kernel's order; None where they were not collected."""
        interfaces = self.host.interfaces or ()
        told = {
            interface.name: tuple(own.number for own in interface.addresses if own.family == family)
            for interface in interfaces
        }
        return told.get(device) if any(told.values()) else None

    def own_address(self, family: str, device: str, toward: int | None = None) -> int | None:
        """Return the address that masquerading puts on what leaves over a device toward the next hop.

        None is not known. Where the device has none, as lo, IPv4 takes the first of the other devices', IPv6 the
        target itself if it is own.
        """
        interfaces = self.host.interfaces or ()
        if family == "ip6" and toward is not None and device == "lo":
            return toward if self.is_local(family, toward) else None
        own = next((interface for interface in interfaces if interface.name == device), None)
        if own is None:
            return None
        fit = _usable(own, family)
        if family == "ip6" and fit and toward is not None:
            return min(fit, key=lambda each: (each.number ^ toward).bit_length()).number
        near = [each for each in fit if toward is not None and _covers(each, toward)]
        if fit:
            return (near or fit)[0].number
        others = [each for interface in interfaces for each in _usable(interface, family)]
        return others[0].number if others and family == "ip" else None

    def setting(self, name: str) -> int | None:
        """Return a numeric sysctl; None where it was not collected."""
        text = self.host.settings.get(name)
        return int(text) if text is not None and text.lstrip("-").isdecimal() else None


def _usable(interface: Interface, family: str) -> list[Address]:
    """Return the addresses that can be a source toward elsewhere, primary ones first."""
    fit = [own for own in interface.addresses if own.family == family and own.is_global]
    return sorted(fit, key=lambda own: own.secondary)


def _covers(own: Address, number: int) -> bool:
    low, high = prefix_bounds(own.number, own.length, width(own.family))
    return low <= number <= high


def _matching(table: Mapping[int, Mapping[int, list[Route]]], number: int, bits: int) -> Iterator[Route]:
    for length in sorted(table, reverse=True):
        low, _ = prefix_bounds(number, length, bits)
        yield from table[length].get(low, ())


def _applies(rule: PolicyRule, ask: Ask) -> bool | None:
    said: list[bool | None] = []
    if rule.source is not None:
        said.append(None if ask.source is None else rule.source[0] <= ask.source <= rule.source[1])
    if rule.destination is not None:
        said.append(rule.destination[0] <= ask.destination <= rule.destination[1])
    if rule.mark is not None:
        said.append(None if ask.mark is None else (ask.mark & rule.mark[1]) == rule.mark[0])
    if rule.iif:
        said.append(None if ask.iif is None else rule.iif == (ask.iif or "lo"))
    if rule.oif:
        said.append(rule.oif == ask.oif)
    if rule.doubt:
        said.append(None)
    applies = False if False in said else None if None in said else True
    return (not applies if applies is not None else None) if rule.inverted else applies
