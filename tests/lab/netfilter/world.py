"""The three hosts of the laboratory with more addresses, all neighbours known, and listeners where packets may end.

Neighbours are permanent: rules that drop neighbour discovery must not decide whether a packet arrives.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

from kubeshield_tui.evidence.netfilter.host import parse_host
from tests.lab.netfilter.kernel import Conntrack, Nft, Trace, inside
from tests.lab.netns import Lab, lab

CLIENTS = {"ip": [f"192.0.2.{n}" for n in range(1, 6)], "ip6": [f"2001:db8:1::{n}" for n in range(1, 6)]}
SERVERS = {"ip": [f"198.51.100.{n}" for n in range(1, 5)], "ip6": [f"2001:db8:2::{n}" for n in range(1, 5)]}
ROUTERS = {"ip": ["192.0.2.254", "198.51.100.254"], "ip6": ["2001:db8:1::fe", "2001:db8:2::fe"]}
"""The router's address toward the client, and the one toward the server."""
VIRTUAL = {"ip": ["203.0.113.1", "203.0.113.2"], "ip6": ["2001:db8:9::1", "2001:db8:9::2"]}
"""Addresses that nobody has and the router has no route to: only translation leads anywhere."""
PORTS = (22, 53, 80, 443, 8080, 10250)
"""Ports that packets go to and that listeners are at."""
MARKED = "0x10/0xf0"
"""Mark and mask of packets that are routed by another table."""
SETTINGS = r"^net\.(ipv4\.ip_forward|ipv6\.conf\.all\.forwarding|ipv4\.conf\..+\.(rp_filter|route_localnet))$"
"""Those that decide where packets go."""
KINDS = {"ip": socket.AF_INET, "ip6": socket.AF_INET6}


class World:
    """The laboratory, ready for packets."""

    def __init__(self, network: Lab) -> None:
        self.network = network
        self.client, self.router, self.server = (network.name(host) for host in ("client", "router", "server"))
        self.to_client, self.to_server = f"{network.prefix}rc", f"{network.prefix}rs"
        """The router's devices."""
        self._addresses()
        self._neighbours()
        self._settings()
        self._policy_routes()
        self.nft = Nft(self.router)
        self.trace = Trace(self.router)
        self.conntrack = Conntrack(self.router)
        self.told = self.tell_host()
        """What the router's tools say of addresses, rules, routes and settings."""
        self.host = parse_host(self.told)
        assert self.host.notes == (), self.host.notes
        self.listeners = [
            *listeners(self.server, SERVERS, PORTS),
            *listeners(
                self.router, {**ROUTERS, "ip": [*ROUTERS["ip"], "127.0.0.1"], "ip6": [*ROUTERS["ip6"], "::1"]}, PORTS
            ),
        ]

    def _addresses(self) -> None:
        for host, device, addresses in (("client", "c", CLIENTS), ("server", "s", SERVERS)):
            link = f"{self.network.prefix}{device}"
            for family, length in (("ip", 24), ("ip6", 64)):
                for address in addresses[family][1:]:
                    extra = ["nodad"] if family == "ip6" else []
                    self.network.on(host, "ip", "addr", "add", f"{address}/{length}", "dev", link, *extra)

    def _neighbours(self) -> None:
        prefix = self.network.prefix
        for host, link, far, addresses in (
            ("client", f"{prefix}c", self.to_client, {family: own[:1] for family, own in ROUTERS.items()}),
            ("server", f"{prefix}s", self.to_server, {family: own[1:] for family, own in ROUTERS.items()}),
        ):
            own = {"client": CLIENTS, "server": SERVERS}[host]
            for family in KINDS:
                for address in addresses[family]:
                    self._neighbour(host, link, address, self._hardware("router", far))
                for address in own[family]:
                    self._neighbour("router", far, address, self._hardware(host, link))

    def _neighbour(self, host: str, link: str, address: str, hardware: str) -> None:
        self.network.on(host, "ip", "neigh", "replace", address, "lladdr", hardware, "dev", link, "nud", "permanent")

    def _hardware(self, host: str, link: str) -> str:
        return json.loads(self.network.on(host, "ip", "-j", "link", "show", "dev", link))[0]["address"]

    def _settings(self) -> None:
        for host in ("client", "router", "server"):
            self.network.on(
                host, "sysctl", "-qw", "net.ipv4.tcp_synack_retries=0", "net.ipv4.tcp_max_syn_backlog=65536",
                "net.core.somaxconn=65535", "net.ipv4.ip_local_port_range=1024 1100", "net.ipv4.tcp_syncookies=0",
                "net.ipv4.tcp_syn_linear_timeouts=0", "net.ipv4.ping_group_range=0 0",
            )  # fmt: skip
            # No kind of ICMP error is limited, or rejects of a burst would look like drops.
            unlimited = ("net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratemask=200")
            self.network.on(host, "sysctl", "-qw", *unlimited)
        self.network.on("router", "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")

    def _policy_routes(self) -> None:
        """Have a mark decide about routes: what bears it finds servers unreachable, prohibited or swallowed."""
        kinds = ("unreachable", "prohibit", "blackhole", "throw")
        for option, family in (("-4", "ip"), ("-6", "ip6")):
            self.network.on("router", "ip", option, "rule", "add", "fwmark", MARKED, "table", "100", "priority", "100")
            for kind, server in zip(kinds, SERVERS[family], strict=True):
                self.network.on("router", "ip", option, "route", "add", kind, server, "table", "100")

    def tell_host(self) -> str:
        """Return what the router's tools say of addresses, rules, routes and settings now."""
        told = [
            self.network.on("router", "ip", "-j", *words)
            for words in (("addr",), ("rule",), ("-6", "rule"), ("route", "show", "table", "all"))
        ]
        told.append(self.network.on("router", "ip", "-6", "-j", "route", "show", "table", "all"))
        told.append(self.network.on("router", "sysctl", "-a", "-r", SETTINGS))
        return "\n".join(told)

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.trace.close()
        self.conntrack.close()
        self.nft.close()


def listeners(
    namespace: str,
    addresses: Mapping[str, Sequence[str]],
    ports: Iterable[int],
    kinds: Iterable[socket.SocketKind] = (socket.SOCK_STREAM, socket.SOCK_DGRAM),
) -> Iterator[socket.socket]:
    """Make sockets that wait for packets in a namespace, at every port of every address, given by family."""
    with inside(namespace):
        for family, address, port, kind in (
            (family, *each) for family, own in addresses.items() for each in product(own, ports, kinds)
        ):
            made = socket.socket(KINDS[family], kind | socket.SOCK_NONBLOCK)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if kind == socket.SOCK_STREAM:
                made.listen(8192)
            yield made


@contextmanager
def world() -> Iterator[World]:
    """Make the laboratory; everything is removed at the end."""
    with lab() as network:
        made = World(network)
        try:
            yield made
        finally:
            made.close()
