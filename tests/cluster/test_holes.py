"""Known holes of a real Kubernetes 1.20.2: what the advisories say of that version, and what they do not."""

from __future__ import annotations

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
