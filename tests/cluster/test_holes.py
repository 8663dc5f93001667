"""Known holes of a real Kubernetes 1.20.2: what the advisories say of that version, and what they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kit

AFFECTED = {"CVE-2021-25737", "CVE-2022-3172", "CVE-2024-7598", "CVE-2020-8562", "CVE-2021-25741"}
UNSURE = {"CVE-2022-3294"}
FIXED_BEFORE = {
    "CVE-2018-1002105", "CVE-2020-8558", "CVE-2020-8551", "CVE-2020-8555", "CVE-2020-10749", "CVE-2019-11248",
}  # fmt: skip
OF_LATER_LINES = {"CVE-2025-0426"}
NOT_THERE = {"CVE-2023-5528", "CVE-2025-13281", "CVE-2020-8561"}
"""No Windows node, no Portworx, no admission webhook."""


NAMESPACE = "kst-holes-objects"
META = {"namespace": NAMESPACE, "name": "claims"}
SLICE = {"apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice", "addressType": "IPv4"}


def slice_to(name: str, address: str) -> dict[str, object]:
    labels = {"kubernetes.io/service-name": "claims"}
    return {
        **SLICE,
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": labels},
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "", "port": 9, "protocol": "TCP"}],
    }


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[str]:
    """A Service that claims an address, and slices that lead to the node and to another's pod; returns that pod."""
    path = "{.items[0].metadata.name} {.items[0].status.podIP}"
    pod, address = kit.kubectl("get", "pods", "-n", "payments", "-o", f"jsonpath={path}").split()
    spec = {"ports": [{"port": 9}], "externalIPs": ["198.51.100.77"]}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "Service", "metadata": META, "spec": spec},
        slice_to("claims-host", "127.0.0.1"),
        slice_to("claims-pod", address),
    ]
    manifest = tmp_path / "objects.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    try:
        kit.kubectl("apply", "-f", str(manifest))
        yield pod
    finally:
        kit.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="module")
def audit() -> kit.Audit:
    web = kit.kubectl("get", "pods", "-n", "shop", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    return kit.audit("--vantage", "local", "--zone", "local=outside", "--vantage", f"pod:shop/{web}")


@pytest.fixture(scope="module")
def holes(audit: kit.Audit) -> dict[str, dict]:  # type: ignore[type-arg]
    assert kit.kubectl("version", "-o", "json").count('"gitVersion": "v1.20.2"'), "another version than these lists"
    return {each["code"]: each for each in audit.report["findings"] if each["code"].startswith("CVE-")}


def test_the_holes_of_this_version_and_no_others(holes: dict[str, dict]) -> None:  # type: ignore[type-arg]
    assert set(holes) == AFFECTED | UNSURE
    assert not set(holes) & (FIXED_BEFORE | OF_LATER_LINES | NOT_THERE)
    for code, finding in holes.items():
        assert f"{code} {'may be in' if code in UNSURE else 'in'} " in finding["title"]
        assert "v1.20.2" in finding["because"][0]
        assert finding["severity"] in {"low", "info"}


def test_every_node_is_counted(holes: dict[str, dict]) -> None:  # type: ignore[type-arg]
    count = len(kit.kubectl("get", "nodes", "-o", "name").split())
    assert f"kubelet v1.20.2 on {count} of {count} nodes" in holes["CVE-2021-25741"]["title"]


def test_who_reaches_the_api_is_what_was_measured(audit: kit.Audit, holes: dict[str, dict]) -> None:  # type: ignore[type-arg]
    finding = holes["CVE-2022-3294"]
    servers = {each["id"] for each in audit.report["endpoints"] if each["component"] == "kube-apiserver"}
    open_from = {
        cell["vantage"] for cell in audit.report["cells"] if cell["endpoint"] in servers and cell["state"] == "open"
    }
    assert set(finding["reached_from"]) == open_from == {each["id"] for each in audit.report["vantages"]}
    assert finding["vantage"] == "local"  # the one that stands outside
    assert finding["title"].endswith("reachable from 2 of 2 vantages")


def test_nothing_else_of_the_kit_is_said_to_be_wrong(audit: kit.Audit) -> None:
    objects = {"external-ips", "unexpected-balancer", "backend-on-host", "cross-namespace-backend", "public-address"}
    assert not objects & {each["code"] for each in audit.report["findings"]}
    assert "version-unknown" not in {each["code"] for each in audit.report["findings"]}


def test_what_objects_give_away_is_found_where_it_was_planted(planted: str) -> None:
    found = {
        (each["code"], each["object"]): each
        for each in kit.audit("--vantage", "local").report["findings"]
        if each["namespace"] == NAMESPACE and each["code"] != "broken"
    }
    assert {code for code, _ in found} == {"external-ips", "backend-on-host", "cross-namespace-backend"}
    assert found["backend-on-host", "EndpointSlice/claims-host"]["severity"] == "high"  # this version lets them in
    assert f"payments/{planted} " in found["cross-namespace-backend", "EndpointSlice/claims-pod"]["title"]
    assert "claims 198.51.100.77" in found["external-ips", "Service/claims"]["title"]
