"""Our listing of connections beside that of network-config-analyzer, end by end and port by port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from kubeshield_tui.evidence.netpol.connectivity import connectivity
from kubeshield_tui.evidence.netpol.manifests import Reading
from kubeshield_tui.evidence.netpol.profile import Profile

PORTS = 65535
TRANSPORTS = ("TCP", "UDP", "SCTP")
Ports = dict[str, tuple[tuple[int, int], ...]]
"""Protocol -> ranges."""
Listing = list[tuple[str, str, Ports]]
"""Source, destination, ports; an end is a pod or ranges of addresses."""
EVERYTHING: Ports = dict.fromkeys(TRANSPORTS, ((1, PORTS),))
_CUBE = re.compile(r"\{protocols:([A-Z, ]+?)(?:,dst_ports:([0-9,-]+))?\}")
_LINE = re.compile(r"(?P<source>\S+) => (?P<destination>\S+) : (?P<ports>.+)")
PROFILE = Profile(ipblock_matches_pods=False)
"""The choice that the independent evaluator has made."""


class Difference(NamedTuple):
    """One pair about which the two disagree."""

    source: str
    destination: str
    ours: Ports
    theirs: Ports


def our_listing(objects: list[dict[str, Any]]) -> Listing:
    """What we say of the objects of an estate."""
    reading = Reading()
    for item in objects:
        reading.take(json.dumps(item), "estate.json")
    if reading.problems:
        raise AssertionError([problem.text for problem in reading.problems])
    world = reading.world()
    world.profile = PROFILE
    found: Listing = []
    for item in connectivity(world):
        if item.unknown:
            raise AssertionError(f"{item.source} -> {item.destination}: unknown")
        found.append((item.source, item.destination, {ports.protocol: ports.ranges for ports in item.allowed}))
    return found


def their_listing(text: str) -> Listing:
    """What the other's output says. Raises ValueError for a line that is not understood."""
    found: Listing = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match:
            ends = (match[name].removesuffix("[Pod]") for name in ("source", "destination"))
            source, destination = ends
            found.append((source, destination, _their_ports(match["ports"])))
        elif " => " in line:
            raise ValueError(f"not understood: {line}")
    return found


def _their_ports(text: str) -> Ports:
    if text == "All connections":
        return EVERYTHING
    found: dict[str, list[tuple[int, int]]] = {}
    for protocols, ports in _CUBE.findall(text):
        for protocol in protocols.split(","):
            found.setdefault(protocol.strip(), []).extend(_ranges(ports) if ports else [(1, PORTS)])
    if not found or _CUBE.sub("", text).strip(" ,"):
        raise ValueError(f"not understood: {text}")
    return {protocol: _merged(ranges) for protocol, ranges in found.items() if protocol in TRANSPORTS}


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield max(int(first), 1), int(last or first)


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def differences(objects: list[dict[str, Any]], theirs: Listing) -> Iterator[Difference]:
    """Every pair of ends about which the two listings disagree; addresses outside stand for the ranges they are in."""
    pods = [_name(item) for item in objects if item["kind"] == "Pod"]
    ends = [*pods, *_outside(objects)]
    ours = _by_pair(our_listing(objects), ends)
    other = _by_pair(theirs, ends)
    for source in ends:
        for destination in ends:
            pair = (source, destination)
            if source != destination and (source in pods or destination in pods) and ours.get(pair) != other.get(pair):
                yield Difference(source, destination, ours.get(pair, {}), other.get(pair, {}))


def _name(item: dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _outside(objects: list[dict[str, Any]]) -> list[str]:
    """Addresses on both sides of every bound of every range that a policy names."""
    bounds = {0}
    for text in re.findall(r"\"(\d+\.\d+\.\d+\.\d+/\d+)\"", json.dumps(objects)):
        network = ip_network(text)
        first, last = int(network.network_address), int(network.broadcast_address)
        bounds |= {first, last, max(first - 1, 0), min(last + 1, 2**32 - 1)}
    return [str(ip_address(value)) for value in sorted(bounds)]


def _by_pair(listing: Listing, ends: list[str]) -> dict[tuple[str, str], Ports]:
    found: dict[tuple[str, str], dict[str, list[tuple[int, int]]]] = {}
    for source, destination, ports in listing:
        for one in _held(source, ends):
            for other in _held(destination, ends):
                for protocol, ranges in ports.items():  # one line may say TCP, the next UDP
                    found.setdefault((one, other), {}).setdefault(protocol, []).extend(map(_pair, ranges))
    return {pair: {protocol: _merged(ranges) for protocol, ranges in ports.items()} for pair, ports in found.items()}


def _pair(limits: Sequence[int]) -> tuple[int, int]:
    first, last = limits
    return first, last


def _held(text: str, ends: list[str]) -> list[str]:
    """The ends that a name, or ranges, stand for."""
    if "/" in text:
        return [text]
    ranges = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = ip_address(first), ip_address(last or first)
        if low.version == 4:
            ranges.append((int(low), int(high)))
    values = [(end, int(ip_address(end))) for end in ends if "/" not in end]
    return [end for end, value in values if any(low <= value <= high for low, high in ranges)]
