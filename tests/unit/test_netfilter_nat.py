"""Translation: to which address and port, of which packets, and what is known of it where no host was given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.firewall import ACCEPT, DROP, HOST, OUT, PROHIBITED, SSH, THROUGH, Rules, dnat, effects, field, match

MASQUERADE = {"masquerade": None}
REDIRECT = {"redirect": {"port": 8080}}
OUT6 = "protocol=tcp,src=2001:db8:1::1,sport=40000,dst=2001:db8:9::9,dport=80,oif=eth1,hook=output"
ECHO = "protocol=icmp,src=192.0.2.1,dst=198.51.100.1,iif=eth0"


def host(*addresses: tuple[str, str, str, int], routes: tuple[dict[str, Any], ...] = ()) -> str:
    """A host with addresses (device, family, address, length) in their order."""
    devices: dict[str, list[dict[str, Any]]] = {}
    for device, family, local, length in addresses:
        own = {"family": family, "local": local, "prefixlen": length, "scope": "global"}
        devices.setdefault(device, []).append(own)
    told = [{"ifname": name, "ifindex": at, "addr_info": own} for at, (name, own) in enumerate(devices.items(), 1)]
    return json.dumps({"addr": told, "route": list(routes), "sysctl": {"net.ipv4.conf.all.rp_filter": "0"}})


def translated(rules: Rules, packet: str, told: str | None = None) -> dict[str, str] | None:
    (outcome,) = rules.judge(packet, told).outcomes
    return outcome.nat


def to(hook: str, *rule: dict[str, Any], family: str = "ip") -> Rules:
    return Rules(family).base(hook, list(rule), kind="nat", priority=-100 if hook in {"prerouting", "output"} else 100)


def test_a_redirect_of_what_begins_here_leads_to_loopback() -> None:
    assert translated(to("output", REDIRECT), OUT, HOST) == {"dnat": "127.0.0.1:8080"}
    assert translated(to("output", REDIRECT, family="ip6"), OUT6) == {"dnat": "[::1]:8080"}


def test_a_redirect_of_what_comes_leads_to_the_devices_own_address() -> None:
    assert translated(to("prerouting", REDIRECT), THROUGH, HOST) == {"dnat": "198.51.100.1:8080"}
    assert translated(to("prerouting", {"redirect": None}), THROUGH, HOST) == {"dnat": "198.51.100.1:80"}
    assert translated(to("prerouting", REDIRECT), THROUGH) == {"dnat": "?:8080"}
    assert translated(to("prerouting", REDIRECT), THROUGH.replace(",iif=eth0", ""), HOST) == {
        "dnat": "198.51.100.1:8080"
    }
    away = THROUGH.replace("iif=eth0", "iif=eth7")
    assert translated(to("prerouting", REDIRECT), away, HOST) == {"dnat": "?:8080"}


def test_a_redirect_of_what_came_by_a_device_without_an_address_is_dropped() -> None:
    """As the kernel does; only where no address of the family was collected at all there may be one."""
    rules = Rules("inet").base("prerouting", [REDIRECT], kind="nat", priority=-100)
    bare = json.loads(HOST)
    bare["addr"][1]["addr_info"] = []
    assert rules.verdict(SSH, json.dumps(bare)) == "drop syn"
    assert rules.verdict(THROUGH, HOST) == "accept"
    six = "protocol=tcp,src=2001:db8::1,sport=4,dst=2001:db8::2,dport=22,iif=eth0"
    assert rules.verdict(six, HOST, legs=("syn",)) == "accept"
    bare["addr"][0]["addr_info"].append({"family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host"})
    assert rules.verdict(six, json.dumps(bare), legs=("syn",)) == "drop syn"
    link = {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}
    bare["addr"][1]["addr_info"].append(link)
    assert translated(rules, six, json.dumps(bare)) == {"dnat": "[fe80::1]:8080"}


def test_a_redirect_reaches_input_and_its_answer_comes_from_where_it_was_sent() -> None:
    for told in (None, HOST):
        rules = to("prerouting", REDIRECT)
        rules.base("input", [match("tcp dport", 8080), match("fib daddr type", "local"), PROHIBITED])
        assert rules.verdict(THROUGH, told) == "reject icmp-admin-prohibited syn"
        rules = to("prerouting", REDIRECT)
        rules.base("output", [match("tcp sport", 8080), match("ct direction", "reply"), DROP])
        assert rules.verdict(THROUGH, told) == "drop syn-ack"
        rules = to("prerouting", REDIRECT)
        rules.base("postrouting", [match("tcp sport", 8080), DROP], priority=110)
        assert rules.verdict(THROUGH, told) == "accept"


@pytest.mark.parametrize(
    ("kind", "said"),
    [({"snat": {"addr": "203.0.113.1", "flags": ["random"]}}, "203.0.113.1:?"),
     ({"snat": {"addr": "203.0.113.1", "port": 5000}}, "203.0.113.1:5000"),
     ({"snat": {"addr": "203.0.113.1", "port": {"range": [5000, 6000]}}}, "203.0.113.1:?"),
     ({"masquerade": {"flags": "fully-random"}}, "203.0.113.1:?"),
     ({"masquerade": {"port": 5000}}, "203.0.113.1:5000"),
     ({"masquerade": None}, "203.0.113.1:40000")],
)  # fmt: skip
def test_source_ports(kind: dict[str, Any], said: str) -> None:
    assert translated(to("postrouting", kind), THROUGH, HOST) == {"snat": said}


def test_what_has_no_ports_keeps_none() -> None:
    assert translated(to("prerouting", dnat("203.0.113.9", 80)), ECHO, HOST) == {"dnat": "203.0.113.9"}
    random = {"masquerade": {"flags": "random"}}
    rules = to("postrouting", random).base("prerouting", [dnat("203.0.113.9")], kind="nat", priority=-100)
    assert translated(rules, ECHO, HOST) == {"dnat": "203.0.113.9", "snat": "203.0.113.1"}


def test_a_masquerade_takes_the_address_nearest_to_the_next_hop() -> None:
    own = [
        ("eth0", "inet", "198.51.100.1", 24),
        ("eth1", "inet", "203.0.113.1", 24),
        ("eth1", "inet", "203.0.114.1", 24),
    ]
    gateway = {"dst": "default", "gateway": "203.0.114.7", "dev": "eth1"}
    link = [{"dst": "203.0.113.0/24", "dev": "eth1"}, {"dst": "198.51.100.0/24", "dev": "eth0"}]
    told = host(*own, routes=(gateway, *link))
    assert translated(to("postrouting", MASQUERADE), THROUGH, told) == {"snat": "203.0.113.1:40000"}
    far = THROUGH.replace("203.0.113.9", "100.64.0.1")
    assert translated(to("postrouting", MASQUERADE), far, told) == {"snat": "203.0.114.1:40000"}
    six = [("eth1", "inet6", "2001:db8:5::1", 64), ("eth1", "inet6", "2001:db8:8::1", 64)]
    told = host(*six, routes=({"dst": "default", "gateway": "2001:db8:5::7", "dev": "eth1"},))
    assert translated(to("postrouting", MASQUERADE, family="ip6"), OUT6, told) == {"snat": "[2001:db8:8::1]:40000"}
    assert translated(to("postrouting", MASQUERADE), OUT) == {"snat": "?:40000"}


def test_dnat_by_a_map_of_addresses_with_ports() -> None:
    pairs = [[80, {"concat": ["203.0.113.7", 8080]}], [81, {"concat": ["203.0.113.8", 8081]}]]
    by = {"map": {"key": field("tcp dport"), "data": {"set": pairs}}}
    assert translated(to("prerouting", {"dnat": {"addr": by}}), THROUGH, HOST) == {"dnat": "203.0.113.7:8080"}
    ports = {"map": {"key": field("tcp dport"), "data": {"set": [[80, 8080]]}}}
    only = to("prerouting", {"dnat": {"addr": "203.0.113.7", "port": ports}}, DROP)
    assert translated(only, THROUGH, HOST) == {"dnat": "203.0.113.7:8080"}
    other = THROUGH.replace("dport=80", "dport=81")
    assert translated(only, other, HOST) is None
    assert only.verdict(other, HOST) == "accept"
    gone = to(
        "prerouting", {"dnat": {"addr": "203.0.113.7", "port": {"map": {"key": field("tcp dport"), "data": "@no"}}}}
    )
    assert translated(gone, THROUGH, HOST) == {"dnat": "203.0.113.7:?"}


def test_an_address_that_can_not_be_told_is_not_known_and_one_that_is_not_there_does_not_match() -> None:
    missing = to("prerouting", {"dnat": {"addr": field("ip6 saddr")}}, DROP, family="inet")
    assert (translated(missing, THROUGH, HOST), missing.verdict(THROUGH, HOST)) == (None, "accept")
    name = {"concat": [field("meta iifname"), field("tcp dport")]}
    for odd in (field("meta iifname"), name):
        assert translated(to("prerouting", {"dnat": {"addr": odd}}), THROUGH) == {"dnat": "?:80"}
    prefix = {"prefix": {"addr": "10.0.0.0", "len": 8}}
    rules = to("prerouting", {"dnat": {"addr": prefix, "flags": ["netmap"]}})
    gone = {"map": {"key": field("tcp dport"), "data": "@gone"}}
    rules.base("prerouting", [{"mangle": {"key": field("ip daddr"), "value": gone}}], priority=-150)
    nats = [outcome.nat for outcome in rules.judge(THROUGH, legs=("syn",)).outcomes]
    assert nats
    assert all(nat == {"dnat": "?:80"} for nat in nats)


def test_what_is_of_the_other_family_is_passed_over() -> None:
    rules = to("prerouting", dnat("2001:db8::7", family="ip6"), DROP, family="inet")
    assert rules.verdict(THROUGH, HOST) == "drop syn"
    assert translated(to("prerouting", dnat("203.0.113.7", family="ip"), family="inet"), THROUGH, HOST) == {
        "dnat": "203.0.113.7:80"
    }


def test_a_prefix_is_mapped_onto_another_of_its_length() -> None:
    prefix = {"prefix": {"addr": "203.0.113.0", "len": 24}}
    rules = to("prerouting", {"dnat": {"addr": prefix, "flags": ["netmap"]}})
    assert translated(rules, THROUGH.replace("203.0.113.9", "10.0.0.77"), HOST) == {"dnat": "203.0.113.77:80"}
    assert translated(rules, THROUGH.replace("203.0.113.9", "52.255.142.77"), HOST) == {"dnat": "203.0.113.77:80"}
    back = to("postrouting", {"snat": {"addr": {"prefix": {"addr": "203.0.112.0", "len": 23}}, "flags": ["netmap"]}})
    assert translated(back, THROUGH, HOST) == {"snat": "203.0.112.1:40000"}
    assert translated(back, THROUGH.replace("192.0.2.1", "192.0.3.1"), HOST) == {"snat": "203.0.113.1:40000"}


def test_whose_addresses_are_stays_known_through_translation_and_back() -> None:
    """Without a host the question says which end is the host's own; translation takes that along."""
    local = match("fib saddr type", "local")
    rules = to("postrouting", {"snat": {"addr": "203.0.113.77"}})
    rules.base("prerouting", [match("fib daddr type", "local"), match("ct direction", "reply"), DROP], priority=-90)
    assert rules.verdict(OUT) == "drop syn-ack"
    rules = to("prerouting", {"redirect": {"port": 8080}})
    rules.base("postrouting", [local, match("tcp sport", 80), match("ct direction", "reply"), DROP], priority=110)
    assert rules.verdict(SSH.replace("dport=22", "dport=80")) == "drop syn-ack"


