"""What a session proposes for its cells: where a policy can stand, tried on all that is known."""

from __future__ import annotations

from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Recognition
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import decode_event, encode_event
from kubeshield_tui.model.expectation import Expectation, Must
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Judgement, Verdict
from kubeshield_tui.session.proposals import (
    NEVER_ENFORCED,
    NO_POLICY_BETWEEN,
    NOT_ENFORCED,
    Proposal,
    cells_of,
    propose,
)
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from tests.unit.estate import answer, vantage
from tests.unit.policed import API, AT, DENY_ALL, KUBELET, METADATA, OPS, POD, WEB, estate

HERE = vantage("local")


def seen(store: Store, target: Endpoint, source: Vantage, state: State, must: Must = Must.ANY) -> CellKey:
    key = CellKey(target.id, source.id)
    store.apply(happened.CellObserved(at=AT, observation=answer(key, AT, state)))
    verdict = Verdict.EXPOSED if must is Must.BLOCKED and state is State.OPEN else Verdict.REACHABLE
    judgement = Judgement(endpoint=target.id, vantage=source.id, verdict=verdict, expectation=Expectation(must=must))
    store.apply(happened.CellJudged(at=AT, judgement=judgement))
    return key


def the_one(store: Store, *cells: CellKey) -> Proposal:
    (proposal,) = propose(store, Worlds(store), Settings(), cells)
    return proposal


def test_what_leads_to_pods_is_closed_where_it_arrives() -> None:
    store = estate()
    unwanted = seen(store, API, OPS, State.OPEN, Must.BLOCKED)
    seen(store, API, WEB, State.OPEN, Must.REACHABLE)
    proposal = the_one(store, unwanted)
    assert proposal.cells == (unwanted,)
    assert proposal.remedy.draft is not None
    assert (proposal.remedy.draft.namespace, proposal.remedy.draft.name) == ("payments", "kubeshield-ingress-api")
    assert [flip.flow.key for flip in proposal.trial.flips] == [unwanted]
    assert proposal.trial.asked == 2
    assert proposal.is_safe
    assert set(proposal.concerned) == {unwanted, CellKey(API.id, WEB.id)}


def test_what_leads_elsewhere_is_closed_where_it_leaves() -> None:
    store = estate()
    unwanted = seen(store, METADATA, OPS, State.OPEN, Must.BLOCKED)
    kept = seen(store, API, OPS, State.OPEN)
    seen(store, METADATA, WEB, State.OPEN, Must.BLOCKED)  # another namespace: not this policy's matter
    proposal = the_one(store, unwanted)
    assert proposal.remedy.draft is not None
    assert proposal.remedy.draft.namespace == "ops"
    assert "169.254.169.254/32" in proposal.text
    assert set(proposal.concerned) == {unwanted, kept}
    assert proposal.is_safe
    # Whether a range covers nodes is the plugin's choice: that is said, and nothing is surely cut.
    assert {flip.after for flip in proposal.possible.other} == {Predicted.UNKNOWN}
    assert all("node" in reason for reason in proposal.possible.hangs_on.values())


def test_one_policy_for_all_cells_that_it_can_close() -> None:
    store = estate()
    cells = [seen(store, target, OPS, State.OPEN, Must.BLOCKED) for target in (METADATA, KUBELET, POD, API)]
    proposals = propose(store, Worlds(store), Settings(), cells)
    assert [set(proposal.cells) for proposal in proposals] == [set(cells[:2]), set(cells[2:])]
    for proposal in proposals:
        assert {flip.flow.key for flip in proposal.trial.wanted} | {
            flow.key for flow in proposal.trial.still_open
        } == set(proposal.cells)


def test_a_legitimate_connection_that_would_break_makes_it_unsafe() -> None:
    """Two pods without a label that tells them apart: one must come, the other must not."""
    store = estate()
    unwanted = seen(store, POD, OPS, State.OPEN, Must.BLOCKED)
    other = replace(OPS, id=vantage("pod:ops/ops-1").id, spec=vantage("pod:ops/ops-1").spec)
    twin = next(pod for pod in store.clusters["prod"].pods if pod.namespace == "ops")
    facts = store.clusters["prod"].cluster
    second = happened.ClusterChanged(
        at=AT,
        inventory=replace(
            store.clusters["prod"], cluster=facts, pods=(replace(twin, name="ops-1", addresses=("10.244.2.10",)),)
        ),
    )
    store.apply(second)
    store.apply(happened.VantageAdded(at=AT, vantage=other))
    seen(store, POD, other, State.OPEN, Must.REACHABLE)
    proposal = the_one(store, unwanted)
    assert not proposal.is_safe
    assert [flow.key for flow in proposal.trial.still_open] == [unwanted]


def test_where_no_policy_lies_between_that_is_said() -> None:
    store = estate(vantages=(HERE,))
    proposal = the_one(store, seen(store, KUBELET, HERE, State.OPEN, Must.BLOCKED))
    assert proposal.remedy.draft is None
    assert proposal.remedy.notes == (NO_POLICY_BETWEEN,)
    assert proposal.text == ""


def test_open_though_it_is_denied_already() -> None:
    store = estate(DENY_ALL)
    proposal = the_one(store, seen(store, POD, OPS, State.OPEN, Must.BLOCKED))
    assert proposal.remedy.draft is None
    assert NOT_ENFORCED in proposal.remedy.notes


def test_where_nothing_enforces_policies_that_is_said() -> None:
    flannel = Recognition(what="cni", name="flannel", evidence="DaemonSet kube-flannel/kube-flannel-ds")
    store = estate(recognised=(flannel,))
    proposal = the_one(store, seen(store, POD, OPS, State.OPEN, Must.BLOCKED))
    assert proposal.remedy.notes[0].startswith(NEVER_ENFORCED)
    assert "flannel" in proposal.remedy.notes[0]


def test_the_cells_of_a_finding_are_those_of_its_cause() -> None:
    store = estate(vantages=(WEB, OPS, HERE))
    own = seen(store, API, OPS, State.OPEN, Must.BLOCKED)
    alike = seen(store, API, WEB, State.OPEN, Must.BLOCKED)
    seen(store, POD, OPS, State.OPEN, Must.BLOCKED)  # another workload
    seen(store, KUBELET, HERE, State.OPEN, Must.ANY)
    finding = Finding(
        id="f", code="exposed", severity="high", title="t", because=("b",), verify=("v",), remedy="r",
        endpoint=API.id, vantage=OPS.id, component=API.component,
    )  # fmt: skip
    assert set(cells_of(store, finding)) == {own, alike}
    assert cells_of(store, replace(finding, endpoint="", vantage="")) == ()
    servers = [replace(each, component="kube-apiserver") for each in (POD, KUBELET)]
    for server in servers:
        store.apply(happened.EndpointFound(at=AT, endpoint=server))
    two = {seen(store, server, OPS, State.OPEN, Must.BLOCKED) for server in servers}
    wall = replace(finding, endpoint=POD.id, component="kube-apiserver")
    assert set(cells_of(store, wall)) == two


def test_applied_policies_are_kept_by_the_record() -> None:
    store = Store()
    applied = happened.PolicyApplied(
        at=AT, cluster="prod", namespace="shop", name="kubeshield-egress", uid="u", text="t",
        cells=(CellKey(API.id, OPS.id),),
    )  # fmt: skip
    for event in (applied, happened.PolicyTakenBack(at=AT, cluster="prod", namespace="shop", name="kubeshield-egress")):
        again = decode_event(encode_event(event))
        assert again == event
        store.apply(again)
        assert list(store.applied.values()) == ([applied] if event is applied else [])
