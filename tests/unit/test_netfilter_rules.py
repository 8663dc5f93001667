"""How the kernel reads rules: each trap that evaluation must not fall into, by name."""

from __future__ import annotations

import pytest

from tests.unit.firewall import (
    ACCEPT,
    CONTINUE,
    DROP,
    LOG,
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
    goto,
    jump,
    mark,
    match,
    state,
    vmap,
)

UDP = SSH.replace("tcp", "udp")
SIX = "protocol=tcp,src=2001:db8::1,sport=40000,dst=2001:db8::2,dport=22,iif=eth0"


def test_accept_ends_only_its_own_base_chain() -> None:
    rules = Rules().base("input", [ACCEPT]).base("input", [DROP], priority=10)
    assert rules.verdict(SSH) == "drop syn"


def test_drop_is_final() -> None:
    assert Rules().base("input", [DROP]).base("input", [ACCEPT], priority=10).verdict(SSH) == "drop syn"


def test_chains_of_one_hook_run_by_priority_over_all_tables() -> None:
    rules = Rules("ip", "late").base("input", [DROP], priority=5).table("inet", "early").base("input", [PROHIBITED])
    assert rules.verdict(SSH) == "reject icmp-admin-prohibited syn"


def test_of_two_chains_of_one_priority_the_later_made_runs_first() -> None:
    rules = Rules("ip", "first").base("input", [DROP]).table("ip", "second").base("input", [PROHIBITED])
    assert rules.verdict(SSH) == "reject icmp-admin-prohibited syn"


@pytest.mark.parametrize("way", [[RETURN], [match("tcp dport", 23), ACCEPT]])
def test_policy_applies_at_the_end_and_on_return_from_a_base_chain(way: list[dict[str, object]]) -> None:
    assert Rules().base("input", way, policy="drop").verdict(SSH) == "drop syn"


def test_return_leads_behind_the_jump() -> None:
    rules = Rules().base("input", [jump("inner")], [DROP]).chain("inner", [RETURN], [ACCEPT])
    assert rules.verdict(SSH) == "drop syn"


def test_goto_does_not_come_back() -> None:
    rules = Rules().base("input", [goto("inner")], [ACCEPT], policy="drop").chain("inner", [match("tcp dport", 23)])
    assert rules.verdict(SSH) == "drop syn"


def test_goto_within_a_jump_comes_back_behind_the_jump() -> None:
    rules = Rules().base("input", [jump("a")], [ACCEPT], policy="drop").chain("a", [goto("b")], [DROP]).chain("b")
    assert rules.verdict(SSH) == "accept"


def test_a_vmap_without_the_key_is_the_next_rule() -> None:
    rules = Rules().base("input", [vmap("tcp dport", (23, DROP))], [PROHIBITED])
    assert rules.verdict(SSH) == "reject icmp-admin-prohibited syn"


def test_continue_in_a_vmap_goes_on_in_the_same_rule() -> None:
    rules = Rules().base("input", [vmap("tcp dport", (22, CONTINUE)), DROP])
    assert rules.verdict(SSH) == "drop syn"


def test_a_catch_all_element_meets_what_no_other_does() -> None:
    pairs = [[23, ACCEPT], ["*", DROP]]
    rules = Rules().set("ports", "inet_service", pairs, map="verdict")
    rules.base("input", [{"vmap": {"key": field("tcp dport"), "data": "@ports"}}])
    assert rules.verdict(SSH) == "drop syn"


def test_what_a_rule_did_before_its_failing_match_stays() -> None:
    rules = Rules().base("input", [mark(7), match("tcp dport", 23), ACCEPT], [match("meta mark", 7), DROP])
    assert rules.verdict(SSH) == "drop syn"


@pytest.mark.parametrize("operator", ["==", "!="])
def test_a_field_of_another_protocol_matches_nothing(operator: str) -> None:
    """nft leaves dependencies out of its JSON: `udp dport != 53` is about UDP alone."""
    rules = Rules().base("input", [match("udp dport", 22, operator), DROP])
    assert rules.verdict(SSH) == "accept"


@pytest.mark.parametrize("operator", ["==", "!="])
def test_a_field_of_another_family_matches_nothing(operator: str) -> None:
    rules = Rules("inet").base("input", [match("ip saddr", "192.0.2.1", operator), DROP])
    assert rules.judge(SIX).decided
    assert rules.verdict(SIX) == "accept"


