"""A chain of layers: what it predicts, who decides and who would next, how deep it stands, what if something is off."""

from __future__ import annotations

from dataclasses import replace as changed
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.judgement.agreement import NEWER_RULES, Agreement, age_of, agreement_of
from kubeshield_tui.judgement.answer import answer_of
from kubeshield_tui.judgement.chain import (
    AUTHENTICATION,
    POLICIES,
    Chain,
    LayerName,
    counted,
    depth_of,
    first_denying,
    imagine,
    in_order,
    next_decider,
    predict,
    without,
)
from kubeshield_tui.judgement.comparison import DISAGREEMENTS, Circumstances, Code, Expected, Seen, compare, seen_of
from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.judgement.ledger import Sighting
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Icmp, Observation, Posture, Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Layer, Verdict
from tests.unit.estate import answer, endpoint, vantage

ALLOW, DENY, UNKNOWN = Predicted.ALLOW, Predicted.DENY, Predicted.UNKNOWN
MEASURED = [verdict for verdict in Verdict if verdict not in {Verdict.LOST, Verdict.UNTESTED}]
OPEN = {Verdict.EXPOSED, Verdict.REACHABLE}
DOMAINS = {
    LayerName.VANTAGE_EGRESS: "firewall of n1",
    LayerName.EGRESS_POLICY: "policies of prod",
    LayerName.SOURCE_FIREWALL: "firewall of n1",
    LayerName.CLOUD_SOURCE: "cloud of prod",
    LayerName.CLOUD_TARGET: "cloud of prod",
    LayerName.NODE_FIREWALL: "firewall of n2",
    LayerName.INGRESS_POLICY: "policies of prod",
    LayerName.AUTHENTICATION: "authentication",
}
NETWORK = [name for name in LayerName if name is not LayerName.AUTHENTICATION]


def layer(name: LayerName, verdict: Predicted, enforced: bool | None = True) -> Layer:
    return Layer(
        layer=name.value,
        verdict=verdict,
        decider=f"{name} decides",
        domain=DOMAINS[name],
        enforced=enforced if name.value in POLICIES else True,
        refs=(f"host:{name}",) if DOMAINS[name].startswith("firewall") else (),
    )


def chains() -> st.SearchStrategy[tuple[Layer, ...]]:
    """Any layers in any order, each with any answer."""
    one = st.builds(
        layer, st.sampled_from(list(LayerName)), st.sampled_from(list(Predicted)), st.sampled_from([True, False, None])
    )
    return st.lists(one, max_size=9).map(in_order)


def every_chain():
    """Every combination of answers of four layers of three domains, policies in force or not."""
    names = (LayerName.EGRESS_POLICY, LayerName.NODE_FIREWALL, LayerName.INGRESS_POLICY, LayerName.AUTHENTICATION)
    for enforced in (True, None, False):
        for said in product(Predicted, repeat=4):
            yield tuple(layer(name, verdict, enforced) for name, verdict in zip(names, said, strict=True))


def test_deny_if_any_network_layer_denies_allow_if_all_allow_else_unknown() -> None:
    for layers in every_chain():
        network = {each.verdict for each in layers if each.layer != AUTHENTICATION}
        wanted = DENY if DENY in network else UNKNOWN if UNKNOWN in network else ALLOW
        assert predict(layers).verdict is wanted
    assert predict(()).verdict is UNKNOWN
    assert predict((layer(LayerName.AUTHENTICATION, DENY),)).verdict is UNKNOWN


def test_the_first_layer_that_denies_is_named_and_what_would_decide_without_it() -> None:
    egress, node = layer(LayerName.EGRESS_POLICY, DENY), layer(LayerName.NODE_FIREWALL, DENY)
    ingress, auth = layer(LayerName.INGRESS_POLICY, ALLOW), layer(LayerName.AUTHENTICATION, DENY)
    told = predict((egress, node, ingress))
    assert (told.layer, told.decider) == ("egress-policy", "egress-policy decides")
    assert "egress-policy denies: egress-policy decides" in told.because
    assert next_decider((egress, node, ingress)) == "node-firewall: node-firewall decides"
    assert next_decider((node, ingress, auth)) == "authentication: authentication decides"
    assert next_decider((node, ingress)) == "nothing: it would be open"
    assert next_decider((node, replace(ingress, verdict=UNKNOWN), auth)) == "not known: ingress-policy"
    assert next_decider((ingress, auth)) == ""
    doubtful = predict((replace(egress, verdict=UNKNOWN), node))
    assert doubtful.because.endswith("before it egress-policy is not known")


