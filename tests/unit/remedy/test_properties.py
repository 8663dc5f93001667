"""Whatever the policies of a cluster say: a remedy opens nothing, and breaks nothing that is known to be needed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeshield_tui.evidence.netpol.explain import decide
from kubeshield_tui.evidence.netpol.party import EndKind
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.arriving import close_arriving
from kubeshield_tui.judgement.leaving import Closed
from kubeshield_tui.judgement.remedy import Remedy, close_leaving
from kubeshield_tui.judgement.trial import KnownFlow, try_policy
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from tests.unit.netpol import generated
from tests.unit.netpol.plain import PlainPod

QUESTIONS = tuple(generated.every_question((79, 80, 443)))
FEW = settings(generated.LAX, max_examples=60)
profiles = st.builds(Profile, ipblock_matches_pods=st.booleans())


def known(question: tuple[PlainPod, PlainPod, str, int], world: World, unwanted: object) -> KnownFlow:
    asked = generated.asked(question)
    closing = unwanted == question
    is_open = decide(world, asked) is Predicted.ALLOW
    return KnownFlow(
        key=CellKey(EndpointId(""), VantageId("")),
        source=asked.source,
        destination=asked.destination,
        port=asked.port,
        protocol=asked.protocol,
        must=Must.BLOCKED if closing else Must.ANY,
        state=State.OPEN if is_open else State.FILTERED,
        closing=closing,
    )


def require_harmless(world: World, remedy: Remedy, flows: list[KnownFlow]) -> None:
    if remedy.draft is None:
        return
    trial = try_policy(world, remedy.draft.policy, flows)
    assert not trial.opened, [flip.text for flip in trial.opened]
    for flip in trial.broken:  # a namespace and a pod without labels can't be named, and that is said
        assert any(flip.flow.source.text in note for note in remedy.notes), (flip.text, remedy.draft.text)


@FEW
@given(generated.policies, profiles, st.sampled_from([q for q in QUESTIONS if q[0].namespace and not q[1].namespace]))
def test_closing_what_leaves(
    raw: list[object], profile: Profile, unwanted: tuple[PlainPod, PlainPod, str, int]
) -> None:
    world = generated.world_of(raw, profile)  # type: ignore[arg-type]
    address = unwanted[1].address
    flows = [
        known(question, world, unwanted)
        for question in QUESTIONS
        if question[1].address != address or question == unwanted
    ]
    namespace = unwanted[0].namespace
    remedy = close_leaving(world, namespace, [Closed(address=address, says="it")], flows)
    require_harmless(world, remedy, flows)
    if remedy.draft is not None and not remedy.admitting and not remedy.notes:
        after = world.copy()
        after.put(remedy.draft.policy)
        for flow in flows:
            if flow.closing:
                assert decide(after, flow.question) is Predicted.DENY


@FEW
@given(generated.policies, profiles, st.sampled_from([q for q in QUESTIONS if q[1].namespace and q[0] != q[1]]))
def test_closing_what_arrives(
    raw: list[object], profile: Profile, unwanted: tuple[PlainPod, PlainPod, str, int]
) -> None:
    world = generated.world_of(raw, profile)  # type: ignore[arg-type]
    flows = [known(question, world, unwanted) for question in QUESTIONS]
    remedy = close_arriving(world, flows)
    require_harmless(world, remedy, flows)
    for flow in flows:
        if flow.closing and flow.source.kind is EndKind.ADDRESS and remedy.draft is None:
            assert remedy.admitting or decide(world, flow.question) is not Predicted.ALLOW
