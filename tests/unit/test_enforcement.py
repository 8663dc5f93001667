"""Who enforces policies: agents, a self-test, the user's word, each over the one before."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.errors import ConsentMissing
from kubeshield_tui.evidence.enforcement import KNOBS, Enforcement, enforcement_of, read_knobs, stated, with_test
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, Recognition
from kubeshield_tui.model.event import ClusterRead, Event, SelfTested, decode_event, encode_event
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.enforcing import enforcement
from kubeshield_tui.session.offer import require_consent
from kubeshield_tui.session.selftest import self_test_into
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings


def agent(what: str, name: str) -> Recognition:
    return Recognition(what=what, name=name, evidence=f"DaemonSet kube-system/{name}")


@pytest.mark.parametrize(
    ("recognised", "enforces", "style", "by_address"),
    [
        ((agent("cni", "calico"), agent("policy-engine", "calico")), True, "drop", True),
        ((agent("cni", "cilium"), agent("policy-engine", "cilium")), True, "drop", False),
        ((agent("cni", "flannel"), agent("policy-engine", "kube-router")), True, "icmp", True),
        ((agent("cni", "weave"), agent("policy-engine", "weave")), True, "", None),
        ((agent("cni", "flannel"),), False, "", None),
        ((agent("cni", "aws-vpc-cni"),), None, "", None),
        ((agent("cni", "kindnet"), agent("cni", "flannel")), None, "", None),
        ((), None, "", None),
    ],
)
def test_what_agents_tell(
    recognised: tuple[Recognition, ...], enforces: bool | None, style: str, by_address: bool | None
) -> None:
    told = enforcement_of(recognised)
    assert (told.enforces, told.deny_style, told.profile.ipblock_matches_pods) == (enforces, style, by_address)
    assert told.evidence


def test_engines_that_differ_leave_open_what_they_differ_in() -> None:
    both = enforcement_of((agent("policy-engine", "cilium"), agent("policy-engine", "kube-router")))
    assert (both.engine, both.enforces, both.deny_style) == ("cilium, kube-router", True, "")
    assert both.profile.ipblock_matches_pods is None


SHOWN = SelfTest(cluster="prod", enforced=False, before="open (syn-ack)", after="open (syn-ack)")


def test_a_self_test_overrules_what_an_agent_suggests_and_the_user_overrules_both() -> None:
    suggested = enforcement_of((agent("policy-engine", "calico"),))
    shown = with_test(suggested, SHOWN)
    assert (suggested.enforces, shown.enforces) == (True, False)
    assert "self-test" in shown.evidence[-1]
    said = stated(shown, [("enforces", "yes"), ("deny-style", "icmp"), ("hairpin", "no"), ("host-to-pod", "unknown")])
    assert (said.enforces, said.deny_style, said.profile.hairpin, said.host_to_pod) == (True, "icmp", False, None)
    assert "you say: enforces yes" in said.evidence


def test_a_self_test_that_told_nothing_changes_nothing_but_is_said() -> None:
    nothing = SelfTest(cluster="prod", enforced=None, before="filtered (no-response)", after="", detail="no way at all")
    before = enforcement_of((agent("policy-engine", "calico"),))
    after = with_test(before, nothing)
    assert (after.enforces, after.deny_style) == (before.enforces, before.deny_style)
    assert "no way at all" in after.evidence[-1]


@pytest.mark.parametrize("knob", [knob for knob in KNOBS if knob != "deny-style"])
def test_every_knob_can_be_stated(knob: str) -> None:
    yes, no = (stated(Enforcement(), [(knob, value)]) for value in ("yes", "no"))
    assert yes != no
    assert stated(yes, [(knob, "unknown")]).profile == Enforcement().profile


def test_a_session_knows_by_agents_then_by_its_newest_self_test_then_by_the_user() -> None:
    store, settings = Store(), Settings(cni=(("", "hairpin", "yes"), ("lab", "enforces", "no")))
    assert enforcement(store, Settings(), "prod").enforces is None
    facts = ClusterFacts(id="prod", server="https://10.0.0.1", recognised=(agent("policy-engine", "calico"),))
    store.apply(ClusterRead(at=1, inventory=Inventory(cluster=facts)))
    assert enforcement(store, Settings(), "prod").enforces is True
    for at, held in ((2, None), (3, True), (4, False)):
        test = replace(SHOWN, enforced=held, after="filtered (no-response)")
        store.apply(decode_event(encode_event(SelfTested(at=at, test=test))))
    told = enforcement(store, settings, "prod")
    assert (told.engine, told.enforces, told.profile.hairpin) == ("calico", False, True)
    assert [line.split(":")[0] for line in told.evidence][-2:] == ["self-test", "you say"]
    assert enforcement(store, settings, "lab").enforces is False
    assert enforcement(store, Settings(cni=(("prod", "enforces", "yes"),)), "prod").enforces is True


def test_all_that_a_run_would_create_is_one_list() -> None:
    settings = Settings(self_test=True, vantages=(parse_vantage("pod:shop"),))
    with pytest.raises(ConsentMissing) as caught:
        require_consent(settings, ("prod", "lab"))
    lines = caught.value.message.splitlines()
    assert sum("Pod shop/kubeshield-" in line for line in lines) == 1
    tests = [line for line in lines if "Namespace kubeshield-selftest-" in line]
    assert [line.endswith(" in lab") for line in tests] == [False, True]
    require_consent(replace(settings, consent=True), ("prod", "lab"))


async def test_a_self_test_that_could_not_be_run_says_why() -> None:
    clusters = ClusterWait(("prod",))
    clusters.start()
    clusters.answered("prod", None)
    told: list[Event] = []
    await self_test_into(clusters, "prod", "python:3-slim", told.append)
    [event] = told
    assert isinstance(event, SelfTested)
    assert (event.test.cluster, event.test.enforced) == ("prod", None)
    assert "can't be reached" in event.test.detail


def test_what_is_stated_is_read_in_any_case_and_with_spaces() -> None:
    assert read_knobs("enforces=YES, hostNetwork-subject = no") == (("enforces", "yes"), ("hostnetwork-subject", "no"))
