"""The way of a packet: three packets of a handshake, translation, routing between hooks; what the kernel taught us."""

from __future__ import annotations

import json

import pytest

from tests.unit.firewall import (
    ACCEPT,
    DROP,
    HOST,
    LIMIT,
    NOTRACK,
    OUT,
    PROHIBITED,
    RESET,
    RETURN,
    SSH,
    THROUGH,
    Rules,
    dnat,
    effects,
    field,
    mark,
    match,
    state,
)

TO_HOST = "protocol=tcp,src=192.0.2.1,sport=40000,dst=198.51.100.1,dport=80,iif=eth0"
MASQUERADE = {"masquerade": None}


def nat(*rules: list[dict[str, object]], hook: str = "prerouting", priority: int = -100) -> Rules:
    return Rules().base(hook, *rules, kind="nat", priority=priority)


# --- legs


def test_the_answer_goes_the_other_way_by_the_other_interfaces() -> None:
    back = [match("ip saddr", "203.0.113.9"), match("meta iifname", "eth1"), match("meta oifname", "eth0"), DROP]
    assert Rules().base("forward", back).verdict(THROUGH) == "drop syn-ack"


def test_the_answer_of_a_service_on_the_host_passes_output() -> None:
    assert Rules().base("output", [match("tcp sport", 22), DROP]).verdict(SSH) == "drop syn-ack"


def test_the_answer_to_the_host_passes_input() -> None:
    assert Rules().base("input", [match("tcp sport", 80), DROP]).verdict(OUT) == "drop syn-ack"


def test_a_first_packet_that_passes_is_not_enough() -> None:
    rules = Rules().base("forward", [match("meta iifname", "eth0"), ACCEPT], policy="drop")
    assert rules.verdict(THROUGH) == "drop syn-ack"
    assert rules.verdict(THROUGH, legs=("syn",)) == "accept"


def test_what_follows_the_answer_can_be_refused_too() -> None:
    rules = Rules().base("forward", [match("ct direction", "original"), state("established"), RESET])
    assert rules.verdict(THROUGH) == "reject tcp-reset ack"


def test_conntrack_says_new_then_established() -> None:
    rules = Rules().base("forward", [state("new"), ACCEPT], [state("established"), ACCEPT], policy="drop")
    assert rules.verdict(THROUGH) == "accept"


def test_only_tcp_has_a_third_packet() -> None:
    rules = Rules().base("forward", [state("established"), match("ct direction", "original"), DROP])
    assert rules.verdict(THROUGH.replace("tcp", "udp")) == "accept"


def test_an_answer_whose_question_was_not_tracked_is_invalid() -> None:
    rules = Rules().base(
        "prerouting", [match("tcp flags", "syn"), match("meta iifname", "eth0"), NOTRACK], priority=-300
    )
    rules.base("forward", [state("invalid"), DROP])
    assert rules.verdict(THROUGH) == "drop syn-ack"


def test_a_packet_that_is_not_the_first_is_judged_alone() -> None:
    rules = Rules().base("input", [state("established"), ACCEPT], policy="drop").base("output", [DROP])
    assert rules.verdict(f"{SSH},ct_state=established") == "accept"
    assert rules.verdict(f"{SSH},tcp_flags=ack") == "drop syn"


def test_a_reset_begins_no_connection() -> None:
    assert Rules().base("input", [state("invalid"), DROP]).verdict(f"{SSH},tcp_flags=rst") == "drop syn"


# --- translation


def test_translated_packets_are_judged_where_they_go() -> None:
    rules = nat([match("tcp dport", 80), dnat("203.0.113.9", 8080)])
    rules.base("forward", [match("ip daddr", "203.0.113.9"), match("tcp dport", 8080), PROHIBITED])
    result = rules.judge(TO_HOST, HOST)
    assert result.outcomes[0].nat == {"dnat": "203.0.113.9:8080"}
    assert rules.verdict(TO_HOST, HOST) == "reject icmp-admin-prohibited syn"


