"""Two thousand targets of all kinds, in random order, and what each must look like.

A kind says what is done to a target and the state and reason that evidence demands for it. `Mix` scatters kinds over
the addresses of a server and makes the rules, routes and listeners for them. Nothing here asks anything.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kubeshield_tui.model.observation import Reason, State
from tests.lab.netns import ROUTER4, ROUTER6, Lab

CLIENT = {4: "192.0.2.1", 6: "2001:db8:1::1"}
ROUTER = {4: ROUTER4, 6: ROUTER6}
TCP_HOSTS = {4: [f"198.51.100.{n}" for n in range(1, 9)], 6: [f"2001:db8:2::{n}" for n in range(1, 9)]}
UDP_HOSTS = {4: [f"198.51.100.{n}" for n in range(11, 15)], 6: [f"2001:db8:2::{n}" for n in range(11, 15)]}
DNS, NTP = 53, 123


@dataclass(frozen=True)
class Kind:
    """One way a target can be. `by` is who sends the ICMP error: router, target, own, circle; empty for nobody."""

    name: str
    state: State
    reason: Reason
    count: int
    listens: str = ""
    """What the server does there, see crowd.py."""
    rule: str = ""
    """Verdict of the router's rule for it; `{back}` stands for the rule about its answers."""
    own: str = ""
    """Verdict of the vantage's own rule on the way out."""
    place: dict[int, str] = field(default_factory=dict, hash=False, compare=False)
    """Address instead of one of the server's, by family."""
    by: str = ""
    families: tuple[int, ...] = (4, 6)
    protocol: str = "tcp"


@dataclass(frozen=True)
class Target:
    """A kind at an address and port."""

    kind: Kind
    family: int
    host: str
    port: int


def _reject(code: str, reason: Reason, family: int, protocol: str, count: int) -> Kind:
    name = "icmp" if family == 4 else "icmpv6"
    return Kind(
        f"{protocol} {name} {code}",
        State.FILTERED,
        reason,
        count,
        rule=f"reject with {name} type {code}",
        by="router",
        families=(family,),
        protocol=protocol,
    )


CODES = {
    4: {
        "net-unreachable": Reason.NET_UNREACH,
        "host-unreachable": Reason.HOST_UNREACH,
        "prot-unreachable": Reason.PROTO_UNREACH,
        "port-unreachable": Reason.PORT_UNREACH,
        "net-prohibited": Reason.NET_PROHIBITED,
        "host-prohibited": Reason.HOST_PROHIBITED,
        "admin-prohibited": Reason.ADMIN_PROHIBITED,
    },
    6: {
        "no-route": Reason.NET_UNREACH,
        "admin-prohibited": Reason.ADMIN_PROHIBITED,
        "addr-unreachable": Reason.HOST_UNREACH,
        "port-unreachable": Reason.PORT_UNREACH,
        "policy-fail": Reason.ADMIN_PROHIBITED,
        "reject-route": Reason.ADMIN_PROHIBITED,
    },
}
OPEN, CLOSED, FILTERED, ERROR = State.OPEN, State.CLOSED, State.FILTERED, State.ERROR
SYN_ACK, SILENCE = Reason.SYN_ACK, Reason.NO_RESPONSE


def _at(four: str, six: str) -> dict[int, str]:
    return {4: four, 6: six}


