"""What can be asked at all: IP literals and host names, in one form each, and where they mean the same thing."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from kubeshield_tui.model.endpoint import Endpoint, Scope

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_NAME_LIMIT = 253


class Place(NamedTuple):
    """What a probe is sent to. Two endpoints at one place are one."""

    host: str
    port: int
    protocol: str


def place_of(endpoint: Endpoint) -> Place:
    """Where an endpoint is."""
    return Place(endpoint.host, endpoint.port, endpoint.protocol)


@lru_cache(maxsize=16_384)
def host_of(text: str) -> str:
    """An IP literal or an RFC 1123 name in its one form; empty for everything else.

    A scope id (`fe80::1%eth0`) names another interface on every vantage, so it is no host.
    """
    address = address_of(text)
    if address is not None:
        return str(address) if "%" not in text else ""
    name = text.lower()
    good = _NAME.fullmatch(name) and len(name) <= _NAME_LIMIT and not name.replace(".", "").isdigit()
    return name if good else ""


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address of an IP literal, None for a name. An IPv4 address in IPv6 clothes is the IPv4 address."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def reach_of(host: str) -> Scope:
    """Where a host means the same thing: loopback and link-local addresses are others on every machine."""
    address = address_of(host)
    if address is None:
        return Scope.NODE if host == "localhost" else Scope.GLOBAL
    return Scope.NODE if address.is_loopback or address.is_link_local else Scope.GLOBAL


def unaskable(text: str) -> str:
    """Why an address that an object names is not asked; empty if it can be."""
    host = host_of(text)
    if not host:
        return "neither an IP address nor a host name"
    address = address_of(host)
    if reach_of(host) is Scope.NODE:
        return "a loopback or link-local address: another target on every node"
    if address is not None and (address.is_unspecified or address.is_multicast):
        return "not the address of one host"
    return ""
