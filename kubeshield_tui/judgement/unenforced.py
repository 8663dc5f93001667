"""Policies that nothing enforces: a finding about the cluster, since each of them protects nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from kubeshield_tui.evidence.enforcement import Enforcement
from kubeshield_tui.judgement.cluster_view import listed
from kubeshield_tui.model.cluster import PolicyRecord
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import finding_id

CODE = "policies-not-enforced"
_REMEDY = (
    "Install a policy engine, or turn on the one that the network plugin brings. Until then count on firewalls and "
    "authentication alone: no NetworkPolicy of this cluster stops anybody."
)


def unenforced_policies(
    cluster: str, policies: Sequence[PolicyRecord], known: Enforcement, test: SelfTest | None
) -> Iterator[Finding]:
    """The finding, if policies are known not to be enforced; where no test showed it, it needs a policy to matter."""
    if known.enforces is not False:
        return
    is_shown = test is not None and test.enforced is False
    if not policies and not is_shown:
        return
    count = f"its {len(policies)} have no effect" if len(policies) > 1 else "its only one has no effect"
    context = quote(cluster)
    yield Finding(
        id=finding_id(CODE, cluster),
        code=CODE,
        severity=(Severity.HIGH if is_shown else Severity.MEDIUM) if policies else Severity.LOW,
        title=f"{cluster} does not enforce NetworkPolicies: {count if policies else 'one would have no effect'}",
        cluster=cluster,
        because=(*known.evidence, *_names(policies)),
        verify=(
            f"kubeshield selftest --context {context} --yes",
            f"kubectl --context {context} get networkpolicies -A",
        ),
        remedy=_REMEDY,
    )


def _names(policies: Sequence[PolicyRecord]) -> Iterator[str]:
    if policies:
        yield f"NetworkPolicies: {listed([f'{each.namespace}/{each.name}' for each in policies])}"
