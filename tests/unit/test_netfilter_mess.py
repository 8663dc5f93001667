"""Dumps that something happened to on their way: no exception, no hang, no escape sequence, and never a guess."""

from __future__ import annotations

import json
from random import Random

import pytest

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.telling import result_lines
from kubeshield_tui.evidence.netfilter.words import address
from tests.lab.netfilter.fuzz import attack
from tests.lab.netfilter.generators.recorded import FOLDER

SSH = parse_packet("src=192.0.2.1,sport=40000,dst=192.0.2.254,dport=22,protocol=tcp,iif=eth0")
SEEDS = range(0, 400, 20)
MANY = 20_000


def filter_of(*rules: str) -> Firewall:
    text = "\n".join(("*filter", ":INPUT DROP [0:0]", *rules, "COMMIT"))
    return Firewall(merge(None, [iptables.parse(text, "ip")]))


def verdicts(judge: Firewall) -> set[str]:
    return {outcome.verdict for outcome in judge.judge(SSH).outcomes}


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_to_input_nothing_breaks_and_nothing_is_guessed(seed: int) -> None:
    """A share of `python -m tests.lab.netfilter.fuzz`."""
    for number in range(seed, seed + SEEDS.step):
        name, said = attack(Random(number))
        assert said == "", f"{name}, seed {number}"


def test_escape_sequences_in_what_is_not_understood_do_not_reach_the_terminal() -> None:
    judge = filter_of("-A INPUT -m \x1b]0;title\x07 -j \x1b[2JACCEPT")
    lines = result_lines(SSH, judge.judge(SSH, explain=True))
    assert any("␛" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_map_of_a_nat_chain_that_is_not_all_there_may_translate() -> None:
    """Taken for no more than a verdict, it left the ClusterIP without a way to anywhere: a false `blocked`."""
    folder = FOLDER / "kube-proxy-nftables"
    objects = json.loads((folder / "nft.json").read_text("utf-8"))["nftables"]
    for each in objects:
        if each.get("map", {}).get("name") == "service-ips":
            each["map"]["elem"] = [[{"frobnicate": 1}, data] for _, data in each["map"].get("elem", ())]
    host = parse_host((folder / "host").read_text("utf-8"))
    judge = Firewall(parse_nft(json.dumps({"nftables": objects})), host)
    asked = "src=172.30.0.254,sport=40000,dst=10.96.233.155,dport=80,protocol=tcp,iif=labrc"
    assert "accept" in {outcome.verdict for outcome in judge.judge(parse_packet(asked)).outcomes}


def test_a_target_of_a_nat_chain_that_is_not_understood_may_translate() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j FROBNICATE --to x\nCOMMIT\n"
    outcomes = Firewall(merge(None, [iptables.parse(text, "ip")])).judge(SSH).outcomes
    assert {"dnat": "?:?"} in [outcome.nat for outcome in outcomes]


def test_a_long_line_with_quotes_is_not_understood_and_ends() -> None:
    judge = filter_of(f'-A INPUT -m comment --comment "{"x y" * 100_000}\\" -j ACCEPT')
    assert verdicts(judge) == {"accept", "drop", "reject"}


def test_a_line_of_a_set_that_is_not_understood_may_be_a_member() -> None:
    sets = ipset.parse(
        'create a hash:ip family inet\nadd a 10.0.0.1\nadd a "10.0.0\ncreate b hash:ip\nadd b 10.0.0.1\n'
    )
    assert [sets.named[name].elements.complete for name in "ab"] == [False, True]


def test_a_set_of_sets_with_a_member_that_is_not_understood_is_not_complete() -> None:
    sets = ipset.parse("create a hash:ip\nadd a 10.0.0.1\ncreate all list:set\nadd all a\nadd all\n")
    assert sets.named["all"].elements.complete is False


@pytest.mark.parametrize("route", ['{"dst": "x.x.x.x/24", "dev": "eth1"}', "7", '{"type": "local"}'])
def test_a_route_that_is_not_understood_may_lead_anywhere(route: str) -> None:
    """Left out without a word, its destinations had no route: a false `blocked`."""
    rules = parse_nft('{"nftables": []}')
    host = parse_host(f'[{{"dst": "192.0.2.0/24", "dev": "eth0"}}, {route}]')
    result = Firewall(rules, host).judge(parse_packet("src=192.0.2.1,dst=198.51.100.1,protocol=tcp,dport=22,iif=eth0"))
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop", "reject"}
    assert not result.decided


def test_a_family_whose_routes_were_not_collected_is_not_one_without_routes() -> None:
    host = parse_host('[{"dst": "default", "gateway": "192.0.2.254", "dev": "eth0"}]')
    packet = parse_packet("src=2001:db8::1,dst=2001:db8::2,protocol=tcp,dport=22,iif=eth0")
    assert {each.verdict for each in Firewall(parse_nft('{"nftables": []}'), host).judge(packet).outcomes} == {"accept"}


def test_an_exclusion_that_is_not_understood_may_exclude_any_member() -> None:
    sets = ipset.parse("create a hash:net family inet\nadd a 10.0.0.0/8\nadd a x.x.x.x/24 nomatch\n")
    found = sets.named["a"].elements
    assert (found.find(address("10.1.1.1") or 0), found.complete) == (None, False)


def test_exclusions_of_a_large_set_are_read_in_one_go() -> None:
    lines = [f"add a 10.{n >> 8}.{n & 255}.0/{24 + n % 2}{' nomatch' * (n % 3 == 0)}" for n in range(MANY)]
    elements = ipset.parse("\n".join(("create a hash:net family inet", "add a 10.0.0.0/8", *lines))).named["a"].elements
    found = [
        elements.find(address(host) or 0) for host in ("10.0.0.1", "10.0.1.1", "10.0.3.1", "10.0.3.129", "11.0.0.1")
    ]
    assert found == [None, True, None, True, None]


def test_jumps_in_circles_are_one_question_a_packet() -> None:
    judge = filter_of("-A INPUT -j A", "-A A -j B", "-A A -j B", "-A B -j A", "-A B -j A")
    result = judge.judge(SSH)
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop", "reject"}
    assert all(len(outcome.assumptions) <= 3 for outcome in result.outcomes)


def test_chains_that_ask_the_same_thousands_of_times_are_not_followed_to_the_end() -> None:
    rules = [f"-A A{number} -j A{number + 1}" for number in range(15) for _ in "ab"]
    result = filter_of("-A INPUT -j A0", *rules).judge(SSH)
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop", "reject"}
    assert not result.decided


def test_broken_json_is_not_tried_again_at_every_bracket() -> None:
    assert len(parse_host("[{\n" * MANY).notes) == MANY
