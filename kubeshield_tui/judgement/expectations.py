"""What must be blocked from where: the built-in baseline, and what the user's targets declare.

Source of the baseline: the lessons of CVE-2018-1002105 (isolate the API, never rely on one layer) and the hardening
advice for kubelet, etcd and cloud metadata in the Kubernetes documentation.
"""

from __future__ import annotations

from typing import NamedTuple

from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Expectation, Must, Severity
from kubeshield_tui.model.vantage import Vantage, Zone


class Line(NamedTuple):
    """One line of the baseline."""

    component: str
    sentence: str
    severities: dict[Zone, Severity]
    """Zones that must not reach it, with the severity if they do."""


BASELINE = (
    Line(
        "kube-apiserver",
        "API unreachable from outside and from ordinary pods",
        {Zone.OUTSIDE: Severity.HIGH, Zone.POD: Severity.MEDIUM},
    ),
    Line(
        "kubelet",
        "kubelet unreachable from outside and from ordinary pods",
        {Zone.OUTSIDE: Severity.HIGH, Zone.POD: Severity.MEDIUM},
    ),
    Line(
        "etcd",
        "etcd reachable from control-plane nodes only",
        {Zone.OUTSIDE: Severity.CRITICAL, Zone.ADMIN: Severity.MEDIUM, Zone.POD: Severity.HIGH},
    ),
    Line("cloud-metadata", "cloud metadata unreachable from pods", {Zone.POD: Severity.HIGH}),
    Line(
        "kubelet-read-only",
        "ports without authentication closed everywhere",
        dict.fromkeys(Zone, Severity.HIGH),
    ),
)
_LINES = {line.component: line for line in BASELINE}


def expect(endpoint: Endpoint, vantage: Vantage) -> Expectation:
    """Tell what is declared for a cell: the user's own line wins over the baseline."""
    if endpoint.declared:
        return Expectation(must=Must(endpoint.declared), source=endpoint.source, severity=Severity.HIGH)
    line = _LINES.get(endpoint.component)
    if line is None:
        return Expectation()
    severity = line.severities.get(vantage.zone)
    if severity is None:
        return Expectation(must=Must.ANY, source=f'baseline says nothing for zone {vantage.zone}: "{line.sentence}"')
    return Expectation(must=Must.BLOCKED, source=f'baseline "{line.sentence}"', severity=severity)