def test_reject_with_icmp_is_about_ipv4_alone() -> None:
    assert Rules("inet").base("input", [PROHIBITED]).verdict(SIX) == "accept"


def test_reject_with_reset_is_about_tcp_alone() -> None:
    assert Rules().base("input", [RESET]).verdict(UDP) == "accept"


@pytest.mark.parametrize(
    ("packet", "answer"), [(SSH, "icmp-host-unreachable"), (SIX, "icmpv6-addr-unreachable")], ids=["ip", "ip6"]
)
def test_icmpx_takes_the_family_of_the_packet(packet: str, answer: str) -> None:
    rules = Rules("inet").base("input", [{"reject": {"type": "icmpx", "expr": "host-unreachable"}}])
    assert rules.verdict(packet) == f"reject {answer} syn"


def test_a_bare_reject_is_port_unreachable() -> None:
    assert Rules("inet").base("input", [{"reject": None}]).verdict(SIX) == "reject icmpv6-port-unreachable syn"


@pytest.mark.parametrize(
    ("operator", "right", "meets"),
    [
        ("!", "ack", True),
        ("!", ["syn", "ack"], False),
        ("in", ["syn", "ack"], True),
        ("in", "ack", False),
        ("==", "syn", True),
        ("==", ["syn", "ack"], False),
        ("!=", "syn", False),
        ("==", {"set": ["ack", {"|": ["syn", "ack"]}]}, False),
    ],
)
def test_flags(operator: str, right: object, meets: bool) -> None:
    rules = Rules().base("input", [match("tcp flags", right, operator), DROP])
    assert rules.verdict(SSH, legs=("syn",)) == ("drop syn" if meets else "accept")


@pytest.mark.parametrize(
    ("operator", "right", "meets"),
    [
        ("==", "192.0.2.1", True),
        ("!=", "192.0.2.1", False),
        ("==", {"prefix": {"addr": "192.0.2.0", "len": 24}}, True),
        ("!=", {"prefix": {"addr": "192.0.2.0", "len": 31}}, False),
        ("==", {"prefix": {"addr": "192.0.2.2", "len": 31}}, False),
        ("==", {"range": ["192.0.2.0", "192.0.2.1"]}, True),
        ("==", {"range": ["192.0.2.2", "192.0.2.9"]}, False),
        ("==", {"set": ["192.0.2.9", {"prefix": {"addr": "192.0.2.0", "len": 30}}]}, True),
        ("!=", {"set": ["192.0.2.9", {"elem": {"val": "192.0.2.1", "expires": 5}}]}, False),
        (">", "192.0.2.0", True),
        ("<=", "192.0.2.0", False),
    ],
)
def test_addresses(operator: str, right: object, meets: bool) -> None:
    rules = Rules().base("input", [match("ip saddr", right, operator), DROP])
    assert rules.verdict(SSH) == ("drop syn" if meets else "accept")


@pytest.mark.parametrize(("name", "meets"), [("eth*", True), ("eth0", True), ("eth", False), ("ens*", False)])
def test_wildcards_of_interfaces(name: str, meets: bool) -> None:
    for right in (name, {"set": [name, "veth9"]}):
        rules = Rules().base("input", [match("meta iifname", right), DROP])
        assert rules.verdict(SSH) == ("drop syn" if meets else "accept")


def test_where_there_is_no_interface_its_name_is_empty() -> None:
    """`oifname != "x"` holds in input, `iifname != "x"` in output (since Linux 5.3)."""
    assert Rules().base("input", [match("meta oifname", "eth1", "!="), DROP]).verdict(SSH) == "drop syn"
    assert Rules().base("output", [match("meta iifname", "eth*"), DROP]).verdict(OUT) == "accept"


def test_concatenations_with_ranges() -> None:
    elements = [{"concat": [{"prefix": {"addr": "192.0.2.0", "len": 24}}, {"range": [20, 30]}]}]
    both = {"concat": [field("ip saddr"), field("tcp dport")]}
    rules = Rules().set("pairs", ["ipv4_addr", "inet_service"], elements)
    rules.base("input", [{"match": {"op": "==", "left": both, "right": "@pairs"}}, DROP])
    assert rules.verdict(SSH) == "drop syn"
    assert rules.verdict(SSH.replace("dport=22", "dport=31")) == "accept"


