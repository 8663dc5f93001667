"""Pods in numbers on the range's API: what is agreed to before, what it costs, what one refusal stops."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.errors import ConsentMissing, SettingsError
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import VantageStatus, Zone
from kubeshield_tui.range.api import status
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.world import World
from kubeshield_tui.session import doors, expand
from kubeshield_tui.session.session import Session
from tests.contract.served import (
    Server,
    add_namespace,
    add_node,
    add_teams,
    all_objects,
    crowd,
    settings,
    targets,
    watch,
)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return watch(monkeypatch)


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


# --- what the flags come to


async def test_each_namespace_with_pods_and_each_fit_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(world: World) -> None:
        add_namespace(world, "going", "Terminating")
        add_namespace(world, "hosts", hostNetwork=True)
        add_node(world, "control", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
        add_node(world, "cordoned", unschedulable=True)
        add_node(world, "away", ready="Unknown")
        add_node(world, "panes", system="windows")
        world.put("namespaces", {"metadata": {"name": "empty"}, "status": {"phase": "Active"}})
        add_namespace(world, "done")
        world.objects["pods"]["done", "app"]["status"]["phase"] = "Succeeded"

    crowd(monkeypatch, fill)
    async with TrainingRange() as training:
        wanted = settings(training, "pod:shop", per_namespace=True, per_node=True)
        made, notes, failures = await expand.expand(wanted, ("range",))
    assert [spec.text for spec in made.vantages] == [
        "pod:shop", "pod:ops", "pod:payments", "pod:kube-system",
        "pod:default@control", "pod:default@n1", "pod:default@n2",
    ]  # fmt: skip
    assert not made.is_open_ended
    assert failures == ()
    said = "\n".join(notes)
    for name, why in {
        "going": "terminating", "hosts": "hostNetwork", "cordoned": "cordoned", "away": "not Ready", "panes": "windows",
    }.items():  # fmt: skip
        assert any(name in note and why in note for note in notes), (name, said)
    assert "empty" not in said
    assert len(notes) == 5


async def test_more_than_fit_are_left_out_and_named_system_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(monkeypatch, partial(add_teams, 40))
    async with TrainingRange() as training:
        made, notes, _ = await expand.expand(settings(training, per_namespace=True), ("range",))
    assert len(made.vantages) == expand.MOST
    assert "pod:kube-system" not in {spec.text for spec in made.vantages}
    (note,) = notes
    assert "40 of 44" in note
    assert "pod:kube-system" in note


async def test_a_list_that_may_not_be_read_is_said_and_the_rest_goes_on(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        return status(403, "Forbidden", "no") if request.path == "/api/v1/nodes" else None

    server.answer = answer
    wanted = settings(
        training, per_namespace=True, per_node=True, consent=True, targets=targets(tmp_path, "10.96.1.10:80")
    )
    session = Session(wanted)
    await session.audit()
    assert {vantage.spec.text for vantage in session.store.vantages.values()} >= {"pod:shop", "pod:payments"}
    (failed,) = session.store.failed_clusters.values()
    assert "--per-node" in failed.message
    assert "forbidden" in failed.message
    assert "pod:NAMESPACE@NODE" in failed.hint


async def test_an_unreachable_cluster_is_no_crash(training: TrainingRange, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(training.kubeconfig.read_text().replace("https://127.0.0.1:", "https://127.0.0.1:1#"))
    wanted = settings(training, "local", per_node=True, kubeconfig=config, targets=targets(tmp_path, "127.0.0.1:9"))
    session = Session(wanted)
    await session.audit()
    assert list(session.store.failed_clusters) == ["range"]
    assert [vantage.spec.text for vantage in session.store.vantages.values()] == ["local"]


async def test_vantages_of_another_cluster_carry_its_name(training: TrainingRange, tmp_path: Path) -> None:
    config = json.loads(training.kubeconfig.read_text())
    config["contexts"].append({**config["contexts"][0], "name": "other"})
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(json.dumps(config))
    given = {"kubeconfig": kubeconfig, "contexts": ("range", "other"), "per_node": True}
    with pytest.raises(ConsentMissing) as caught:
        await Session(settings(training, **given)).audit()
    pods = [line.strip() for line in caught.value.message.splitlines() if line.strip().startswith("Pod ")]
    assert [" in other" in line for line in pods] == [False, False, True, True]
    named = targets(tmp_path, "10.96.1.10:80")
    session = Session(settings(training, **given, consent=True, targets=named))
    await session.audit()
    made = {vantage.id: (vantage.cluster, vantage.status) for vantage in session.store.vantages.values()}
    assert made == {
        "pod:default@n1": ("range", VantageStatus.CLOSED),
        "pod:default@n2": ("range", VantageStatus.CLOSED),
        "pod:default@n1@@other": ("other", VantageStatus.CLOSED),
        "pod:default@n2@@other": ("other", VantageStatus.CLOSED),
    }


# --- consent


async def test_without_consent_the_exact_list_is_shown_and_nothing_is_made(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    before = await all_objects(training)
    record = tmp_path / "record"
    given: dict[str, Any] = {"per_namespace": True, "per_node": True, "ssh_config": tmp_path / "none"}
    wanted = settings(training, "node:n1", "local", record=record, **given)
    with pytest.raises(ConsentMissing) as caught:
        await Session(wanted).audit()
    first, *others = caught.value.message.splitlines()
    assert first.endswith("created in range:")  # a yes to the wrong cluster would be worse than none
    lines = [line.strip() for line in others if line.strip()]
    pods = [line for line in lines if line.startswith("Pod ")]
    assert [line.split()[1] for line in pods] == [
        "default/kubeshield-...", "ops/kubeshield-...", "payments/kubeshield-...", "shop/kubeshield-...",
        "kube-system/kubeshield-...", "default/kubeshield-...", "default/kubeshield-...",
    ]  # fmt: skip
    assert "on node n1: hostNetwork" in pods[0]
    assert "on node n2 (" in pods[-1]
    assert len([line for line in lines if line.startswith("Lease ")]) == len(pods)
    assert "Host n1 in ssh_config" in caught.value.hint
    assert {method for method, _ in server.asked} == {"GET"}
    assert await all_objects(training) == before
    assert not record.exists()


async def test_a_zone_for_a_vantage_that_a_flag_makes(training: TrainingRange, tmp_path: Path) -> None:
    given = {"per_node": True, "consent": True, "targets": targets(tmp_path, "10.96.1.10:80")}
    session = Session(settings(training, zones=(("pod:default@n2", Zone.NODE),), **given))
    await session.audit()
    assert {v.spec.text: v.zone for v in session.store.vantages.values()}["pod:default@n2"] is Zone.NODE
    with pytest.raises(SettingsError, match="pod:default@n9"):
        await Session(settings(training, zones=(("pod:default@n9", Zone.NODE),), **given)).audit()


# --- numbers


async def test_four_hundred_targets_from_one_pod_cost_twelve_requests(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    named = targets(tmp_path, *(f"10.96.{number // 200 + 1}.10:{number % 200 + 80}" for number in range(400)))
    for vantage in ("pod:shop", "pod:shop@n2", "pod:shop/web-6d4f9"):
        server.asked.clear()
        session = Session(settings(training, vantage, consent=True, targets=named))
        await session.audit()
        states = Counter(cell.observation.state for cell in session.store.cells.values() if cell.observation)
        assert states.total() == 400
        assert states[State.OPEN] >= 1
        assert len(server.asked) <= 12, server.asked


async def test_eight_are_made_at_once_and_all_of_them_come(
    monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    crowd(monkeypatch, partial(add_teams, 16))
    making, most, full = 0, 0, asyncio.Event()

    async def answer(request: web.Request) -> None:
        nonlocal making, most
        if request.method == "POST" and request.path.endswith("/pods"):
            making += 1
            most = max(most, making)
            if making == doors.MOST_CREATING:
                full.set()
            await full.wait()
            making -= 1

    server.answer = answer
    async with TrainingRange() as training:
        before = await all_objects(training)
        wanted = settings(training, per_namespace=True, consent=True, targets=targets(tmp_path, "10.96.1.10:80"))
        session = Session(wanted)
        await session.audit()
        assert most == doors.MOST_CREATING
        assert len(session.store.vantages) == 20
        assert {v.status for v in session.store.vantages.values()} == {VantageStatus.CLOSED}
        assert await all_objects(training) == before


REFUSED = {
    "ops": (403, 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=4', "quota"),
    "kube-system": (403, "unable to create new content in namespace x because it is being terminated", "terminating"),
    "payments": (403, 'pods "x" is forbidden: violates PodSecurity "restricted:v1.31": x', "Pod Security of namespace"),
}


async def test_one_refusal_stops_no_other(training: TrainingRange, server: Server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        namespace = request.path.split("/")[4] if request.path.startswith("/api/v1/namespaces/") else ""
        if request.method == "POST" and request.path.endswith("/pods") and namespace in REFUSED:
            code, message, _ = REFUSED[namespace]
            return status(code, "Forbidden", message)
        return None

    server.answer = answer
    before = await all_objects(training)
    wanted = settings(training, per_namespace=True, consent=True, targets=targets(tmp_path, "10.96.1.10:80"))
    session = Session(wanted)
    await session.audit()
    of = {vantage.spec.namespace: vantage for vantage in session.store.vantages.values()}
    for namespace, (_, _, word) in REFUSED.items():
        assert of[namespace].status is VantageStatus.FAILED
        assert word in of[namespace].detail
        assert namespace in of[namespace].detail
    assert of["shop"].status is VantageStatus.CLOSED
    assert {cell.observation.state for cell in session.store.cells.values() if cell.observation} == {State.OPEN}
    assert await all_objects(training) == before
