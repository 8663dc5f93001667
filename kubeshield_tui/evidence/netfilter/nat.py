"""Address translation: what a rule binds a connection to, and what the binding does to each of its packets."""

from __future__ import annotations

from kubeshield_tui.evidence.netfilter.elements import Interval
from kubeshield_tui.evidence.netfilter.fields import READERS, doubt_about, read
from kubeshield_tui.evidence.netfilter.flow import Connection, End, Flow, Held, Number
from kubeshield_tui.evidence.netfilter.matching import Place, look_up, value
from kubeshield_tui.evidence.netfilter.ruleset import Constant, Doubt, Expression, Mapped, Translate, Unsure
from kubeshield_tui.evidence.netfilter.words import WITH_PORTS, address_text

SOURCE_KINDS = frozenset({"snat", "masquerade"})
SOURCE_HOOKS = frozenset({"input", "postrouting"})
"""Hooks that translate the source of what goes the original way; prerouting and output translate destinations."""
LOOPBACK = {"ip": 0x7F000001, "ip6": 1}


def bind(statement: Translate, at: Place) -> str | None:
    """Bind a connection as a rule says; returns what was done, or `drop`, or None where the rule does not match.

    Empty is nothing: for a packet of the other family a map must have the key all the same, and then nothing is done.
    """
    flow = at.flow
    connection = flow.connection
    if connection is None:
        return None
    end = _target(statement, at)
    if end is None or isinstance(end, str):
        return end
    if statement.family and statement.family != flow.family:
        return ""
    if statement.kind in SOURCE_KINDS:
        connection.to_source = end
        flow.set_source(end)
    else:
        connection.to_destination = end
        flow.set_destination(end)
        if statement.kind == "redirect":
            flow.dst_is_local = True
        connection.stays = flow.dst_is_local
    return f"{statement.kind} to {end_text(end, flow.family, flow.protocol in WITH_PORTS)}"


def bind_somewhere(at: Place, why: Unsure) -> None:
    """Bind the side of a connection that the hook translates to what can't be known."""
    flow, connection = at.flow, at.flow.connection
    assert connection is not None
    end = End(why, why)
    if flow.hook in SOURCE_HOOKS:
        connection.to_source = end
        flow.set_source(end)
    else:
        connection.to_destination = end
        flow.set_destination(end)


def _target(statement: Translate, at: Place) -> End | str | None:
    flow = at.flow
    old = flow.source if statement.kind in SOURCE_KINDS else flow.destination
    address: Number = old.address
    port: Number = old.port
    if statement.kind == "masquerade":
        address = _masquerade(at)
    elif statement.kind == "redirect":
        address = _redirect(at)
        if address is None:
            return "drop"
    elif statement.address is not None:
        told = _address(statement.address, statement.netmap, old.address, at)
        if told is None:
            return None
        address, port = told if isinstance(told, tuple) else (told, port)
    if statement.port is not None and flow.protocol in WITH_PORTS:
        held = value(statement.port, at)
        if held is None:
            return None
        port = held if isinstance(held, int | Unsure) else Unsure(kind=Doubt.MODULE, text="port")
    elif statement.random_port and flow.protocol in WITH_PORTS:
        port = Unsure(kind=Doubt.RANDOM, text="source port drawn")
    return End(address, port)


def _address(expression: Expression, netmap: bool, old: Number, at: Place) -> Number | tuple[Number, Number]:
    if isinstance(expression, Mapped):
        found = look_up(expression.key, expression.data, at)
        if found is None:
            return None
        expression = found
    if netmap and isinstance(expression, Constant) and isinstance(expression.value, Interval):
        low, high = expression.value.low, expression.value.high
        if not isinstance(low, int) or not isinstance(high, int) or not isinstance(old, int):
            return Unsure(kind=Doubt.FIELD, text="netmap")
        return low | (old & (high - low))
    match held := value(expression, at):
        case (int() as address, int() as port):
            return address, port
        case None | int() | Unsure():
            return held
    return Unsure(kind=Doubt.MODULE, text="address")


