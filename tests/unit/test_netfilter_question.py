"""The packets of a connection as the question gives them: what they carry, where they come by, whose ends they have."""

from __future__ import annotations

import json

import pytest

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import Packet
from tests.unit.firewall import ACCEPT, DROP, HOST, NOTRACK, OUT, SSH, THROUGH, Rules, dnat, field, match

NO_DEVICE = SSH.replace(",iif=eth0", "")


@pytest.mark.parametrize(
    ("hook", "flags", "leg"),
    [("input", ["syn"], "syn"), ("output", ["syn", "ack"], "syn-ack"), ("input", ["ack"], "ack")],
)
def test_each_packet_of_a_handshake_has_its_flags(hook: str, flags: list[str], leg: str) -> None:
    for other in (["syn"], ["syn", "ack"], ["ack"], ["rst"], ["fin"]):
        first = [match("ct state", "new" if leg == "syn" else "established", "in")]
        said = Rules().base(hook, [*first, match("tcp flags", other), DROP]).verdict(SSH)
        assert said == (f"drop {leg}" if other == flags else "accept")


def test_flags_that_are_said_are_those_of_the_first_packet() -> None:
    rules = Rules().base("input", [match("tcp flags", ["psh", "ack"]), DROP])
    assert rules.verdict(f"{SSH},tcp_flags=psh|ack") == "drop syn"
    assert rules.verdict(f"{SSH},tcp_flags=ack") == "accept"


def test_a_mark_that_is_said_is_what_the_packet_has_on_its_way_forth() -> None:
    for hook, leg in (("input", "syn"), ("output", "syn-ack")):
        rules = Rules().base(hook, [match("meta mark", 7), DROP])
        assert rules.verdict(f"{SSH},mark=7") == (f"drop {leg}" if leg == "syn" else "accept")
        assert rules.verdict(SSH) == "accept"


@pytest.mark.parametrize(
    ("packet", "device"),
    [
        (NO_DEVICE, "eth0"), (NO_DEVICE.replace("192.0.2.1", "203.0.113.77"), "eth1"),
        (NO_DEVICE.replace("192.0.2.1", "198.51.100.1"), "lo"), (NO_DEVICE.replace("192.0.2.1", "127.0.0.1"), "lo"),
        (NO_DEVICE.replace("192.0.2.1", "100.64.0.1"), None), (NO_DEVICE.replace("192.0.2.1", "10.1.1.1"), None),
        (NO_DEVICE.replace("192.0.2.1", "172.16.0.1"), None),
    ],
)  # fmt: skip
def test_a_packet_comes_by_the_one_device_that_leads_back_to_its_source(packet: str, device: str | None) -> None:
    told = json.loads(HOST)
    told["route"] += [
        {"dst": "100.64.0.0/10", "nexthops": [{"dev": "eth0", "gateway": "198.51.100.7"}, {"dev": "eth1"}]},
        {"type": "blackhole", "dst": "172.16.0.0/12"},
    ]
    for name in ("eth0", "eth1", "lo", ""):
        said = Rules().base("prerouting", [match("meta iifname", name), DROP], [ACCEPT]).verdict(
            packet, json.dumps(told), legs=("syn",)
        )  # fmt: skip
        assert said == ("accept | drop syn" if device is None else "drop syn" if name == device else "accept"), name


def test_without_routes_the_device_is_not_known() -> None:
    for name in ("eth0", "lo"):
        rules = Rules().base("input", [match("meta iifname", name), DROP])
        assert rules.verdict(NO_DEVICE, legs=("syn",)) == "accept | drop syn"


def asked(rules: Rules, host: str | None = None, **packet: object) -> set[str]:
    told = {"family": "ip", "protocol": "tcp", "src": "192.0.2.1", "dst": "198.51.100.1", "sport": 40000, "dport": 22}
    firewall = Firewall(parse_nft(rules.text), None if host is None else parse_host(host))
    outcomes = firewall.judge(Packet(**{**told, **packet}), ("syn",)).outcomes  # type: ignore[arg-type]
    return {outcome.verdict for outcome in outcomes}


def test_a_source_that_nobody_told_may_be_any() -> None:
    by_address = Rules().base("input", [match("ip saddr", "192.0.2.1"), DROP])
    assert asked(by_address, HOST, src="") == {"accept", "drop"}
    assert asked(by_address, HOST) == {"drop"}
    assert asked(Rules().base("input", [match("meta iifname", "eth0"), DROP]), HOST, src="") == {"accept", "drop"}


