"""A packet's way through a host: hooks in order, conntrack and translation at their places, routing in between."""

from __future__ import annotations

from kubeshield_tui.evidence.netfilter.flow import Connection, Flow, Name
from kubeshield_tui.evidence.netfilter.nat import apply_binding, bind_to_itself, is_bound
from kubeshield_tui.evidence.netfilter.program import Base
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from kubeshield_tui.evidence.netfilter.walk import Final, Walk
from kubeshield_tui.evidence.netfilter.ways import Ways
from kubeshield_tui.evidence.netfilter.words import (
    ACK,
    ESTABLISHED,
    FIN,
    INVALID,
    NEW,
    RELATED,
    RST,
    SYN,
    TCP,
    UDP,
    UNTRACKED,
)

CONNTRACK = -200
NAT = {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}
"""Where the kernel translates, whatever priority a chain of type nat has."""
TRACKED_HOOKS = frozenset({"prerouting", "output"})
MAIN_HOOKS = frozenset({"input", "forward", "output"})


class Journey:
    """Takes the packets of one connection through the host, one after the other."""

    def __init__(self, walk: Walk, ways: Ways) -> None:
        self.walk = walk
        self.ways = ways
        self._translates = walk.program.translates(ways.packet.family)
        self.connection: Connection | None = None
        """What conntrack remembers between packets."""
        self.accepted: list[Final] = []
        """What the chains of input, forward and output said in favour of the present packet."""
        self.is_delivered = False
        """Whether a packet was for this host itself: the answer to it then begins here."""

    def take(self, flow: Flow, *, begins_here: bool) -> Final | None:
        """Take one packet through; returns what stops it, None where nothing does."""
        self.walk.flow = flow
        self.accepted = []
        return self._leave(flow) if begins_here else self._arrive(flow)

    # --- ways

    def _leave(self, flow: Flow) -> Final | None:
        stopped = self.ways.out(flow, self.walk)
        if stopped is not None:
            return stopped
        flow.iif, flow.oif = "", flow.way
        stopped = self._hook(flow, "output") or self._post(flow)
        if stopped is not None:
            return stopped
        if flow.way == "lo":
            flow.iif, flow.dst_is_local = "lo", True
            return self._arrive(flow)
        return None

    def _arrive(self, flow: Flow) -> Final | None:
        flow.oif = ""
        stopped = self._hook(flow, "ingress") or self._hook(flow, "prerouting")
        if stopped is not None:
            return stopped
        way = self.ways.into(flow, self.walk)
        if isinstance(way, Final):
            return way
        if way == "input":
            self.is_delivered = True
            return self._hook(flow, "input") or self._confirm(flow)
        flow.oif = flow.way
        return self._hook(flow, "forward") or self._post(flow)

    def _post(self, flow: Flow) -> Final | None:
        flow.oif = flow.way
        return self._hook(flow, "postrouting") or self._confirm(flow) or self._hook(flow, "egress")

    def _confirm(self, flow: Flow) -> Final | None:
        """Let conntrack keep the connection: nothing dropped the packet that began it."""
        if flow.connection is not None:
            flow.connection.confirmed = True
            self.connection = flow.connection
        return None

    # --- hooks

    def _hook(self, flow: Flow, hook: str) -> Final | None:
        flow.hook = hook
        program = self.walk.program
        tracks = hook in TRACKED_HOOKS
        translates = hook in NAT and self._translates
        for base in program.chains(flow.family, hook, nat=False):
            if tracks and base.chain.priority > CONNTRACK:
                self._track(flow)
            if translates and self._is_behind_translation(flow, base, NAT[hook]):
                translates = False
                stopped = self._translate(flow, hook)
                if stopped is not None:
                    return stopped
            if base.chain.devices and not self._on_device(base, flow, hook):
                continue
            stopped = self._filter(flow, base)
            if stopped is not None:
                return stopped
        if tracks:
            self._track(flow)
        if translates:
            stopped = self._translate(flow, hook)
            if stopped is not None:
                return stopped
        return None

    def _is_behind_translation(self, flow: Flow, base: Base, place: int) -> bool:
        """Whether a chain runs behind translation. At its very priority what was made last runs first, and when the
        kernel began to translate shows nowhere."""
        if base.chain.priority < place:
            return False
        if base.chain.priority > place:
            return True
        where = f"{base.table.family} {base.table.name} {base.chain.name}"
        options = tuple(f"at the priority of translation it runs {word} it" for word in ("before", "behind"))
        return self.walk.forks.choose(Doubt.MISSING, where, options, same=("place", where)) == 1

    def _filter(self, flow: Flow, base: Base) -> Final | None:
        before = (flow.mark, flow.daddr, flow.saddr)
        final = self.walk.base(base)
        if final.kind != "accept":
            return final
        if flow.hook in MAIN_HOOKS:
            self.accepted.append(final)
        if base.chain.type == "route" and before != (flow.mark, flow.daddr, flow.saddr):
            return self.ways.out(flow, self.walk)
        return None

    def _on_device(self, base: Base, flow: Flow, hook: str) -> bool:
        device: Name = flow.iif if hook == "ingress" else flow.oif
        return isinstance(device, Unsure) or device in base.chain.devices

    def _translate(self, flow: Flow, hook: str) -> Final | None:
        connection = flow.connection
        if connection is None:
            return None
        before = flow.destination
        if is_bound(connection, hook) or not flow.state & (NEW | RELATED):
            apply_binding(flow, connection, hook)
        else:
            stopped = self._bind(flow, connection, hook)
            if stopped is not None:
                return stopped
        if hook == "output" and flow.destination != before:
            return self.ways.out(flow, self.walk)
        return None

    def _bind(self, flow: Flow, connection: Connection, hook: str) -> Final | None:
        """Ask the chains that translate, up to the first that does; what none of them translates stays what it is."""
        for base in self.walk.program.chains(flow.family, hook, nat=True):
            final = self.walk.base(base)
            if final.kind != "accept":
                return final
            if is_bound(connection, hook):
                return None
        bind_to_itself(connection, hook)
        return None

    # --- conntrack

    def _track(self, flow: Flow) -> None:
        """Tell whose connection a packet is of; again, it comes to the same."""
        if flow.connection is not None or flow.state == UNTRACKED:
            return
        if not self.walk.program.tracks(flow.family):
            return
        known = self.connection
        if flow.told_state:
            if flow.told_state != INVALID:
                flow.connection = Connection(flow)
                flow.state = flow.told_state
            return
        if known is None:
            if _begins(flow):
                flow.connection = Connection(flow)
                flow.is_reply = False
                flow.state = NEW
            return
        if flow.is_reply:
            known.seen_reply = True
        elif not known.seen_reply and flow.protocol == TCP:
            return  # an ACK to an answer that conntrack was kept from seeing
        flow.connection = known
        flow.state = ESTABLISHED
        flow.assured = flow.leg == "ack"


def _begins(flow: Flow) -> bool:
    """Whether conntrack takes a packet for the first of a connection; TCP in the middle of one too, but for resets."""
    if flow.protocol == TCP:
        flags = flow.flags if isinstance(flow.flags, int) else SYN
        if flags & (RST | FIN):
            return False
        return flags & (SYN | ACK) in {SYN, ACK}
    return flow.protocol == UDP or flow.leg == "syn"
