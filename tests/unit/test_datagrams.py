"""UDP payloads against real decoders, and how answers read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeshield_tui.probes import datagrams


def test_the_dns_question_is_one_that_servers_must_answer() -> None:
    question = datagrams.payload("dns")
    identity, flags, questions, *others = struct.unpack(">HHHHHH", question[:12])
    assert (flags, questions, others) == (0, 1, [0, 0, 0])  # a plain query; no recursion is asked for
    name, kind, group = question[12], *struct.unpack(">HH", question[13:])
    assert (name, kind, group) == (0, 2, 1)  # the root, NS, IN
    for code, word in ((0, "NOERROR"), (5, "REFUSED"), (11, "code 11")):
        answer = struct.pack(">HHHHHH", identity, 0x8000 | code, 1, 0, 0, 0)
        assert datagrams.reading("dns", answer) == f"DNS: {word}"


def test_snmp_engine_discovery_is_well_formed_ber() -> None:
    def parse(data: bytes) -> int:
        """Length of one element, checked down to its leaves."""
        length = data[1]
        assert length < 0x80
        body = data[2 : 2 + length]
        assert len(body) == length
        if data[0] & 0x20:
            while body:
                body = body[parse(body) :]
        return 2 + length

    message = datagrams.payload("snmp")
    assert parse(message) == len(message)
    wrapped = message.index(b"\x04\x10") + 2  # security parameters are a sequence inside an octet string
    assert parse(message[wrapped:]) == 16


def test_quic_is_large_enough_to_be_answered_and_asks_a_version_that_must_be_refused() -> None:
    packet = datagrams.payload("quic")
    assert len(packet) == 1_200
    assert packet[0] & 0xC0 == 0xC0
    version = packet[1:5]
    assert all(byte & 0x0F == 0x0A for byte in version)
    assert datagrams.reading("quic", b"\xc0\0\0\0\0\x08........\x08........\0\0\0\x01") == "QUIC: version negotiation"


def test_silence_names_the_protocols_that_answer_nobody() -> None:
    assert "WireGuard" in datagrams.silence("", 51820)
    assert "DNS" in datagrams.silence("dns", 53)
    assert "empty datagram" in datagrams.silence("", 9999)


@pytest.mark.parametrize("name", [*datagrams.DATAGRAMS, "", "unknown"])
@given(data=st.binary(max_size=200))
def test_any_answer_reads_as_something_printable(name: str, data: bytes) -> None:
    said = datagrams.reading(name, data)
    assert said.isprintable()
    assert said
