"""Names that rulesets use for numbers: protocols, flags, conntrack states, ICMP types, address types; and addresses.

From include/uapi/linux of the kernel (in.h, icmp.h, icmpv6.h, netfilter/nf_conntrack_common.h, rtnetlink.h) and nft(8).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

TCP, UDP, ICMP, ICMP6, SCTP, DCCP, UDPLITE = 6, 17, 1, 58, 132, 33, 136
WITH_PORTS = frozenset({TCP, UDP, SCTP, DCCP, UDPLITE})

PROTOCOLS: Mapping[str, int] = {
    "hopopt": 0, "icmp": ICMP, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": TCP, "udp": UDP, "dccp": DCCP, "ipv6": 41,
    "ipv6-route": 43, "ipv6-frag": 44, "gre": 47, "esp": 50, "ah": 51, "icmpv6": ICMP6, "ipv6-icmp": ICMP6,
    "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89, "pim": 103, "ipcomp": 108, "comp": 108, "vrrp": 112, "l2tp": 115,
    "sctp": SCTP, "mobility": 135, "mh": 135, "udplite": UDPLITE,
}  # fmt: skip
PROTOCOL_NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmpv6", SCTP: "sctp", DCCP: "dccp", UDPLITE: "udplite"}

INVALID, ESTABLISHED, RELATED, NEW, UNTRACKED = 1, 2, 4, 8, 64
CT_STATES: Mapping[str, int] = {
    "invalid": INVALID, "established": ESTABLISHED, "related": RELATED, "new": NEW, "untracked": UNTRACKED,
}  # fmt: skip
EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED, SNAT, DNAT = 1, 2, 4, 8, 16, 32
CT_STATUS: Mapping[str, int] = {
    "expected": EXPECTED, "seen-reply": SEEN_REPLY, "assured": ASSURED, "confirmed": CONFIRMED, "snat": SNAT,
    "dnat": DNAT, "dying": 512,
}  # fmt: skip
ORIGINAL, REPLY = 0, 1
CT_DIRECTIONS: Mapping[str, int] = {"original": ORIGINAL, "reply": REPLY}

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
TCP_FLAGS: Mapping[str, int] = {
    "fin": FIN, "syn": SYN, "rst": RST, "psh": PSH, "ack": ACK, "urg": URG, "ecn": 64, "cwr": 128,
}  # fmt: skip

FAMILIES: Mapping[str, int] = {"ipv4": 2, "ip": 2, "ipv6": 10, "ip6": 10}
ETHER_TYPES: Mapping[str, int] = {"ip": 0x0800, "arp": 0x0806, "vlan": 0x8100, "8021q": 0x8100, "ip6": 0x86DD}
ADDRESS_TYPES: Mapping[str, int] = {
    "unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
    "unreachable": 7, "prohibit": 8,
}  # fmt: skip
PACKET_TYPES: Mapping[str, int] = {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3}
ICMP_TYPES: Mapping[str, int] = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16, "address-mask-request": 17,
    "address-mask-reply": 18,
}  # fmt: skip
ICMP6_TYPES: Mapping[str, int] = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
    "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132,
    "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138, "ind-neighbor-solicit": 141,
    "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
ICMP_CODES: Mapping[str, int] = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
ICMP6_CODES: Mapping[str, int] = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip

NAMES: Mapping[str, Mapping[str, int]] = {
    "inet_proto": PROTOCOLS, "ct_state": CT_STATES, "ct_status": CT_STATUS, "ct_dir": CT_DIRECTIONS,
    "tcp_flag": TCP_FLAGS, "nf_proto": FAMILIES, "ether_type": ETHER_TYPES, "fib_addrtype": ADDRESS_TYPES,
    "pkt_type": PACKET_TYPES, "icmp_type": ICMP_TYPES, "icmpv6_type": ICMP6_TYPES, "icmp_code": ICMP_CODES,
    "icmpv6_code": ICMP6_CODES, "inet_service": {}, "mark": {}, "integer": {}, "boolean": {},
}  # fmt: skip
"""nft's data type -> its names. What has no names is a number."""
TEXTS = frozenset({"ifname", "iface_index"})
"""Data types that are kept as text: interfaces go by name."""

FIELD_TYPES: Mapping[str, str] = {
    "ip saddr": "ipv4_addr", "ip daddr": "ipv4_addr", "ip protocol": "inet_proto", "ip version": "integer",
    "ip6 saddr": "ipv6_addr", "ip6 daddr": "ipv6_addr", "ip6 nexthdr": "inet_proto", "ip6 version": "integer",
    "ip ttl": "integer", "ip length": "integer", "ip id": "integer", "ip frag-off": "integer",
    "ip6 hoplimit": "integer", "ip6 length": "integer", "tcp flags": "tcp_flag", "tcp window": "integer",
    "icmp type": "icmp_type", "icmp code": "icmp_code", "icmpv6 type": "icmpv6_type", "icmpv6 code": "icmpv6_code",
    "meta l4proto": "inet_proto", "meta nfproto": "nf_proto", "meta protocol": "ether_type", "meta mark": "mark",
    "meta iifname": "ifname", "meta oifname": "ifname", "meta iif": "iface_index", "meta oif": "iface_index",
    "meta pkttype": "pkt_type", "meta length": "integer", "meta skuid": "integer", "meta skgid": "integer",
    "meta cgroup": "integer", "ct state": "ct_state", "ct status": "ct_status", "ct direction": "ct_dir",
    "ct mark": "mark", "ct zone": "integer", "ct l3proto": "nf_proto", "ct protocol": "inet_proto",
    "ether type": "ether_type",
}  # fmt: skip
"""nft's data type of a field. A port is known by its name (`tcp dport`), a conntrack address by its last word."""


def type_of_field(name: str) -> str:
    """Return nft's data type of a field's values, empty where it is not known."""
    known = FIELD_TYPES.get(name)
    if known is not None:
        return known
    word = name.rpartition(" ")[2]
    if word in {"sport", "dport", "proto-src", "proto-dst"}:
        return "inet_service"
    if word in {"saddr", "daddr"} and name.startswith("ct "):
        return "ipv6_addr" if " ip6 " in name else "ipv4_addr" if " ip " in name else "ip_addr"
    if name.startswith("fib "):
        return {"type": "fib_addrtype", "oif": "iface_index", "oifname": "ifname"}.get(word, "")
    return ""


def address(text: str) -> int | None:
    """Return an address as a number; None where it is none."""
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def address_text(number: int, family: str) -> str:
    """Return an address as it is written; family is ip or ip6."""
    if family == "ip6":
        return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))
    return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))


def width(family: str) -> int:
    """Return the bits of an address of a family."""
    return 128 if family == "ip6" else 32


def prefix_bounds(number: int, length: int, bits: int) -> tuple[int, int]:
    """Return the first and the last address of a prefix."""
    free = (1 << (bits - length)) - 1
    return number & ~free, number | free


def protocol_number(text: str) -> int | None:
    """Return the number of a protocol given by name or number; None where it is none."""
    known = PROTOCOLS.get(text)
    if known is not None:
        return known
    return int(text) if text.isdecimal() and int(text) < 256 else None
