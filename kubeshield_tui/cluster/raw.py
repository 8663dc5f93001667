"""Read fields of raw JSON objects, whatever stands in them: what is not of the kind expected is as good as missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubeshield_tui.model.cluster import Labels
from kubeshield_tui.model.text import printable

Raw = dict[str, Any]

NAME_LIMIT = 253
ADDRESS_LIMIT = 64
"""Longest text of an IP address, with room for what is none."""
LABELS_KEPT = 100
LISTED = 1_000
"""Items kept of one list inside one object: the API server's own limits (1,000 addresses a slice) end here."""


def as_dict(value: Any) -> Raw:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[Raw]:
    """The objects of a list, at most LISTED of them."""
    return [item for item in value[:LISTED] if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any, limit: int = NAME_LIMIT) -> str:
    """The value if it is text, made printable."""
    if not isinstance(value, str):
        return ""
    # Nearly all are clean: a big cluster has a hundred thousand of them.
    return value if len(value) <= limit and value.isprintable() else printable(value, limit)


def texts(value: Any, limit: int = NAME_LIMIT) -> tuple[str, ...]:
    """The texts of a list, each once, none of them empty."""
    return tuple(dict.fromkeys(found for item in as_list(value)[:LISTED] if (found := text(item, limit))))


def number(value: Any, default: int = 0) -> int:
    """The value if it is a port number or 0."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 65536
    return int(value) if good else default


def labels(value: Any) -> Labels:
    """Labels in the order of their keys."""
    pairs = sorted(as_dict(value).items(), key=lambda pair: str(pair[0]))
    return tuple((text(key), text(item)) for key, item in pairs[:LABELS_KEPT])


def names(raw: Raw) -> tuple[str, str]:
    """Namespace and name of an object."""
    metadata = as_dict(raw.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def labels_of(raw: Raw) -> Labels:
    """Labels of an object."""
    return labels(as_dict(raw.get("metadata")).get("labels"))


def addresses(values: Iterable[Any]) -> tuple[str, ...]:
    """Addresses, each once."""
    return tuple(dict.fromkeys(found for value in values if (found := text(value, ADDRESS_LIMIT))))


def protocol(value: Any) -> str:
    """A transport protocol; the API's default is TCP."""
    return text(value, 8) or "TCP"


def balancers(status: Raw) -> tuple[str, ...]:
    """Addresses and names in `loadBalancer.ingress` of a status."""
    listed = objects(as_dict(status.get("loadBalancer")).get("ingress"))
    found = (text(item.get("ip"), ADDRESS_LIMIT) or text(item.get("hostname")) for item in listed)
    return tuple(dict.fromkeys(filter(None, found)))