def test_chains_before_translation_see_the_old_address_and_those_behind_it_the_new() -> None:
    for priority, address in ((-101, "198.51.100.1"), (-99, "203.0.113.9")):
        rules = nat([dnat("203.0.113.9")]).base("prerouting", [match("ip daddr", address), DROP], priority=priority)
        assert rules.verdict(TO_HOST, HOST) == "drop syn", priority


def test_the_priority_of_a_nat_chain_does_not_move_translation() -> None:
    """The kernel translates at -100; a nat chain at -90 runs there too, before a filter chain at -95."""
    rules = nat([dnat("203.0.113.9")], priority=-90)
    rules.base("prerouting", [match("ip daddr", "203.0.113.9"), DROP], priority=-95)
    assert rules.verdict(TO_HOST, HOST) == "drop syn"


def test_of_several_nat_chains_the_first_that_translates_is_the_last_that_runs() -> None:
    rules = nat([dnat("203.0.113.9")]).base("prerouting", [dnat("203.0.113.8")], kind="nat", priority=-90)
    assert rules.judge(TO_HOST, HOST).outcomes[0].nat == {"dnat": "203.0.113.9:80"}


def test_nat_chains_see_the_first_packet_alone() -> None:
    assert nat([match("tcp flags", "ack"), DROP]).verdict(THROUGH) == "accept"


def test_nat_chains_are_entered_only_where_something_tracks() -> None:
    assert nat([DROP]).verdict(THROUGH) == "accept"
    assert nat([DROP], [dnat("203.0.113.9")]).verdict(THROUGH) == "drop syn"


def test_a_translation_to_what_it_was_is_none() -> None:
    rules = nat([dnat("203.0.113.9")]).base("forward", [match("ct status", "dnat", "in"), DROP])
    assert rules.verdict(THROUGH) == "accept"
    rules = nat([dnat("203.0.113.8")]).base("forward", [match("ct status", "dnat", "in"), DROP])
    assert rules.verdict(THROUGH) == "drop syn"


def test_answers_are_translated_back() -> None:
    rules = nat([dnat("203.0.113.9", 8080)]).base("postrouting", [MASQUERADE], kind="nat", priority=100)
    rules.base("forward", [match("ip saddr", "203.0.113.9"), match("ip daddr", "192.0.2.1"), DROP])
    result = rules.judge(TO_HOST, HOST)
    assert result.outcomes[0].leg == "syn-ack"
    assert result.outcomes[0].nat == {"dnat": "203.0.113.9:8080", "snat": "203.0.113.1:40000"}
    rules = nat([dnat("203.0.113.9", 8080)])
    rules.base("postrouting", [match("tcp sport", 8080), match("meta oifname", "eth0"), DROP], priority=99)
    assert rules.verdict(TO_HOST, HOST) == "drop syn-ack"


def test_an_answer_that_is_not_translated_back_does_not_arrive() -> None:
    """Untracked answers come from the wrong address: the asker does not know them."""
    rules = nat([dnat("203.0.113.9", 8080)]).base("prerouting", [match("tcp sport", 8080), NOTRACK], priority=-300)
    (outcome,) = rules.judge(TO_HOST, HOST).outcomes
    assert (outcome.verdict, outcome.leg) == ("drop", "syn-ack")
    assert "203.0.113.9:8080, 198.51.100.1:80 is waited for" in outcome.decider.text


def test_a_redirect_stays_on_the_host_for_all_packets() -> None:
    rules = nat([{"redirect": {"port": 8080}}]).base("forward", [DROP])
    assert rules.verdict(THROUGH) == "accept"
    assert rules.judge(THROUGH, HOST).outcomes[0].nat == {"dnat": "198.51.100.1:8080"}


def test_dnat_to_the_other_family_is_passed_over() -> None:
    six = dnat("2001:db8::9", family="ip6")
    rules = Rules("inet").base("prerouting", [six], [dnat("203.0.113.8", family="ip")], kind="nat", priority=-100)
    assert rules.judge(THROUGH).outcomes[0].nat == {"dnat": "203.0.113.8:80"}
    assert "continue" in effects(rules.judge(THROUGH))