TCP = (
    Kind("open", OPEN, SYN_ACK, 366, listens="open"),
    Kind("tarpit", OPEN, SYN_ACK, 120, listens="open"),
    Kind("reset after accept", OPEN, Reason.RESET, 120, listens="resets"),
    Kind("reset after ClientHello", OPEN, SYN_ACK, 60, listens="resets-hello"),
    Kind("closed", CLOSED, Reason.CONN_REFUSED, 330),
    Kind("tcp reset", CLOSED, Reason.CONN_REFUSED, 160, rule="reject with tcp reset"),
    Kind("dropped on the way out", FILTERED, SILENCE, 70, listens="open", rule="drop"),
    Kind("dropped on the way back", FILTERED, SILENCE, 40, listens="open", rule="{back} drop"),
    Kind("full backlog", FILTERED, SILENCE, 20, listens="full"),
    Kind("own OUTPUT drop", FILTERED, SILENCE, 10, listens="open", own="drop"),
    Kind("own OUTPUT reject", FILTERED, Reason.ADMIN_PROHIBITED, 10, listens="open", own="reject with icmpx type "
         "admin-prohibited", by="own"),
    Kind("dead on the own link", FILTERED, Reason.HOST_UNREACH, 10, by="own",
         place=_at("192.0.2.77", "2001:db8:1::77")),
    Kind("dead behind the router", FILTERED, Reason.HOST_UNREACH, 10, by="router",
         place=_at("198.51.100.77", "2001:db8:2::77")),
    Kind("router drops the net", FILTERED, SILENCE, 10, place=_at("203.0.113.1", "2001:db8:b::1")),
    Kind("router has no route", FILTERED, Reason.NET_UNREACH, 2, by="router", place=_at("203.0.113.33",
         "2001:db8:c::1")),
    Kind("router prohibits", FILTERED, Reason.ADMIN_PROHIBITED, 2, by="router", place=_at("203.0.113.65",
         "2001:db8:d::1")),
    Kind("router cannot reach", FILTERED, Reason.HOST_UNREACH, 1, by="router", place=_at("203.0.113.97", ""),
         families=(4,)),
    Kind("router cannot reach", FILTERED, Reason.NET_UNREACH, 1, by="router", place=_at("", "2001:db8:e::1"),
         families=(6,)),
    Kind("goes round in circles", FILTERED, Reason.TIME_EXCEEDED, 10, by="circle", place=_at("203.0.113.129",
         "2001:db8:f::1")),
    Kind("own blackhole route", ERROR, Reason.NO_ROUTE, 10, place=_at("203.0.113.161", "2001:db8:10::1")),
    Kind("own prohibit route", ERROR, Reason.PERMISSION, 10, place=_at("203.0.113.177", "2001:db8:11::1")),
    Kind("own unreachable route", ERROR, Reason.NO_ROUTE, 10, place=_at("203.0.113.193", "2001:db8:12::1")),
    Kind("own throw route", ERROR, Reason.NO_ROUTE, 10, place=_at("203.0.113.209", "2001:db8:13::1")),
    *(_reject(code, reason, 4, "tcp", 44) for code, reason in CODES[4].items()),
    *(_reject(code, reason, 6, "tcp", 50) for code, reason in CODES[6].items()),
)  # fmt: skip
UDP = (
    Kind("DNS server", OPEN, Reason.UDP_RESPONSE, 8, listens="dns", protocol="udp"),
    Kind("NTP server", OPEN, Reason.UDP_RESPONSE, 8, listens="ntp", protocol="udp"),
    Kind("silent server", State.OPEN_FILTERED, SILENCE, 24, listens="silent", protocol="udp"),
    Kind("nobody listens", CLOSED, Reason.PORT_UNREACH, 120, by="target", protocol="udp"),
    Kind("udp dropped", State.OPEN_FILTERED, SILENCE, 24, listens="dns", rule="drop", protocol="udp"),
    Kind("udp own OUTPUT drop", ERROR, Reason.PERMISSION, 12, own="drop", protocol="udp"),
    *(_reject(code, reason, 4, "udp", 8) for code, reason in CODES[4].items()),
    *(_reject(code, reason, 6, "udp", 8) for code, reason in CODES[6].items()),
)

OWN_ROUTES = (
    ("blackhole", "203.0.113.160/28", "2001:db8:10::/64"),
    ("prohibit", "203.0.113.176/28", "2001:db8:11::/64"),
    ("unreachable", "203.0.113.192/28", "2001:db8:12::/64"),
    ("throw", "203.0.113.208/28", "2001:db8:13::/64"),
)
ROUTER_ROUTES = (
    ("blackhole", "203.0.113.0/27", "2001:db8:b::/64"),
    ("prohibit", "203.0.113.64/27", "2001:db8:d::/64"),
    ("unreachable", "203.0.113.96/27", "2001:db8:e::/64"),
)
"""203.0.113.32/27 and 2001:db8:c::/64 have no route there. Of IPv4 the kernel tells few: after five such errors one a
second to each client, whatever the sysctls of its namespace say (ip_error() in net/ipv4/route.c). Hence few targets."""
CIRCLE = {4: "203.0.113.128/27", 6: "2001:db8:f::/64"}


