"""Routing of a packet on its way: delivered here, sent on, or refused, by the host's routes or by what was asked."""

from __future__ import annotations

from kubeshield_tui.evidence.netfilter.flow import Flow, Name
from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.routing import Ask, Decision, Routing
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from kubeshield_tui.evidence.netfilter.walk import Final, Walk
from kubeshield_tui.evidence.netfilter.words import address_text

LOCAL_KINDS = frozenset({"local", "broadcast", "multicast", "anycast"})
REFUSALS = {
    "none": ("icmp-net-unreachable", "icmpv6-no-route"),
    "unreachable": ("icmp-host-unreachable", "icmpv6-no-route"),
    "prohibit": ("icmp-admin-prohibited", "icmpv6-admin-prohibited"),
}
"""How the kernel answers what it can't route; a blackhole does not answer."""
ANSWER = "syn-ack"
"""The leg that goes the other way; conntrack may take its packet for the first of a connection of its own."""
STRICT = 1
"""Value of rp_filter; 2 asks only that there be a way back."""


class Ways:
    """Routes the packets of one connection."""

    def __init__(self, routing: Routing, packet: Packet) -> None:
        self.routing = routing
        self.packet = packet
        self.came_by: Name = ""
        """The device that the first packet came by: where routes are not known, its answer leaves by it."""

    def out(self, flow: Flow, walk: Walk) -> Final | None:
        """Route what begins on the host; again where its destination or mark was changed."""
        decision = self._decide(flow)
        if isinstance(decision, Unsure):
            self._out_as_asked(flow, walk, decision)
            return None
        if decision.kind in {"local", "anycast"}:
            flow.way, flow.next_hop = "lo", None
            return None
        return self._send(decision, flow, walk)

    def into(self, flow: Flow, walk: Walk) -> str | Final:
        """Route what arrived: input, forward, or what stops it."""
        refused = self._refused_source(flow, walk)
        if refused is not None:
            return refused
        decision = self._decide(flow)
        if isinstance(decision, Unsure):
            return self._as_asked(flow, walk, decision)
        if decision.kind in LOCAL_KINDS:
            return "input"
        if not self._forwards(flow, walk):
            return Final("drop", None, walk.note("forwarding is off"))
        return self._send(decision, flow, walk) or "forward"

    # --- where to

    def _decide(self, flow: Flow) -> Decision | Unsure:
        daddr = flow.daddr
        asked_to_stay = flow.dst_is_local or flow.iif == "lo"
        if asked_to_stay and not (self.routing.knows(flow.family) and isinstance(daddr, int)):
            return Decision(kind="local", text="this host")
        if not isinstance(daddr, int):
            return Unsure(kind=Doubt.ROUTING, text="a destination that is not known")
        if self.routing.knows(flow.family):
            source = flow.saddr if isinstance(flow.saddr, int) else None
            mark = flow.mark if isinstance(flow.mark, int) else None
            iif = None if isinstance(flow.iif, Unsure) else flow.iif
            return self.routing.decide(Ask(family=flow.family, destination=daddr, source=source, mark=mark, iif=iif))
        is_loopback = daddr >> 24 == 127 if flow.family == "ip" else daddr == 1
        if is_loopback or self.routing.is_local(flow.family, daddr):
            return Decision(kind="local", text="an address of this host")
        if flow.dst_is_local is False:
            return Decision(kind="unicast")
        return Unsure(kind=Doubt.ROUTING, text=f"way to {address_text(daddr, flow.family)}")

    def _as_asked(self, flow: Flow, walk: Walk, doubt: Unsure) -> str:
        flow.way = self._asked_device(flow)
        if self.packet.hook == "forward" and (self.packet.oif or flow.leg == ANSWER):
            return "forward"  # the asker knows that it leaves again
        options = (f"{doubt.text}: forwarded", f"{doubt.text}: delivered here")
        return ("forward", "input")[walk.choose(doubt.kind, doubt.text, options, same=("way", flow.daddr))]

    def _out_as_asked(self, flow: Flow, walk: Walk, doubt: Unsure) -> None:
        """Leave by the device that was asked about; after translation it may be another, or none at all."""
        flow.way = self._asked_device(flow)
        connection = flow.connection
        if flow.hook == "output" and connection is not None and connection.is_dnat:
            options = (f"{doubt.text}: sent out", f"{doubt.text}: an address of this host")
            stays = walk.choose(doubt.kind, doubt.text, options, same=("way", flow.daddr)) == 1
            flow.way = "lo" if stays else Unsure(kind=Doubt.ROUTING, text="device that it leaves by")

    def _asked_device(self, flow: Flow) -> Name:
        if flow.leg == ANSWER:
            return self.came_by or Unsure(kind=Doubt.ROUTING, text="device that the answer leaves by")
        return self.packet.oif or Unsure(kind=Doubt.ROUTING, text="device that it leaves by")

    def _send(self, decision: Decision, flow: Flow, walk: Walk) -> Final | None:
        if decision.kind in REFUSALS:
            answer = REFUSALS[decision.kind][flow.family == "ip6"]
            return Final("reject", answer, walk.note(decision.text or decision.kind))
        if decision.kind not in {"unicast", "broadcast", "multicast"}:
            return Final("drop", None, walk.note(decision.text or decision.kind))
        hops = decision.hops
        if not hops:
            flow.way = self._asked_device(flow)
            return None
        at = 0
        if len(hops) > 1:
            options = tuple(f"one of {len(hops)} next hops: over {hop.device}" for hop in hops)
            at = walk.choose(Doubt.RANDOM, decision.text, options, same=("way", flow.leg == ANSWER, decision.text))
        flow.way, flow.next_hop = hops[at].device, hops[at].gateway
        return None

    # --- whether at all

    def _forwards(self, flow: Flow, walk: Walk) -> bool:
        names = ["net.ipv6.conf.all.forwarding"]
        if flow.family == "ip":
            names = [f"net.ipv4.conf.{flow.iif}.forwarding", "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"]
        said = next((value for name in names if (value := self.routing.setting(name)) is not None), None)
        if said is not None:
            return said != 0
        if self.packet.hook != "forward" and self.routing.knows(flow.family):
            name = names[1] if flow.family == "ip" else names[0]
            walk.choose(Doubt.ROUTING, name, (f"{name} was not collected: taken for on",), same=name)
        return True

    def _refused_source(self, flow: Flow, walk: Walk) -> Final | None:
        """Drop what IPv4 calls a martian, and what came by another device than the way back leads to (rp_filter)."""
        iif, source, target = flow.iif, flow.saddr, flow.daddr
        if flow.family != "ip" or iif == "lo" or not isinstance(iif, str) or not isinstance(source, int):
            return None
        if source >> 24 == 127 or (isinstance(target, int) and target >> 24 == 127):
            if not self._setting(f"route_localnet of {iif}", "route_localnet", iif, walk):
                return Final("drop", None, walk.note(f"martian: a loopback address over {iif}"))
            return None
        if self.routing.is_local("ip", source):
            if not self._setting(f"accept_local of {iif}", "accept_local", iif, walk):
                return Final("drop", None, walk.note(f"martian: an own address as source over {iif}"))
            return None
        if not self.routing.knows(flow.family):
            return None
        back = self.routing.decide(Ask(family="ip", destination=source, iif=""))
        if isinstance(back, Unsure) or (back.kind == "unicast" and any(hop.device == iif for hop in back.hops)):
            return None
        mode = self._setting(f"rp_filter of {iif}", "rp_filter", iif, walk)
        if mode == STRICT or (mode and back.kind != "unicast"):
            return Final("drop", None, walk.note(f"rp_filter: the way back to the source is not over {iif}"))
        return None

    def _setting(self, shown: str, name: str, device: str, walk: Walk) -> int:
        """Return an IPv4 setting of a device: the greater of its own and that of all; a fork where not collected."""
        found = [
            value
            for place in ("all", device)
            if (value := self.routing.setting(f"net.ipv4.conf.{place}.{name}")) is not None
        ]
        if found:
            return max(found)
        options = (f"{shown} was not collected: off", f"{shown} was not collected: on")
        return walk.choose(Doubt.ROUTING, shown, options, same=shown)
