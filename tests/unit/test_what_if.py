"""What would be with something left out: as the rules say without it, kept up to date; and what hangs on it."""

from __future__ import annotations

import asyncio
from itertools import combinations
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.evidence.hosts import Visit, firewall_layer, visit_of
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.judgement.chain import AUTHENTICATION, POLICIES, UNIDENTIFIED, Imagined, depth_of, holding
from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import PolicyRecord
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer, Verdict
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.layers_off import KINDS, of_cell, of_walls, together
from kubeshield_tui.session.one_failure import OneFailure
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.what_if import OPENING, Effect, WhatIf
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from tests.ui import walls
from tests.unit.estate import answer, vantage
from tests.unit.host_readings import ACCEPT, AT, DROP, gathered, nft, port, saved, sources
from tests.unit.policed import API, API_FROM_WEB, DENY_ALL, KUBELET, N1, OPS, POD, WEB, estate, policy
from tests.unit.test_chain import MEASURED, chains

SOURCES = policy(
    "sources", "shop", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 1}]}]}
)
POLICED = (DENY_ALL, API_FROM_WEB, SOURCES)


def visit(number: int, target: str = "10.0.0.11", source: str = "203.0.113.9") -> Visit:
    made = visit_of(source, target, number)
    assert made is not None
    return made


def without(reading: Gathered, asked: Visit) -> Gathered:
    """The reading without the one rule or policy that decides."""
    rule = firewall_layer(reading, asked, AT).rule
    assert rule is not None
    lesser = reading.without(asked.family, rule)
    assert lesser is not None
    return lesser


# --- one rule of a host

RULES = st.lists(
    st.tuples(st.sampled_from([22, 80, None]), st.sampled_from([ACCEPT, DROP])), min_size=1, max_size=20
).map(lambda drawn: [[*([port(number)] if number else []), verdict] for number, verdict in drawn])
"""Enough of them for chains that are looked up by an index, too."""


@given(rules=RULES, asked=st.sampled_from([22, 80]), policy=st.sampled_from(["accept", "drop"]))
def test_a_host_without_a_rule_is_the_host_that_never_had_it(rules: list[object], asked: int, policy: str) -> None:
    reading = gathered(nft=nft(*rules, policy=policy))
    judged = firewall_layer(reading, visit(asked), AT)
    assert judged.rule is not None
    if judged.rule.index is None:
        assert judged.decider.endswith(f"policy {policy}")
        lesser, never = reading.without("ip", judged.rule), gathered(nft=nft(*rules, policy="accept"))
        if policy == "accept":
            assert lesser is None
            return
    else:
        kept = [rule for number, rule in enumerate(rules) if number != judged.rule.index]
        lesser, never = reading.without("ip", judged.rule), gathered(nft=nft(*kept, policy=policy))
    assert lesser is not None
    for number in (22, 80):
        told, true = (firewall_layer(each, visit(number), AT) for each in (lesser, never))
        assert (told.verdict, told.how, told.nat) == (true.verdict, true.how, true.nat)
    assert firewall_layer(reading, visit(asked), AT) == judged  # the reading itself is as it was


def test_of_two_backends_with_a_table_of_one_name_the_one_that_decides_loses_its_rule() -> None:
    rule = "-A INPUT -p tcp -m tcp --dport 22 -j DROP"
    both = gathered(iptables=saved(rule), iptables_legacy=saved(rule, legacy=True), backends=None)
    assert firewall_layer(both, visit(22), AT).verdict is Predicted.DENY
    lesser = without(both, visit(22))
    assert firewall_layer(lesser, visit(22), AT).verdict is Predicted.DENY
    assert firewall_layer(without(lesser, visit(22)), visit(22), AT).verdict is Predicted.ALLOW


def test_a_rule_that_is_not_there_is_not_left_out() -> None:
    reading = gathered(nft=nft([port(22), DROP]))
    rule = firewall_layer(reading, visit(22), AT).rule
    assert rule is not None
    assert reading.without("ip", replace(rule, text="another")) is None
    assert reading.without("ip", replace(rule, table="other")) is None
    assert reading.without("ip", rule) is reading.without("ip", rule)


# --- what a session knows

JUMP = vantage("ssh:jump", addresses=("203.0.113.4",))
NODE = vantage("ssh:n1", addresses=(N1,))