def test_one_connection_is_bound_once() -> None:
    rules = to("prerouting", dnat("203.0.113.7")).base("prerouting", [dnat("203.0.113.8")], kind="nat", priority=-99)
    rules.base(
        "forward",
        [match("ct direction", "original"), match("ip daddr", "203.0.113.7"), match("tcp flags", "ack"), DROP],
    )
    assert rules.verdict(THROUGH, HOST) == "drop ack"
    assert translated(rules, THROUGH, HOST) == {"dnat": "203.0.113.7:80"}


@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize(
    ("hook", "packet", "kind"),
    [
        ("postrouting", THROUGH, "snat"),
        ("input", SSH, "snat"),
        ("prerouting", THROUGH, "dnat"),
        ("output", OUT, "dnat"),
    ],
)
def test_what_binds_first_binds_for_good(hook: str, packet: str, kind: str, unknown: bool) -> None:
    """That may be a statement which is not understood: then no later chain is asked either."""
    first = {"newthing": 1} if unknown else {kind: {"addr": "203.0.113.7", "port": 5}}
    second = [{kind: {"addr": "203.0.113.8"}}]
    rules = to(hook, first).base(hook, second, kind="nat", priority=101)
    outcomes = rules.judge(packet, HOST, legs=("syn",)).outcomes
    assert {kind: "?:?" if unknown else "203.0.113.7:5"} in [outcome.nat for outcome in outcomes]


