"""Findings of clusters in a session: they appear, follow reach and inventory, and go; many answers cost one look."""

from __future__ import annotations

import asyncio
import json

import jsonschema
import pytest
from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import AggregatedApiRecord, Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture, Reason, State
from kubeshield_tui.model.vantage import Vantage, Zone
from kubeshield_tui.model.verdict import Judgement, Verdict
from kubeshield_tui.report.document import report_json, report_schema
from kubeshield_tui.report.outcome import exit_code
from kubeshield_tui.report.text import report_text
from kubeshield_tui.session import holes as session_holes
from kubeshield_tui.session.holes import Holes
from kubeshield_tui.session.session import Session
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings
from tests.unit.estate import answer, endpoint, vantage
from tests.unit.holes_estate import inventory

API = endpoint("kube-apiserver", component="kube-apiserver", host="10.0.0.1", port=6443)
PHONE, SHOP = vantage("ssh:phone", Zone.OUTSIDE), vantage("pod:shop")
HOLE = "CVE-2018-1002105:prod:kube-apiserver"
METRICS = (AggregatedApiRecord(name="v1beta1.metrics.k8s.io"),)


class World:
    """A store and what keeps its holes true; every event goes through both, as in a session."""

    def __init__(self) -> None:
        self.store = Store()
        self.events: list[happened.Event] = []
        self.holes = Holes(self.store, self.happen)

    def happen(self, event: happened.Event) -> None:
        self.store.apply(event)
        self.events.append(event)
        self.holes.told(event)

    def read(self, version: str = "v1.10.3", **lists: object) -> None:
        self.happen(happened.ClusterRead(at=1, inventory=inventory(version, aggregated=METRICS, **lists)))

    def see(self, target: Endpoint, source: Vantage, verdict: Verdict, posture: Posture = Posture.FORBIDDEN) -> None:
        key = CellKey(target.id, source.id)
        state = State.OPEN if verdict in {Verdict.EXPOSED, Verdict.REACHABLE} else State.FILTERED
        self.happen(happened.CellObserved(at=2, observation=answer(key, 2, state, posture=posture)))
        judgement = Judgement(endpoint=target.id, vantage=source.id, verdict=verdict)
        self.happen(happened.CellJudged(at=2, judgement=judgement))

    def changes(self) -> list[str]:
        """Ids raised or cleared since the last call, in order."""
        told = []
        for event in self.events:
            match event:
                case happened.FindingRaised():
                    told.append(f"+{event.finding.code}")
                case happened.FindingCleared():
                    told.append(f"-{event.finding.partition(':')[0]}")
        self.events.clear()
        return told


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(session_holes, "LOOK_SECONDS", 0.01)
    made = World()
    for source in (PHONE, SHOP):
        made.happen(happened.VantageAdded(at=1, vantage=source))
    made.happen(happened.EndpointFound(at=1, endpoint=API))
    return made


async def until_looked(world: World) -> None:
    async with asyncio.timeout(10):
        while world.holes._due is not None:
            await asyncio.sleep(0.005)


async def test_a_finding_appears_before_any_probe_follows_reach_and_goes_with_the_upgrade(world: World) -> None:
    world.read()
    await until_looked(world)
    assert "+CVE-2018-1002105" in world.changes()
    assert world.store.findings[HOLE].severity is Severity.MEDIUM

    world.see(API, SHOP, Verdict.BLOCKED)
    world.see(API, PHONE, Verdict.EXPOSED)
    await until_looked(world)
    assert world.changes() == ["+CVE-2018-1002105", "+CVE-2022-3294"]  # both ask who reaches the API
    assert world.store.findings[HOLE].severity is Severity.CRITICAL
    assert world.store.findings[HOLE].reached_from == (PHONE.id,)
    assert "reachable from 1 of 2 vantages" in world.store.findings[HOLE].title

    world.see(API, PHONE, Verdict.BLOCKED)
    await until_looked(world)
    assert world.store.findings[HOLE].severity is Severity.MEDIUM

    world.read("v1.10.11")
    await until_looked(world)
    assert "-CVE-2018-1002105" in world.changes()
    assert HOLE not in world.store.findings


async def test_what_is_as_it_was_is_not_told_again(world: World) -> None:
    world.read()
    world.holes.look()
    assert world.changes()
    world.holes.look()
    world.happen(happened.VantageAdded(at=3, vantage=SHOP))
    world.holes.look()
    assert world.changes() == []


