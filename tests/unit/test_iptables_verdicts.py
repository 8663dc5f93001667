"""What iptables' own matches and targets make of packets, where they differ from nft's words for the same thing."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.result import Result
from tests.unit.firewall import HOST, SSH, THROUGH

ECHO = "protocol=icmp,src=192.0.2.1,dst=198.51.100.1,iif=eth0"
UDP = SSH.replace("tcp", "udp")
SIX = "protocol=tcp,src=2001:db8::1,sport=40000,dst=2001:db8::2,dport=22,iif=eth0"
SETS = ipset.parse(
    "create ports bitmap:port range 0-65535\nadd ports 22\n"
    "create four hash:net family inet\nadd four 192.0.2.0/24\n"
    "create six hash:net family inet6\nadd six 2001:db8::/32\nadd six ::/1\n"
    "create pairs hash:ip,port family inet\nadd pairs 192.0.2.1,udp:22\n"
)


def judge(text: str, packet: str, family: str = "ip", host: str = "", *, explain: bool = False) -> Result:
    """Judge by one table, which stands in the first word of a text of rules."""
    table, *lines = text.strip().splitlines()
    chains = {line.split()[1] for line in lines}
    heads = [f":{chain} {'ACCEPT' if chain.isupper() else '-'} [0:0]" for chain in sorted(chains)]
    dump = iptables.parse("\n".join([f"*{table}", *heads, *lines, "COMMIT", ""]), family, SETS)
    assert dump.doubts == ()
    firewall = Firewall(merge(None, [dump], SETS), parse_host(host) if host else None)
    return firewall.judge(parse_packet(packet), explain=explain)


def verdict(text: str, packet: str, family: str = "ip", host: str = "") -> str:
    result = judge(text, packet, family, host)
    assert result.decided
    return result.outcomes[0].verdict


@pytest.mark.parametrize("negation", ["", "! "])
@pytest.mark.parametrize(
    ("match", "packet", "is_member"),
    [
        ("ports dst", SSH, True),
        ("ports dst", UDP, True),
        ("ports src", SSH, False),
        ("ports dst", ECHO, False),
        ("four src", SSH, True),
        ("four dst", SSH, False),
        ("pairs src,dst", UDP, True),
        ("pairs src,dst", SSH, False),
        ("pairs src,dst", ECHO, False),
    ],
)
def test_what_is_in_no_set_meets_the_negation(match: str, packet: str, is_member: bool, negation: str) -> None:
    """A packet that has no port is in no set of ports; `! --match-set` then holds, unlike nft's `!=`."""
    dropped = verdict(f"filter\n-A INPUT -m set {negation}--match-set {match} -j DROP", packet) == "drop"
    assert dropped is (is_member is not bool(negation))


@pytest.mark.parametrize("negation", ["", "! "])
def test_a_packet_of_the_other_family_is_in_no_set_of_addresses(negation: str) -> None:
    for name, packet, family in (("six", SSH, "ip"), ("four", SIX, "ip6")):
        rule = f"filter\n-A INPUT -m set {negation}--match-set {name} src -j DROP"
        assert (verdict(rule, packet, family) == "drop") is bool(negation)


def test_what_is_not_tracked_has_neither_of_the_pseudo_states() -> None:
    raw = "raw\n-A PREROUTING -j CT --notrack"
    assert verdict(f"{raw}\n-A PREROUTING -m conntrack ! --ctstate DNAT -j DROP", SSH) == "drop"
    assert verdict(f"{raw}\n-A PREROUTING -m conntrack ! --ctstate UNTRACKED,DNAT -j DROP", SSH) == "accept"
    assert verdict(f"{raw}\n-A PREROUTING -m conntrack --ctstate DNAT -j DROP", SSH) == "accept"


@pytest.mark.parametrize("packet", [UDP, SSH, ECHO])
def test_what_is_not_tracked_on_its_way_in_is_answered_all_the_same(packet: str) -> None:
    """Nothing was translated, so nothing has to be translated back, whether or not conntrack sees the answer."""
    assert verdict("raw\n-A PREROUTING -j CT --notrack", packet, host=HOST) == "accept"
    assert verdict("raw\n-A PREROUTING -j CT --notrack\n-A OUTPUT -j CT --notrack", packet, host=HOST) == "accept"
    assert verdict("raw\n-A OUTPUT -j CT --notrack", packet, host=HOST) == "accept"


def test_a_target_that_finds_no_connection_does_nothing_and_the_rule_is_met() -> None:
    rules = "mangle\n-A PREROUTING -i eth0 -j CONNMARK --restore-mark --nfmask 0x3 --ctmask 0x3"
    steps = judge(rules, SSH + ",ct_state=untracked").outcomes[0].trace
    assert [step.effect for step in steps] == ["continue", "policy accept"]


def test_a_negated_type_of_address_is_asked_where_it_decides() -> None:
    rules = "filter\n-A FORWARD -m conntrack ! --ctstate INVALID,SNAT -m addrtype ! --dst-type LOCAL -j DROP"
    assert verdict(rules, THROUGH, host=HOST) == "drop"


def test_logging_alone_decides_nothing_and_is_not_asked_about() -> None:
    rules = 'filter\n-A INPUT -m limit --limit 1/s -m addrtype --dst-type LOCAL -j LOG --log-prefix "x "'
    result = judge(rules, SSH)
    assert result.decided
    assert result.outcomes[0].assumptions == ()


def test_a_condition_that_holds_in_two_ways_is_no_near_miss() -> None:
    rules = "filter\n-A INPUT -p tcp -m multiport --ports 25,53 -j DROP\n-A INPUT -p tcp -m tcp --dport 25 -j DROP"
    (miss,) = judge(rules, SSH, explain=True).outcomes[0].misses
    assert (miss.decider.index, miss.condition, miss.was) == (1, "tcp dport == 25", "22")


def test_a_condition_that_may_hold_in_one_of_two_ways_is_unknown() -> None:
    rules = "filter\n-A INPUT -p tcp -m multiport --ports 25,53 -j DROP"
    without = SSH.replace(",sport=40000", "")
    assert {outcome.verdict for outcome in judge(rules, without).outcomes} == {"accept", "drop"}
    assert {outcome.verdict for outcome in judge(rules, without.replace("dport=22", "dport=25")).outcomes} == {"drop"}


def test_a_family_whose_rules_were_not_given_is_not_judged_by_those_of_the_other() -> None:
    result = judge("filter\n-A INPUT -j DROP", SIX)
    assert not result.decided
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop", "reject"}
    assert len(result.outcomes) == 3
    assert all("rules for ip6 were not collected" in outcome.assumptions[-1].text for outcome in result.outcomes)
