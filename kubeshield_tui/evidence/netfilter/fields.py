"""Read a field of a packet by nft's name for it.

None is a field that the packet does not have: nothing matches it, not even `!=`, as in the kernel. What is there and
can't be known is `Unsure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubeshield_tui.evidence.netfilter.flow import Flow, Held, Name
from kubeshield_tui.evidence.netfilter.routing import REFUSED_KINDS, Ask, Decision, Routing
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, SomeBits, Unsure
from kubeshield_tui.evidence.netfilter.words import (
    ADDRESS_TYPES,
    ASSURED,
    CONFIRMED,
    DCCP,
    DNAT,
    ICMP,
    ICMP6,
    REPLY,
    SCTP,
    SEEN_REPLY,
    SNAT,
    TCP,
    UDP,
    UDPLITE,
    WITH_PORTS,
)

Read = Callable[[Flow], Held]

_KINDS: tuple[tuple[str, Doubt], ...] = (
    ("meta time", Doubt.TIME),
    ("meta hour", Doubt.TIME),
    ("meta day", Doubt.TIME),
    ("meta random", Doubt.RANDOM),
    ("meta sk", Doubt.LOCAL),
    ("meta cgroup", Doubt.LOCAL),
    ("socket", Doubt.LOCAL),
    ("ct ", Doubt.RATE),
    ("ether", Doubt.LINK),
    ("vlan", Doubt.LINK),
    ("meta pkttype", Doubt.LINK),
    ("meta iif", Doubt.LINK),
    ("meta oif", Doubt.LINK),
    ("meta ibr", Doubt.LINK),
    ("meta obr", Doubt.LINK),
    ("fib", Doubt.ROUTING),
    ("rt", Doubt.ROUTING),
)


def doubt_about(name: str) -> Unsure:
    """Return the unknown value of a field that can't be read here."""
    kind = next((kind for beginning, kind in _KINDS if name.startswith(beginning)), Doubt.PAYLOAD)
    return Unsure(kind=kind, text=name)


def read(name: str, flow: Flow, routing: Routing) -> Held:
    """Return what a field holds."""
    if name in flow.assigned:
        return flow.assigned[name]
    reader = READERS.get(name)
    if reader is not None:
        return reader(flow)
    if name.startswith("fib "):
        return _fib(name, flow, routing)
    return _belongs(name, flow)


def _belongs(name: str, flow: Flow) -> Held:
    """Return the unknown value of a field of a protocol that the packet has, None of one that it has not."""
    first = name.partition(" ")[0]
    family, protocol = _HEADERS.get(first, ("", 0))
    if (family and family != flow.family) or (protocol and protocol != flow.protocol):
        return None
    if name in {"meta skuid", "meta skgid", "meta cgroup"} and flow.hook == "forward":
        return None
    if first == "ct" and flow.connection is None:
        return None
    return doubt_about(name)


_HEADERS: Mapping[str, tuple[str, int]] = {
    "ip": ("ip", 0),
    "ip6": ("ip6", 0),
    "icmp": ("ip", ICMP),
    "icmpv6": ("ip6", ICMP6),
    "tcp": ("", TCP),
    "udp": ("", UDP),
    "sctp": ("", SCTP),
    "dccp": ("", DCCP),
    "udplite": ("", UDPLITE),
}


def _of_family(family: str, attribute: str) -> Read:
    return lambda flow: getattr(flow, attribute) if flow.family == family else None


def _of_protocol(protocol: int, attribute: str) -> Read:
    return lambda flow: getattr(flow, attribute) if flow.protocol == protocol else None


def _transport(attribute: str) -> Read:
    def reader(flow: Flow) -> Held:
        if flow.protocol in WITH_PORTS:
            held: Held = getattr(flow, attribute)
            return held
        return Unsure(kind=Doubt.PAYLOAD, text=f"th {attribute}")

    return reader


def _constant_of(family: str, value: int) -> Read:
    return lambda flow: value if flow.family == family else None


def _protocol_of(family: str) -> Read:
    return lambda flow: flow.protocol if flow.family == family else None


def _icmp(family: str, protocol: int, attribute: str) -> Read:
    return lambda flow: getattr(flow, attribute) if flow.protocol == protocol and flow.family == family else None


def _packet_type(flow: Flow) -> Held:
    """To whom the frame was addressed that brought the packet; one that begins here counts as this host's own."""
    if flow.iif == "":
        return 0
    daddr = flow.daddr
    if isinstance(daddr, Unsure) or daddr is None:
        return Unsure(kind=Doubt.LINK, text="meta pkttype")
    if flow.family == "ip6":
        return 2 if daddr >> 120 == 0xFF else 0
    if daddr == 0xFFFFFFFF:
        return 1
    return 2 if daddr >> 28 == 0xE else 0


def _ct_mark(flow: Flow) -> Held:
    return None if flow.connection is None else flow.connection.mark


def _ct_direction(flow: Flow) -> Held:
    return None if flow.connection is None else flow.direction


def _ct_status(flow: Flow) -> Held:
    """Those bits that matter to rules; the others (is a binding done, dying) no dump asks for."""
    connection = flow.connection
    if connection is None:
        return None
    bits = (SNAT if connection.is_snat else 0) | (DNAT if connection.is_dnat else 0)
    bits |= (SEEN_REPLY if connection.seen_reply else 0) | (CONFIRMED if connection.confirmed else 0)
    bits |= ASSURED if flow.assured else 0
    unknown = 0
    for bit, before, after in (
        (SNAT, connection.source, connection.to_source),
        (DNAT, connection.destination, connection.to_destination),
    ):
        if after is not None and after != before and after.may_be(before):
            unknown |= bit
    if unknown:
        return SomeBits(kind=Doubt.ROUTING, text="ct status", mask=~unknown, bits=bits & ~unknown)
    return bits


