"""The vantages that were named: whether they open. Where opening one would create objects, whether it could."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from kubeshield_tui.errors import KubeShieldError, VantageError
from kubeshield_tui.model.vantage import VantageFacts, VantageKind, VantageSpec
from kubeshield_tui.session.doctor.check import Check, Health
from kubeshield_tui.session.doors import ClusterWait, make_vantage
from kubeshield_tui.session.preflight import Standing
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages.vantage import VantagePoint

if TYPE_CHECKING:
    from kubeshield_tui.cluster.client import ClusterClient

OPEN_SECONDS = 10.0
CLOSE_SECONDS = 3.0


async def vantage_checks(settings: Settings, spec: VantageSpec) -> tuple[Check, ...]:
    """A vantage outside the clusters: what is known of the way there, then whether it opens."""
    way = await _way(settings, spec) if spec.host else ()
    return (*way, await _opened(spec, make_vantage(spec, settings, ClusterWait(()), None, lambda _: None)))


async def pod_checks(
    settings: Settings, spec: VantageSpec, client: ClusterClient, standing: Standing
) -> tuple[Check, ...]:
    """A vantage in a cluster: an existing pod is opened, of an own one the rights tell."""
    if spec.creates_pod:
        return (await _could_be_made(spec, client, standing),)
    from kubeshield_tui.vantages.pod import PodVantage

    return (await _opened(spec, PodVantage(spec, client, image=settings.pod_image, settle=0.0, report=lambda _: None)),)


async def _opened(spec: VantageSpec, point: VantagePoint) -> Check:
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            facts = await point.open()
    except TimeoutError:
        return _broken(spec, f"it did not open within {OPEN_SECONDS:g} s", "Is the host or the API slow to answer?")
    except KubeShieldError as error:
        return _broken(spec, error.message, error.hint)
    finally:
        with contextlib.suppress(TimeoutError, KubeShieldError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await point.close()
    return _seen(spec, facts)


def _seen(spec: VantageSpec, facts: VantageFacts) -> Check:
    if spec.kind in {VantageKind.SCRIPT, VantageKind.NMAP} or facts.runner.startswith("python"):
        return Check(area="vantage", subject=spec.id, said=f"opens: {facts.runner}")
    hint = "Python 3.6 or later there sees everything"
    return Check(area="vantage", subject=spec.id, health=Health.LIMITED, said=f"opens: {facts.runner}", hint=hint)


async def _way(settings: Settings, spec: VantageSpec) -> tuple[Check, ...]:
    from kubeshield_tui.vantages.ssh_way import way_to

    try:
        hops = await way_to(spec, settings.ssh_config)
    except VantageError:
        return ()  # opening it says the same
    checks = []
    for hop in hops:
        keys = ", ".join(hop.tried) or "no key"
        said = f"{hop.user}@{hop.shown}: {hop.known or f'{hop.known_as} is in no known_hosts'}; {keys}"
        if hop.unusable:
            said += f"; not usable: {', '.join(hop.unusable)}"
        health = Health.OK if hop.known and hop.tried else Health.LIMITED
        checks.append(Check(area="vantage", subject=spec.id, health=health, said=said))
    return tuple(checks)


async def _could_be_made(spec: VantageSpec, client: ClusterClient, standing: Standing) -> Check:
    from kubeshield_tui.cluster.client import NotReadable
    from kubeshield_tui.vantages.node import require_node

    try:
        async with asyncio.timeout(OPEN_SECONDS):
            if spec.node:
                await require_node(client, spec.node)
            await client.request("GET", f"/api/v1/namespaces/{spec.namespace}")
    except NotReadable as error:
        if error.status == 404:
            return _broken(spec, f"there is no namespace {spec.namespace}", "kubectl get namespaces")
    except TimeoutError:
        return _broken(spec, f"the API did not answer within {OPEN_SECONDS:g} s", "Is it overloaded?")
    except KubeShieldError as error:
        return _broken(spec, error.message, error.hint)
    hint = standing.wanted.feature.role_hint(spec.namespace)
    if standing.missing:
        return _broken(spec, standing.sentence, hint)
    said = f"{standing.sentence}; nothing was made"
    if standing.unknown:
        return Check(area="vantage", subject=spec.id, health=Health.UNKNOWN, said=said)
    if standing.less:
        return Check(area="vantage", subject=spec.id, health=Health.LIMITED, said=said, hint=hint)
    return Check(area="vantage", subject=spec.id, said=said)


def _broken(spec: VantageSpec, said: str, hint: str) -> Check:
    return Check(area="vantage", subject=spec.id, health=Health.BROKEN, said=said, hint=hint)
