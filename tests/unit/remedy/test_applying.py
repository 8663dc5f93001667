"""Applying what was agreed to: in which order the server is asked, and what is left where it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from kubeshield_tui.cli.leavings import say_leavings
from kubeshield_tui.cluster.client import NotReadable
from kubeshield_tui.cluster.rights import Feature, rights_of
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.session import remedies
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.proposals import Proposal, propose
from kubeshield_tui.session.remedies import Remedies
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from tests.unit.estate import answer
from tests.unit.policed import AT, METADATA, OPS, estate
from tests.unit.remedy.test_proposals import seen

PATH = "/apis/networking.k8s.io/v1/namespaces/ops/networkpolicies"
OBJECT = f"{PATH}/kubeshield-egress"
Answer = Callable[[str, str, dict[str, Any]], dict[str, Any]]


class Server:
    """An API server that does as it is told."""

    where = "prod (https://10.0.0.11:6443)"

    def __init__(self, reply: Answer | None = None, allowed: bool = True) -> None:
        self.asked: list[tuple[str, str, dict[str, Any], Any]] = []
        self._reply = reply
        self._allowed = allowed

    async def request(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None
    ) -> dict[str, Any]:
        await asyncio.sleep(0)
        if path.endswith("selfsubjectaccessreviews"):
            return {"status": {"allowed": self._allowed}}
        self.asked.append((method, path, query or {}, body))
        told = self._reply(method, path, query or {}) if self._reply else {}
        return told or {**(body or {}), "metadata": {**(body or {}).get("metadata", {}), "uid": "uid-1"}}


class Stage:
    """Remedies on an estate with one finding."""

    def __init__(self, server: Server) -> None:
        self.store = estate()
        self.cell = seen(self.store, METADATA, OPS, State.OPEN, Must.BLOCKED)
        self.asked: list[set[CellKey]] = []
        self.worlds = Worlds(self.store)
        self.settings = Settings()
        clusters = ClusterWait(("prod",))
        clusters.start()
        clusters.answered("prod", server)  # type: ignore[arg-type]
        self.remedies = Remedies(self, lambda: clusters, self.store.apply)

    def ask_again(self, keys: Iterable[CellKey]) -> int:
        self.asked.append(set(keys))
        return 1

    @property
    def proposal(self) -> Proposal:
        (proposal,) = propose(self.store, self.worlds, Settings(), [self.cell])
        return proposal

    def answered(self, state: State) -> None:
        self.store.apply(happened.CellObserved(at=AT, observation=answer(self.cell, AT, state)))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "LOOKS", (0.0, 0.01, 0.02))


def refusing(status: int, why: str, when: Callable[[str, dict[str, Any]], bool]) -> Answer:
    def reply(method: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
        if when(method, query):
            raise NotReadable(f"{method.lower()} {path}", why, status)
        return {}

    return reply


async def test_it_is_tried_made_looked_after_and_taken_back() -> None:
    server = Server()
    stage = Stage(server)
    proposal = stage.proposal
    applied = await stage.remedies.apply(proposal)
    (dry, made) = server.asked
    assert dry == ("POST", PATH, {"fieldManager": "kubeshield", "dryRun": "All"}, proposal.remedy.draft.body)  # type: ignore[union-attr]
    assert made == ("POST", PATH, {"fieldManager": "kubeshield"}, dry[3])
    assert list(stage.store.applied.values()) == [applied]
    assert (applied.uid, applied.text, applied.cells) == ("uid-1", proposal.text, (stage.cell,))
    while not stage.asked:
        await asyncio.sleep(0.001)
    assert stage.asked[0] == {stage.cell}
    await stage.remedies.take_back(applied)
    method, path, _, body = server.asked[-1]
    assert (method, path, body["preconditions"]) == ("DELETE", OBJECT, {"uid": "uid-1"})
    assert stage.store.applied == {}
    await stage.remedies.close()


async def test_cells_are_asked_again_until_the_change_is_seen() -> None:
    stage = Stage(Server())
    await stage.remedies.apply(stage.proposal)
    while len(stage.asked) < len(remedies.LOOKS):  # it stays open: every look is taken
        await asyncio.sleep(0.001)
    stage.asked.clear()
    stage.answered(State.FILTERED)
    (applied,) = stage.store.applied.values()
    await stage.remedies.take_back(applied)
    while not stage.asked:
        await asyncio.sleep(0.001)
    stage.answered(State.OPEN)
    while stage.remedies._looking:
        await asyncio.sleep(0.001)
    assert len(stage.asked) < len(remedies.LOOKS)


@pytest.mark.parametrize(
    ("status", "why", "hint"),
    [
        (403, "forbidden", "kubeshield rbac --feature remedies --namespace ops"),
        (409, "already exists", "Take it back first"),
        (404, "not found", "kubectl get namespaces"),
        (422, "spec.egress[0]: invalid", "Save the text"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
async def test_a_refusal_leaves_nothing(status: int, why: str, hint: str, dry: bool) -> None:
    server = Server(refusing(status, why, lambda _, query: ("dryRun" in query) is dry))
    stage = Stage(server)
    with pytest.raises(ClusterError) as raised:
        await stage.remedies.apply(stage.proposal)
    assert "nothing was made" in raised.value.message
    assert hint in raised.value.hint
    assert len(server.asked) == (1 if dry else 2)
    assert stage.store.applied == {}
    assert stage.asked == []


async def test_without_the_right_to_remove_it_nothing_is_asked() -> None:
    server = Server(allowed=False)
    with pytest.raises(ClusterError, match="nothing was made"):
        await Stage(server).remedies.apply(Stage(server).proposal)
    assert server.asked == []


@pytest.mark.parametrize("was_made", [True, False])
async def test_no_answer_to_the_creation(was_made: bool) -> None:
    def reply(method: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
        if method == "POST" and "dryRun" not in query:
            raise ClusterError("prod: no answer within 30 s")
        if method == "GET" and was_made:
            return {"metadata": {"uid": "uid-2", "labels": {"app.kubernetes.io/managed-by": "kubeshield"}}}
        if method == "GET":
            raise NotReadable(f"get {path}", "not found", 404)
        return {}

    stage = Stage(Server(reply))
    if was_made:
        assert (await stage.remedies.apply(stage.proposal)).uid == "uid-2"
        assert len(stage.store.applied) == 1
    else:
        with pytest.raises(ClusterError, match="no answer"):
            await stage.remedies.apply(stage.proposal)
        assert stage.store.applied == {}
    await stage.remedies.close()


async def test_whoever_stops_waiting_does_not_lose_what_was_made() -> None:
    created = asyncio.Event()

    def reply(method: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
        if method == "POST" and "dryRun" not in query:
            created.set()
        return {}

    stage = Stage(Server(reply))
    applying = asyncio.create_task(stage.remedies.apply(stage.proposal))
    await created.wait()
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    await stage.remedies.close()
    assert [policy.name for policy in stage.store.applied.values()] == ["kubeshield-egress"]


@pytest.mark.parametrize(("status", "stays"), [(404, False), (409, False), (403, True), (500, True)])
async def test_what_is_not_ours_any_more_is_left_alone(status: int, stays: bool) -> None:
    stage = Stage(Server(refusing(status, "why", lambda method, _: method == "DELETE")))
    applied = await stage.remedies.apply(stage.proposal)
    if stays:
        with pytest.raises(ClusterError, match="NetworkPolicy ops/kubeshield-egress stays") as raised:
            await stage.remedies.take_back(applied)
        assert "kubectl -n ops delete networkpolicy kubeshield-egress" in raised.value.hint
    else:
        await stage.remedies.take_back(applied)
    assert bool(stage.store.applied) is stays
    await stage.remedies.close()


async def test_nothing_is_applied_in_the_training_range() -> None:
    server = Server()
    stage = Stage(server)
    stage.store.simulated = "the training range"
    with pytest.raises(ClusterError, match="simulated"):
        await stage.remedies.apply(stage.proposal)
    assert server.asked == []


def test_the_end_tells_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store()
    store.apply(happened.PolicyApplied(at=AT, cluster="prod", namespace="ops", name="n", uid="u", text="t"))
    say_leavings(store)
    assert capsys.readouterr().err == (
        "kubeshield: STAYS APPLIED NetworkPolicy ops/n in prod; take it back: kubectl --context prod -n ops delete "
        "networkpolicy n\n"
    )


async def test_what_is_asked_of_the_server_is_what_the_printed_role_grants() -> None:
    def reply(method: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
        if method == "POST" and "dryRun" not in query:
            raise ClusterError("prod: no answer within 30 s")
        return {"metadata": {"uid": "u", "labels": {"app.kubernetes.io/managed-by": "kubeshield"}}}

    server = Server(reply)
    stage = Stage(server)
    await stage.remedies.take_back(await stage.remedies.apply(stage.proposal))
    verbs = {"POST": "create", "GET": "get", "DELETE": "delete"}
    used = {(verbs[method], path.removesuffix("/kubeshield-egress") == PATH) for method, path, *_ in server.asked}
    assert used == {(right.verb, True) for right in rights_of([Feature.REMEDIES])}
    await stage.remedies.close()
