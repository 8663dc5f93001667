"""Values as iptables writes them: to their limits, of both families, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from kubeshield_tui.evidence.netfilter import iptables_values as values
from kubeshield_tui.evidence.netfilter.elements import Elements, Interval
from kubeshield_tui.evidence.netfilter.iptables_values import Unreadable
from kubeshield_tui.evidence.netfilter.ruleset import Bits, Constant, Field

SOURCE = Field(name="ip saddr")


def at(text: str) -> int:
    return int(ip_address(text))


def read(reader: Callable[..., object], *told: object) -> object:
    """What a reader makes of a text, as bounds where it is an interval; `unreadable` where it makes nothing."""
    try:
        found = reader(*told)
    except Unreadable:
        return "unreadable"
    return (found.low, found.high) if isinstance(found, Interval) else found


@pytest.mark.parametrize(
    ("told", "number"),
    [
        (("0",), 0),
        (("10",), 10),
        (("0x10",), 16),
        (("0XfF",), 255),
        (("4294967295",), 0xFFFFFFFF),
        (("0x100000000",), "unreadable"),
        (("-1",), "unreadable"),
        (("",), "unreadable"),
        (("ssh",), "unreadable"),
        (("255", 255), 255),
        (("256", 255), "unreadable"),
    ],
)
def test_numbers(told: tuple[object, ...], number: object) -> None:
    assert read(values.number, *told) == number


@pytest.mark.parametrize(
    ("text", "pair"),
    [("5", (5, 0xFFFFFFFF)), ("0x5/0xf", (5, 15)), ("5/", "unreadable"), ("/5", "unreadable")],
)
def test_values_with_masks(text: str, pair: object) -> None:
    assert read(values.masked, text) == pair


@pytest.mark.parametrize(
    ("text", "number"),
    [("tcp", 6), ("UDP", 17), ("egp", 8), ("ipv6-mh", 135), ("mobility-header", 135), ("mh", 135), ("vrrp", 112),
     ("255", 255), ("256", "unreadable"), ("tpc", "unreadable")],
)  # fmt: skip
def test_protocols_have_the_numbers_that_iana_gave_them(text: str, number: object) -> None:
    assert read(values.protocol, text) == number


def test_names_stand_for_the_kernels_numbers() -> None:
    """linux/rtnetlink.h (RTN_*), and nf_conntrack_common.h (IPS_*)."""
    assert [values.ADDRESS_TYPES[name] for name in ("LOCAL", "PROHIBIT", "THROW", "NAT", "XRESOLVE")] == [
        2, 8, 9, 10, 11,
    ]  # fmt: skip
    assert [values.STATUSES[name] for name in ("SEEN_REPLY", "DNAT")] == [2, 32]
    assert values.STATES == {"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "UNTRACKED": 64}


@pytest.mark.parametrize(
    ("text", "span"),
    [("5", 5), ("5:9", (5, 9)), (":9", (0, 9)), ("5:", (5, 65535)), (":", (0, 65535)), ("5:5", 5), ("0", 0),
     ("65535", 65535), ("65536", "unreadable"), ("9:65536", "unreadable"), ("9:5", "unreadable"), ("", "unreadable"),
     ("a:b", "unreadable")],
)  # fmt: skip
def test_spans(text: str, span: object) -> None:
    assert read(values.span, text, ":") == span


@pytest.mark.parametrize(
    ("text", "family", "number"),
    [("10.0.0.1", "ip", at("10.0.0.1")), ("fd00::1", "ip6", at("fd00::1")), ("[fd00::1]", "ip6", at("fd00::1")),
     ("fd00::1", "ip", "unreadable"), ("10.0.0.1", "ip6", "unreadable"), ("x.x.x.x", "ip", "unreadable")],
)  # fmt: skip
def test_addresses_of_their_family(text: str, family: str, number: object) -> None:
    assert read(values.address, text, family) == number


@pytest.mark.parametrize(
    ("text", "span"),
    [("10.0.0.1", at("10.0.0.1")), ("10.0.0.1-10.0.0.1", at("10.0.0.1")),
     ("10.0.0.1-10.0.0.9", (at("10.0.0.1"), at("10.0.0.9"))), ("10.0.0.9-10.0.0.1", "unreadable"),
     ("10.0.0.1-", "unreadable")],
)  # fmt: skip
def test_spans_of_addresses(text: str, span: object) -> None:
    assert read(values.address_span, text, "ip") == span


@pytest.mark.parametrize(
    ("text", "family", "key"),
    [("10.1.2.3/8", "ip", (at("10.0.0.0"), at("10.255.255.255"))), ("10.0.0.1/32", "ip", at("10.0.0.1")),
     ("10.0.0.1", "ip", at("10.0.0.1")), ("10.1.2.3/255.0.0.0", "ip", (at("10.0.0.0"), at("10.255.255.255"))),
     ("fd00::/127", "ip6", (at("fd00::"), at("fd00::1"))), ("fd00::/127", "ip", "unreadable"),
     ("10.0.0.0/8", "ip6", "unreadable"), ("10.0.0.0/33", "ip", "unreadable")],
)  # fmt: skip
def test_networks(text: str, family: str, key: object) -> None:
    assert read(values.network, text, family) == key


@pytest.mark.parametrize(
    ("text", "family", "mask", "number"),
    [("10.0.9.1/255.0.0.255", "ip", at("255.0.0.255"), at("10.0.0.1")),
     ("fd00:9::1/ffff::ffff", "ip6", at("ffff::ffff"), at("fd00::1"))],
)  # fmt: skip
def test_a_mask_that_is_no_prefix(text: str, family: str, mask: int, number: int) -> None:
    for negated, operator in ((False, "=="), (True, "!=")):
        found = values.address_match(SOURCE, text, family, negated)
        assert found.left == Bits(left=SOURCE, operator="&", right=Constant(value=mask))
        assert (found.operator, found.right) == (operator, Constant(value=number))


@pytest.mark.parametrize("text", ["host.example", "host.example/8", "10.0.0.1/255.0.0.x", "fd00::1/255.0.0.255"])
def test_an_address_that_is_none_matches_nothing_known(text: str) -> None:
    with pytest.raises(Unreadable):
        values.address_match(SOURCE, text, "ip", negated=False)


def test_several_addresses_are_a_set() -> None:
    for negated, operator in ((False, "=="), (True, "!=")):
        found = values.address_match(SOURCE, "10.0.0.1,10.1.0.0/16", "ip", negated)
        assert isinstance(found.right, Elements)
        assert [found.right.find(at(each)) for each in ("10.0.0.1", "10.1.2.3", "10.0.0.2")] == [True, True, None]
        assert found.operator == operator
        (one, several) = (values.one_of(SOURCE, keys, negated) for keys in ([5], [5, 6]))
        assert (one.operator, one.right, several.operator) == (operator, Constant(value=5), operator)
        assert isinstance(several.right, Elements)
        assert (several.right.find(6), several.right.find(7)) == (True, None)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("SYN", 2), ("syn,ACK", 18), ("ALL", 63), ("NONE", 0), ("FIN,NONE", 1), ("SYN,ODD", "unreadable"),
     ("", "unreadable")],
)  # fmt: skip
def test_flags(text: str, bits: object) -> None:
    """`ALL` is the six flags that iptables knows."""
    assert read(values.bits_of, text, values.TCP_FLAGS) == bits
