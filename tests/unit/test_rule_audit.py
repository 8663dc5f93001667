"""What rules give away by themselves: doors found by asking, rules that nothing reaches, nothing that is not sure."""

from __future__ import annotations

import json

import pytest

from kubeshield_tui.evidence.audit import RuleFinding, audit
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.iptables import parse
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from kubeshield_tui.evidence.netfilter.shadowed import shadowed, unmet
from kubeshield_tui.model.expectation import Severity
from tests.unit.host_readings import ACCEPT, AT, DROP, counter, gathered, nft, port, saved

METADATA = {
    "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "169.254.169.254"}
}
INSIDE = {
    "match": {
        "op": "==",
        "left": {"payload": {"protocol": "ip", "field": "saddr"}},
        "right": {"prefix": {"addr": "10.0.0.0", "len": 8}},
    }
}


def found(told: Gathered, *, is_node: bool = True, pods: tuple[str, ...] = ()) -> dict[str, RuleFinding]:
    return {each.code: each for each in audit(told, AT, is_node=is_node, pods=pods)}


# --- doors


def test_a_node_without_a_wall_is_one_finding_for_all_that_listens() -> None:
    door = found(gathered())["input-policy-accept"]
    assert door.severity is Severity.LOW
    assert "kubelet 10.0.0.11:10250: any source is let in" in door.because
    assert any("kube-apiserver" in line and "[" not in line for line in door.because)
    assert not any("10257" in line or "2379" in line for line in door.because)  # on loopback; not there at all
    assert "[2001:db8::11]" in " ".join(door.because) or "2001:db8::11" in " ".join(door.because)


def test_a_rule_that_admits_everybody_is_named() -> None:
    told = gathered(nft=nft([port("10000-10999"), counter(9), ACCEPT], policy="drop"))
    codes = found(told)
    assert "input-policy-accept" not in codes
    door = codes["any-source-accept"]
    assert door.severity is Severity.MEDIUM
    assert "inet t input rule 1 (handle 2)" in door.because[-1]
    assert "[9 packets]" in door.because[-1]
    assert door.verify == ("on n1: nft -a list chain inet t input",)
    assert door.about == ("t", "input")


@pytest.mark.parametrize(
    "rule",
    [
        [INSIDE, port(10250), ACCEPT],  # not for everybody
        [port(10250), {"limit": {"rate": 5, "per": "minute"}}, ACCEPT],  # not decided
    ],
)
def test_what_not_every_stranger_may_do_for_sure_is_no_door(rule: list[object]) -> None:
    assert not {"any-source-accept", "input-policy-accept"} & set(found(gathered(nft=nft(rule, policy="drop"))))


def test_rules_that_could_not_be_read_are_no_door() -> None:
    assert "input-policy-accept" not in found(gathered(nft=None, backends=None))


def test_without_listeners_every_door_of_a_node_is_looked_at() -> None:
    because = found(gathered(listeners=None))["input-policy-accept"].because
    assert any("etcd 10.0.0.11:2379" in line for line in because)


def test_a_host_that_is_no_node_is_not_held_to_its_doors() -> None:
    assert found(gathered(), is_node=False, pods=("10.244.1.7",)) == {}


# --- metadata


def test_metadata_that_is_forwarded_is_said_with_what_lets_it() -> None:
    told = found(gathered(), pods=("10.244.1.7",))["metadata-forwarded"]
    assert "from a pod at 10.244.1.7 to 169.254.169.254:80" in told.because[0]
    closed = gathered(nft=nft([METADATA, DROP], hook="forward"))
    assert "metadata-forwarded" not in found(closed, pods=("10.244.1.7",))
    assert "metadata-forwarded" not in found(gathered())


# --- rules without effect


def never(*rules: list[object], **keywords: str) -> list[tuple[int, int, bool]]:
    ruleset = parse_nft(nft(*rules, **keywords))
    return [(each.rule.index, each.by.index, each.contradicts) for each in shadowed(ruleset)]


def state(*names: str) -> dict[str, object]:
    return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": list(names)}}


def test_rules_behind_one_that_takes_everything_are_never_reached() -> None:
    assert never([port(22), ACCEPT], [DROP], [port(80), ACCEPT]) == [(2, 1, True)]
    assert never([port("1-1023"), DROP], [port(22), ACCEPT], [port(2222), ACCEPT]) == [(1, 0, True)]
    assert never([port(22), ACCEPT], [INSIDE, port(22), ACCEPT]) == [(1, 0, False)]
    assert never([state("established", "related"), ACCEPT], [state("established"), port(22), DROP]) == [(1, 0, True)]
    several = {"match": {**port(22)["match"], "right": {"set": [22, 80, 443]}}}  # type: ignore[dict-item]
    assert never([several, ACCEPT], [port(80), DROP]) == [(1, 0, True)]
    protocol = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}
    assert never([protocol, DROP], [port(22), ACCEPT]) == [(1, 0, True)]


