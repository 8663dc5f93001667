"""The store is a fold: what it shows follows from events alone, and screens learn exactly what changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, PodRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.vantage import VantageStatus
from kubeshield_tui.model.verdict import Judgement, Verdict
from kubeshield_tui.session.query import pace, selects
from kubeshield_tui.session.store import HISTORY_LENGTH, Store
from tests.unit.estate import answer, endpoint, vantage

ONE, TWO = endpoint("one"), endpoint("two", port=80)
HERE, THERE = vantage("local"), vantage("ssh:there")
KEY = CellKey(ONE.id, HERE.id)


def grid() -> Store:
    store = Store()
    for target in (ONE, TWO):
        store.apply(happened.EndpointFound(at=1, endpoint=target))
    for source in (HERE, THERE):
        store.apply(happened.VantageAdded(at=1, vantage=source))
    return store


def observed(key: CellKey, at: float, state: State) -> happened.CellObserved:
    return happened.CellObserved(at=at, observation=answer(key, at, state))


def test_changes_since_names_each_changed_cell_once_and_nothing_older() -> None:
    store = grid()
    store.apply(observed(KEY, 2, State.OPEN))
    revision = store.revision
    other = CellKey(TWO.id, HERE.id)
    for at in (3, 4):
        store.apply(happened.CellAsked(at=at, endpoint=TWO.id, vantage=HERE.id))
    changes = store.changes_since(revision)
    assert changes.cells == (other,)
    assert not changes.structure
    assert store.changes_since(changes.revision).cells == ()
    assert set(store.changes_since(0).cells) == {KEY, other}
    assert store.changes_since(0).structure


def test_asking_keeps_the_old_answer() -> None:
    store = grid()
    store.apply(observed(KEY, 2, State.OPEN))
    store.apply(happened.CellAsked(at=3, endpoint=KEY.endpoint, vantage=KEY.vantage))
    cell = store.cell(KEY)
    assert cell.asking
    assert cell.observation is not None
    assert cell.observation.state is State.OPEN


def test_history_keeps_changes_not_repeats() -> None:
    store = grid()
    for at in range(3 * HISTORY_LENGTH):
        store.apply(observed(KEY, at, State.OPEN))
    assert store.cell(KEY).history == ()
    store.apply(observed(KEY, 100, State.FILTERED))
    cell = store.cell(KEY)
    assert [past.state for past in cell.history] == [State.OPEN]
    assert cell.changed_at == 100


def test_a_lost_vantage_asks_nothing_any_more() -> None:
    store = grid()
    store.apply(happened.CellAsked(at=3, endpoint=KEY.endpoint, vantage=KEY.vantage))
    store.apply(happened.VantageChanged(at=4, vantage=HERE.id, status=VantageStatus.LOST, detail="gone"))
    assert not store.cell(KEY).asking
    assert store.vantages[HERE.id].facts == HERE.facts  # what it is stays known


def test_an_endpoint_that_is_gone_takes_its_cells_and_counts_along() -> None:
    store = grid()
    store.apply(observed(KEY, 2, State.OPEN))
    store.apply(
        happened.CellJudged(at=2, judgement=Judgement(endpoint=ONE.id, vantage=HERE.id, verdict=Verdict.EXPOSED))
    )
    assert (store.answered, store.verdicts[Verdict.EXPOSED]) == (1, 1)
    store.apply(happened.EndpointGone(at=3, endpoint=ONE.id))
    assert (store.answered, store.verdicts[Verdict.EXPOSED], store.total) == (0, 0, 2)
    assert KEY not in store.changes_since(0).cells


def test_progress_counts_a_cell_once() -> None:
    store = grid()
    out = CellKey(TWO.id, THERE.id)
    store.apply(
        happened.CellUntested(at=2, endpoint=out.endpoint, vantage=out.vantage, reason=Reason.OUT_OF_SCOPE, why="x")
    )
    for at in (100.0, 100.5):
        store.apply(observed(KEY, at, State.OPEN))
    assert store.answered == 2
    shown = pace(store, 101)
    assert shown.remaining == 2
    assert shown.per_second == 2 / 5


def test_objects_are_ours_until_removed_or_left() -> None:
    store = grid()
    for name in ("Pod shop/a", "Pod shop/b"):
        store.apply(happened.ObjectCreated(at=2, cluster="prod", object=name))
    store.apply(happened.ObjectRemoved(at=3, cluster="prod", object="Pod shop/a"))
    store.apply(happened.ObjectLeft(at=3, cluster="prod", object="Pod shop/b", why="forbidden"))
    assert store.objects == []
    assert store.removed == [("prod", "Pod shop/a")]
    assert [left.object for left in store.left] == ["Pod shop/b"]


def test_every_kind_of_event_is_folded_and_survives_its_record() -> None:
    """A record is read back to the same store: replay and diff rest on that."""
    kinds = happened.Event.__args__
    samples = [
        happened.SessionStarted(at=1, title="t", version="1"),
        happened.EndpointFound(at=1, endpoint=ONE),
        happened.VantageAdded(at=1, vantage=HERE),
        observed(KEY, 2, State.OPEN),
        happened.WatchChanged(at=2, cluster="prod", what="pods", status=happened.WatchStatus.SLOW, detail="late"),
        happened.Progress(at=2, phase="first sweep"),
        happened.Paused(at=2, paused=True),
        happened.SessionEnded(at=3, incomplete=("x",)),
    ]
    assert {type(sample) for sample in samples} <= set(kinds)
    live, replayed = Store(), Store()
    for sample in samples:
        live.apply(sample)
        replayed.apply(happened.decode_event(happened.encode_event(sample)))
    assert live == replayed


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from(list(State))), max_size=40))
def test_verdict_counts_are_those_of_the_cells(story: list[tuple[int, int, State]]) -> None:
    store = grid()
    for at, (target, source, state) in enumerate(story):
        key = CellKey((ONE, TWO)[target].id, (HERE, THERE)[source].id)
        store.apply(observed(key, at, state))
        verdict = list(Verdict)[list(State).index(state)]
        store.apply(happened.CellJudged(at=at, judgement=Judgement(endpoint=key[0], vantage=key[1], verdict=verdict)))
    for verdict in Verdict:
        assert store.verdicts[verdict] == sum(cell.verdict is verdict for cell in store.cells.values())
    assert store.answered == len(store.cells)


def test_pod_selectors_match_as_the_api_defines_them() -> None:
    from kubeshield_tui.model.cluster import PolicyRecord

    def policy(labels: dict[str, str], *expressions: tuple[str, str, tuple[str, ...]]) -> PolicyRecord:
        return PolicyRecord(
            cluster="prod", namespace="a", name="p", match_labels=tuple(labels.items()), match_expressions=expressions
        )

    web = (("app", "web"), ("tier", "front"))
    assert selects(policy({}), web) is True
    assert selects(policy({"app": "web"}), web) is True
    assert selects(policy({"app": "db"}), web) is False
    assert selects(policy({}, ("app", "In", ("web", "api"))), web) is True
    assert selects(policy({}, ("team", "NotIn", ("money",))), web) is True  # the key is missing
    assert selects(policy({}, ("app", "NotIn", ("web",))), web) is False
    assert selects(policy({}, ("tier", "Exists", ())), web) is True
    assert selects(policy({}, ("tier", "DoesNotExist", ())), web) is False
    assert selects(policy({}, ("app", "Like", ("w*",))), web) is None
    assert selects(policy({"app": "db"}, ("app", "Like", ("w*",))), web) is False


def test_an_endpoint_elsewhere_keeps_its_history_and_nothing_else() -> None:
    store = grid()
    store.apply(observed(KEY, 2, State.OPEN))
    exposed = Judgement(endpoint=ONE.id, vantage=HERE.id, verdict=Verdict.EXPOSED)
    store.apply(happened.CellJudged(at=2, judgement=exposed))
    revision = store.revision
    store.apply(happened.EndpointFound(at=3, endpoint=replace(ONE, source="elsewhere")))
    assert store.cell(KEY).judgement == exposed  # the same place, described otherwise
    assert not store.changes_since(revision).structure
    store.apply(happened.EndpointFound(at=4, endpoint=replace(ONE, host="203.0.113.99")))
    cell = store.cell(KEY)
    assert (cell.observation, cell.judgement) == (None, None)
    assert [(past.at, past.state, past.verdict) for past in cell.history] == [(2, State.OPEN, Verdict.EXPOSED)]
    assert (store.answered, store.verdicts[Verdict.EXPOSED]) == (0, 0)
    changes = store.changes_since(revision)
    assert changes.structure
    assert changes.cells == (KEY,)
    store.apply(observed(KEY, 5, State.FILTERED))
    assert len(store.cell(KEY).history) == 1


def test_a_cluster_is_folded_piece_by_piece() -> None:
    facts = ClusterFacts(id="prod", server="https://203.0.113.10:6443")
    pods = tuple(PodRecord(cluster="prod", namespace="a", name=name) for name in "xyz")
    store = Store()
    store.apply(happened.ClusterRead(at=1, inventory=Inventory(cluster=facts, pods=pods)))
    changed = replace(pods[1], phase="Running")
    gone = (happened.ObjectName(kind="pods", namespace="a", name="x"),)
    newer = replace(facts, version="v1.31.0")
    part = Inventory(cluster=newer, pods=(changed,))
    store.apply(happened.ClusterChanged(at=2, inventory=part, gone=gone))
    assert store.clusters["prod"] == Inventory(cluster=newer, pods=(changed, pods[2]))
    watch = happened.WatchChanged(at=3, cluster="prod", what="pods", status=happened.WatchStatus.FAILED, detail="x")
    store.apply(watch)
    assert store.watches == {("prod", "pods"): watch}
    assert store.changes_since(store.revision - 1).status
