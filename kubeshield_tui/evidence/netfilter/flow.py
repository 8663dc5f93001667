"""A packet on its way through a host: what changes as it passes, and the connection that it belongs to."""

from __future__ import annotations

from kubeshield_tui.evidence.netfilter.elements import Value
from kubeshield_tui.evidence.netfilter.ruleset import Unsure
from kubeshield_tui.evidence.netfilter.words import INVALID, ORIGINAL, REPLY

Held = Value | Unsure | None
"""What a field holds: a value, one that can't be known, or nothing at all (the packet has no such field)."""
Number = int | Unsure | None
Name = str | Unsure


class End:
    """One side of a connection: address and port. Two are the same only where both are known and equal."""

    __slots__ = ("address", "port")

    def __init__(self, address: Number, port: Number) -> None:
        self.address = address
        self.port = port

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, End) or isinstance(self.address, Unsure) or isinstance(other.address, Unsure):
            return False
        same_port = self.port is other.port or (not isinstance(self.port, Unsure) and self.port == other.port)
        return self.address == other.address and same_port

    __hash__ = None  # type: ignore[assignment]

    def may_be(self, other: End) -> bool:
        """Whether the two could be the same, as far as is known."""
        pairs = ((self.address, other.address), (self.port, other.port))
        return all(isinstance(own, Unsure) or isinstance(its, Unsure) or own == its for own, its in pairs)


class Connection:
    """What conntrack knows: the two ends as the first packet had them and as translation made them."""

    __slots__ = (
        "confirmed",
        "destination",
        "dst_is_local",
        "mark",
        "seen_reply",
        "source",
        "src_is_local",
        "stays",
        "to_destination",
        "to_source",
    )

    def __init__(self, flow: Flow) -> None:
        self.source = flow.source
        self.destination = flow.destination
        self.src_is_local = flow.src_is_local
        self.dst_is_local = flow.dst_is_local
        self.to_source: End | None = None
        """Where the source was translated to; None while no binding was made at all."""
        self.to_destination: End | None = None
        self.stays: bool | None = None
        """Whether the translated destination is this host's own."""
        self.mark: Number = 0
        self.confirmed = False
        self.seen_reply = False

    @property
    def is_dnat(self) -> bool:
        """Whether the destination was changed: a translation to what it was does not count as one."""
        return self.to_destination is not None and self.to_destination != self.destination

    @property
    def is_snat(self) -> bool:
        """Whether the source was changed."""
        return self.to_source is not None and self.to_source != self.source


class Flow:
    """One packet. Interfaces are those that the present hook sees; empty text is none."""

    __slots__ = (
        "assigned",
        "assured",
        "connection",
        "daddr",
        "dport",
        "dst_is_local",
        "family",
        "flags",
        "hook",
        "icmp_code",
        "icmp_type",
        "iif",
        "is_reply",
        "leg",
        "mark",
        "next_hop",
        "oif",
        "protocol",
        "saddr",
        "sport",
        "src_is_local",
        "state",
        "told_state",
        "version",
        "way",
    )

    def __init__(self, leg: str, family: str, protocol: int, source: End, destination: End) -> None:
        self.leg = leg
        self.family = family
        self.protocol = protocol
        self.saddr: Number = source.address
        self.sport: Number = source.port
        self.daddr: Number = destination.address
        self.dport: Number = destination.port
        self.iif: Name = ""
        self.oif: Name = ""
        self.way: Name = ""
        """The device that the routes chose; hooks before the next routing still see `oif`."""
        self.next_hop: int | None = None
        """The gateway that the routes chose; None: none, or not known."""
        self.hook = ""
        self.mark: Number = 0
        self.flags: Number = None
        self.icmp_type: Number = None
        self.icmp_code: Number = None
        self.is_reply = False
        self.src_is_local: bool | None = None
        self.dst_is_local: bool | None = None
        """Whether the address is this host's, as the question says it; None where only addresses could tell."""
        self.connection: Connection | None = None
        self.state = INVALID
        """Bits as `ct state` has them: before conntrack saw the packet that is `invalid`."""
        self.told_state = 0
        """The conntrack state that the question gives; 0: none, conntrack finds out."""
        self.assured = False
        self.assigned: dict[str, Held] = {}
        """Fields that rules have set and that have no place of their own here."""
        self.version = 0
        """Counts changes of the packet: what is unknown before one need not be the same after it."""

    @property
    def direction(self) -> int:
        """As `ct direction` has it."""
        return REPLY if self.is_reply else ORIGINAL

    @property
    def source(self) -> End:
        """Where the packet says that it comes from."""
        return End(self.saddr, self.sport)

    @property
    def destination(self) -> End:
        """Where the packet says that it goes."""
        return End(self.daddr, self.dport)

    def set_source(self, end: End) -> None:
        """Rewrite the source."""
        if end != self.source:
            self.src_is_local = None
        self.saddr, self.sport = end.address, end.port
        self.version += 1

    def set_destination(self, end: End) -> None:
        """Rewrite the destination."""
        if end != self.destination:
            self.dst_is_local = None
        self.daddr, self.dport = end.address, end.port
        self.version += 1
