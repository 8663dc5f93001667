"""A cluster that is followed ends where a fresh reading would: whatever came in between, and in whatever pieces."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.cluster.extensions import WebhookConfiguration
from kubeshield_tui.cluster.kinds import key_of
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.discovery.roster import Roster
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import (
    AggregatedApiRecord,
    Backend,
    BackendPort,
    BackendRecord,
    ContainerPort,
    Inventory,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
    ServicePort,
    ServiceRecord,
    WebhookRecord,
)
from kubeshield_tui.model.record import Record
from kubeshield_tui.session.objects import KINDS as FIELDS
from kubeshield_tui.session.store import Store
from tests.unit.following import CONTEXT, KIND, Bench, FakeClient

_LABELS = st.sampled_from([(), (("app", "web"),), (("k8s-app", "kube-dns"),)])
_NAMES = st.sampled_from(["a", "b"])
_ADDRESSES = st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2", "203.0.113.9"), ("10.244.0.1",)])
_PORTS = st.lists(
    st.builds(
        ServicePort,
        port=st.sampled_from([53, 80, 443]),
        name=_NAMES,
        target=st.sampled_from(["80", "web"]),
        node_port=st.sampled_from([0, 30080]),
    ),
    max_size=2,
).map(tuple)
_WEBHOOK = st.builds(WebhookRecord, name=_NAMES, namespace=_NAMES, service=_NAMES)


def _configuration(name: str, webhooks: list[WebhookRecord]) -> WebhookConfiguration:
    named = tuple(replace(each, name=f"ValidatingWebhookConfiguration/{name}/{each.name}") for each in webhooks)
    return WebhookConfiguration(name=name, webhooks=named)


RECORDS: dict[str, st.SearchStrategy[Any]] = {
    "nodes": st.builds(
        NodeRecord,
        cluster=st.just("prod"),
        name=_NAMES,
        addresses=_ADDRESSES,
        roles=st.sampled_from([(), ("control-plane",)]),
        provider_id=st.sampled_from(["", "aws:///x/i-1"]),
    ),
    "namespaces": st.builds(NamespaceRecord, cluster=st.just("prod"), name=_NAMES, labels=_LABELS),
    "pods": st.builds(
        PodRecord,
        cluster=st.just("prod"),
        namespace=_NAMES,
        name=_NAMES,
        labels=_LABELS,
        addresses=_ADDRESSES,
        node=_NAMES,
        phase=st.sampled_from(["Running", "Pending"]),
        ports=st.just((ContainerPort(port=8080, host_port=8080),)) | st.just(()),
    ),
    "services": st.builds(
        ServiceRecord,
        namespace=_NAMES,
        name=_NAMES,
        addresses=_ADDRESSES,
        external_ips=_ADDRESSES,
        headless=st.booleans(),
        ports=_PORTS,
    ),
    "endpointslices": st.builds(
        BackendRecord,
        namespace=_NAMES,
        name=_NAMES,
        service=_NAMES,
        backends=st.lists(
            st.builds(
                Backend,
                address=st.sampled_from(["10.244.0.1", "10.0.0.1"]),
                ready=st.booleans(),
                pod=_NAMES,
                namespace=_NAMES,
            ),
            max_size=2,
        ).map(tuple),
        ports=st.just((BackendPort(port=80, name="a"),)),
    ),
    "networkpolicies": st.builds(PolicyRecord, cluster=st.just("prod"), namespace=_NAMES, name=_NAMES, spec=_NAMES),
    "validatingwebhookconfigurations": st.builds(
        _configuration, _NAMES, st.lists(_WEBHOOK, max_size=2, unique_by=lambda each: each.name)
    ),
    "apiservices": st.builds(AggregatedApiRecord, name=_NAMES, service=st.sampled_from(["", "metrics"])),
}
_ANY = st.sampled_from(sorted(RECORDS)).flatmap(lambda kind: st.tuples(st.just(kind), RECORDS[kind]))
_STEPS = st.lists(
    st.tuples(st.just("put"), _ANY)
    | st.tuples(st.just("gone"), _ANY)
    | st.tuples(
        st.just("list"),
        st.sampled_from(sorted(RECORDS)).flatmap(
            lambda kind: st.tuples(st.just(kind), st.lists(RECORDS[kind], max_size=3).map(tuple))
        ),
    )
    | st.tuples(st.just("publish"), st.none()),
    max_size=25,
)


def unordered(inventory: Inventory) -> dict[str, set[Record]]:
    return {kind: set(getattr(inventory, kind)) for kind in FIELDS}


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_any_sequence_of_facts_ends_where_a_fresh_list_does(steps: list[tuple[str, Any]]) -> None:
    bench, truth = Bench("pod:a"), {name: {} for name in KIND}  # type: ignore[var-annotated]

    async def play() -> None:
        await bench.live.publish_first()
        for step, what in steps:
            match step:
                case "put":
                    bench.put(*what)
                    truth[what[0]][key_of(what[1])] = what[1]
                case "gone":
                    bench.gone(*what)
                    truth[what[0]].pop(key_of(what[1]), None)
                case "list":
                    bench.lists(**dict([what]))
                    truth[what[0]] = {key_of(record): record for record in what[1]}
                case "publish":
                    await bench.live.publish()
        await bench.live.publish()

    asyncio.run(play())
    fresh = Estate(CONTEXT, FakeClient.version)
    for kind, records in truth.items():
        fresh.replace(kind, records.values())
    assert bench.estate.inventory() == fresh.inventory()
    assert bench.estate.endpoints() == fresh.endpoints()
    rows = {row.id: row for row in Roster(("prod",)).read(fresh).found}
    assert bench.store.endpoints == rows
    assert unordered(bench.store.clusters["prod"]) == unordered(fresh.inventory())
    assert bench.store.clusters["prod"].cluster == fresh.inventory().cluster
    replayed = Store()
    for event in bench.events:
        replayed.apply(happened.decode_event(happened.encode_event(event)))
    assert replayed == bench.store
