"""What stands around a ruleset: who sends, what is sent to, who listens, and hosts behind a bridge of the router."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from kubeshield_tui.evidence.netfilter.packet import Packet
from tests.lab.netfilter.cases import Case
from tests.lab.netfilter.world import World
from tests.lab.netns import run

FIRST_PORT = 20_000
LOOPBACK = "127.0.0.1"


class Sender(NamedTuple):
    """Who sends."""

    where: str
    """Namespace."""
    addresses: Mapping[str, Sequence[str]]
    """By family."""
    iif: str = ""
    """The router's device that it comes by; empty: it is the router."""


@dataclass
class Place:
    """All that packets are made of."""

    senders: list[Sender]
    targets: dict[str, list[str]]
    """Addresses by family."""
    ports: tuple[int, ...]
    listeners: list[socket.socket] = field(default_factory=list)
    """In addition to those that the laboratory has."""
    keeps_ports: bool = True
    """Masquerading leaves source ports as they are, so that packets are known by them."""
    protocols: tuple[str, ...] = ("tcp", "udp", "icmp")

    def cases(self) -> list[Case]:
        """Return every sender's packets to every port of every target."""
        made: list[Case] = []
        for sender, protocol in product(self.senders, self.protocols):
            for family, own in sender.addresses.items():
                for source, target in product(own, self.targets.get(family, ())):
                    if _stays(sender, own, source, target):
                        continue
                    made += [
                        self._case(FIRST_PORT + len(made) + number, sender, family, protocol, source, target, port)
                        for number, port in enumerate(self.ports if protocol != "icmp" else (None,))
                    ]
        return made

    def _case(
        self, own: int, sender: Sender, family: str, protocol: str, source: str, target: str, port: int | None
    ) -> Case:
        packet = Packet(
            family=family, protocol="icmpv6" if (family, protocol) == ("ip6", "icmp") else protocol, src=source,
            dst=target, sport=None if port is None else own, dport=port, iif=sender.iif,
            hook="input" if sender.iif else "output",
        )  # fmt: skip
        return Case(number=own, where=sender.where, packet=packet, port=own)


def _stays(sender: Sender, own: Sequence[str], source: str, target: str) -> bool:
    """Whether a packet would not come to the router, or leave it for hosts that take it for a martian."""
    if sender.iif:
        return target in own or target == LOOPBACK
    return source == LOOPBACK and target not in own


@contextmanager
def behind_bridge(
    world: World, bridge: str, gateways: Mapping[str, str], hosts: Sequence[Mapping[str, str]]
) -> Iterator[list[str]]:
    """Make hosts with an address by family, each a namespace joined to a bridge of the router; returns their names."""
    names = []
    with ExitStack() as undo:
        world.network.on("router", "ip", "link", "add", bridge, "type", "bridge")
        for family, address in gateways.items():
            _address(world.router, bridge, family, address)
        world.network.on("router", "ip", "link", "set", bridge, "up")
        undo.callback(world.network.on, "router", "ip", "link", "del", bridge)
        for number, addresses in enumerate(hosts):
            name, link = f"{world.network.prefix}-{bridge}{number}", f"{world.network.prefix}p{number}"
            run("ip", "netns", "add", name)
            undo.callback(run, "ip", "netns", "del", name)
            _host(world, name, link, bridge, addresses, gateways)
            names.append(name)
        yield names


def _host(
    world: World, name: str, link: str, bridge: str, addresses: Mapping[str, str], gateways: Mapping[str, str]
) -> None:
    make_outspoken(name)
    run("ip", "link", "add", link, "netns", world.router, "type", "veth", "peer", "eth0", "netns", name)
    world.network.on("router", "ip", "link", "set", link, "master", bridge, "up")
    # Without it a pod would not meet itself through its Service; a kubelet sets it too.
    world.network.on("router", "ip", "link", "set", link, "type", "bridge_slave", "hairpin", "on")
    _in(name, "ip", "link", "set", "lo", "up")
    for family, address in addresses.items():
        _address(name, "eth0", family, address)
    _in(name, "ip", "link", "set", "eth0", "up")
    for family in addresses:
        gateway = gateways[family].partition("/")[0]
        _in(name, "ip", *(["-6"] if family == "ip6" else []), "route", "add", "default", "via", gateway)


def make_outspoken(namespace: str) -> None:
    """Have a host refuse as often as it is asked, and answer an attempt once."""
    unlimited = ("net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0", "net.ipv6.conf.default.accept_dad=0")
    _in(namespace, "sysctl", "-qw", *unlimited, "net.ipv4.tcp_synack_retries=0", "net.ipv4.ping_group_range=0 0")
    _in(namespace, "sysctl", "-eqw", "net.ipv4.icmp_msgs_per_sec=1000000")


def _address(namespace: str, device: str, family: str, address: str) -> None:
    _in(namespace, "ip", "addr", "add", address, "dev", device, *(["nodad"] if family == "ip6" else []))


def _in(namespace: str, *command: str) -> str:
    return run("ip", "netns", "exec", namespace, *command)