def test_what_may_translate_the_source_leaves_it_open() -> None:
    rules = to("postrouting", {"newthing": 1}, {"masquerade": None})
    rules.base("postrouting", [match("ip saddr", "10.0.0.1"), PROHIBITED], priority=110)
    assert "reject icmp-admin-prohibited syn" in rules.verdict(THROUGH, HOST, legs=("syn",)).split(" | ")


def test_what_the_host_sends_to_itself_has_its_source_settled_when_it_leaves() -> None:
    """By no chain at all, too: those of input are not asked again."""
    packet = "protocol=tcp,src=198.51.100.1,sport=4,dst=203.0.113.1,dport=22,hook=output"
    rules = Rules().base("input", [DROP], [{"snat": {"addr": "203.0.113.7"}}], kind="nat", priority=100)
    assert rules.verdict(packet, HOST) == "accept"
    assert rules.verdict(SSH, HOST) == "drop syn"


def test_untracked_packets_are_not_translated() -> None:
    rules = to("prerouting", dnat("203.0.113.7"), DROP)
    rules.base("prerouting", [{"notrack": None}], priority=-300)
    assert translated(rules, THROUGH, HOST) is None
    assert rules.verdict(THROUGH, HOST) == "accept"


def test_a_translation_is_a_step_that_says_to_where() -> None:
    assert effects(to("prerouting", dnat("203.0.113.7")).judge(THROUGH, HOST)) == ["dnat to 203.0.113.7:80"]
    assert effects(to("prerouting", dnat("203.0.113.7")).judge(ECHO, HOST)) == ["dnat to 203.0.113.7"]