class Known:
    """A store with everything that makes chains of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.chains = Chains(store, Worlds(store), Firewalls(store), Settings())

    def judged(self, key: CellKey, verdict: Verdict = Verdict.BLOCKED) -> None:
        """A cell with its chain, and a verdict of the test's."""
        judge = Judge(self.store.endpoints, self.store.vantages, chain_of=self.chains.of)
        judge.tell(answer(key, AT, State.FILTERED))
        outcome = judge.judge(key)
        assert outcome is not None
        judgement = replace(outcome.judgement, verdict=verdict)
        self.store.apply(happened.CellJudged(at=AT, judgement=judgement))

    def layers(self, key: CellKey) -> tuple[Layer, ...]:
        return self.chains.of(key).layers


@pytest.mark.parametrize("source", [WEB, OPS])
@pytest.mark.parametrize("left", [each for count in (1, 2, 3) for each in combinations(POLICED, count)])
def test_a_cell_without_policies_is_the_cell_of_an_estate_without_them(
    source: Vantage, left: tuple[PolicyRecord, ...]
) -> None:
    known = Known(estate(*POLICED))
    never = Known(estate(*(each for each in POLICED if each not in left)))
    names = frozenset(f"policy:prod/NetworkPolicy/{each.namespace}/{each.name}" for each in left)
    for target in (API, POD):
        key = CellKey(target.id, source.id)
        known.judged(key)
        told = known.chains.imagine(key, names | {"source-firewall", "node-firewall"})
        assert told is not None
        true = {layer.layer: layer.verdict for layer in never.layers(key) if layer.layer in POLICIES}
        expected = Predicted.DENY if Predicted.DENY in true.values() else Predicted.ALLOW
        assert told.prediction.verdict is expected


@pytest.mark.parametrize(("rules", "opens"), [
    ([[port(10250), DROP]], True),
    ([[port(10250), DROP], [DROP]], False),
    ([[port(10250), DROP], [port(22), DROP]], True),
])  # fmt: skip
def test_a_cell_without_a_rule_opens_where_no_other_rule_stops_it(rules: list[object], opens: bool) -> None:
    known = Known(estate(vantages=(JUMP, NODE)))
    for source in sources(vantage=NODE.id, host="n1", at=time(), nft=nft(*rules)):
        known.store.apply(happened.SourceCollected(at=AT, source=source))
    key = CellKey(KUBELET.id, JUMP.id)
    known.judged(key)
    chosen = next(each for each in of_cell(known.store.cell(key).judgement) if "rule" in next(iter(each.names)))
    assert "dport 10250" in chosen.words
    told = known.chains.imagine(key, chosen.names | {"vantage-egress"})
    assert told is not None
    assert told.opens is opens
    assert told.depth.least == (0 if opens else 1)


# --- all cells at once


def what_if(store: Store, left_out: frozenset[str]) -> WhatIf:
    made = WhatIf(store, Known(store).chains, left_out)
    asyncio.run(made.work_out())
    return made


def effects(made: WhatIf) -> dict[tuple[str, str], Effect]:
    found = {}
    for target, source in walls.CELLS:
        then = made.of(walls.key_of(target, source))
        if then is not None:
            found[target.name, str(source.id)] = then.effect
    return found


def test_without_policies_the_cells_that_they_alone_held_open() -> None:
    store = walls.estate()
    made = what_if(store, POLICIES)
    assert effects(made) == {
        ("kube-apiserver", "pod:shop"): Effect.EXPOSES,
        ("etcd", "pod:shop"): Effect.SHALLOWER,
        ("kubelet n1", "pod:shop"): Effect.UNKNOWN,  # the node's own rules were not read
        ("kubelet n1", "pod:ops"): Effect.SHALLOWER,  # nothing listens
        ("db", "pod:ops"): Effect.EXPOSES,
        ("web", "ssh:phone"): Effect.OPENS,
        ("web", "pod:ops"): Effect.OPENS,
    }
    assert sum(made.counts[effect] for effect in OPENING) == 4
    assert made.of_group("targets") == made.counts
    assert made.done == made.total == len(walls.CELLS)


def test_without_authentication_what_answers_asks_nobody_who_comes() -> None:
    made = what_if(walls.estate(), frozenset({AUTHENTICATION}))
    assert effects(made) == {
        ("kube-apiserver", "ssh:phone"): Effect.EXPOSES,
        ("kube-apiserver", "pod:shop"): Effect.SHALLOWER,
        ("kube-apiserver", "pod:ops"): Effect.OPENS,
    }


