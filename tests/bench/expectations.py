"""Expectations over a full grid: 10,000 endpoints by 20 vantages, rules with globs, labels, ranges and networks."""

from __future__ import annotations

import time

from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.review import review
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, PodRecord, ServiceRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import endpoint_id
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.settings.expect_file import parse_expectations
from tests.bench.figure import figure
from tests.unit.estate import vantage

ENDPOINTS, VANTAGES, NAMESPACES = 10_000, 20, 100
RULES, MANY_RULES = 40, 120


def _rules(count: int) -> str:
    """A file as a platform team keeps it: each namespace closed, some of its own let in, some by label or network."""
    blocks = []
    for number in range(count // 4):
        space = f"team-{number:02}"
        blocks += [
            f'[[rule]]\nname = "{space} is closed"\nmust = "blocked"\nto.namespace = "{space}"\nfrom.kind = "pod"\n',
            f'[[rule]]\nname = "{space} itself"\nmust = "any"\nto.namespace = "{space}"\nfrom.same_namespace = true\n',
            f'[[rule]]\nname = "{space} front"\nmust = "any"\nto.name = "*-{number}?"\nto.labels.tier = "front"\n',
            f'[[rule]]\nname = "{space} net"\nmust = "any"\nto.address = "10.{number}.0.0/16"\nto.port = "8000-8010"\n',
        ]
    return "\n".join(blocks)


def _estate() -> tuple[dict[str, Inventory], list[Endpoint], list[Vantage]]:
    endpoints, services, pods = [], [], []
    for number in range(ENDPOINTS):
        space, name = f"team-{number % NAMESPACES:02}", f"svc-{number}"
        labels = (("app", name), ("tier", "front" if number % 3 else "back"))
        services.append(ServiceRecord(namespace=space, name=name, selector=labels, labels=labels))
        if number < ENDPOINTS // 2:
            pods.append(PodRecord(cluster="prod", namespace=space, name=f"{name}-0", labels=labels))
        endpoints.append(
            Endpoint(
                id=endpoint_id("prod", space, f"Service/{name}", 8000 + number % 20, "tcp"),
                component="service" if number % 50 else "kubelet",
                name=name,
                host=f"10.{number >> 8}.{number & 255}.1",
                port=8000 + number % 20,
                cluster="prod",
                namespace=space,
                object=f"Service/{name}",
            )
        )
    inventory = Inventory(cluster=ClusterFacts(id="prod", server=""), services=tuple(services), pods=tuple(pods))
    vantages = [vantage(f"pod:team-{number:02}/svc-{number}-0", cluster="prod") for number in range(VANTAGES)]
    return {"prod": inventory}, endpoints, vantages


def main() -> int:
    clusters, endpoints, vantages = _estate()

    def over_all(expectations: Expectations) -> float:
        begun = time.thread_time()
        for endpoint in endpoints:
            for source in vantages:
                expectations.expect(endpoint, source)
        return (time.thread_time() - begun) * 1000

    def made(count: int) -> Expectations:
        return Expectations(lambda: clusters, declared=parse_expectations(_rules(count), "expect.toml", "expect.toml"))

    few = made(RULES)
    good = figure("expectations", f"200,000 cells, {RULES} rules, from nothing", over_all(few), "ms", 1000)
    good &= figure("expectations", "the same again", over_all(few), "ms", 500)
    figure("expectations", f"200,000 cells, {MANY_RULES} rules, from nothing", over_all(made(MANY_RULES)), "ms")
    begun = time.thread_time()
    review(few, endpoints, vantages)
    return 0 if figure("expectations", "review", (time.thread_time() - begun) * 1000, "ms", 500) & good else 1