@pytest.mark.parametrize(
    ("hook", "rule", "packet", "end", "old", "new"),
    [
        ("prerouting", dnat("203.0.113.7"), THROUGH, "ip daddr", "203.0.113.9", "203.0.113.7"),
        ("output", dnat("203.0.113.7"), OUT, "ip daddr", "203.0.113.9", "203.0.113.7"),
        ("postrouting", {"snat": {"addr": "203.0.113.1"}}, THROUGH, "ip saddr", "192.0.2.1", "203.0.113.1"),
        ("input", {"snat": {"addr": "203.0.113.1"}}, SSH, "ip saddr", "192.0.2.1", "203.0.113.1"),
    ],
)
def test_where_in_a_hook_addresses_change(
    hook: str, rule: dict[str, Any], packet: str, end: str, old: str, new: str
) -> None:
    middle = -100 if hook in {"prerouting", "output"} else 100
    for priority, address in ((middle - 1, old), (middle + 1, new)):
        rules = to(hook, rule).base(hook, [match(end, address), DROP], priority=priority)
        assert rules.verdict(packet, HOST, legs=("syn",)) == "drop syn", priority


def test_without_routes_a_translated_packet_leaves_by_the_device_that_was_asked_about() -> None:
    rules = to("prerouting", dnat("203.0.113.7")).base("forward", [match("meta oifname", "eth1"), DROP])
    assert rules.verdict(THROUGH) == "drop syn"
    rules = to("prerouting", dnat("203.0.113.7")).base("forward", [DROP]).base("input", [PROHIBITED])
    assert rules.verdict(f"{SSH},oif=eth1,hook=input") == "drop syn | reject icmp-admin-prohibited syn"
    assert rules.verdict(SSH) == "drop syn | reject icmp-admin-prohibited syn"