async def test_a_burst_of_answers_costs_one_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(Holes, "look", lambda self: (looks.append(1), setattr(self, "_due", None)))
    world.read()
    for _ in range(500):
        world.see(API, PHONE, Verdict.EXPOSED)
    await until_looked(world)
    assert looks == [1]


async def test_its_own_findings_and_mere_asking_wake_nobody(world: World) -> None:
    world.read()
    world.holes.look()
    world.happen(happened.CellAsked(at=2, endpoint=API.id, vantage=SHOP.id))
    world.happen(happened.Progress(at=2, phase="watching"))
    assert world.holes._due is None
    denied = Denied(cluster="prod", what="list apiservices.apiregistration.k8s.io", why="forbidden")
    world.happen(happened.ReadDenied(at=2, denied=denied))
    assert world.holes._due is not None
    world.holes.finish()
    world.happen(happened.ReadDenied(at=2, denied=denied))
    assert world.holes._due is None  # nothing is looked at after the end


async def test_a_cell_that_is_out_of_scope_or_was_never_asked_is_no_no(world: World) -> None:
    world.read()
    world.happen(
        happened.CellUntested(
            at=2, endpoint=API.id, vantage=SHOP.id, reason=Reason.OUT_OF_SCOPE, why="another target there"
        )
    )
    world.see(API, PHONE, Verdict.BLOCKED)
    world.holes.look()
    because = world.store.findings[HOLE].because
    assert "reachable from 0 of 1 vantages" in because
    assert not any(line.startswith("not measured from") for line in because)
    world.happen(
        happened.CellUntested(at=2, endpoint=API.id, vantage=SHOP.id, reason=Reason.TIME_LIMIT, why="no answer")
    )
    world.holes.look()
    assert "not measured from pod:shop" in world.store.findings[HOLE].because


async def test_clusters_are_kept_apart(world: World) -> None:
    world.read()
    other = inventory("v1.33.9")
    other = replace(other, cluster=replace(other.cluster, id="staging"))
    world.happen(happened.ClusterRead(at=1, inventory=other))
    world.see(API, PHONE, Verdict.EXPOSED)
    world.holes.look()
    assert {finding.cluster for finding in world.store.findings.values() if "1002105" in finding.code} == {"prod"}
    assert world.store.findings[HOLE].reached_from == (PHONE.id,)


async def test_findings_of_clusters_are_in_every_report_and_count_for_the_exit_code(world: World) -> None:
    world.read()
    world.see(API, PHONE, Verdict.EXPOSED)
    world.holes.look()
    document = json.loads(report_json(world.store))
    jsonschema.validate(document, report_schema(), cls=jsonschema.Draft202012Validator)
    finding = document["findings"][0]
    assert finding["id"] == HOLE
    assert {"cluster": "prod", "component": "kube-apiserver", "reached_from": [PHONE.id]}.items() <= finding.items()
    bare = next(each for each in document["findings"] if each["code"] == "CVE-2020-8562")
    assert (bare["endpoint"], bare["vantage"], bare["reached_from"]) == ("", "", [])
    text = report_text(world.store)
    assert text.index("CRITICAL CVE-2018-1002105 in kube-apiserver v1.10.3") < text.index("INFO     CVE-2020-8562")
    assert "reachable from 1 of 2 vantages (outside: ssh:phone)" not in text.split("because")[0]
    assert exit_code(world.store, Severity.CRITICAL) == 1
    world.read("v1.33.9")
    world.holes.look()
    assert exit_code(world.store, Severity.LOW) == 0


async def test_a_record_of_them_is_read_back(world: World) -> None:
    world.read()
    world.see(API, PHONE, Verdict.EXPOSED)
    world.holes.look()
    replayed = Store()
    for event in world.events:
        replayed.apply(happened.decode_event(happened.encode_event(event)))
    assert replayed.findings == world.store.findings


async def test_an_audit_ends_with_the_findings_as_they_are_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real session without a cluster, into which one is put just before its end."""
    monkeypatch.setattr(session_holes, "LOOK_SECONDS", 3600)
    session = Session(Settings(discovery=False))
    read: Inventory = inventory("v1.10.3", aggregated=METRICS)
    session._happen(happened.ClusterRead(at=1, inventory=read))
    assert session.store.findings == {}
    await session.close()
    assert HOLE in session.store.findings
    assert session.store.ended
