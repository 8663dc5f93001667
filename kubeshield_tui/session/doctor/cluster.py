"""One cluster: does its API answer, are we let in, how long yet, whose clock is wrong, what may we do there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kubeshield_tui.cluster.rights import Feature
from kubeshield_tui.errors import KubeShieldError
from kubeshield_tui.model.vantage import VantageSpec
from kubeshield_tui.session.doctor.check import Check, Health
from kubeshield_tui.session.doctor.vantages import pod_checks
from kubeshield_tui.session.doors import connect_cluster
from kubeshield_tui.session.preflight import ClusterStanding, Standing, Wanted, standing_of, wanted_in
from kubeshield_tui.settings.schema import Settings

if TYPE_CHECKING:
    from kubeshield_tui.cluster.client import ClusterClient
    from kubeshield_tui.cluster.greeting import Greeting

SKEW_SECONDS = 5.0
"""How far apart clocks may be before it is said."""
EXPIRY_DAYS = 14
"""How near the end of a certificate is said."""
OFFERED = (Feature.WATCH, Feature.EXEC, Feature.OWN_PODS)
"""Features that are looked at although no flag asks for them: can they be used, and everywhere?"""


async def cluster_checks(settings: Settings, context: str, first: str, specs: list[VantageSpec]) -> tuple[Check, ...]:
    """Look at one cluster and the vantages in it; `context` is empty where the kubeconfig gave none."""
    try:
        if not context:
            raise KubeShieldError("no cluster to ask", "Mend the kubeconfig first")
        client = await connect_cluster(context, settings.kubeconfig)
    except KubeShieldError as error:
        broken = Check(area="cluster", subject=context, health=Health.BROKEN, said=error.message, hint=error.hint)
        why = "its cluster can't be asked"
        return (
            *((broken,) if context else ()),
            *(Check(area="vantage", subject=spec.id, health=Health.BROKEN, said=why) for spec in specs),
        )
    from kubeshield_tui.cluster.greeting import greet

    wanted = wanted_in(settings, context, first)
    offered = tuple(Wanted(subject=feature.value, feature=feature) for feature in OFFERED)
    try:
        greeting, standing = await asyncio.gather(greet(client), standing_of(client, (*wanted, *offered)))
        by_subject = {each.wanted.subject: each for each in standing.standings}
        pods = await asyncio.gather(*(pod_checks(settings, spec, client, by_subject[spec.id]) for spec in specs))
    finally:
        await client.close()
    needed, more = standing.standings[: len(wanted)], standing.standings[len(wanted) :]
    flags = [each for each in needed if each.wanted.subject not in {spec.id for spec in specs}]
    rights = () if standing.refused else (*map(_needed, flags), *map(_offered, more))
    return (*_server(client, greeting, standing), *rights, *(check for checks in pods for check in checks))


def _server(client: ClusterClient, greeting: Greeting, standing: ClusterStanding) -> tuple[Check, ...]:
    name, server, user = client.context.name, client.context.server, client.context.user or "(none)"
    took = f" in {greeting.seconds * 1000:.0f} ms" if greeting.seconds is not None else ""
    answers = Check(area="cluster", subject=name, said=f"{server} answers{took}, {client.version or 'version unknown'}")
    accepted = Check(area="cluster", subject=name, said=f"user {user} is accepted")
    if standing.refused:
        accepted = Check(
            area="cluster",
            subject=name,
            health=Health.UNKNOWN,
            said=f"user {user}: no access review is answered ({standing.refused})",
            hint="Are there credentials in the kubeconfig? If so, an audit tells what it may not read",
        )
    return answers, accepted, *_certificates(name, greeting), _clock(name, greeting.ahead)


def _certificates(name: str, greeting: Greeting) -> tuple[Check, ...]:
    from kubeshield_tui.probes.certificate import read_certificate

    checks = []
    for whose, der in (("its", greeting.certificate), ("our own", greeting.own_certificate)):
        certificate = read_certificate(der)
        if certificate is None or not certificate.not_after:
            continue
        days = (datetime.fromisoformat(certificate.not_after) - datetime.now(UTC)).days
        said = f"{whose} certificate ends {certificate.not_after[:10]}"
        if days >= EXPIRY_DAYS:
            checks.append(Check(area="cluster", subject=name, said=said))
            continue
        when = f"in {days} days" if days >= 0 else "it is over"
        hint = "Renew it, or have it renewed by who runs the cluster"
        checks.append(Check(area="cluster", subject=name, health=Health.LIMITED, said=f"{said}: {when}", hint=hint))
    return tuple(checks)


def _clock(name: str, ahead: float | None) -> Check:
    if ahead is None:
        return Check(area="cluster", subject=name, health=Health.UNKNOWN, said="clocks: the server tells no time")
    if abs(ahead) <= SKEW_SECONDS:
        return Check(area="cluster", subject=name, said="clocks agree")
    return Check(
        area="cluster",
        subject=name,
        health=Health.LIMITED,
        said=f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
        hint="Set the clocks (NTP): certificates and tokens are judged by them, and so is which own pods are left over",
    )


def _needed(standing: Standing) -> Check:
    """Rights of what flags ask for. Every list that may be read helps discovery: it is broken by having none."""
    wanted = standing.wanted
    health = Health.OK
    if standing.missing:
        helps = wanted.feature is Feature.DISCOVERY and standing.granted
        health = Health.LIMITED if helps else Health.BROKEN
    elif standing.unknown:
        health = Health.UNKNOWN
    return _right(standing, health)


def _offered(standing: Standing) -> Check:
    """Rights of what could be used, were it asked for."""
    if standing.missing:
        return _right(standing, Health.LIMITED if standing.wanted.feature is Feature.WATCH else Health.ABSENT)
    return _right(standing, Health.UNKNOWN if standing.unknown else Health.OK)


def _right(standing: Standing, health: Health) -> Check:
    wanted = standing.wanted
    if health is Health.OK:
        return Check(area="rights", said=wanted.subject)
    hint = "" if health is Health.UNKNOWN else wanted.feature.role_hint(wanted.namespace)
    return Check(area="rights", subject=wanted.subject, health=health, said=standing.sentence, hint=hint)