def test_a_set_that_packets_change_is_changed_for_the_packets_after() -> None:
    add = {"set": {"op": "add", "elem": field("ip saddr"), "set": "@seen"}}
    rules = Rules().set("seen", "ipv4_addr", [], flags=["timeout"])
    rules.base("input", [match("ip saddr", "@seen"), DROP], [match("tcp flags", "syn"), add])
    assert rules.verdict(SSH) == "drop ack"


def test_conntrack_has_not_seen_what_raw_chains_see() -> None:
    """Before priority -200 `ct state` is invalid, and what needs a connection matches nothing."""
    rules = Rules().base("prerouting", [state("invalid"), DROP], priority=-300)
    assert rules.verdict(SSH) == "drop syn"
    rules = Rules().base("prerouting", [match("ct mark", 5, "!="), DROP], priority=-300)
    assert rules.verdict(SSH) == "accept"


def test_a_chain_at_conntracks_own_priority_runs_before_it() -> None:
    assert Rules().base("prerouting", [state("new"), DROP], priority=-200).verdict(SSH) == "accept"
    assert Rules().base("prerouting", [state("new"), DROP], priority=-199).verdict(SSH) == "drop syn"


def test_notrack_leaves_a_packet_untracked_and_untranslated() -> None:
    rules = Rules().base("prerouting", [NOTRACK], priority=-300)
    rules.base("prerouting", [dnat("203.0.113.9")], kind="nat", priority=-100)
    rules.base("input", [state("untracked"), DROP])
    assert rules.verdict(SSH) == "drop syn"


def test_notrack_after_conntrack_does_nothing() -> None:
    rules = Rules().base("prerouting", [NOTRACK], priority=-150).base("input", [state("new"), DROP])
    assert rules.verdict(SSH) == "drop syn"


def test_setting_a_connections_mark_without_a_connection_is_passed_over() -> None:
    setting = {"mangle": {"key": field("ct mark"), "value": 5}}
    rules = Rules().base("prerouting", [setting, DROP], priority=-300)
    assert rules.verdict(SSH) == "drop syn"


def test_a_connections_mark_stays_with_it() -> None:
    setting = {"mangle": {"key": field("ct mark"), "value": 5}}
    rules = Rules().base("forward", [state("new"), setting], [match("ct mark", 5), state("established"), DROP])
    assert rules.verdict(THROUGH) == "drop syn-ack"


def test_a_mark_is_of_one_packet() -> None:
    rules = Rules().base("forward", [state("new"), mark(5)], [state("established"), match("meta mark", 5), DROP])
    assert rules.verdict(THROUGH) == "accept"


def test_marks_are_read_with_masks() -> None:
    masked = {"match": {"op": "!=", "left": {"&": [field("meta mark"), 0x4000]}, "right": 0}}
    rules = Rules().base("input", [mark({"|": [field("meta mark"), 0x4000]})], [masked, DROP])
    assert rules.verdict(f"{SSH},mark=1") == "drop syn"


def test_what_changes_nothing_is_in_the_path_and_nowhere_else() -> None:
    rules = Rules().base("input", [{"counter": {"packets": 5, "bytes": 300}}, LOG], [ACCEPT])
    result = rules.judge(SSH)
    assert effects(result) == ["continue", "accept"]
    assert result.outcomes[0].trace[0].decider.counter == (5, 300)


def test_tables_of_bridges_and_sleeping_tables_see_nothing() -> None:
    rules = Rules("bridge").base("forward", [DROP]).table("ip", "asleep").base("forward", [DROP])
    rules.objects[3]["table"]["flags"] = ["dormant"]
    assert rules.verdict(THROUGH) == "accept"


def test_a_chain_at_a_device_sees_what_comes_by_it() -> None:
    rules = Rules("netdev").base("ingress", [DROP])
    rules.objects[1]["chain"]["dev"] = ["eth7"]
    assert rules.verdict(SSH) == "accept"
    rules.objects[1]["chain"]["dev"] = "eth0"
    assert rules.verdict(SSH) == "drop syn"