def test_dnat_by_a_map_without_the_key_does_not_match() -> None:
    by_port = {"map": {"key": field("tcp dport"), "data": {"set": [[81, {"concat": ["203.0.113.8", 8080]}]]}}}
    rules = nat([{"dnat": {"addr": by_port}}, DROP], [dnat("203.0.113.7")])
    assert rules.judge(THROUGH).outcomes[0].nat == {"dnat": "203.0.113.7:80"}
    at_80 = THROUGH.replace("dport=80", "dport=81")
    assert rules.judge(at_80).outcomes[0].nat == {"dnat": "203.0.113.8:8080"}


def test_prefixes_are_mapped_one_to_one() -> None:
    told = {"addr": {"prefix": {"addr": "10.9.0.0", "len": 16}}, "flags": "netmap", "type_flags": "prefix"}
    assert nat([{"dnat": told}]).judge(THROUGH).outcomes[0].nat == {"dnat": "10.9.113.9:80"}


def test_a_masquerade_takes_the_address_toward_the_next_hop() -> None:
    rules = Rules().base("postrouting", [MASQUERADE], kind="nat", priority=100)
    assert rules.judge(THROUGH, HOST).outcomes[0].nat == {"snat": "203.0.113.1:40000"}


def test_whether_an_unknown_masquerade_changed_the_source_is_unknown() -> None:
    rules = Rules().base("postrouting", [MASQUERADE], kind="nat", priority=100)
    rules.base("output", [match("ct status", "snat", "in"), DROP])
    assert rules.verdict(OUT) == "accept | drop ack"


@pytest.mark.parametrize("said", ["seen-reply", "assured", "confirmed"])
def test_an_unknown_masquerade_leaves_the_rest_of_the_status_known(said: str) -> None:
    """`seen-reply` is not one answer for the first packet and for what follows."""
    masked = {"match": {"op": "!=", "left": {"&": [field("ct status"), said]}, "right": 0}}
    for condition in (match("ct status", said, "in"), masked):
        rules = Rules().base("postrouting", [MASQUERADE], kind="nat", priority=100)
        rules.base("postrouting", [condition, DROP], priority=110)
        assert rules.verdict(OUT) == "drop ack"


def test_a_known_bit_of_the_status_decides_beside_one_that_is_not() -> None:
    rules = Rules().base("postrouting", [MASQUERADE], kind="nat", priority=100)
    rules.base("output", [match("ct status", ["snat", "seen-reply"], "in"), DROP])
    assert rules.verdict(OUT) == "drop ack"
    rules.base("output", [match("ct status", ["snat", "seen-reply"], "!"), PROHIBITED], priority=-10)
    assert rules.verdict(OUT) == "reject icmp-admin-prohibited syn"


def test_what_the_host_sends_itself_binds_once_and_passes_input_too() -> None:
    """Translation of the destination is settled in output, even by no chain at all: prerouting is not asked again."""
    packet = "protocol=tcp,src=198.51.100.1,sport=4,dst=203.0.113.1,dport=22,hook=output"
    rules = nat([DROP], [dnat("203.0.113.9")]).base("input", [match("meta iifname", "lo"), PROHIBITED])
    assert rules.verdict(packet, HOST) == "reject icmp-admin-prohibited syn"


def test_output_sees_the_old_interface_and_postrouting_the_new() -> None:
    packet = "protocol=tcp,src=198.51.100.1,sport=4,dst=192.0.2.1,dport=22,hook=output"
    rules = Rules().base("output", [dnat("203.0.113.9")], kind="nat", priority=-100)
    rules.base("output", [match("ip daddr", "203.0.113.9"), match("meta oifname", "eth0"), mark(1)])
    rules.base("postrouting", [match("meta mark", 1), match("meta oifname", "eth1"), DROP])
    assert rules.verdict(packet, HOST) == "drop syn"


# --- routing


