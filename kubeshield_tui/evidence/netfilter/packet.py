"""The packet that is asked about, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.evidence.netfilter.words import CT_STATES, TCP_FLAGS, address, protocol_number
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

HOOKS = ("input", "forward", "output")
KEYS = ("family", "protocol", "src", "sport", "dst", "dport", "iif", "oif", "hook", "tcp_flags", "ct_state", "mark",
        "icmp_type", "icmp_code", "id")  # fmt: skip
FORM = "Expected KEY=VALUE,... with src, dst, and protocol; keys are " + ", ".join(KEYS)
NAME_LIMIT = 15
"""Characters of an interface's name."""


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
    """None: an echo request."""
    icmp_code: int | None = None
    id: str = ""
    """The asker's own, handed back."""


def parse_packet(text: str) -> Packet:
    """Read `src=...,dst=...,protocol=tcp,dport=22`. Raises SettingsError naming the key."""
    told: dict[str, object] = {}
    for part in re.split(r",(?=\s*\w+=)", text.strip()):
        key, equals, value = part.partition("=")
        if not equals:
            raise SettingsError(f"{printable(part)!r} is not KEY=VALUE", FORM)
        if key.strip() in told:
            raise SettingsError(f"{printable(key.strip())} is given twice", FORM)
        told[key.strip()] = value.strip()
    return packet_from(told)


def packet_from(told: Mapping[str, object]) -> Packet:
    """Make a packet of keys and values; null and empty are not given. Raises SettingsError naming the key."""
    given = {key: value for key, value in told.items() if value is not None and value != ""}
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise SettingsError(f"{printable(unknown[0])} is not a key of packets", FORM)
    source, destination = _address("src", given), _address("dst", given)
    family = _family(given, source, destination)
    protocol = _protocol(given, family)
    hook = _word("hook", given, HOOKS, "forward" if "oif" in given and "iif" in given else "input")
    if hook == "output" and "iif" in given:
        raise SettingsError("iif with hook=output: what begins on the host comes by no interface", "Leave iif out")
    return Packet(
        family=family,
        protocol=protocol,
        src=source,
        dst=destination,
        sport=_number("sport", given, 65535),
        dport=_number("dport", given, 65535),
        iif=_interface("iif", given),
        oif=_interface("oif", given),
        hook=hook,
        tcp_flags=_flags(given, protocol),
        ct_state=_word("ct_state", given, tuple(CT_STATES), ""),
        mark=_number("mark", given, 0xFFFFFFFF) or 0,
        icmp_type=_number("icmp_type", given, 255),
        icmp_code=_number("icmp_code", given, 255),
        id=printable(given.get("id", "")),
    )


def _address(key: str, given: Mapping[str, object]) -> str:
    text = str(given.get(key, ""))
    if not text:
        raise SettingsError(f"{key} is missing", FORM)
    if address(text) is None:
        raise SettingsError(f"{key}={printable(text)} is not an address", "Expected an IPv4 or IPv6 address, no name")
    return text


def _family(given: Mapping[str, object], source: str, destination: str) -> str:
    families = {"ip6" if ":" in text else "ip" for text in (source, destination)}
    if len(families) > 1:
        raise SettingsError(f"src={source} and dst={destination} are of two families", "Give two of one family")
    (family,) = families
    told = _word("family", given, ("ip", "ip6"), family)
    if told != family:
        raise SettingsError(f"family={told} beside src={source}", f"That address is of family {family}")
    return family


def _protocol(given: Mapping[str, object], family: str) -> str:
    told = str(given.get("protocol", "")).lower()
    number = protocol_number(told)
    if number is None:
        said = f"protocol={printable(told)} is not a protocol" if told else "protocol is missing"
        raise SettingsError(said, "Expected tcp, udp, sctp, icmp, icmpv6 or a number from 0 to 255")
    return "icmpv6" if told == "icmp" and family == "ip6" else told


def _number(key: str, given: Mapping[str, object], most: int) -> int | None:
    told = given.get(key)
    if told is None:
        return None
    number: int | None = None
    if isinstance(told, int) and not isinstance(told, bool):
        number = told
    elif isinstance(told, str):
        try:
            number = int(told, 0)
        except ValueError:
            number = None
    if number is None or not 0 <= number <= most:
        raise SettingsError(f"{key}={printable(told)}: expected a number from 0 to {most}", FORM)
    return number


def _word(key: str, given: Mapping[str, object], words: tuple[str, ...], otherwise: str) -> str:
    told = str(given.get(key, otherwise)).lower()
    if told and told not in words:
        raise SettingsError(f"{key}={printable(told)}: expected {', '.join(words)}", FORM)
    return told


def _interface(key: str, given: Mapping[str, object]) -> str:
    name = str(given.get(key, ""))
    if len(name) > NAME_LIMIT or "/" in name or any(character.isspace() for character in name):
        raise SettingsError(f"{key}={printable(name)} is not the name of an interface", "As in `ip link`")
    return printable(name)


def _flags(given: Mapping[str, object], protocol: str) -> tuple[str, ...] | None:
    told = given.get("tcp_flags")
    if told is None:
        return None
    if protocol not in {"tcp", "6"}:
        raise SettingsError(f"tcp_flags with protocol={protocol}", "Only TCP has them")
    flags = [str(flag).lower() for flag in told] if isinstance(told, list) else re.split(r"[,|+ ]+", str(told).lower())
    wrong = [flag for flag in flags if flag not in TCP_FLAGS]
    if wrong:
        raise SettingsError(f"tcp_flags={printable(wrong[0])}: expected {', '.join(TCP_FLAGS)}", "Join them with |")
    return tuple(flags)
