"""Counters and connections as witnesses: what moved, what that says of a prediction, and what it does not say."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.collect.script import connections
from kubeshield_tui.evidence.hosts import Visit, visit_of
from kubeshield_tui.evidence.netfilter.conntrack import Fate, Tracked, fate_of, parse_conntrack, since
from kubeshield_tui.evidence.witness import Reading, conclusion, witness_host
from kubeshield_tui.model.evidence import HostWitness, Support
from tests.unit.host_readings import ACCEPT, DROP, counter, gathered, nft, port, saved

LINES = """tcp      6 118 SYN_SENT src=192.0.2.1 dst=10.0.0.11 sport=40000 dport=10250 [UNREPLIED] src=10.0.0.11 dst=192.0.2.1 sport=10250 dport=40000 mark=0 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=10.0.0.11 sport=40001 dport=30080 src=10.244.1.7 dst=10.244.1.1 sport=8080 dport=40001 [ASSURED] mark=0 zone=0 use=2
tcp      6 9 CLOSE src=192.0.2.1 dst=10.0.0.11 sport=40002 dport=80 src=10.0.0.11 dst=192.0.2.1 sport=80 dport=40002 mark=0 use=1
udp      17 29 src=192.0.2.1 dst=10.0.0.11 sport=40003 dport=53 [UNREPLIED] src=10.0.0.11 dst=192.0.2.1 sport=53 dport=40003 mark=0 use=1
udp      17 29 src=2001:db8::1 dst=2001:db8::11 sport=40004 dport=53 src=2001:db8::11 dst=2001:db8::1 sport=53 dport=40004 mark=0 use=1
icmp     1 29 src=192.0.2.1 dst=10.0.0.11 type=8 code=0 id=3 src=10.0.0.11 dst=192.0.2.1 type=0 code=0 id=3 mark=0 use=1
conntrack v1.4.7 (conntrack-tools): 5 flow entries have been shown.
tcp 6 1 SYN_SENT src=evil dst=10.0.0.11 sport=1 dport=2 src=10.0.0.11 dst=evil sport=2 dport=1
"""  # noqa: E501


def visit(number: int = 10250) -> Visit:
    made = visit_of("192.0.2.1", "10.0.0.11", number)
    assert made is not None
    return made


# --- connections


def test_lines_are_read_with_their_fates_and_translations() -> None:
    told = parse_conntrack(LINES)
    assert [each.fate for each in told] == [
        Fate.PASSED_ON, Fate.ACCEPTED, Fate.ANSWERED, Fate.PASSED_ON, Fate.ACCEPTED,
    ]  # fmt: skip
    assert told[0].translated == ("", "")
    assert told[1].translated == ("10.244.1.7:8080", "10.244.1.1:40001")
    assert told[4].target == "2001:db8::11"


def test_only_what_began_meanwhile_counts_and_the_best_of_it() -> None:
    told = parse_conntrack(LINES)
    assert since(told[:1], told, "192.0.2.1") == list(told[1:4])
    assert since((), told, "") == list(told)
    assert since((), told, "2001:0db8::1") == [told[4]]
    assert fate_of(told) is Fate.ACCEPTED
    assert fate_of([]) is Fate.NOTHING


def test_the_command_asks_for_one_target_alone() -> None:
    command = connections("ip6", "udp", "2001:db8::11", 53)
    assert "-f ipv6 -p udp --orig-dst 2001:db8::11 --dport 53" in command
    assert '"^ipv6 .* udp .*dst=2001:db8::11 sport=[0-9]+ dport=53 "' in command


# --- counters


def watched(
    before: str, after: str, *, sent: int = 2, fresh: tuple[Tracked, ...] = (), item: str = "nft"
) -> HostWitness:
    old, new = gathered(**{item: before}), gathered(**{item: after})
    return witness_host(Reading(old, ()), Reading(new, ()), fresh, visit(), sent)


def drops(packets: int, *others: list[object]) -> str:
    return nft([port(10250), counter(packets), DROP], *others)


@pytest.mark.parametrize(
    ("counted", "support"), [(0, Support.REFUTES), (1, Support.NOTHING), (2, Support.SUPPORTS), (90, Support.SUPPORTS)]
)
def test_a_decider_is_held_to_its_counter(counted: int, support: Support) -> None:
    told = watched(drops(7), drops(7 + counted))
    assert (told.counted, told.support) == (counted, support)
    assert bool(told.moved) is bool(counted)


def test_a_rule_that_does_not_count_or_was_reset_says_nothing() -> None:
    assert watched(nft([port(10250), DROP]), nft([port(10250), DROP])).support is Support.NOTHING
    assert watched(drops(7), drops(0)).counted is None


def test_a_rule_that_changed_meanwhile_says_nothing() -> None:
    other = nft([port(10251), counter(7), DROP])
    told = watched(drops(7), other)
    assert (told.counted, told.support, told.moved) == (None, Support.NOTHING, ())


def test_a_rule_off_the_predicted_way_that_ended_packets_is_shown_first() -> None:
    before, after = (
        ([port(1), counter(0), DROP], [port(2), counter(1), DROP]),
        ([port(1), counter(5), DROP], [port(2), counter(2), DROP]),
    )
    told = watched(drops(0, *before), drops(2, *after))
    assert [(each.counted, each.on_path) for each in told.moved] == [(5, False), (2, True)]  # 1 of 2 says nothing


def test_the_policy_of_the_old_backend_counts_and_that_of_the_new_one_does_not() -> None:
    def dump(packets: int, *, legacy: bool) -> str:
        return saved(policy="DROP", legacy=legacy).replace(":INPUT DROP [5:", f":INPUT DROP [{packets}:")

    told = watched(dump(5, legacy=True), dump(9, legacy=True), item="iptables_legacy")
    assert (told.decider, told.counted, told.support) == ("ip filter INPUT: policy drop", 4, Support.SUPPORTS)
    told = watched(dump(5, legacy=False), dump(5, legacy=False), item="iptables_legacy")
    assert told.support is Support.NOTHING


def test_one_place_in_two_backends_names_neither() -> None:
    rule = saved("[{}:60] -A INPUT -p tcp -m tcp --dport 10250 -j DROP", legacy=True)
    table = (
        nft([port(10250), counter(1), DROP], family="ip").replace('"t"', '"filter"').replace('"input"', '"INPUT"', 4)
    )
    before = gathered(nft=table, iptables_legacy=rule.format(1))
    after = gathered(nft=table, iptables_legacy=rule.format(1))
    told = witness_host(Reading(before, None), Reading(after, None), (), visit(), 1)
    assert told.support is not Support.REFUTES


def test_rules_that_could_not_decide_are_not_held_to_a_counter() -> None:
    limit = {"limit": {"rate": 5, "per": "minute", "burst": 5}}
    ruleset = nft([port(10250), limit, counter(0), ACCEPT], policy="drop")
    told = watched(ruleset, ruleset)
    assert (told.predicted, told.counted, told.support) == ("unknown", None, Support.NOTHING)
    assert "could not decide" in told.sentence


def test_no_entry_says_nothing_unless_connections_are_kept() -> None:
    assert watched(drops(0), drops(2)).fate == Fate.UNTRACKED
    state = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["invalid"]}}
    assert watched(drops(0, [state, DROP]), drops(2, [state, DROP])).fate == Fate.NOTHING
    untracked = drops(0, [state, DROP], [{"notrack": None}])
    assert watched(untracked, untracked).fate == Fate.UNTRACKED


def test_connections_that_could_not_be_read_say_nothing() -> None:
    told = witness_host(Reading(gathered(), None), Reading(gathered(), ()), (), visit(), 1)
    assert told.fate == Fate.UNREAD
    assert "not read" in told.sentence


# --- where it died


def host(name: str, fate: Fate, *, predicted: str = "allow", support: Support = Support.NOTHING) -> HostWitness:
    return HostWitness(host=name, predicted=predicted, decider=f"{name}'s rule", fate=str(fate), support=support)


@pytest.mark.parametrize(
    ("fates", "words"),
    [
        ((Fate.PASSED_ON, Fate.PASSED_ON), "n2 passed it on and saw no answer: it died behind n2, or its answer did"),
        ((Fate.PASSED_ON, Fate.NOTHING), "n1 passed it on; n2 has no entry of it: it died there or on the way to it"),
        ((Fate.NOTHING, Fate.NOTHING), "n1 has no entry of it: it died there or never came"),
        ((Fate.PASSED_ON, Fate.ANSWERED), "n2 saw an answer go back and n1 did not"),
        ((Fate.ANSWERED, Fate.ANSWERED), "n2 passed it on and saw an answer go back"),
        ((Fate.UNREAD, Fate.UNTRACKED), "no host's connections could be read"),
        ((Fate.UNREAD, Fate.NOTHING), "n2 has no entry of it: it died there or never came"),
    ],
)
def test_hosts_in_a_row_tell_where_it_died(fates: tuple[Fate, Fate], words: str) -> None:
    said = conclusion([host("n1", fates[0]), host("n2", fates[1])], is_open=False, is_reset=False)
    assert said.startswith(words)


def test_a_counted_denial_names_its_rule() -> None:
    hosts = [host("n1", Fate.PASSED_ON), host("n2", Fate.NOTHING, predicted="deny", support=Support.SUPPORTS)]
    assert conclusion(hosts, is_open=False, is_reset=False) == "it died on n2: n2's rule"


def test_a_reset_or_an_open_port_is_no_death() -> None:
    hosts = [host("n1", Fate.NOTHING)]
    assert "tells nothing of where" in conclusion(hosts, is_open=False, is_reset=True)
    assert conclusion(hosts, is_open=True, is_reset=False) == "it was let through all the way"


def test_an_answer_that_a_hosts_own_rules_end_died_there() -> None:
    far = host("n2", Fate.ANSWERED, predicted="deny", support=Support.SUPPORTS)
    said = "n2 saw an answer go back, and it died there: n2's rule"
    assert conclusion([far], is_open=False, is_reset=False) == said
    assert conclusion([host("n1", Fate.PASSED_ON), far], is_open=False, is_reset=False) == said