class Mix:
    """Targets of `kinds`, scattered over `hosts` by a seeded generator."""

    def __init__(self, kinds: Iterable[Kind], hosts: dict[int, list[str]], seed: int) -> None:
        self.random = random.Random(seed)
        self.targets: list[Target] = []
        self._used: set[tuple[str, int]] = set()
        for kind in kinds:
            share = kind.count // len(kind.families)
            for family in kind.families:
                self.targets += [self._target(kind, family, hosts[family], number) for number in range(share)]
        self.random.shuffle(self.targets)

    def _target(self, kind: Kind, family: int, hosts: list[str], number: int) -> Target:
        fixed = {"dns": DNS, "ntp": NTP}.get(kind.listens, 0) if not kind.rule else 0
        while True:
            host = hosts[number % len(hosts)] if fixed else kind.place.get(family) or self.random.choice(hosts)
            # Beside the ephemeral range, so that no answer of ours comes from a port that is a target too.
            port = fixed or (1000 + number if kind.place else self.random.randrange(1024, 32000))
            if (host, port) not in self._used:
                self._used.add((host, port))
                return Target(kind, family, host, port)

    def listeners(self) -> list[list[object]]:
        """What crowd.py is told."""
        return [[each.host, each.port, each.kind.listens] for each in self.targets if each.kind.listens]

    def router_rules(self) -> str:
        """Rules of the router's forward chain."""
        return "\n".join(_rules((each, each.kind.rule) for each in self.targets if each.kind.rule))

    def own_rules(self) -> str:
        """Rules of the vantage's output chain."""
        return "\n".join(_rules((each, each.kind.own) for each in self.targets if each.kind.own))


def _rules(wanted: Iterable[tuple[Target, str]]) -> Iterator[str]:
    groups: dict[tuple[int, str, str], list[str]] = {}
    for target, verdict in wanted:
        element = f"{target.host} . {target.port}"
        groups.setdefault((target.family, target.kind.protocol, verdict), []).append(element)
    for (family, protocol, verdict), elements in groups.items():
        ip, members = "ip" if family == 4 else "ip6", ", ".join(elements)
        back = verdict.startswith("{back} ")
        side, port = ("saddr", "sport") if back else ("daddr", "dport")
        yield f"{ip} {side} . {protocol} {port} {{ {members} }} {verdict.removeprefix('{back} ')}"


def furnish(lab: Lab) -> None:
    """Give the lab the addresses and routes that the kinds need."""
    link = f"{lab.prefix}s"
    for family, prefix in ((4, "24"), (6, "64")):
        for address in [*TCP_HOSTS[family][1:], *UDP_HOSTS[family]]:
            lab.on("server", "ip", f"-{family}", "addr", "add", f"{address}/{prefix}", "dev", link,
                   *(["nodad"] if family == 6 else []))  # fmt: skip
        for host, routes in (("client", OWN_ROUTES), ("router", ROUTER_ROUTES)):
            for route in routes:
                lab.on(host, "ip", f"-{family}", "route", "add", route[0], route[1 if family == 4 else 2])
        lab.on("router", "ip", f"-{family}", "route", "add", CIRCLE[family], "via", TCP_HOSTS[family][0])
        # A neighbour that does not answer is given up after 0.3 s, not 3: nmap would wait for no ICMP error that late.
        version = f"ipv{family}"
        for host, device in (("client", f"{lab.prefix}c"), ("router", f"{lab.prefix}rs")):
            lab.on(host, "sysctl", "-qw", f"net.{version}.neigh.{device}.retrans_time_ms=100")
    lab.on("server", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
           "net.ipv4.conf.all.send_redirects=0")  # fmt: skip
    lab.on("server", "sysctl", "-qw", f"net.ipv4.conf.{link}.send_redirects=0")
