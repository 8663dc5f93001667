"""Every row of the catalogue over real sockets: what the scenario's author wrote is what is seen, from four places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubeshield_tui.discovery.catalogue import builtin
from kubeshield_tui.range.scenario import load_scenario
from kubeshield_tui.range.servers import servers
from tests.scenarios.test_truth import demo, seen

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("record") / "events.ndjson"


@pytest.fixture(scope="module")
def report(record: Path) -> dict[str, Any]:
    code, report = demo("--scenario", "catalogue", "--record", str(record))
    assert code == 1
    return report


def test_every_cell_is_equal_to_the_scenarios_truth(report: dict[str, Any]) -> None:
    truth = {
        (endpoint, vantage): tuple(words.split())
        for endpoint, row in load_scenario("catalogue").truth.items()
        for vantage, words in row.items()
    }
    assert seen(report) == truth


def test_every_row_that_can_be_asked_is_served(report: dict[str, Any]) -> None:
    served = {endpoint["component"] for endpoint in report["endpoints"]}
    assert served == {row.component for row in builtin().rows if row.asked}


def told(record: Path) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """(component, vantage) -> what the answer means, and the facts it tells; the open ones."""
    found = {}
    for event in map(json.loads, record.read_text().splitlines()):
        if event["event"] == "CellObserved" and event["observation"]["state"] == "open":
            answer = event["observation"]
            key = answer["endpoint"].partition("@")[0], answer["vantage"]
            found[key] = (answer["detail"], dict(answer["identified"]))
    return found


@pytest.mark.usefixtures("report")
def test_clouds_are_told_apart_by_their_answers(record: Path) -> None:
    answers = told(record)
    assert "IMDSv1" in answers["cloud-metadata", "pod:shop"][0]
    assert "IMDSv2" in answers["cloud-metadata", "pod:ops"][0]
    assert "can be had" in answers["aws-imds-token", "pod:shop"][0]
    assert "hop limit" in answers["aws-imds-token", "pod:ops"][0]
    assert answers["gcp-metadata", "pod:shop"] == ("Google's metadata", {"server": "Metadata Server for VM"})
    assert "workload's identity" in answers["gcp-metadata", "pod:ops"][0]
    assert answers["azure-imds", "pod:shop"][0] == "Azure's metadata"


@pytest.mark.usefixtures("report")
def test_versions_are_read(record: Path) -> None:
    answers = told(record)
    for component, version in (("etcd", "3.4.23"), ("docker-api", "24.0.7"), ("kubectl-proxy", "v1.10.3")):
        assert answers[component, "ssh:jump"][1]["version"] == version
    assert answers["kube-proxy-metrics", "ssh:jump"][1] == {"mode": "iptables"}
    assert answers["kubernetes-dashboard", "local"][1] == {"title": "Kubernetes Dashboard"}
    assert "ingress-nginx" in answers["ingress-nginx-admission", "local"][0]


def test_no_token_is_told_anywhere(report: dict[str, Any], record: Path) -> None:
    bodies = {answer.body for server in servers().values() for name, answer in server.answers.items() if "PUT" in name}
    assert len(bodies) == 2
    everything = record.read_text() + json.dumps(report)
    assert not [body for body in bodies if body in everything]
