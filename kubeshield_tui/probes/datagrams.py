"""What is sent to a UDP port, and how its answer reads.

A protocol that is asked in its own words answers strangers; most servers drop anything else without a word. Each
payload is the smallest safe question of its protocol: no credential, no write, no recursion, nothing that amplifies.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from kubeshield_tui.model.text import printable

DNS_CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
"""RFC 1035 section 4.1.1."""
QUIC_SIZE = 1_200
"""Servers ignore smaller first packets. RFC 9000 section 14.1."""


class Datagram(NamedTuple):
    """One protocol's question."""

    payload: bytes
    read: Callable[[bytes], str]
    """Says in words what an answer is; empty where it is none of this protocol."""


def _read_dns(data: bytes) -> str:
    if len(data) < 12 or data[:2] != b"KS" or not data[2] & 0x80:
        return ""
    code = data[3] & 0x0F
    return f"DNS: {DNS_CODES[code] if code < len(DNS_CODES) else f'code {code}'}"


def _read_ntp(data: bytes) -> str:
    if len(data) < 48 or data[0] & 0x07 != 4:
        return ""
    return f"NTP version {data[0] >> 3 & 7}, stratum {data[1]}"


def _read_stun(data: bytes) -> str:
    return f"STUN type {data[:2].hex()}" if len(data) >= 20 and data[4:8] == b"\x21\x12\xa4\x42" else ""


def _read_quic(data: bytes) -> str:
    if len(data) < 7 or not data[0] & 0x80 or data[1:5] != b"\0\0\0\0":
        return ""
    return "QUIC: version negotiation"


def _read_snmp(data: bytes) -> str:
    return "SNMPv3: engine report" if data[:1] == b"\x30" and len(data) > 20 else ""


def _read_rpc(data: bytes) -> str:
    return "ONC RPC reply" if len(data) >= 24 and data[:8] == b"KSHD\0\0\0\x01" else ""


DATAGRAMS = {
    # NS of the root, no recursion wanted: every server answers, with REFUSED at least. RFC 1035.
    "dns": Datagram(b"KS\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x00\x00\x02\x00\x01", _read_dns),
    # A client's question, version 4, nothing else set. RFC 5905 section 7.3.
    "ntp": Datagram(b"\x23" + bytes(47), _read_ntp),
    # Binding request. RFC 8489 section 5.
    "stun": Datagram(b"\x00\x01\x00\x00\x21\x12\xa4\x42kubeshield--", _read_stun),
    # A long header with a version that is reserved to be refused, padded. RFC 9000 sections 6 and 15.
    "quic": Datagram((b"\xc0\x1a\x2a\x3a\x4a\x08kubeshie\x08kubeshie").ljust(QUIC_SIZE, b"\0"), _read_quic),
    # Discovery of the engine: no community, no user. RFC 3414 section 4.
    "snmp": Datagram(
        bytes.fromhex(
            "303a020103300f02024b53020300ffe3040104020103041030"
            "0e0400020100020100040004000400301204000400a00c02022a2a0201000201003000"
        ),
        _read_snmp,
    ),
    # NULL procedure of the portmapper. RFC 1833, RFC 5531.
    "rpc": Datagram(
        b"KSHD" + struct.pack(">IIIII", 0, 2, 100_000, 2, 0) + bytes(16),
        _read_rpc,
    ),
}
PORTS = {53: "dns", 123: "ntp", 443: "quic", 161: "snmp", 111: "rpc", 3478: "stun", 5353: "dns", 8443: "quic"}
"""Which protocol a port is asked in."""
SILENT = {
    4789: "VXLAN",
    8472: "VXLAN",
    6081: "Geneve",
    51820: "WireGuard",
    51871: "WireGuard",
    500: "IKE",
    4500: "IPsec NAT traversal",
    1194: "OpenVPN",
    514: "syslog",
}
"""Protocols that never answer a stranger. Overlay ports: Flannel's, Cilium's and Antrea's documentation."""


def datagram_of(port: int) -> str:
    """Name of the protocol that a port is asked in, empty where none is known."""
    return PORTS.get(port, "")


def payload(name: str) -> bytes:
    """What is sent; an empty datagram where the protocol is not known."""
    known = DATAGRAMS.get(name)
    return known.payload if known else b""


def reading(name: str, data: bytes) -> str:
    """Say what an answer is, in words."""
    known = DATAGRAMS.get(name)
    said = known.read(data) if known else ""
    return said or f"{len(data)} bytes{f', not {name.upper()}' if known else ''}: {printable(data, 60)}"


def silence(name: str, port: int) -> str:
    """Say what silence on a UDP port is worth."""
    if port in SILENT:
        return f"{SILENT[port]} answers no stranger: silence says nothing, look at the host's firewall"
    if name:
        return f"asked in {name.upper()}, no answer: filtered, or nothing there that speaks it"
    return "no protocol is known for this port: an empty datagram was sent, silence says little"
