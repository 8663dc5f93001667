"""What a run's features need in its clusters, and whether we have it: asked by access reviews before anything is tried.

Reviews change nothing and read nothing of the cluster; a server that does not answer them is "not known", never "no".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from kubeshield_tui.cluster.rights import NEEDS, Feature, Need, Right, shown_rights
from kubeshield_tui.errors import KubeShieldError
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import VantageKind, VantageSpec
from kubeshield_tui.session.doors import connect_cluster
from kubeshield_tui.settings.schema import Settings

if TYPE_CHECKING:
    from kubeshield_tui.cluster.client import ClusterClient

REVIEW_SECONDS = 10.0
"""All reviews of one cluster together."""


class Wanted(Record, frozen=True):
    """A feature that a run uses somewhere."""

    subject: str
    """What wants it: a vantage's id, a flag, or the feature itself."""
    feature: Feature
    namespace: str = ""
    """Of the pods; empty for all namespaces."""

    def place(self, need: Need) -> str:
        """Namespace that one of its needs is asked in."""
        return self.namespace if need.in_namespace else ""


class Standing(Record, frozen=True):
    """How a feature stands with the rights that we have."""

    wanted: Wanted
    missing: tuple[Right, ...] = ()
    """Rights that it does not work without and that are not granted."""
    less: tuple[Right, ...] = ()
    """Rights that are not granted, and that it works without, less well."""
    granted: int = 0
    """Rights that it has."""
    unknown: bool = False
    """The server did not say of at least one right that it needs."""

    @property
    def sentence(self) -> str:
        """In words, without the subject."""
        where = f" in {self.wanted.namespace}" if self.wanted.namespace else ""
        told = []
        if self.missing:
            told.append(f"not granted{where}: {shown_rights(self.missing)}")
        if self.unknown:
            told.append("not known: the server does not say")
        if self.less and not self.missing:
            told.append(f"works without {shown_rights(self.less)}")
        return "; ".join(told) or f"all rights{where}"

    @property
    def works(self) -> bool | None:
        """Whether the feature works with these rights; None where the server did not say."""
        return False if self.missing else None if self.unknown else True


class ClusterStanding(Record, frozen=True):
    """What was found out of one cluster before a run."""

    context: str
    server: str = ""
    version: str = ""
    problem: str = ""
    """Why it could not be asked, in a sentence."""
    refused: str = ""
    """Why it answered no review, in a sentence."""
    standings: tuple[Standing, ...] = ()

    def knows(self, wanted: Iterable[Wanted]) -> bool:
        """Whether asking again would tell nothing new of these."""
        told = {each.wanted for each in self.standings}
        return bool(self.problem or self.refused) or told.issuperset(wanted)

    def lines(self, wanted: Iterable[Wanted]) -> Iterator[str]:
        """What was found out of these, for people."""
        if self.problem:
            yield f"• {self.context}: {self.problem}"
            return
        yield f"• {self.context}: {self.version or 'its version is not told'}"
        if self.refused:
            yield f"• {self.context}: no access review is answered ({self.refused})"
            return
        asked = frozenset(wanted)
        found = [each for each in self.standings if each.wanted in asked]
        yield from (f"• {each.wanted.subject}: {each.sentence}" for each in found)
        if any(each.missing for each in found):
            yield "• `kubeshield rbac` prints the roles that are missing"


def wanted_in(settings: Settings, context: str, first: str, *, live: bool = False) -> tuple[Wanted, ...]:
    """What a run with these settings uses in one cluster.

    `first`: the one that vantages without a cluster are in. `live`: it goes on, and follows what it found.
    """
    read = (Feature.DISCOVERY, *((Feature.WATCH,) if live else ())) if settings.discovery else ()
    wanted = [Wanted(subject=feature.value, feature=feature) for feature in read]
    if settings.per_namespace:
        wanted.append(Wanted(subject="--per-namespace", feature=Feature.PER_NAMESPACE))
    if settings.per_node:
        wanted.append(Wanted(subject="--per-node", feature=Feature.PER_NODE, namespace=settings.pod_namespace))
    wanted += [
        Wanted(subject=spec.id, feature=feature, namespace=spec.namespace)
        for spec in settings.vantages
        if (feature := feature_of(spec)) is not None and (spec.cluster or first) == context
    ]
    return tuple(wanted)


def feature_of(spec: VantageSpec) -> Feature | None:
    """The feature that a vantage is, None where it uses no cluster."""
    if spec.creates_pod:
        return Feature.NODE_PODS if spec.node else Feature.OWN_PODS
    return Feature.EXEC if spec.kind is VantageKind.POD else None


async def check_rights(
    settings: Settings, contexts: tuple[str, ...], *, live: bool = False
) -> tuple[ClusterStanding, ...]:
    """Connect to each cluster, review what the run needs there, and leave. Never raises for a cluster."""
    first = contexts[0] if contexts else ""
    told = (_of_cluster(settings, each, wanted_in(settings, each, first, live=live)) for each in contexts)
    return tuple(await asyncio.gather(*told))


async def _of_cluster(settings: Settings, context: str, wanted: tuple[Wanted, ...]) -> ClusterStanding:
    try:
        client = await connect_cluster(context, settings.kubeconfig)
    except KubeShieldError as error:
        return ClusterStanding(context=context, problem=str(error))
    try:
        return await standing_of(client, wanted)
    finally:
        await client.close()


async def standing_of(client: ClusterClient, wanted: Iterable[Wanted]) -> ClusterStanding:
    """Review what some features need. Never raises: what the server does not say in time is unknown."""
    from kubeshield_tui.cluster.access import ReviewRefused, review

    wanted = tuple(wanted)
    asked = [
        (right, each.place(need))
        for each in wanted
        for need in NEEDS[each.feature]
        for right in (*need.rights, *need.instead)
    ]
    told: Mapping[tuple[Right, str], bool | None] = {}
    refused = ""
    if asked:
        try:
            async with asyncio.timeout(REVIEW_SECONDS):
                told = await review(client, asked)
        except ReviewRefused as error:
            refused = error.message
        except TimeoutError:
            refused = f"access reviews were not answered within {REVIEW_SECONDS:g} s"
    return ClusterStanding(
        context=client.context.name,
        server=client.context.server,
        version=client.version,
        refused=refused,
        standings=tuple(_standing(each, told) for each in wanted),
    )


def _standing(wanted: Wanted, told: Mapping[tuple[Right, str], bool | None]) -> Standing:
    missing: list[Right] = []
    less: list[Right] = []
    granted, unknown = 0, False
    for need in NEEDS[wanted.feature]:
        place = wanted.place(need)
        if any(told.get((right, place)) for right in need.instead):
            granted += 1
            continue
        for right in need.rights:
            may = told.get((right, place))
            granted += may is True
            unknown = unknown or (may is None and not need.optional)
            if may is False:
                (less if need.optional else missing).append(right)
    return Standing(wanted=wanted, missing=tuple(missing), less=tuple(less), granted=granted, unknown=unknown)
