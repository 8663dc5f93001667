"""A small made-up estate for tests of what is pure: endpoints, vantages and answers with times."""

from __future__ import annotations

from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.ids import CellKey, endpoint_id
from kubeshield_tui.model.observation import (
    Attempt,
    Certificate,
    Observation,
    Posture,
    Reason,
    State,
    TlsFacts,
)
from kubeshield_tui.model.vantage import Vantage, VantageFacts, VantageStatus, Zone, parse_vantage


def endpoint(
    name: str,
    *,
    component: str = "service",
    host: str = "203.0.113.10",
    port: int = 443,
    scope: Scope = Scope.GLOBAL,
    declared: str = "",
    cluster: str = "prod",
) -> Endpoint:
    return Endpoint(
        id=endpoint_id(cluster, "", f"Service/{name}", port, "tcp"),
        component=component,
        name=name,
        host=host,
        port=port,
        cluster=cluster,
        scope=scope,
        declared=declared,
        source="targets.txt:1" if declared else "",
    )


def vantage(
    spec: str,
    zone: Zone | None = None,
    *,
    status: VantageStatus = VantageStatus.READY,
    node: str = "",
    addresses: tuple[str, ...] = ("192.0.2.1",),
    cluster: str = "",
) -> Vantage:
    parsed = parse_vantage(spec)
    return Vantage(
        id=parsed.id,
        spec=parsed,
        zone=zone or parsed.default_zone,
        cluster=cluster or ("prod" if spec.startswith("pod") else ""),
        status=status,
        facts=VantageFacts(runner="python 3.11", node=node, addresses=addresses),
    )


REASONS = {
    State.OPEN: Reason.SYN_ACK,
    State.CLOSED: Reason.CONN_REFUSED,
    State.FILTERED: Reason.NO_RESPONSE,
    State.OPEN_FILTERED: Reason.NO_RESPONSE,
    State.ERROR: Reason.NO_ROUTE,
    State.LOST: Reason.VANTAGE_LOST,
    State.UNTESTED: Reason.OUT_OF_SCOPE,
}


def answer(
    key: CellKey,
    at: float,
    state: State,
    *,
    posture: Posture = Posture.UNKNOWN,
    attempts: int = 2,
    reason: Reason | None = None,
    certificate: str = "",
) -> Observation:
    reason = reason or REASONS[state]
    return Observation(
        endpoint=key.endpoint,
        vantage=key.vantage,
        at=at,
        state=state,
        reason=reason,
        posture=posture,
        attempts=(Attempt(state=state, reason=reason, ms=1.0),) * attempts,
        tls=TlsFacts(certificate=Certificate(sha256=certificate)) if certificate else None,
    )
