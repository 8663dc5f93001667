"""Words of small tools and routing tables: what they mean, and that nothing else ever reads as closed or filtered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.vantages.shell_program import checked_host, one_line
from kubeshield_tui.vantages.shell_reading import SILENT, TEXTS, read_connect, read_routes, whose

HEAD = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
TABLE4 = HEAD + b"\n".join(
    (
        b"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
        b"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
        b"*\t007100CB\t00000000\t0005\t0\t0\t0\tF0FFFFFF\t0\t0\t0",  # blackhole 203.0.113.0/28
        b"*\t207100CB\t00000000\t0201\t0\t0\t0\tF0FFFFFF\t0\t0\t0",  # unreachable 203.0.113.32/28
    )
)
ZERO = b"0" * 32
NULL6 = ZERO + b" 00 " + ZERO + b" 00 " + ZERO + b" ffffffff 00000001 00000000 00200200       lo"
DEFAULT6 = ZERO + b" 00 " + ZERO + b" 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003 eth0"
LINK6 = (
    b"fd000000000000000000000000000000 40 " + ZERO + b" 00 " + ZERO + b" 00000100 00000001 00000000 00000001     eth0"
)


@pytest.mark.parametrize(
    ("status", "text", "state", "reason"),
    [
        (0, "", State.OPEN, Reason.SYN_ACK),
        (1, "nc: can't connect to remote host (10.0.0.1): Connection refused", State.CLOSED, Reason.CONN_REFUSED),
        (1, "nc: connect to ::1 port 1 (tcp) failed: No route to host", State.FILTERED, Reason.HOST_UNREACH),
        (1, "nc: 10.0.0.1 (10.0.0.1:1): Host is unreachable", State.FILTERED, Reason.HOST_UNREACH),
        (1, "Ncat: Network is unreachable.", State.FILTERED, Reason.NET_UNREACH),
        (1, "bash: connect: Protocol not available", State.FILTERED, Reason.PROTO_UNREACH),
        (1, "nc: write: Connection reset by peer", State.OPEN, Reason.RESET),
        (1, "bash: connect: Operation not permitted", State.ERROR, Reason.PERMISSION),
        (1, "bash: x: Name or service not known bash: /dev/tcp/x/1: Invalid argument", State.ERROR, Reason.DNS_FAILURE),
        (1, "nc: bad address 'x'", State.ERROR, Reason.DNS_FAILURE),
        (1, "bash: connect: Invalid argument", State.ERROR, Reason.NO_ROUTE),
        (1, "Ncat: TIMEOUT.", State.FILTERED, Reason.NO_RESPONSE),
        (1, "nc: timed out", State.FILTERED, Reason.NO_RESPONSE),
        (143, "", State.FILTERED, Reason.NO_RESPONSE),
        (127, "sh: nc: not found", State.ERROR, Reason.RESOURCES),
        (2, "sh: Cannot fork", State.ERROR, Reason.RESOURCES),
        (1, "", State.ERROR, Reason.RESOURCES),
    ],
)
def test_texts_of_the_tools(status: int, text: str, state: State, reason: Reason) -> None:
    assert read_connect(status, text, 2.01, 2.0) == (state, reason)


@pytest.mark.parametrize(("status", "text"), [(1, "nc: timed out"), (143, ""), (124, ""), (137, "")])
def test_what_was_broken_off_early_is_no_silence(status: int, text: str) -> None:
    assert read_connect(status, text, 0.3, 2.0) == (State.ERROR, Reason.RESOURCES)


@given(st.integers(1, 255), st.text(max_size=80), st.floats(0, 10))
def test_what_no_table_knows_is_an_error(status: int, text: str, seconds: float) -> None:
    known = [phrase for phrases, _, _ in TEXTS for phrase in phrases] + list(SILENT)
    if not any(phrase in text.lower() for phrase in known) and text:
        assert read_connect(status, text, seconds, 2.0) == (State.ERROR, Reason.RESOURCES)


def test_routes_lead_somewhere_or_not() -> None:
    routes = read_routes(TABLE4 + b"\n" + LINK6 + b"\n" + NULL6)
    assert routes.readable
    told = {
        "198.51.100.1": True, "192.0.2.9": True, "203.0.113.1": False, "203.0.113.33": False, "203.0.113.99": True,
        "fd00::5": True, "2001:db8::1": False, "127.0.0.1": True, "::1": True, "255.255.255.255": False,
        "224.0.0.1": False, "no.name": None,
    }  # fmt: skip
    assert {host: routes.leads_to(host) for host in told} == told
    assert read_routes(TABLE4 + b"\n" + NULL6 + b"\n" + DEFAULT6).leads_to("2001:db8::1") is True


@given(st.binary(max_size=300))
def test_routes_that_cannot_be_read_say_nothing(text: bytes) -> None:
    routes = read_routes(text)
    assert routes.leads_to("10.1.2.3") in {None, False}
    assert read_routes(b"").leads_to("10.1.2.3") is None
    assert read_routes(HEAD + b"eth0\tzz\t0\t0003\t0\t0\t0\t00000000\t0\t0\t0").leads_to("10.1.2.3") is None


@pytest.mark.parametrize("leads", [False, None])
@pytest.mark.parametrize("reason", [Reason.HOST_UNREACH, Reason.NET_UNREACH, Reason.ADMIN_PROHIBITED])
def test_unreachable_without_a_route_is_the_vantages_own_fault(reason: Reason, leads: bool | None) -> None:
    assert whose(State.FILTERED, reason, "fd00::1", leads)[0] is State.ERROR
    assert whose(State.FILTERED, Reason.NO_RESPONSE, "fd00::1", leads) == (State.FILTERED, Reason.NO_RESPONSE)


def test_permission_denied_is_a_reject_on_ipv6_alone() -> None:
    assert whose(State.FILTERED, Reason.ADMIN_PROHIBITED, "fd00::1", True)[0] is State.FILTERED
    assert whose(State.FILTERED, Reason.ADMIN_PROHIBITED, "10.0.0.1", True) == (State.ERROR, Reason.PERMISSION)


@given(st.text(max_size=40))
def test_what_passes_as_a_host_holds_nothing_that_a_shell_reads(text: str) -> None:
    try:
        host = checked_host(text)
    except ProbeError:
        return
    assert not host.startswith("-")
    assert all(character.isascii() and (character.isalnum() or character in ".-_:%") for character in host)


def test_hosts_that_pass() -> None:
    for host in ("10.0.0.1", "fd00::1", "fe80::1%eth0", "db.shop.svc.cluster.local", "a", "_srv.example", "x.example."):
        assert checked_host(host) == host


def test_a_program_becomes_one_line() -> None:
    assert one_line("case a in\nb) echo;;\nesac\nx &\ny") == b"case a in b) echo;; esac;x & y;\n"