def test_cells_that_change_are_followed_one_by_one() -> None:
    store = walls.estate()
    made = what_if(store, POLICIES)
    key = walls.key_of(walls.DB, walls.OPS)
    for verdict, layers, effect in (
        (Verdict.REACHABLE, (walls.OPEN_NODE, walls.POLICY), None),
        (Verdict.BLOCKED, (walls.NODE, walls.POLICY), Effect.SHALLOWER),
        (Verdict.LOST, (), None),
        (Verdict.BLOCKED, (walls.OPEN_NODE, walls.POLICY), Effect.EXPOSES),
    ):
        walls.judge(store, key, verdict, Must.BLOCKED, layers)
        made.update((key,))
        then = made.of(key)
        assert (then.effect if then is not None else None) is effect
        assert made.counts == what_if(store, POLICIES).counts


def test_what_changes_while_it_is_worked_out_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = walls.estate()

    made = WhatIf(store, Known(store).chains, POLICIES)
    ask = made._chains.imagine

    def imagine(key: CellKey, left_out: frozenset[str]) -> Imagined | None:
        """The last cell is asked about: the one before it changes."""
        if key == walls.key_of(walls.WEB, walls.PHONE):
            walls.judge(store, walls.key_of(walls.DB, walls.OPS), Verdict.REACHABLE, Must.ANY, (walls.OPEN_NODE,))
        return ask(key, left_out)

    monkeypatch.setattr(made._chains, "imagine", imagine)
    asyncio.run(made.work_out())
    assert made.of(walls.key_of(walls.DB, walls.OPS)) is None
    assert made.counts == what_if(store, POLICIES).counts


# --- one failure away


def test_blocks_behind_one_wall_are_listed_by_the_wall() -> None:
    store = walls.estate()
    found = OneFailure(store)
    assert found.walls == {"policies of prod": 3, "firewall of n1": 2, UNIDENTIFIED: 1}
    assert len(found) == store.one_failure_away == 6
    assert set(found.rows) == {walls.ETCD.id, walls.KUBELET.id, walls.DB.id, walls.WEB.id}
    assert walls.key_of(walls.ETCD, walls.SHOP) not in found  # two walls


def test_without_its_one_wall_none_of_its_cells_is_held() -> None:
    store = walls.estate()
    found = OneFailure(store)
    for wall in of_walls(found.walls):
        made = what_if(store, wall.names)
        for key in store.cells:
            then = made.of(key)
            if key in found and found.wall_of(key) == wall.words:
                assert then is not None
                assert then.effect in {Effect.EXPOSES, Effect.OPENS, Effect.UNKNOWN}


def test_a_wall_that_gains_or_loses_cells_is_followed() -> None:
    store = walls.estate()
    found = OneFailure(store)
    key = walls.key_of(walls.DB, walls.OPS)
    walls.judge(store, key, Verdict.BLOCKED, Must.BLOCKED, (walls.NODE, walls.POLICY))
    assert found.update((key,)) is True  # its row has no other
    assert walls.DB.id not in found.rows
    walls.judge(store, key, Verdict.BLOCKED, Must.BLOCKED, (walls.NODE, walls.OPEN_POLICY))
    assert found.update((key,)) is True
    assert found.walls == {"policies of prod": 2, "firewall of n1": 3, UNIDENTIFIED: 1}
    assert found.update((key,)) is False
    store.apply(happened.EndpointGone(at=AT, endpoint=walls.ETCD.id))
    found.follow()
    assert found.walls == OneFailure(store).walls == {"policies of prod": 2, "firewall of n1": 2}


@given(layers=chains(), verdict=st.sampled_from(MEASURED))
def test_as_many_walls_are_named_as_are_counted(layers: tuple[Layer, ...], verdict: Verdict) -> None:
    assert len(holding(layers, verdict)) == depth_of(layers, verdict).least


# --- what is offered


def test_what_stops_a_cell_can_be_left_out_by_name() -> None:
    store = walls.estate()
    judgement = store.cell(walls.key_of(walls.ETCD, walls.SHOP)).judgement
    offered = {each.words: each.names for each in of_cell(judgement)}
    assert offered == {
        "firewall of n1": frozenset({"firewall of n1"}),
        "n1: ip filter INPUT rule 3 (handle 27): -A INPUT -p tcp --dport 10250 -j DROP": frozenset({walls.INPUT_RULE}),
        "policies of prod": frozenset({"policies of prod"}),
        "NetworkPolicy shop/db": frozenset({walls.DB_POLICY}),
    }
    assert of_cell(None) == ()
    assert [wall.words for wall in of_walls(OneFailure(store).walls)] == ["policies of prod", "firewall of n1"]


def test_several_can_be_left_out_together() -> None:
    policies, firewalls, *_ = KINDS
    both = together((policies, firewalls))
    assert (both.words, both.names) == ("policies and node firewalls", policies.names | firewalls.names)