def domains(layers: tuple[Layer, ...], wanted: Predicted) -> set[str]:
    """By the words of the definition: domains that deny, or that are not known and deny nowhere."""
    denying = {each.domain for each in layers if counted(each) is DENY}
    if wanted is DENY:
        return denying
    return {each.domain for each in layers if counted(each) is UNKNOWN} - denying


@given(layers=chains(), verdict=st.sampled_from(list(Verdict)))
def test_depth_is_the_number_of_failure_domains_that_deny(layers: tuple[Layer, ...], verdict: Verdict) -> None:
    depth = depth_of(layers, verdict)
    if verdict not in MEASURED:
        assert depth == (None, None)
        return
    kept = tuple(each for each in layers if each.layer == AUTHENTICATION) if verdict in OPEN else layers
    denying, unknown = domains(kept, DENY), domains(kept, UNKNOWN)
    explained = any(domain != "authentication" for domain in denying)
    if verdict in OPEN or explained:
        assert depth == (len(denying), len(denying | unknown))
        assert verdict not in OPEN or depth.least in {0, 1}
    else:
        assert depth.least == max(len(denying), verdict is Verdict.BLOCKED)
        assert depth.most == len(denying | unknown) + 1
    assert depth.least is not None
    assert depth.most is not None
    assert depth.least <= depth.most


def test_both_directions_of_one_engine_are_one_domain_and_count_only_where_they_are_in_force() -> None:
    both = (layer(LayerName.EGRESS_POLICY, DENY), layer(LayerName.INGRESS_POLICY, DENY))
    assert depth_of(both, Verdict.BLOCKED) == (1, 1)
    assert depth_of((*both, layer(LayerName.NODE_FIREWALL, DENY)), Verdict.BLOCKED) == (2, 2)
    maybe = tuple(replace(each, enforced=None) for each in both)
    assert depth_of((*maybe, layer(LayerName.NODE_FIREWALL, DENY)), Verdict.BLOCKED) == (1, 2)
    never = tuple(replace(each, enforced=False) for each in both)
    assert depth_of((*never, layer(LayerName.NODE_FIREWALL, DENY)), Verdict.BLOCKED) == (1, 1)
    assert depth_of(maybe, Verdict.BLOCKED) == (1, 2)  # observed, not identified


def test_an_open_cell_refutes_its_network_layers_and_keeps_them_in_sight() -> None:
    layers = (layer(LayerName.INGRESS_POLICY, DENY), layer(LayerName.AUTHENTICATION, DENY))
    assert depth_of(layers, Verdict.EXPOSED) == (1, 1)
    assert depth_of(layers[:1], Verdict.EXPOSED) == (0, 0)


# --- what if


@given(
    layers=chains(),
    verdict=st.sampled_from(MEASURED),
    left=st.sets(st.sampled_from([name.value for name in LayerName])),
)
def test_leaving_kinds_out_is_the_chain_without_them(
    layers: tuple[Layer, ...], verdict: Verdict, left: set[str]
) -> None:
    rest = tuple(each for each in layers if each.layer not in left)
    assert without(layers, frozenset(left)) == rest
    told = imagine(layers, verdict, frozenset(left))
    if any(each.layer != AUTHENTICATION for each in rest):
        assert told.prediction == predict(rest)
    else:
        assert told.prediction.verdict is ALLOW
    if verdict in OPEN:
        assert told.opens is False
    if told.opens is True:
        # Only what was explained opens, and only where all that is left allows.
        assert any(counted(each) is DENY and each.layer != AUTHENTICATION for each in layers)
        assert not any(counted(each) is not ALLOW for each in rest if each.layer != AUTHENTICATION)
    before = depth_of(layers, verdict)
    assert told.depth.least is not None
    assert before.least is not None
    assert told.depth.least <= before.least


def test_one_failure_away_opens_when_that_layer_fails() -> None:
    node, ingress = layer(LayerName.NODE_FIREWALL, DENY), layer(LayerName.INGRESS_POLICY, ALLOW)
    auth = layer(LayerName.AUTHENTICATION, DENY)
    told = imagine((node, ingress, auth), Verdict.BLOCKED, frozenset({"node-firewall"}))
    assert (told.opens, told.depth) == (True, (1, 1))
    told = imagine((node, ingress, auth), Verdict.BLOCKED, frozenset({"node-firewall", AUTHENTICATION}))
    assert (told.opens, told.depth) == (True, (0, 0))
    assert imagine((node, replace(ingress, verdict=DENY)), Verdict.BLOCKED, frozenset({"node-firewall"})).opens is False
    unsure = replace(ingress, verdict=UNKNOWN)
    assert imagine((node, unsure), Verdict.BLOCKED, frozenset({"node-firewall"})).opens is None


