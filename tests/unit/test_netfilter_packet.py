"""How a packet is asked for: what is taken, what is left open, and what is refused with the key named."""

from __future__ import annotations

import pytest

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.evidence.netfilter.packet import Packet, packet_from, parse_packet
from tests.unit.firewall import SSH

ENDS = {"src": "192.0.2.1", "dst": "198.51.100.1", "protocol": "tcp"}


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        ("sport", "0", 0), ("sport", "65535", 65535), ("dport", 22, 22), ("dport", "0x16", 22),
        ("dport", "65535", 65535), ("family", "ip", "ip"),
        ("mark", "0xffffffff", 0xFFFFFFFF), ("mark", 0, 0), ("icmp_type", "255", 255), ("icmp_type", 0, 0),
        ("icmp_code", "255", 255), ("iif", "fifteen-letters", "fifteen-letters"), ("oif", "eth1.7@x", "eth1.7@x"),
        ("hook", "OUTPUT", "output"), ("ct_state", "Established", "established"), ("id", 7, "7"),
        ("tcp_flags", "SYN|ack", ("syn", "ack")), ("tcp_flags", ["syn"], ("syn",)), ("protocol", "UDP", "udp"),
    ],
)  # fmt: skip
def test_what_is_given_is_taken_to_the_ends_of_its_range(key: str, value: object, taken: object) -> None:
    assert getattr(packet_from({**ENDS, key: value}), key) == taken


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sport", "-1"), ("sport", "65536"), ("dport", 65536), ("dport", True), ("dport", "ssh"), ("dport", 2.5),
        ("mark", "0x100000000"), ("icmp_type", 256), ("icmp_code", "256"), ("icmp_code", -1),
        ("iif", "sixteen-letters!"), ("oif", "a b"), ("iif", "a/b"), ("hook", "prerouting"), ("ct_state", "old"),
        ("family", "ip6"), ("family", "inet"), ("tcp_flags", "syn|odd"), ("protocol", "256"), ("protocol", "odd"),
        ("src", "host.example"), ("dst", "2001:db8::1"), ("odd", 1),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(SettingsError) as refused:
        packet_from({**ENDS, key: value})
    assert key in str(refused.value)


@pytest.mark.parametrize("absent", [None, ""])
def test_what_is_null_or_empty_is_not_given(absent: object) -> None:
    assert packet_from({**ENDS, "iif": absent, "dport": absent, "mark": absent, "hook": absent}) == packet_from(ENDS)
    with pytest.raises(SettingsError, match="src"):
        packet_from({**ENDS, "src": absent})


@pytest.mark.parametrize(
    ("devices", "hook"),
    [
        ({}, "input"),
        ({"iif": "eth0"}, "input"),
        ({"oif": "eth1"}, "input"),
        ({"iif": "eth0", "oif": "eth1"}, "forward"),
    ],
)
def test_a_packet_that_comes_and_leaves_passes_through(devices: dict[str, str], hook: str) -> None:
    assert packet_from({**ENDS, **devices}).hook == hook
    assert packet_from({**ENDS, "hook": "output", "oif": "eth1"}).hook == "output"


def test_a_ping_is_of_its_family() -> None:
    six = {"src": "2001:db8::1", "dst": "2001:db8::2", "protocol": "icmp"}
    assert (packet_from({**ENDS, "protocol": "icmp"}).protocol, packet_from(six).protocol) == ("icmp", "icmpv6")


def test_nothing_is_made_up_for_what_is_not_given() -> None:
    bare = Packet(family="ip", protocol="tcp", src="192.0.2.1", dst="198.51.100.1")
    assert packet_from(ENDS) == bare
    assert (bare.mark, bare.sport, bare.dport, bare.tcp_flags, bare.icmp_type, bare.icmp_code) == (0, *[None] * 5)


def test_two_that_are_equal_are_one() -> None:
    assert len({parse_packet(SSH), parse_packet(f" {SSH}"), parse_packet(f"{SSH},id=2")}) == 2


@pytest.mark.parametrize("text", ["src", "src=192.0.2.1,src=192.0.2.2", ""])
def test_what_is_no_list_of_keys_and_values_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_packet(text)
