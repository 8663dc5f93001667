"""Sockets that listen, as ss prints them."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netfilter.listeners import listening, parse_listeners

TEXT = """tcp   LISTEN 0      4096         127.0.0.1:10248 0.0.0.0:* users:(("kubelet",pid=21104,fd=24))
tcp   LISTEN 0      128            0.0.0.0:2222  0.0.0.0:* users:(("sshd",pid=20383,fd=3))
tcp   LISTEN 0      128               [::]:2223     [::]:*
tcp   LISTEN 0      4096                 *:6443        *:* users:(("kube\x1b[2Japi",pid=20422,fd=6))
udp   UNCONN 0      0      127.0.0.53%lo:53      0.0.0.0:*
udp   UNCONN 0      0      [2001:db8:0::11]:53        [::]:*
tcp   LISTEN 0      128    999.0.0.1:1  0.0.0.0:*
Netid State Recv-Q Send-Q Local Address:Port
tcp LISTEN
"""


def test_sockets_are_read_and_what_is_none_is_left_out() -> None:
    told = parse_listeners(TEXT)
    assert [(each.protocol, each.address, each.port, each.families) for each in told] == [
        ("tcp", "127.0.0.1", 10248, ("ip",)),
        ("tcp", "", 2222, ("ip",)),
        ("tcp", "", 2223, ("ip6",)),
        ("tcp", "", 6443, ("ip", "ip6")),
        ("udp", "127.0.0.53", 53, ("ip",)),
        ("udp", "2001:db8::11", 53, ("ip6",)),
    ]
    assert told[0].text == "kubelet on 127.0.0.1:10248/tcp"
    assert "\x1b" not in told[3].process
    assert told[4].is_loopback


@pytest.mark.parametrize(
    ("family", "protocol", "target", "port", "count"),
    [
        ("ip", "tcp", "10.0.0.11", 6443, 1),
        ("ip6", "tcp", "2001:db8::11", 6443, 1),
        ("ip6", "tcp", "2001:db8::11", 2222, 0),
        ("ip", "tcp", "10.0.0.11", 10248, 0),
        ("ip", "tcp", "127.0.0.1", 10248, 1),
        ("ip", "tcp", "", 10248, 0),
        ("ip6", "udp", "2001:db8::11", 53, 1),
        ("ip6", "udp", "2001:db8::12", 53, 0),
        ("ip", "udp", "10.0.0.11", 6443, 0),
    ],
)
def test_who_takes_what_is_sent_to_an_address(family: str, protocol: str, target: str, port: int, count: int) -> None:
    assert len(listening(parse_listeners(TEXT), family, protocol, target, port)) == count
