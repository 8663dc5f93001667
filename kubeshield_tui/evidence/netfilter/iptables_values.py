"""Values as iptables writes them, turned into the numbers that a packet's fields hold.

Names of protocols: IANA's protocol numbers. Connection states and statuses: nf_conntrack's bits, as nft shows them.
Types of addresses: the kernel's RTN_ numbers. ICMP types: RFC 792 and RFC 4443, in iptables' own words.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kubeshield_tui.evidence.netfilter import words
from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Key, Scalar
from kubeshield_tui.evidence.netfilter.ruleset import EQUAL, UNEQUAL, Bits, Constant, Field, Match

PROTOCOLS = {**words.PROTOCOLS, "egp": 8, "mobility-header": 135, "ipv6-mh": 135}
STATES = {name.upper(): bit for name, bit in words.CT_STATES.items()}
STATUSES = {name.upper().replace("-", "_"): bit for name, bit in words.CT_STATUS.items()}
TCP_FLAGS = {name.upper(): bit for name, bit in words.TCP_FLAGS.items()}
ADDRESS_TYPES = {
    **{name.upper(): number for name, number in words.ADDRESS_TYPES.items()}, "THROW": 9, "NAT": 10, "XRESOLVE": 11,
}  # fmt: skip
ICMP_TYPES = {
    "echo-reply": "0", "pong": "0", "destination-unreachable": "3", "network-unreachable": "3/0",
    "host-unreachable": "3/1", "protocol-unreachable": "3/2", "port-unreachable": "3/3", "fragmentation-needed": "3/4",
    "source-quench": "4", "redirect": "5", "echo-request": "8", "ping": "8", "router-advertisement": "9",
    "router-solicitation": "10", "time-exceeded": "11", "ttl-exceeded": "11", "parameter-problem": "12",
    "timestamp-request": "13", "timestamp-reply": "14", "address-mask-request": "17", "address-mask-reply": "18",
}  # fmt: skip
ICMPV6_TYPES = {
    "destination-unreachable": "1", "no-route": "1/0", "communication-prohibited": "1/1", "address-unreachable": "1/3",
    "port-unreachable": "1/4", "packet-too-big": "2", "time-exceeded": "3", "ttl-exceeded": "3",
    "parameter-problem": "4", "echo-request": "128", "ping": "128", "echo-reply": "129", "pong": "129",
    "router-solicitation": "133", "router-advertisement": "134", "neighbour-solicitation": "135",
    "neighbor-solicitation": "135", "neighbour-advertisement": "136", "neighbor-advertisement": "136",
    "redirect": "137",
}  # fmt: skip
ALL_BITS = 0xFFFFFFFF
LAST_PORT = 65535


class Unreadable(ValueError):  # noqa: N818 - a fact
    """A value that is not what its option takes: a name, an anonymised address, a cut line."""


def number(text: str, highest: int = ALL_BITS) -> int:
    """Read a number, decimal or hexadecimal as iptables writes them. Raises Unreadable."""
    try:
        value = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise Unreadable(text) from None
    if not 0 <= value <= highest:
        raise Unreadable(text)
    return value


def masked(text: str) -> tuple[int, int]:
    """Read VALUE or VALUE/MASK; without a mask every bit counts. Raises Unreadable."""
    value, slash, mask = text.partition("/")
    return number(value), number(mask) if slash else ALL_BITS


def protocol(text: str) -> int:
    """Read a protocol. Raises Unreadable."""
    known = PROTOCOLS.get(text.lower())
    return number(text, 255) if known is None else known


def span(text: str, separator: str) -> Scalar | Interval:
    """Read a port or LOW:HIGH, of which either end may be missing. Raises Unreadable."""
    low, found, high = text.partition(separator)
    first = number(low, LAST_PORT) if low else 0
    if not found:
        if not low:
            raise Unreadable(text)
        return first
    last = number(high, LAST_PORT) if high else LAST_PORT
    if last < first:
        raise Unreadable(text)
    return first if first == last else Interval(low=first, high=last)


def address(text: str, family: str) -> int:
    """Read one address. Raises Unreadable for a name or an address of the other family."""
    try:
        found = ip_address(text.strip("[]"))
    except ValueError:
        raise Unreadable(text) from None
    if found.version != (6 if family == "ip6" else 4):
        raise Unreadable(text)
    return int(found)


def address_span(text: str, family: str) -> Scalar | Interval:
    """Read LOW or LOW-HIGH. Raises Unreadable."""
    low, dash, high = text.partition("-")
    first = address(low, family)
    last = address(high, family) if dash else first
    if last < first:
        raise Unreadable(text)
    return first if first == last else Interval(low=first, high=last)


def network(text: str, family: str) -> Key:
    """Read ADDRESS, ADDRESS/LENGTH or ADDRESS/MASK with a mask that is a prefix. Raises Unreadable."""
    try:
        found: IPv4Network | IPv6Network = ip_network(text, strict=False)
    except ValueError:
        raise Unreadable(text) from None
    if found.version != (6 if family == "ip6" else 4):
        raise Unreadable(text)
    return as_key(found)


def as_key(found: IPv4Network | IPv6Network) -> Key:
    """A network as a number or an interval of numbers."""
    low, high = int(found.network_address), int(found.broadcast_address)
    return low if low == high else Interval(low=low, high=high)


def address_match(field: Field, text: str, family: str, negated: bool) -> Match:
    """Match an address with a network, also one whose mask is no prefix. Raises Unreadable."""
    operator = UNEQUAL if negated else EQUAL
    listed = text.split(",")
    if len(listed) > 1:
        return Match(left=field, operator=operator, right=Elements((network(each, family), True) for each in listed))
    try:
        return one_of(field, [network(text, family)], negated)
    except Unreadable:
        value, slash, mask = text.partition("/")
        if not slash:
            raise
        bits = _mask(mask, family)
        left = Bits(left=field, operator="&", right=Constant(value=bits))
        return Match(left=left, operator=operator, right=Constant(value=address(value, family) & bits))


def _mask(text: str, family: str) -> int:
    try:
        return int(IPv6Address(text) if family == "ip6" else IPv4Address(text))
    except ValueError:
        raise Unreadable(text) from None


def one_of(field: Field, keys: list[Key], negated: bool) -> Match:
    """Match a field with one value or several."""
    operator = UNEQUAL if negated else EQUAL
    if len(keys) == 1:
        return Match(left=field, operator=operator, right=Constant(value=keys[0]))  # type: ignore[arg-type]
    return Match(left=field, operator=operator, right=Elements((key, True) for key in keys))


def bits_of(text: str, names: dict[str, int]) -> int:
    """Read NAME,NAME,... as bits; ALL and NONE are known. Raises Unreadable."""
    bits = 0
    for name in text.upper().split(","):
        if name == "ALL":
            bits |= 0x3F
        elif name in names:
            bits |= names[name]
        elif name != "NONE":
            raise Unreadable(text)
    return bits