def _masquerade(at: Place) -> Number:
    flow = at.flow
    if isinstance(flow.oif, str):
        toward = flow.next_hop if flow.next_hop is not None and flow.family == "ip" else flow.daddr
        toward = toward if isinstance(toward, int) else None
        own = at.routing.own_address(flow.family, flow.oif, toward)
        if own is not None:
            return own
    return Unsure(kind=Doubt.ROUTING, text="address of the device it leaves by")


def _redirect(at: Place) -> Number:
    """Return the own address that a redirect leads to: loopback for what begins here, else the first of the device.

    None is a device without one: the kernel drops the packet (nf_nat_redirect).
    """
    flow = at.flow
    if flow.hook == "output":
        return LOOPBACK[flow.family]
    addresses = at.routing.addresses(flow.family, flow.iif) if isinstance(flow.iif, str) else None
    if addresses is None:
        return Unsure(kind=Doubt.ROUTING, text="address of the device it came by")
    return addresses[0] if addresses else None


def is_bound(connection: Connection, hook: str) -> bool:
    """Whether the side that a hook translates has been settled: later nat chains are not asked then."""
    return (connection.to_source if hook in SOURCE_HOOKS else connection.to_destination) is not None


def bind_to_itself(connection: Connection, hook: str) -> None:
    """Settle a side that no rule translated; what rules rewrote themselves is not translated back."""
    if hook in SOURCE_HOOKS:
        connection.to_source = connection.source
    else:
        connection.to_destination = connection.destination


def apply_binding(flow: Flow, connection: Connection, hook: str) -> None:
    """Rewrite a packet as its connection is bound: forth what goes the original way, back what answers."""
    if hook in SOURCE_HOOKS:
        if flow.is_reply and connection.is_dnat:
            flow.set_source(connection.destination)
            flow.src_is_local = connection.dst_is_local
        elif not flow.is_reply and connection.is_snat and connection.to_source is not None:
            flow.set_source(connection.to_source)
    elif flow.is_reply and connection.is_snat:
        flow.set_destination(connection.source)
        flow.dst_is_local = connection.src_is_local
    elif not flow.is_reply and connection.is_dnat and connection.to_destination is not None:
        flow.set_destination(connection.to_destination)
        flow.dst_is_local = connection.stays


def rewrite(name: str, held: Held, at: Place) -> bool:
    """Set a field without conntrack's knowing; returns False for a packet that has no such field."""
    flow = at.flow
    first, _, attribute = name.partition(" ")
    if first not in {"meta", "ct"} and read(name, flow, at.routing) is None:
        return False
    number = held if isinstance(held, int | Unsure) else doubt_about(name)
    if name not in READERS or first in {"meta", "ct"} or attribute not in {"saddr", "daddr", "sport", "dport"}:
        flow.assigned[name] = held
        flow.version += 1
    elif attribute in {"saddr", "sport"}:
        flow.set_source(End(number, flow.sport) if attribute == "saddr" else End(flow.saddr, number))
    else:
        flow.set_destination(End(number, flow.dport) if attribute == "daddr" else End(flow.daddr, number))
    return True


def end_text(end: End, family: str, with_port: bool) -> str:
    """Return address and port as they are written together; `?` for what is not known."""
    address = "?" if not isinstance(end.address, int) else address_text(end.address, family)
    if not with_port:
        return address
    port = end.port if isinstance(end.port, int) else "?"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def nat_text(connection: Connection | None, family: str, with_port: bool) -> dict[str, str] | None:
    """Return what the connection was bound to, None where nothing changes."""
    if connection is None:
        return None
    said = {}
    if connection.is_dnat and connection.to_destination is not None:
        said["dnat"] = end_text(connection.to_destination, family, with_port)
    if connection.is_snat and connection.to_source is not None:
        said["snat"] = end_text(connection.to_source, family, with_port)
    return said or None
