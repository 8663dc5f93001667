"""The main job on a real cluster: five vantages at once, verdicts that follow the policies, nothing left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kit

KUBELETS = ("Node/node1:10250/tcp", "Node/node2:10250/tcp")


def vantages(directory: Path, web: str) -> list[str]:
    return [
        "--ssh-config", str(kit.ssh_config(directory)), "--yes",
        "--vantage", "local", "--zone", "local=outside",
        "--vantage", "ssh:outside", "--zone", "ssh:outside=outside",
        "--vantage", "pod:shop", "--vantage", "pod:payments", "--vantage", f"pod:shop/{web}",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert kit.own_objects() == []


def test_five_vantages_at_once(tmp_path: Path, web: str) -> None:
    audit = kit.audit(*vantages(tmp_path, web))
    assert audit.code == 1, audit.err
    assert {vantage["status"] for vantage in audit.report["vantages"]} == {"ready"}, audit.report["vantages"]
    assert audit.report["incomplete"] == []
    for kubelet in KUBELETS:
        for vantage in ("local", "ssh:outside", "pod:shop", f"pod:shop/{web}"):
            cell = audit.cell(kubelet, vantage)
            assert (cell["state"], cell["posture"]) == ("open", "auth-required"), cell
        assert audit.cell(kubelet, "pod:shop")["verdict"] == "exposed"
        # payments denies all egress but DNS: silence, proven by the others and by its own DNS
        cell = audit.cell(kubelet, "pod:payments")
        assert (cell["state"], cell["reason"], cell["verdict"]) == ("filtered", "no-response", "blocked"), cell
        assert cell["proof"]["target_alive"]
        assert cell["proof"]["vantage_alive"]
    api = "Service/api:443/tcp"
    assert audit.cell(api, f"pod:shop/{web}")["state"] == "open"
    assert audit.cell(api, "pod:shop")["verdict"] == "blocked"
    assert audit.cell(api, "pod:payments")["state"] == "filtered"
    assert audit.cell(api, "local")["reason"] == "out-of-scope"
    for finding in audit.report["findings"]:
        assert finding["because"]
        assert finding["verify"]
        assert finding["remedy"]


@pytest.mark.usefixtures("policies_off")
def test_with_enforcement_off_the_service_is_open_from_both(tmp_path: Path, web: str) -> None:
    audit = kit.audit(*vantages(tmp_path, web))
    for vantage in ("pod:shop", f"pod:shop/{web}", "pod:payments"):
        assert audit.cell("Service/api:443/tcp", vantage)["state"] == "open"


def test_an_auditor_without_rights_gets_coverage_not_a_crash() -> None:
    process = kit.start(
        "audit",
        "--kubeconfig",
        kit.kit("kubeconfig", "--auditor", "--netns"),
        "--format",
        "json",
        "--zone",
        "local=outside",
    )
    out, err = process.communicate(timeout=kit.LIMIT)
    audit = kit.Audit(process.returncode, out, err)
    assert audit.code in {1, 3}, err
    assert any("nodes" in denied["what"] for denied in audit.report["denied"])
    assert any(endpoint["component"] == "service" for endpoint in audit.report["endpoints"])


def test_nothing_is_left_after_ctrl_c(tmp_path: Path, web: str) -> None:
    process = kit.start("audit", "--kubeconfig", kit.kit("kubeconfig", "--netns"), *vantages(tmp_path, web))
    kit.wait_until(lambda: len(kit.own_objects()) == 4, "two pods and two leases")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "removed Pod shop/" in err


def test_nothing_is_left_when_the_api_server_restarts_in_the_middle(tmp_path: Path, web: str) -> None:
    process = kit.start("audit", "--kubeconfig", kit.kit("kubeconfig", "--netns"), *vantages(tmp_path, web))
    kit.wait_until(lambda: len(kit.own_objects()) == 4, "two pods and two leases")
    kit.restart_api_server()
    _, err = process.communicate(timeout=kit.LIMIT)
    assert "Traceback" not in err
    if kit.own_objects():  # it said so, and a sweep takes what it could not
        assert "LEFT BEHIND" in err
        swept = kit.start("sweep", "--kubeconfig", kit.kit("kubeconfig", "--netns"), "--force")
        swept.communicate(timeout=60)
