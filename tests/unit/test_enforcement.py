"""Who enforces policies: agents, a self-test, the user's word, each over the one before."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.enforcement import KNOBS, Enforcement, SelfTest, enforcement_of, stated, with_test
from kubeshield_tui.model.cluster import Recognition


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
