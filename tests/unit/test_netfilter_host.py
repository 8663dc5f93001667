"""What the tools of a host print of its addresses, rules and routes, and what of it can't be believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.host import holds_nothing, parse_host
from kubeshield_tui.evidence.netfilter.routing import DEFAULT_RULES, Routing
from kubeshield_tui.evidence.netfilter.words import address
from tests.unit.firewall import HOST, OUT, THROUGH, Rules


def device(*addresses: dict[str, Any], name: str = "eth0") -> dict[str, Any]:
    return {"ifname": name, "ifindex": 2, "addr_info": list(addresses)}


@pytest.mark.parametrize(
    "told",
    [
        {"family": "inet", "local": "2001:db8::1", "prefixlen": 64},
        {"family": "inet", "local": "not an address", "prefixlen": 24},
        {"family": "link", "local": "192.0.2.1", "prefixlen": 24},
        {"local": "192.0.2.1"},
        "192.0.2.1",
        None,
    ],
)
def test_an_address_that_is_none_of_its_family_is_left_out(told: Any) -> None:
    host = parse_host(json.dumps([device(told, {"family": "inet", "local": "192.0.2.7", "prefixlen": 99})]))
    assert host.interfaces is not None
    (own,) = host.interfaces[0].addresses
    assert (own.number, own.length) == (address("192.0.2.7"), 32)
    Routing(host)


@pytest.mark.parametrize(
    "told",
    [{"dst": "2001:db8::/64"}, {"dst": "2001:db8::/200", "dev": "eth0"}, {"dst": "x", "dev": "eth0"}, {"dev": "eth0"},
     {"dst": "192.0.2.0/24", "dev": "eth0", "gateway": "fe80::1"},
     {"dst": "default", "dev": "eth0", "flags": ["dead"]}],
)  # fmt: skip
def test_a_route_that_leads_nowhere_known_breaks_nothing(told: dict[str, Any]) -> None:
    host = parse_host(json.dumps([told, {"dst": "198.51.100.0/24", "dev": "eth1"}]))
    Routing(host)
    assert host.routes is not None
    assert any(route.text == "198.51.100.0/24 dev eth1" for route in host.routes)


def test_values_one_after_the_other_and_lines_of_settings_are_one_host() -> None:
    text = "\n".join(
        [
            json.dumps([device({"family": "inet", "local": "192.0.2.7", "prefixlen": 24})]),
            json.dumps([{"priority": 0, "src": "all", "table": "local"}, {"priority": 9, "src": "10.0.0.0", "srclen": 8,
                                                                         "table": "7"}]),
            json.dumps([{"dst": "default", "gateway": "192.0.2.254", "dev": "eth0"}]),
            "net.ipv4.ip_forward = 1",
        ]
    )  # fmt: skip
    host = parse_host(text)
    assert host.settings == {"net.ipv4.ip_forward": "1"}
    assert [rule.table for rule in host.rules["ip"]] == ["local", "7"]
    assert host.rules.get("ip6", DEFAULT_RULES) == DEFAULT_RULES
    assert host.notes == ()
    assert not holds_nothing(host)


def test_addresses_that_were_listed_family_by_family_are_of_one_device() -> None:
    four = {"family": "inet", "local": "192.0.2.7", "prefixlen": 24}
    six = {"family": "inet6", "local": "2001:db8::7", "prefixlen": 64}
    host = parse_host("\n".join(json.dumps([device(*told)]) for told in ([four], [six], [four, six])))
    assert host.interfaces is not None
    (eth0,) = host.interfaces
    assert [own.family for own in eth0.addresses] == ["ip", "ip6"]
    routing = Routing(host)
    assert (routing.own_address("ip", "eth0"), routing.own_address("ip6", "eth0")) == (
        address("192.0.2.7"),
        address("2001:db8::7"),
    )
    assert routing.addresses("ip", "eth0") == (address("192.0.2.7"),)


@pytest.mark.parametrize("text", ["", "root@n1:~#", "[", "5", "{}", "[[1]]", '"x"'])
def test_what_is_no_host_holds_nothing(text: str) -> None:
    assert holds_nothing(parse_host(text))


MAIN = {"priority": 32766, "src": "all", "table": "main"}
LOCAL = {"priority": 0, "src": "all", "table": "local"}


@pytest.mark.parametrize(
    ("selector", "applies"),
    [
        ({"src": "192.0.2.0", "srclen": 24}, True),
        ({"src": "192.0.3.0", "srclen": 24}, False),
        ({"src": "192.0.2.1"}, True),
        ({"src": "all", "dst": "203.0.113.9"}, True),
        ({"src": "all", "dst": "203.0.113.0", "dstlen": 24}, True),
        ({"src": "all", "dst": "203.0.114.0", "dstlen": 24}, False),
        ({"src": "all", "iif": "eth0"}, True),
        ({"src": "all", "iif": "eth1"}, False),
        ({"src": "all", "iif": "lo"}, False),
        ({"src": "all", "oif": "eth1"}, False),
        ({"src": "all", "fwmark": "0x1"}, False),
        ({"src": "all", "fwmark": "0x0", "fwmask": "0xf"}, True),
        ({"src": "192.0.2.0", "srclen": 24, "iif": "eth1"}, False),
        ({"src": "192.0.2.0", "srclen": 24, "not": None}, False),
        ({"src": "192.0.3.0", "srclen": 24, "not": None}, True),
    ],
)
def test_which_packets_a_policy_rule_is_for(selector: dict[str, Any], applies: bool) -> None:
    told = json.loads(HOST)
    told["rule"] = [LOCAL, {"priority": 10, "action": "prohibit", **selector}, MAIN]
    said = "reject icmp-admin-prohibited syn" if applies else "accept"
    assert Rules().verdict(THROUGH, json.dumps(told), legs=("syn",)) == said


def test_what_begins_here_comes_by_lo_for_policy_rules() -> None:
    told = json.loads(HOST)
    for iif, said in (("lo", "drop syn"), ("eth0", "accept")):
        told["rule"] = [LOCAL, {"priority": 10, "src": "all", "action": "blackhole", "iif": iif}, MAIN]
        assert Rules().verdict(OUT, json.dumps(told), legs=("syn",)) == said


def test_policy_rules_lead_on_skip_and_hold_back_routes() -> None:
    told = json.loads(HOST)
    told["route"].append({"type": "prohibit", "dst": "default", "table": "7"})
    refuse = {"priority": 20, "src": "all", "action": "unreachable"}
    for rule, said in (
        ({"priority": 10, "src": "all", "goto": 30}, "accept"),
        ({"priority": 10, "src": "all", "goto": 15}, "reject icmp-host-unreachable syn"),
        ({"priority": 10, "src": "all", "goto": 20}, "reject icmp-host-unreachable syn"),
        ({"priority": 10, "src": "all", "nop": None}, "reject icmp-host-unreachable syn"),
        ({"priority": 10, "src": "all", "table": "7"}, "reject icmp-admin-prohibited syn"),
        ({"priority": 10, "src": "all", "table": "7", "suppress_prefixlen": 0}, "reject icmp-host-unreachable syn"),
        ({"priority": 10, "src": "all", "table": "main", "suppress_prefixlen": 23}, "accept"),
        ({"priority": 10, "src": "all", "table": "main", "suppress_prefixlen": 24}, "reject icmp-host-unreachable syn"),
        ({"priority": 10, "src": "all", "table": "nowhere"}, "reject icmp-host-unreachable syn"),
    ):
        told["rule"] = [LOCAL, rule, refuse, MAIN]
        assert Rules().verdict(THROUGH, json.dumps(told), legs=("syn",)) == said, rule


def test_a_selector_that_needs_more_of_the_packet_leaves_the_way_open() -> None:
    told = json.loads(HOST)
    told["rule"] = [LOCAL, {"priority": 10, "src": "all", "uid_start": 0, "uid_end": 5, "action": "prohibit"}, MAIN]
    rules = Rules().base("forward", [{"drop": None}])
    result = rules.judge(THROUGH.replace(",oif=eth1,hook=forward", ""), json.dumps(told), legs=("syn",))
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop"}
    assert all("uid_start is not known" in outcome.assumptions[0].text for outcome in result.outcomes)
    told["rule"][1] = {"priority": 10, "src": "192.0.3.0", "srclen": 24, "uid_start": 0, "action": "prohibit"}
    assert Rules().judge(THROUGH, json.dumps(told), legs=("syn",)).outcomes[0].assumptions == ()


def test_forwarding_is_a_setting_of_each_family() -> None:
    packet = "protocol=tcp,src=2001:db8:1::1,sport=4,dst=2001:db8:2::1,dport=80,iif=eth0"
    told = {
        "addr": [device({"family": "inet6", "local": "2001:db8:1::fe", "prefixlen": 64})],
        "route": [{"dst": "2001:db8:2::/64", "dev": "eth1"}, {"dst": "2001:db8:1::/64", "dev": "eth0"}],
    }
    (outcome,) = Rules().judge(packet, json.dumps(told), legs=("syn",)).outcomes
    assert [each.text for each in outcome.assumptions] == [
        "net.ipv6.conf.all.forwarding was not collected: taken for on"
    ]
    for name, value, said in (
        ("net.ipv6.conf.all.forwarding", "0", "drop syn"),
        ("net.ipv6.conf.all.forwarding", "1", "accept"),
        ("net.ipv4.ip_forward", "0", "accept"),
    ):
        assert Rules().verdict(packet, json.dumps({**told, "sysctl": {name: value}}), legs=("syn",)) == said
    four = json.loads(HOST)
    for settings, said in (
        ({"net.ipv4.ip_forward": "1", "net.ipv4.conf.eth0.forwarding": "0"}, "drop syn"),
        ({"net.ipv4.ip_forward": "0", "net.ipv4.conf.eth0.forwarding": "1"}, "accept"),
        ({"net.ipv4.conf.all.forwarding": "0"}, "drop syn"),
        ({"net.ipv4.ip_forward": "0", "net.ipv4.conf.eth1.forwarding": "1"}, "drop syn"),
    ):
        four["sysctl"] = {"net.ipv4.conf.all.rp_filter": "0", **settings}
        assert Rules().verdict(THROUGH, json.dumps(four), legs=("syn",)) == said


def test_a_source_that_is_loopback_or_goes_to_loopback_is_no_source_over_a_link() -> None:
    told = json.loads(HOST)
    target = THROUGH.replace("203.0.113.9", "127.0.0.9")
    for packet in (target, THROUGH.replace("192.0.2.1", "127.0.0.9")):
        for value, said in (("0", "drop syn"), ("1", "accept")):
            told["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.eth0.route_localnet": value}
            assert Rules().verdict(packet, json.dumps(told), legs=("syn",)) == said
    loop = "protocol=tcp,src=127.0.0.1,sport=4,dst=127.0.0.1,dport=80,iif=lo"
    told["sysctl"] = {"net.ipv4.conf.all.route_localnet": "0"}
    assert Rules().verdict(loop, json.dumps(told), legs=("syn",)) == "accept"


def test_reverse_path_filtering_takes_the_stricter_of_both_settings() -> None:
    told = json.loads(HOST)
    wrong = THROUGH.replace("192.0.2.1", "203.0.113.77")
    for all_, own, said in (("1", "0", "drop syn"), ("0", "1", "drop syn"), ("1", "2", "accept"), ("2", "0", "accept"),
                            ("0", "0", "accept")):  # fmt: skip
        told["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": all_,
                          "net.ipv4.conf.eth0.rp_filter": own}  # fmt: skip
        assert Rules().verdict(wrong, json.dumps(told), legs=("syn",)) == said, (all_, own)
    told["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "1"}
    result = Rules().judge(wrong, json.dumps(told))
    assert result.outcomes[0].decider.text == "rp_filter: the way back to the source is not over eth0"
    assert Rules().verdict(THROUGH, json.dumps(told), legs=("syn",)) == "accept"