@pytest.mark.parametrize(
    "rules",
    [
        ([INSIDE, port(22), ACCEPT], [port(22), DROP]),  # takes fewer
        ([port(22), ACCEPT], [port("1-1023"), DROP]),
        ([port(22), {"limit": {"rate": 1, "per": "second"}}, ACCEPT], [port(22), DROP]),
        ([port(22), counter(1)], [port(22), DROP]),  # no verdict
        ([port(22), {"continue": None}], [port(22), DROP]),
        ([port(22), {"jump": {"target": "other"}}], [port(22), DROP]),
        ([port(22), {"reject": {"type": "icmp", "expr": "port-unreachable"}}], [port(22), DROP]),  # IPv4 alone
        ([{"reject": {"type": "tcp reset"}}], [port(53, "udp"), DROP]),  # TCP alone
        ([port(22), {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}, ACCEPT], [port(22), DROP]),
        ([state("established"), ACCEPT], [state("established", "related"), DROP]),
        ([port(53, "udp"), ACCEPT], [port(53), DROP]),
        ([{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "tcp"}}, DROP],
         [port(22), ACCEPT]),  # TCP of IPv6 gets there
        ([{"match": {"op": "!=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, DROP],
         [port(80), ACCEPT]),
        ([{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, ACCEPT],
         [port(80), {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}],
         [{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}, DROP]),
        ([state("new"), ACCEPT], [{"notrack": None}], [state("new"), DROP]),
        ([port(22), ACCEPT], [{"xt": {"type": "target", "name": "ODD"}}], [port(22), DROP]),
    ],
)  # fmt: skip
def test_what_may_be_reached_is_not_said_to_be_dead(rules: tuple[list[object], ...]) -> None:
    assert never(*rules) == []


def test_sets_that_packets_change_take_nothing_for_sure() -> None:
    def ruleset(flags: list[str]) -> Ruleset:
        told = json.loads(nft([{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                                          "right": "@ports"}}, ACCEPT], [port(80), DROP]))  # fmt: skip
        told["nftables"].insert(2, {"set": {"family": "inet", "table": "t", "name": "ports", "type": "inet_service",
                                            "handle": 9, "flags": flags, "elem": [80, 443]}})  # fmt: skip
        return parse_nft(json.dumps(told))

    assert len(list(shadowed(ruleset([])))) == 1
    assert list(shadowed(ruleset(["dynamic"]))) == []
    assert list(shadowed(ruleset(["timeout"]))) == []


def test_a_line_of_iptables_is_dead_only_with_all_that_it_became() -> None:
    dump = parse(
        saved("-A INPUT -p tcp -m tcp --dport 22 -j DROP", "-A INPUT -p tcp -m multiport --ports 22 -j ACCEPT")
    )
    assert list(shadowed(Ruleset(tables=dump.tables))) == []
    dump = parse(saved("-A INPUT -p tcp -j DROP", "-A INPUT -p tcp -m multiport --ports 22 -j ACCEPT"))
    assert [each.rule.index for each in shadowed(Ruleset(tables=dump.tables))] == [1]


def test_dead_rules_are_one_finding_by_what_is_wrong_with_them() -> None:
    told = found(gathered(nft=nft([port(22), ACCEPT], [port(22), DROP], [port(22), ACCEPT])), is_node=False)
    assert told["rule-shadowed"].severity is Severity.LOW
    assert "all its packets end at rule 1: tcp dport 22 accept" in told["rule-shadowed"].because[0]
    assert told["rule-repeated"].severity is Severity.INFO
    made = saved("-A KUBE-FORWARD -p tcp -j ACCEPT", "-A KUBE-FORWARD -p tcp -j ACCEPT").replace(
        ":INPUT", ":KUBE-FORWARD - [0:0]\n:INPUT"
    )
    legacy = made.replace(" (nf_tables)", "")
    assert found(gathered(iptables_legacy=legacy), is_node=False) == {}


def test_rules_that_none_met_are_said_where_their_chain_counted() -> None:
    rules = (
        [port(22), counter(500), ACCEPT],
        [port(23), counter(0), ACCEPT],
        [port(24), counter(0), {"jump": {"target": "x"}}],
    )
    assert [each.rule.index for each in unmet(parse_nft(nft(*rules)))] == [1]
    assert list(unmet(parse_nft(nft([port(22), counter(5), ACCEPT], [port(23), counter(0), ACCEPT])))) == []
    told = found(gathered(nft=nft(*rules)), is_node=False)["rule-never-met"]
    assert told.severity is Severity.INFO
    assert "others of its chain counted 500" in told.because[0]


def test_long_lists_are_cut_and_say_so() -> None:
    rules = [[port(22), counter(500), ACCEPT], *([port(9000 + number), counter(0), ACCEPT] for number in range(20))]
    because = found(gathered(nft=nft(*rules)), is_node=False)["rule-never-met"].because
    assert len(because) == 13
    assert because[-1] == "... 8 more"


def test_names_of_the_host_stay_one_word_in_commands() -> None:
    odd = (
        nft([port(10250), ACCEPT], policy="drop")
        .replace('"name": "t"', '"name": "t; rm"')
        .replace('"table": "t"', '"table": "t; rm"')
    )
    assert found(gathered(nft=odd))["any-source-accept"].verify == ("on n1: nft -a list chain inet 't; rm' input",)
