"""The packets of a connection that is asked about: the first as given, the answer, and the first one after it."""

from __future__ import annotations

from collections.abc import Sequence

from kubeshield_tui.evidence.netfilter.flow import Connection, End, Flow, Name, Number
from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.result import LEGS
from kubeshield_tui.evidence.netfilter.routing import Ask, Decision, Routing
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from kubeshield_tui.evidence.netfilter.words import (
    ACK,
    CT_STATES,
    ICMP,
    ICMP6,
    SYN,
    TCP,
    TCP_FLAGS,
    UNTRACKED,
    address,
    protocol_number,
)

ECHO = {ICMP: (8, 0), ICMP6: (128, 129)}
"""Types of an echo request and its reply, by protocol."""
FLAGS = {"syn": SYN, "syn-ack": SYN | ACK, "ack": ACK}


class Question:
    """What is asked, as flows. A packet that nothing answers, or not the first of a connection, is judged alone."""

    def __init__(self, packet: Packet, routing: Routing, legs: Sequence[str]) -> None:
        self.packet = packet
        self.routing = routing
        number = protocol_number(packet.protocol)
        self.protocol = 255 if number is None else number
        flags = packet.tcp_flags
        alone = packet.ct_state not in {"", "new"} or (flags is not None and set(flags) != {"syn"})
        request = ECHO.get(self.protocol, (packet.icmp_type,))[0]
        alone = alone or packet.icmp_type not in {None, request}
        asked = LEGS[:1] if alone else LEGS[: LEGS.index(legs[-1]) + 1]
        self.legs: Sequence[str] = asked if self.protocol == TCP else asked[:2]
        """All legs up to the last that was asked for; only TCP has a third."""

    def first(self, leg: str = "syn") -> Flow:
        """Return the packet that is asked about, or a later one that goes its way."""
        packet = self.packet
        flow = Flow(leg, packet.family, self.protocol, *self._ends())
        flow.mark = packet.mark
        flow.src_is_local = packet.hook == "output"
        if packet.hook != "output" and not self.routing.knows(packet.family):
            flow.dst_is_local = packet.hook == "input"
        flow.iif = "" if packet.hook == "output" else packet.iif or self._likely_device(flow)
        self._set_header(flow, leg)
        if leg == "syn" and packet.ct_state:
            self._set_state(flow)
        return flow

    def answer(self, sent: Flow, connection: Connection | None, *, begins_here: bool) -> Flow:
        """Return the answer to a packet as it arrived at the far end, which may be this host."""
        flow = Flow("syn-ack", sent.family, sent.protocol, sent.destination, sent.source)
        flow.is_reply = True
        flow.src_is_local = begins_here
        if self.packet.hook == "output":
            flow.dst_is_local = True
        elif connection is not None and connection.is_snat:
            flow.dst_is_local = True
        else:
            flow.dst_is_local = False
        flow.iif = "" if begins_here else sent.way
        self._set_header(flow, "syn-ack")
        return flow

    def _ends(self) -> tuple[End, End]:
        packet = self.packet
        return (
            End(_known(address(packet.src), "src"), _known(packet.sport, "sport")),
            End(_known(address(packet.dst), "dst"), _known(packet.dport, "dport")),
        )

    def _set_header(self, flow: Flow, leg: str) -> None:
        packet = self.packet
        if flow.protocol == TCP:
            flow.flags = FLAGS[leg]
            if packet.tcp_flags is not None and leg == "syn":
                flow.flags = sum({TCP_FLAGS[flag] for flag in packet.tcp_flags})
        elif flow.protocol in ECHO:
            request, reply = ECHO[flow.protocol]
            asked = request if packet.icmp_type is None else packet.icmp_type
            flow.icmp_type = asked if not flow.is_reply else reply
            flow.icmp_code = packet.icmp_code or 0

    def _set_state(self, flow: Flow) -> None:
        """Give a packet the conntrack state that it is said to have."""
        state = CT_STATES[self.packet.ct_state]
        if state == UNTRACKED:
            flow.state = UNTRACKED
        flow.told_state = state

    def _likely_device(self, flow: Flow) -> Name:
        """Return the device that a packet most likely came by: the one that leads back to its source."""
        if self.routing.knows(self.packet.family) and isinstance(flow.saddr, int):
            back = self.routing.decide(Ask(family=flow.family, destination=flow.saddr))
            if isinstance(back, Decision) and back.kind == "unicast" and len(back.hops) == 1:
                return back.hops[0].device
            if isinstance(back, Decision) and back.kind == "local":
                return "lo"
        return Unsure(kind=Doubt.FIELD, text="iif")


def _known(number: int | None, name: str) -> Number:
    return Unsure(kind=Doubt.FIELD, text=name) if number is None else number
