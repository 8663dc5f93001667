"""The packet that is asked about."""

from __future__ import annotations

from kubeshield_tui.model.record import Record


class Packet(Record, frozen=True):
    """A packet as it meets the host, before the host changes it. None and empty are not known; rules that ask fork."""

    family: str
    """ip or ip6."""
    protocol: str
    """tcp, udp, sctp, icmp, icmpv6, or a number."""
    src: str
    dst: str
    sport: int | None = None
    dport: int | None = None
    iif: str = ""
    oif: str = ""
    hook: str = "input"
    """input and forward arrive over iif, output begins here. Where routes are known they tell input from forward."""
    tcp_flags: tuple[str, ...] | None = None
    """None: those of the leg."""
    ct_state: str = ""
    """Empty: new for the first leg, established for the others."""
    mark: int = 0
    icmp_type: int | None = None
    icmp_code: int | None = None
    id: str = ""
    """The asker's own, handed back."""