def _ct_tuple(direction: int, attribute: str, family: str = "") -> Read:
    def reader(flow: Flow) -> Held:
        connection = flow.connection
        if connection is None or (family and family != flow.family):
            return None
        source, destination = connection.source, connection.destination
        if direction == REPLY:
            source, destination = connection.to_destination or destination, connection.to_source or source
        end = source if attribute in {"saddr", "proto-src"} else destination
        return end.port if attribute.startswith("proto") else end.address

    return reader


READERS: dict[str, Read] = {
    "ip saddr": _of_family("ip", "saddr"),
    "ip daddr": _of_family("ip", "daddr"),
    "ip protocol": _protocol_of("ip"),
    "ip version": _constant_of("ip", 4),
    "ip6 saddr": _of_family("ip6", "saddr"),
    "ip6 daddr": _of_family("ip6", "daddr"),
    "ip6 nexthdr": _protocol_of("ip6"),
    "ip6 version": _constant_of("ip6", 6),
    "th sport": _transport("sport"),
    "th dport": _transport("dport"),
    "tcp flags": _of_protocol(TCP, "flags"),
    "icmp type": _icmp("ip", ICMP, "icmp_type"),
    "icmp code": _icmp("ip", ICMP, "icmp_code"),
    "icmpv6 type": _icmp("ip6", ICMP6, "icmp_type"),
    "icmpv6 code": _icmp("ip6", ICMP6, "icmp_code"),
    "meta l4proto": lambda flow: flow.protocol,
    "meta nfproto": lambda flow: 10 if flow.family == "ip6" else 2,
    "meta protocol": lambda flow: 0x86DD if flow.family == "ip6" else 0x0800,
    "meta mark": lambda flow: flow.mark,
    "meta iifname": lambda flow: flow.iif,
    "meta oifname": lambda flow: flow.oif,
    "meta iif": lambda flow: flow.iif,
    "meta oif": lambda flow: flow.oif,
    "meta pkttype": _packet_type,
    "ct state": lambda flow: flow.state,
    "ct mark": _ct_mark,
    "ct direction": _ct_direction,
    "ct status": _ct_status,
    "ct l3proto": lambda flow: None if flow.connection is None else (10 if flow.family == "ip6" else 2),
    "ct protocol": lambda flow: None if flow.connection is None else flow.protocol,
}
for _name, _protocol in (("tcp", TCP), ("udp", UDP), ("sctp", SCTP), ("dccp", DCCP), ("udplite", UDPLITE)):
    READERS[f"{_name} sport"] = _of_protocol(_protocol, "sport")
    READERS[f"{_name} dport"] = _of_protocol(_protocol, "dport")
for _word, _direction in (("original", 0), ("reply", 1)):
    for _attribute in ("saddr", "daddr", "proto-src", "proto-dst"):
        READERS[f"ct {_word} {_attribute}"] = _ct_tuple(_direction, _attribute)
    for _family in ("ip", "ip6"):
        READERS[f"ct {_word} {_family} saddr"] = _ct_tuple(_direction, "saddr", _family)
        READERS[f"ct {_word} {_family} daddr"] = _ct_tuple(_direction, "daddr", _family)


def _fib(name: str, flow: Flow, routing: Routing) -> Held:
    """`fib FLAGS RESULT`: what the routes say of an address; an interface that there is not is the empty name."""
    *flags, result = name.split()[1:]
    number = flow.saddr if "saddr" in flags else flow.daddr
    device: Name = flow.iif if "iif" in flags else flow.oif if "oif" in flags else ""
    if isinstance(device, Unsure):
        return Unsure(kind=Doubt.ROUTING, text=name)
    if result == "type":
        kind = routing.address_type(flow.family, number, device) if isinstance(number, int) else None
        told = ADDRESS_TYPES.get(kind or _assumed_type(flow, "saddr" in flags, device) or "")
        return Unsure(kind=Doubt.ROUTING, text=name) if told is None else told
    if result not in {"oif", "oifname"} or not isinstance(number, int):
        return Unsure(kind=Doubt.ROUTING, text=name)
    if flow.iif == "lo" and flow.hook in {"prerouting", "input", "ingress"}:
        return flow.iif
    mark = flow.mark if "mark" in flags and isinstance(flow.mark, int) else 0
    decision = routing.decide(Ask(family=flow.family, destination=number, mark=mark))
    if not isinstance(decision, Decision):
        return Unsure(kind=Doubt.ROUTING, text=name)
    if decision.kind in {"local", "anycast", *REFUSED_KINDS} or not decision.hops:
        return ""
    if device:
        return device if any(hop.device == device for hop in decision.hops) else ""
    if len(decision.hops) > 1:
        return Unsure(kind=Doubt.ROUTING, text=name)
    return decision.hops[0].device


def _assumed_type(flow: Flow, of_source: bool, device: str) -> str | None:
    """Tell the type from where the packet was met, where addresses were not collected."""
    is_local = flow.src_is_local if of_source else flow.dst_is_local
    if is_local is None or (is_local and device):
        return None
    return "local" if is_local else "unicast"