def test_a_block_that_nothing_explains_is_not_opened_by_layers_that_allow() -> None:
    node, ingress = layer(LayerName.NODE_FIREWALL, UNKNOWN), layer(LayerName.INGRESS_POLICY, ALLOW)
    told = imagine((node, ingress), Verdict.BLOCKED, frozenset({"ingress-policy"}))
    assert (told.opens, told.depth.least) == (False, 1)
    assert imagine((node, ingress), Verdict.BLOCKED, frozenset({"node-firewall"})).opens is None


def test_hosts_domains_and_single_policies_can_be_left_out() -> None:
    node = layer(LayerName.NODE_FIREWALL, DENY)
    policy = replace(layer(LayerName.INGRESS_POLICY, DENY), refs=("policy:prod/NetworkPolicy/shop/db",))
    assert without((node, policy), frozenset(node.refs)) == (policy,)
    assert without((node, policy), frozenset({"policies of prod"})) == (node,)
    asked = []

    def reconsider(known: Layer, refs: frozenset[str]) -> Layer:
        asked.append(refs)
        return replace(known, verdict=ALLOW)

    left = frozenset(policy.refs)
    assert imagine((policy,), Verdict.BLOCKED, left, reconsider).opens is True
    assert asked == [left]
    assert imagine((policy,), Verdict.BLOCKED, left).opens is None  # nobody worked it out
    assert without((node, policy), frozenset({"policy:prod/NetworkPolicy/shop/other"})) == (node, policy)


# --- the comparison


def seen_as(state: State, reason: Reason | None = None) -> Observation:
    key = CellKey(endpoint("x").id, vantage("pod:shop").id)
    return answer(key, 1000.0, state, reason=reason)


def compared(
    chain: Chain,
    seen: Observation,
    sightings: tuple[Sighting, ...] = (),
    *,
    proven: bool = False,
    collapsed: bool = False,
) -> Agreement:
    given, rules = answer_of(seen, sightings), age_of(chain.changed_at, seen.at)
    return agreement_of(chain, given, rules, proven=proven, collapsed=collapsed)


ANSWERS = [
    seen_as(State.OPEN), seen_as(State.OPEN, Reason.RESET), seen_as(State.CLOSED), seen_as(State.FILTERED),
    seen_as(State.FILTERED, Reason.ADMIN_PROHIBITED), seen_as(State.OPEN_FILTERED), seen_as(State.ERROR),
    seen_as(State.LOST), seen_as(State.UNTESTED), seen_as(State.CLOSED, Reason.PORT_UNREACH),
]  # fmt: skip
HOWS = [
    ("drop", ""),
    ("reject", "tcp-reset"),
    ("reject", "icmp-port-unreachable"),
    ("late", ""),
    ("no-route", ""),
    ("several", ""),
]


def some_chains():
    """Chains that come to every expectation there is."""
    yield Chain()
    for verdict, missing in product(Predicted, ("", "was not read")):
        for name in NETWORK:
            yield Chain((replace(layer(name, verdict), missing=missing if verdict is UNKNOWN else ""),))
    for how, said in HOWS:
        yield Chain((replace(layer(LayerName.NODE_FIREWALL, DENY), how=how, answer=said),))
    for style in ("", "drop", "reject", "icmp"):
        yield Chain((replace(layer(LayerName.INGRESS_POLICY, DENY), how=style),), deny_style=style)


def test_every_prediction_beside_every_answer_from_every_vantage_has_exactly_one_code() -> None:
    found = set()
    for chain, observation, collapsed, proven in product(some_chains(), ANSWERS, (False, True), (False, True)):
        for front, listener, changed_at in product((False, True), (None, False, True), (0.0, 990.0)):
            asked = changed(chain, front=front, listener=listener, changed_at=changed_at)
            told = compared(asked, observation, proven=proven, collapsed=collapsed).comparison
            assert told.code in Code
            assert told.sentence
            assert (told.severity is not None) == (told.code in DISAGREEMENTS)
            if told.code is Code.AGREES:
                assert all(each.verdict is not UNKNOWN for each in chain.layers)
            found.add((chain.expected(seen_of(observation.state, observation.reason)), told.code))
    assert {expected for expected, _ in found} == set(Expected)
    assert {code for _, code in found} >= DISAGREEMENTS


def sightings(*at: float, state: State = State.OPEN) -> tuple[Sighting, ...]:
    return tuple(Sighting(each, state, Reason.SYN_ACK, Posture.UNKNOWN, "", True) for each in at)


DENIED = Chain((replace(layer(LayerName.INGRESS_POLICY, DENY), how="drop"),), deny_style="drop")