def test_without_routes_each_way_of_a_translated_packet_says_what_it_takes_for_true() -> None:
    rules = to("output", dnat("203.0.113.7")).base("input", [PROHIBITED])
    rules.base("postrouting", [match("meta oifname", "lo"), match("ct direction", "original"), ACCEPT], [DROP])
    outcomes = rules.judge(OUT, legs=("syn",)).outcomes
    said = {outcome.verdict: " ".join(each.text for each in outcome.assumptions) for outcome in outcomes}
    assert said["reject"].endswith("way to 203.0.113.7: an address of this host")
    assert "sent out" in said["drop"]


def test_a_route_is_told_by_its_text_and_one_way_is_no_draw() -> None:
    told = json.loads(HOST)
    told["route"].append({"type": "blackhole", "dst": "100.64.0.0/10"})
    told["route"].append({"type": "prohibit", "dst": "100.128.0.0/10"})
    for target, said in (("100.64.0.1", "blackhole 100.64.0.0/10"), ("100.128.0.1", "prohibit 100.128.0.0/10")):
        result = Rules().judge(THROUGH.replace("203.0.113.9", target), json.dumps(told))
        assert effects(result) == [said]
        assert result.outcomes[0].decider.text == said
    told["sysctl"] = {"net.ipv4.conf.all.rp_filter": "0"}
    assert Rules().judge(THROUGH, json.dumps(told)).outcomes[0].assumptions == ()


def test_what_stands_at_the_priority_of_translation_may_run_before_or_behind_it() -> None:
    """The kernel runs first what was made last, and when it began to translate shows nowhere."""
    rules = to("prerouting", dnat("203.0.113.7")).base(
        "prerouting", [match("ip daddr", "203.0.113.7"), DROP], priority=-100
    )
    result = rules.judge(THROUGH, HOST, legs=("syn",))
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop"}
    dropped = next(outcome for outcome in result.outcomes if outcome.verdict == "drop")
    assert [each.text for each in dropped.assumptions] == ["at the priority of translation it runs behind it"]
    assert Rules().base("prerouting", [DROP], priority=-100).judge(THROUGH, HOST).outcomes[0].assumptions == ()
    same = to("prerouting", dnat("203.0.113.7")).base("prerouting", [match("tcp dport", 80), DROP], priority=-100)
    assert same.judge(THROUGH, HOST).decided


def test_a_binding_is_applied_to_a_packet_once() -> None:
    """So a question about its new address is asked once for all chains behind translation."""
    known = [match("ip daddr", "@gone"), ACCEPT]
    rules = to("prerouting", dnat("203.0.113.7"))
    for priority in (-90, -80):
        rules.base("prerouting", [match("tcp flags", "syn", "in"), ACCEPT], known, policy="drop", priority=priority)
    dropped = [outcome for outcome in rules.judge(THROUGH, HOST).outcomes if outcome.verdict == "drop"]
    assert [outcome.decider.chain for outcome in dropped] == ["filter-prerouting--90"]


def test_every_packet_that_the_host_sends_is_routed_anew_where_it_is_translated() -> None:
    away = match("meta oifname", "eth1")
    packet = OUT.replace("203.0.113.9", "192.0.2.1")
    for flags, leg in (("syn", "syn"), ("ack", "ack")):
        rules = to("output", dnat("203.0.113.7"))
        rules.base("postrouting", [away, match("tcp flags", flags), DROP])
        assert rules.verdict(packet, HOST) == f"drop {leg}"


def test_what_arrives_is_routed_once_where_it_was_translated_to() -> None:
    """A host that does not forward swallows what it has no route for, too."""
    told = json.loads(HOST)
    told["sysctl"]["net.ipv4.ip_forward"] = "0"
    (outcome,) = to("prerouting", dnat("100.64.0.1")).judge(THROUGH, json.dumps(told)).outcomes
    assert (outcome.verdict, outcome.decider.text) == ("drop", "forwarding is off")
