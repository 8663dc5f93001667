"""Parts that policies of every API share: names, label selectors, address ranges, port names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from kubeshield_tui.evidence.netpol.fields import Cursor
from kubeshield_tui.evidence.netpol.policy import Block, ObjectKey, Operator, Requirement, Selector
from kubeshield_tui.model.text import printable

DEFAULT_NAMESPACE = "default"
"""Namespace of an object that names none, as kubectl has it unless told otherwise."""
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9]|-(?!-)){0,13}[a-z0-9]?")
_WITH_VALUES = frozenset({Operator.IN, Operator.NOT_IN})


def named(whole: Cursor, kind: str, *, namespaced: bool) -> ObjectKey:
    """The identity of an object. Raises FieldError."""
    metadata = whole.get("metadata")
    name = metadata.get("name").object_name()
    if not namespaced:
        return ObjectKey(kind=kind, namespace="", name=name)
    namespace = metadata.get("namespace")
    given = DEFAULT_NAMESPACE if namespace.is_empty else namespace.namespace_name()
    return ObjectKey(kind=kind, namespace=given, name=name)


def selector_of(at: Cursor | None) -> Selector:
    """A label selector; one that is absent selects everything. Raises FieldError."""
    if at is None or at.is_absent:
        return Selector()
    fields = at.fields({"matchLabels", "matchExpressions"})
    requirements = []
    if "matchLabels" in fields:
        labels = fields["matchLabels"].labels()
        requirements += [
            Requirement(key=key, operator=Operator.IN, values=(value,)) for key, value in sorted(labels.items())
        ]
    if "matchExpressions" in fields:
        requirements += [_expression(item) for item in fields["matchExpressions"].items()]
    return Selector(requirements=tuple(requirements))


def _expression(at: Cursor) -> Requirement:
    fields = at.fields({"key", "operator", "values"})
    if "key" not in fields:
        raise at.refuse("key is missing")
    if "operator" not in fields:
        raise at.refuse("operator is missing")
    operator = Operator(fields["operator"].one_of(list(Operator)))
    values = [item.label_value() for item in fields["values"].items()] if "values" in fields else []
    if operator in _WITH_VALUES and not values:
        raise at.refuse(f"operator {operator} needs values")
    if operator not in _WITH_VALUES and values:
        raise at.refuse(f"operator {operator} takes no values")
    return Requirement(key=fields["key"].label_key(), operator=operator, values=tuple(dict.fromkeys(values)))


def block_of(cidr: Cursor, excepted: Sequence[Cursor] = ()) -> Block:
    """An address range with its exceptions. Raises FieldError."""
    network = _network(cidr)
    ranges = []
    for item in excepted:
        inner = _network(item)
        if inner.version != network.version or not _is_within(inner, network):
            raise item.refuse(f"{inner} is not a part of {network}")
        ranges.append(inner)
    text = str(network) + (f" except {', '.join(map(str, ranges))}" if ranges else "")
    return Block(
        text=text,
        version=network.version,
        first=int(network.network_address),
        last=int(network.broadcast_address),
        excepted=tuple((int(inner.network_address), int(inner.broadcast_address)) for inner in ranges),
    )


def _is_within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    """A strict part, as the API server asks for: an exception of everything is refused."""
    return inner.prefixlen > outer.prefixlen and inner.network_address in outer


def _network(at: Cursor) -> IPv4Network | IPv6Network:
    text = at.text()
    try:
        if "/" not in text or text != text.strip():
            raise ValueError
        # Bits behind the prefix are masked, as the API server does it.
        network = ip_network(text, strict=False)
    except ValueError:
        raise at.refuse(f"{printable(text, 60)!r} is no CIDR such as 10.0.0.0/8 or 2001:db8::/32") from None
    if "%" in text or (isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None):
        raise at.refuse(f"{printable(text, 60)!r}: write an IPv4 range as IPv4, and no scope")
    if not text.partition("/")[2].isdecimal():
        raise at.refuse(f"{printable(text, 60)!r}: write the length of the prefix after the slash")
    return network


def port_name(at: Cursor) -> str:
    """The name of a container's port. Raises FieldError."""
    text = at.text()
    if text.isdecimal():
        raise at.refuse(f"{text!r} in quotes is a name, and no name has digits only; write it without quotes")
    if not _PORT_NAME.fullmatch(text):
        raise at.refuse(f"{printable(text, 40)!r} is no port name: at most 15 of a-z, 0-9 and single dashes")
    return text