def wanted(chain: Chain, *answers: Observation) -> list[tuple[CellKey, float]]:
    """What a judge wants to be asked again after some answers of one cell."""
    cell = answers[-1].key
    known = endpoint("x")
    judge = Judge({known.id: known}, {cell.vantage: vantage("pod:shop")}, chain_of=lambda _: chain)
    for each in answers:
        judge.tell(each)
    outcome = judge.judge(cell)
    assert outcome is not None
    return [(want.key, want.not_before) for want in outcome.wants]


def test_nothing_is_critical_before_it_was_seen_twice_and_the_second_time_is_asked_for() -> None:
    observation = seen_as(State.OPEN)
    once = compared(DENIED, observation, sightings(1000.0)).comparison
    assert (once.code, once.severity) == (Code.NOT_ENFORCED, "high")
    assert wanted(DENIED, observation) == [(observation.key, 1005.0)]
    assert compared(DENIED, observation, sightings(994.0, 1000.0)).comparison.severity == "critical"
    assert wanted(DENIED, replace(observation, at=994.0), observation) == []
    broken = (*sightings(994.0), *sightings(997.0, state=State.FILTERED), *sightings(1000.0))
    assert compared(DENIED, observation, broken).comparison.severity == "high"


def test_a_young_policy_accuses_nobody_and_is_asked_of_again_when_it_is_old_enough() -> None:
    young, observation = changed(DENIED, changed_at=980.0), seen_as(State.OPEN)
    told = compared(young, observation, sightings(990.0, 1000.0))
    assert told.comparison.code is Code.COMPATIBLE
    assert wanted(young, replace(observation, at=990.0), observation) == [(observation.key, 1040.0)]
    later = compared(young, replace(observation, at=1041.0), sightings(1030.0, 1041.0))
    assert later.comparison.code is Code.NOT_ENFORCED
    assert wanted(young, seen_as(State.FILTERED)) == []  # nothing more would be said


@pytest.mark.parametrize("state", [State.OPEN, State.FILTERED, State.CLOSED])
def test_an_answer_older_than_the_policies_agrees_and_disagrees_with_nothing(state: State) -> None:
    for verdict in Predicted:
        newer = Chain((layer(LayerName.INGRESS_POLICY, verdict),), changed_at=1001.0)
        told = compared(newer, seen_as(state), sightings(900.0, 1000.0), proven=True)
        assert told == Agreement(NEWER_RULES)
        assert told.comparison.code is Code.COMPATIBLE


@pytest.mark.parametrize(("source", "reason", "code"), [
    ("10.0.0.12", Reason.ADMIN_PROHIBITED, Code.AGREES),
    ("10.0.0.12", Reason.HOST_UNREACH, Code.REJECTED_ELSEWHERE),
    ("10.9.9.9", Reason.ADMIN_PROHIBITED, Code.REJECTED_ELSEWHERE),
])  # fmt: skip
def test_an_icmp_error_fits_by_its_sender_and_its_code(source: str, reason: Reason, code: Code) -> None:
    rejects = replace(layer(LayerName.NODE_FIREWALL, DENY), how="reject", answer="icmp-admin-prohibited")
    chain = Chain((rejects,), rejecters=frozenset({"10.0.0.12"}))
    observation = replace(seen_as(State.FILTERED, reason), icmp=Icmp(type=3, code=13, source=source))
    assert compared(chain, observation).comparison.code is code
    unknown = changed(chain, rejecters=frozenset())
    assert compared(unknown, observation).comparison.code is Code.COMPATIBLE


def test_over_udp_a_reject_that_looks_like_a_closed_port_is_no_bypass() -> None:
    rejects = replace(layer(LayerName.NODE_FIREWALL, DENY), how="reject", answer="icmp-port-unreachable")
    told = compared(Chain((rejects,)), seen_as(State.CLOSED, Reason.PORT_UNREACH))
    assert told.comparison.code is Code.COMPATIBLE
    reset = compared(Chain((rejects,)), seen_as(State.CLOSED))
    assert reset.comparison.code is Code.BYPASSED


def test_what_is_refused_in_one_of_several_ways_is_contradicted_only_by_getting_through() -> None:
    several = (replace(layer(LayerName.NODE_FIREWALL, DENY), how="several"),)
    assert Chain(several).expected(Seen.OPEN) is Expected.DROP
    assert Chain(several).expected(Seen.REJECTED) is Expected.UNKNOWN
    assert first_denying(several) is several[0]
    silent = Chain(several).expected(Seen.SILENCE)
    assert compare(silent, Seen.SILENCE, Circumstances(complete=True)).code is Code.RESOLVED