def with_routes(*routes: dict[str, object], **more: object) -> str:
    told = json.loads(HOST)
    told["route"] = [*routes, *told["route"]]
    return json.dumps({**told, **more})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unreachable", "reject icmp-host-unreachable syn"),
        ("prohibit", "reject icmp-admin-prohibited syn"),
        ("blackhole", "drop syn"),
        ("throw", "reject icmp-net-unreachable syn"),
    ],
)
def test_routes_refuse_before_forward_is_reached(kind: str, said: str) -> None:
    rules = Rules().base("forward", [DROP])
    packet = THROUGH.replace("203.0.113.9", "10.0.0.1")
    assert rules.verdict(packet, with_routes({"type": kind, "dst": "10.0.0.0/8"})) == said


def test_without_a_route_the_host_answers_before_its_rules_do() -> None:
    rules = Rules().base("forward", [PROHIBITED]).base("prerouting", [match("tcp dport", 81), DROP])
    packet = THROUGH.replace("203.0.113.9", "10.96.0.1")
    assert rules.verdict(packet, HOST) == "reject icmp-net-unreachable syn"
    assert rules.verdict(packet.replace("dport=80", "dport=81"), HOST) == "drop syn"


def test_the_longest_prefix_and_then_the_lowest_metric_wins() -> None:
    rules = Rules().base("forward", [match("meta oifname", "eth7"), DROP])
    near = {"dst": "203.0.113.0/28", "dev": "eth7"}
    assert rules.verdict(THROUGH, with_routes(near)) == "drop syn"
    assert rules.verdict(THROUGH, with_routes({**near, "metric": 50}, {**near, "dev": "eth1"})) == "accept"


def test_a_mark_chooses_the_table_of_routes() -> None:
    rule = [{"priority": 10, "src": "all", "fwmark": "0x10", "fwmask": "0xf0", "table": "9"},
            {"priority": 32766, "src": "all", "table": "main"}]  # fmt: skip
    host = with_routes({"type": "prohibit", "dst": "default", "table": "9"}, rule=rule)
    assert Rules().base("prerouting", [mark(0x11)], priority=-150).verdict(THROUGH, host) == (
        "reject icmp-admin-prohibited syn"
    )
    assert Rules().base("prerouting", [mark(0x21)], priority=-150).verdict(THROUGH, host) == "accept"


def test_a_mark_that_a_route_chain_sets_in_output_routes_anew() -> None:
    rule = [{"priority": 10, "src": "all", "fwmark": "0x10", "table": "9"},
            {"priority": 32766, "src": "all", "table": "main"}]  # fmt: skip
    host = with_routes({"type": "unreachable", "dst": "default", "table": "9"}, rule=rule)
    route = Rules().base("output", [mark(0x10)], kind="route", priority=-150)
    assert route.verdict(OUT, host) == "reject icmp-host-unreachable syn"
    assert Rules().base("output", [mark(0x10)], priority=-150).verdict(OUT, host) == "accept"


def test_routes_tell_input_from_forward_whatever_was_asked() -> None:
    rules = Rules().base("input", [DROP]).base("forward", [PROHIBITED])
    assert rules.verdict(THROUGH.replace("203.0.113.9", "203.0.113.1"), HOST) == "drop syn"
    assert rules.verdict(SSH.replace("198.51.100.1", "203.0.113.9"), HOST) == "reject icmp-admin-prohibited syn"


def test_a_host_that_does_not_forward_swallows_what_is_not_for_it() -> None:
    host = with_routes(sysctl={"net.ipv4.ip_forward": "0"})
    assert Rules().base("forward", [PROHIBITED]).verdict(THROUGH, host) == "drop syn"


def test_forwarding_that_was_not_collected_is_an_assumption() -> None:
    result = Rules().judge(SSH.replace("198.51.100.1", "203.0.113.9"), with_routes(sysctl={}))
    assert result.decided
    assert "ip_forward was not collected" in result.outcomes[0].assumptions[0].text