def test_a_protocol_that_nobody_knows_is_none_that_rules_can_name() -> None:
    for most, said in ((254, "accept"), (255, "drop")):
        rules = Rules().base("input", [match("meta l4proto", {"range": [0, most]}), DROP])
        assert asked(rules, protocol="newproto") == {said}


def test_where_the_source_is_replaced_the_answer_comes_to_this_host_before_it_is_translated_back() -> None:
    rules = Rules().base("postrouting", [{"snat": {"addr": "203.0.113.1"}}], kind="nat", priority=100)
    back = [match("meta iifname", "eth1"), match("fib daddr type", "local"), DROP]
    assert rules.base("prerouting", back, priority=-300, name="raw").verdict(THROUGH) == "drop syn-ack"
    plain = Rules().base("prerouting", [match("ct state", "new"), ACCEPT], back, priority=-300)
    assert plain.verdict(THROUGH) == "accept"


def test_whose_a_destination_is_tells_only_what_comes_here() -> None:
    local = match("fib daddr type", "local")
    assert Rules().base("output", [local, DROP]).verdict(OUT, legs=("syn",)) == "accept | drop syn"
    assert Rules().base("output", [local, DROP]).verdict(OUT, HOST, legs=("syn",)) == "accept"
    elsewhere = SSH.replace("198.51.100.1", "203.0.113.9")  # input is what is asked, but routes tell otherwise
    assert Rules().base("prerouting", [local, DROP]).verdict(elsewhere, HOST, legs=("syn",)) == "accept"


@pytest.mark.parametrize(
    ("target", "stays"),
    [("127.1.2.3", True), ("126.1.2.3", False), ("128.1.2.3", False), ("::1", True), ("::2", False), ("::", False)],
)
def test_without_routes_only_loopback_addresses_surely_stay_here(target: str, stays: bool) -> None:
    source = "198.51.100.1" if "." in target else "2001:db8::1"
    packet = f"protocol=tcp,src={source},sport=4,dst={target},dport=80,hook=output"
    for device in ("lo", "eth1"):
        said = Rules("inet").base("output", [match("meta oifname", device), DROP]).verdict(packet, legs=("syn",))
        assert said == ("accept | drop syn" if not stays else "drop syn" if device == "lo" else "accept")


def test_addresses_alone_tell_what_stays_here() -> None:
    told = json.dumps({"addr": json.loads(HOST)["addr"]})
    own = OUT.replace("203.0.113.9", "203.0.113.1").replace(",oif=eth1", "")
    rules = Rules().base("output", [match("meta oifname", "lo"), DROP])
    assert rules.verdict(own, told, legs=("syn",)) == "drop syn"
    assert rules.verdict(OUT.replace(",oif=eth1", ""), told, legs=("syn",)) == "accept | drop syn"


def test_without_routes_a_packet_leaves_by_the_device_that_is_asked_about() -> None:
    for name, said in (("eth1", "drop syn"), ("eth0", "accept")):
        assert Rules().base("output", [match("meta oifname", name), DROP]).verdict(OUT, legs=("syn",)) == said
        assert Rules().base("postrouting", [match("meta oifname", name), DROP]).verdict(OUT, legs=("syn",)) == said
        assert Rules().base("forward", [match("meta oifname", name), DROP]).verdict(THROUGH, legs=("syn",)) == said


@pytest.mark.parametrize(("oif", "said"), [(",oif=eth1", "accept"), ("", "accept | drop syn")])
def test_a_new_destination_may_be_here_where_nobody_says_that_it_leaves_again(oif: str, said: str) -> None:
    rules = Rules().base("prerouting", [dnat("203.0.113.7")], kind="nat", priority=-100).base("input", [DROP])
    assert rules.verdict(THROUGH.replace(",oif=eth1", oif), legs=("syn",)) == said


def test_an_answer_to_what_was_sent_on_is_sent_on_too() -> None:
    """Its destination is rewritten back by a rule, so that only the question tells that it is not for this host."""
    rules = Rules().base("prerouting", [match("ip daddr", "203.0.113.1"), back("ip daddr", "192.0.2.1"), NOTRACK],
                         [NOTRACK], priority=-300)  # fmt: skip
    rules.base("postrouting", [match("ip saddr", "192.0.2.1"), back("ip saddr", "203.0.113.1")])
    assert rules.base("input", [DROP]).verdict(THROUGH.replace(",oif=eth1", "")) == "accept"


def back(name: str, value: str) -> dict[str, object]:
    return {"mangle": {"key": field(name), "value": value}}
