"""Expectations for tests: a text over a small estate, asked cell by cell."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, NodeRecord, PodRecord, ServiceRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.vantage import Zone
from kubeshield_tui.settings.expect_file import parse_expectations
from tests.unit.estate import endpoint, vantage

NOW = datetime.datetime(2026, 6, 15, 12, tzinfo=datetime.UTC).timestamp()
DAY = 86_400.0


def service(name: str, namespace: str = "shop", **facts: Any) -> Endpoint:
    made = endpoint(name, port=facts.pop("port", 443), host=facts.pop("host", "10.96.0.1"))
    return replace(made, namespace=namespace, object=f"Service/{name}", group=namespace, **facts)


def component(name: str, **facts: Any) -> Endpoint:
    return replace(endpoint(name, component=name), **facts)


API, KUBELET, ETCD = component("kube-apiserver"), component("kubelet"), component("etcd")
WEB, CART, DB = service("web"), service("cart"), service("db", "payments", port=5432)
IN_SHOP, IN_PAYMENTS = vantage("pod:shop"), vantage("pod:payments")
WEB_POD, CART_POD = vantage("pod:shop/web-0"), vantage("pod:shop/cart-0")
HERE, OUTSIDE = vantage("local"), vantage("ssh:far", Zone.OUTSIDE)
ENDPOINTS = (API, KUBELET, ETCD, WEB, CART, DB)
VANTAGES = (IN_SHOP, IN_PAYMENTS, WEB_POD, CART_POD, HERE, OUTSIDE)


def pod(namespace: str, name: str, account: str = "default", node: str = "n1", **labels: str) -> PodRecord:
    return PodRecord(
        cluster="prod", namespace=namespace, name=name, labels=tuple(labels.items()), node=node, service_account=account
    )


PODS = (
    pod("shop", "web-0", app="web", tier="front"),
    pod("shop", "cart-0", "robot", app="cart"),
    pod("payments", "db-0"),
)
SERVICES = (
    ServiceRecord(namespace="shop", name="web", selector=(("app", "web"),), labels=(("team", "front"),)),
    ServiceRecord(namespace="shop", name="cart", selector=(("app", "cart"),)),
    ServiceRecord(namespace="payments", name="db"),
)
NODES = (
    NodeRecord(cluster="prod", name="n1", roles=("control-plane",), addresses=("10.0.0.11",)),
    NodeRecord(cluster="prod", name="n2", addresses=("10.0.0.12",)),
)


def inventory(**parts: Any) -> Inventory:
    known = {"pods": PODS, "services": SERVICES, "nodes": NODES} | parts
    return Inventory(cluster=ClusterFacts(id="prod", server=""), **known)


def rule(name: str, must: str, **selectors: str) -> str:
    keys = "\n".join(f"{key.replace('__', '.')} = {value}" for key, value in selectors.items())
    return f'[[rule]]\nname = "{name}"\nmust = "{must}"\n{keys}\n'


def waive(name: str, expires: str, **selectors: str) -> str:
    keys = "\n".join(f"{key.replace('__', '.')} = {value}" for key, value in selectors.items())
    return f'[[exception]]\nname = "{name}"\nowner = "us"\nreason = "why"\nexpires = {expires}\n{keys}\n'


def declare(text: str, clusters: Mapping[str, Inventory] | None = None, now: float = NOW) -> Expectations:
    """Expectations of a file's text."""
    declared = parse_expectations(text, "expect.toml", "expect.toml")
    known = {} if clusters is None else clusters
    return Expectations(lambda: known, declared=declared, now=now)


def as_json(value: Any) -> Any:
    """What TOML reads, as JSON would have it: dates are text."""
    match value:
        case dict():
            return {key: as_json(item) for key, item in value.items()}
        case list():
            return [as_json(item) for item in value]
        case datetime.date():
            return value.isoformat()
    return value