@pytest.mark.parametrize(
    ("source", "settings", "said"),
    [
        ("127.0.0.5", {"net.ipv4.conf.all.route_localnet": "0"}, "drop syn"),
        ("203.0.113.1", {"net.ipv4.conf.eth0.accept_local": "0"}, "drop syn"),
        ("203.0.113.9", {"net.ipv4.conf.eth0.rp_filter": "1"}, "drop syn"),
        ("203.0.113.9", {"net.ipv4.conf.all.rp_filter": "2"}, "accept"),
        ("203.0.113.9", {"net.ipv4.conf.all.rp_filter": "0"}, "accept"),
        ("203.0.113.9", {"net.ipv4.conf.lo.rp_filter": "0"}, "accept | drop syn"),
        ("10.0.0.9", {"net.ipv4.conf.all.rp_filter": "2"}, "drop syn"),
    ],
)
def test_sources_that_can_not_come_that_way(source: str, settings: dict[str, str], said: str) -> None:
    packet = SSH.replace("192.0.2.1", source)
    assert Rules().base("input", [ACCEPT]).verdict(packet, with_routes(sysctl=settings), legs=("syn",)) == said


def test_one_of_several_next_hops_is_drawn() -> None:
    ways = {"dst": "10.0.0.0/8", "nexthops": [{"dev": "eth1", "gateway": "203.0.113.2"}, {"dev": "eth7"}]}
    rules = Rules().base("forward", [match("meta oifname", "eth7"), DROP])
    assert rules.verdict(THROUGH.replace("203.0.113.9", "10.0.0.1"), with_routes(ways)) == "accept | drop syn"


@pytest.mark.parametrize(
    ("name", "right", "meets"),
    [
        ("fib daddr type", "local", True),
        ("fib daddr iif type", "local", True),
        ("fib saddr type", "unicast", True),
        ("fib saddr type", "local", False),
        ("fib saddr iif oif", True, True),
        ("fib saddr iif oif", False, False),
    ],
)
def test_rules_ask_the_routes(name: str, right: object, meets: bool) -> None:
    rules = Rules().base("prerouting", [match(name, right), DROP])
    assert rules.verdict(SSH, HOST) == ("drop syn" if meets else "accept")


def test_a_local_source_has_no_way_back_but_over_lo() -> None:
    rules = Rules().base("input", [match("fib saddr iif oif", False), DROP])
    packet = "protocol=tcp,src=198.51.100.1,sport=4,dst=203.0.113.1,dport=22,hook=output"
    assert rules.verdict(packet, HOST) == "accept"


# --- without routes


def test_without_routes_the_packets_hook_is_taken_at_its_word() -> None:
    rules = Rules().base("input", [DROP]).base("forward", [PROHIBITED])
    assert rules.verdict(SSH) == "drop syn"
    assert rules.verdict(THROUGH) == "reject icmp-admin-prohibited syn"


def test_without_routes_a_new_destination_may_be_here_or_elsewhere() -> None:
    rules = nat([dnat("10.0.0.1")]).base("input", [DROP])
    assert rules.verdict(TO_HOST) == "accept | drop syn"
    assert rules.verdict(THROUGH) == "accept", "who gives oif knows that it leaves again"


def test_what_begins_here_and_is_translated_may_come_back() -> None:
    rules = Rules().base("output", [dnat("10.0.0.1")], kind="nat", priority=-100).base("input", [state("new"), DROP])
    assert rules.verdict(OUT) == "accept | drop syn"


def test_with_routes_the_interface_that_is_not_given_is_the_one_that_leads_back() -> None:
    rules = Rules().base("input", [match("meta iifname", "eth0"), DROP])
    assert rules.verdict(SSH.replace(",iif=eth0", ""), HOST) == "drop syn"
    assert rules.verdict(SSH.replace(",iif=eth0", "")) == "accept | drop syn"


def test_echo_requests_are_answered_by_replies() -> None:
    packet = "protocol=icmp,src=192.0.2.1,dst=203.0.113.9,iif=eth0,oif=eth1,hook=forward"
    assert Rules().base("forward", [match("icmp type", "echo-reply"), DROP]).verdict(packet) == "drop syn-ack"
    assert (
        Rules().base("forward", [match("icmp type", "redirect"), DROP]).verdict(f"{packet},icmp_type=5") == "drop syn"
    )


def test_a_limit_is_met_by_each_packet_anew() -> None:
    rules = Rules().base("forward", [LIMIT, ACCEPT], [RETURN], policy="drop")
    assert rules.verdict(THROUGH) == "accept | drop ack | drop syn | drop syn-ack"
