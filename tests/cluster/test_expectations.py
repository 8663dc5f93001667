"""Expectations on a real cluster: init, a few lines more, and the audit shows exactly what they say. Reads only, but
for one namespace of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kit

NAMESPACE = "kst-expect-account"
ONLY_TOOLBOX = """
[[rule]]
name = "nobody reaches the API"
must = "blocked"
to.component = "kube-apiserver"

[[rule]]
name = "but the toolbox"
must = "reachable"
to = { component = "kube-apiserver", address = "172.30.0.0/24" }
from = { namespace = "ops", labels = { app = "toolbox" } }

[[exception]]
name = "backup, for now"
to.component = "kubelet"
from = { namespace = "ops", labels = { app = "backup" } }
owner = "ops"
reason = "moves to its own network"
expires = 9999-12-31
"""
BY_ACCOUNT = """
[[rule]]
name = "the robot"
must = "any"
to.component = "kube-apiserver"
from.service_account = "robot"
"""
API = "kube-apiserver/kubeconfig:6443/tcp"


def pod_of(namespace: str, app: str) -> str:
    name = kit.kubectl("get", "pods", "-n", namespace, "-l", f"app={app}", "-o", "jsonpath={.items[0].metadata.name}")
    return f"pod:{namespace}/{name}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `expect init` writes for this cluster."""
    path = tmp_path_factory.mktemp("expect") / "expect.toml"
    arguments = ("init", "--kubeconfig", kit.kit("kubeconfig", "--netns"), "--output", str(path))
    process = kit.start("expect", *arguments)
    _, err = process.communicate(timeout=kit.LIMIT)
    assert process.returncode == 0, err
    return path


@pytest.fixture
def account(tmp_path: Path) -> Iterator[None]:
    """A namespace with two pods, one of which runs under an account of its own."""

    def pod(name: str, account: str) -> dict[str, object]:
        container = {
            "name": "c",
            "image": "python:3-slim",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "600"],
        }
        spec = {"serviceAccountName": account, "containers": [container], "terminationGracePeriodSeconds": 0}
        metadata = {"name": name, "namespace": NAMESPACE}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    path = tmp_path / "pods.json"
    path.write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod("one", "robot"), pod("two", "default")]})
    )
    kit.kubectl("create", "namespace", NAMESPACE)
    try:
        kit.kubectl("create", "serviceaccount", "robot", "-n", NAMESPACE)
        kit.wait_until(
            lambda: "default" in kit.kubectl("get", "serviceaccounts", "-n", NAMESPACE, "-o", "name"), "its accounts"
        )
        kit.kubectl("create", "-f", str(path))
        kit.kubectl("wait", "--for=condition=Ready", "pod/one", "pod/two", "-n", NAMESPACE, "--timeout=90s")
        yield
    finally:
        kit.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_init_names_what_is_there_and_changes_nothing(written: Path) -> None:
    text = written.read_text("utf-8")
    for found in ("kube-apiserver 172.30.0.1:6443", "kubelet node1 172.30.0.1:10250", "namespace payments, service"):
        assert found in text
    toolbox = pod_of("ops", "toolbox")
    before, after = kit.audit("--vantage", toolbox), kit.audit("--vantage", toolbox, "--expect", str(written))
    names = ("endpoint", "vantage", "expected", "expected_by", "verdict")
    cells = [[[cell[name] for name in names] for cell in each.report["cells"]] for each in (before, after)]
    assert cells[0] == cells[1]
    assert before.code == after.code == 1


def test_only_the_toolbox_may_reach_the_api_and_the_audit_shows_exactly_that(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "expect.toml"
    path.write_text(written.read_text("utf-8") + ONLY_TOOLBOX)
    first = len(written.read_text("utf-8").splitlines()) + 2
    nobody, toolbox_line = f'expect.toml:{first} "nobody reaches the API"', f'expect.toml:{first + 5} "but the toolbox"'
    toolbox, backup, web, ledger = (
        pod_of(*each) for each in (("ops", "toolbox"), ("ops", "backup"), ("shop", "web"), ("payments", "ledger"))
    )
    vantages = ["--vantage", "local", "--zone", "local=outside"]
    for vantage in (toolbox, backup, web, ledger):
        vantages += ["--vantage", vantage]
    audit = kit.audit(*vantages, "--expect", str(path))
    assert audit.code == 1, audit.err
    told = {
        vantage: tuple(audit.cell(API, vantage)[name] for name in ("expected", "expected_by", "verdict"))
        for vantage in (toolbox, backup, web, ledger, "local")
    }
    assert told == {
        toolbox: ("reachable", toolbox_line, "reachable"),
        backup: ("blocked", nobody, "exposed"),  # no policy speaks of it
        web: ("blocked", nobody, "exposed"),
        ledger: ("blocked", nobody, "blocked"),  # its namespace denies all
        "local": ("blocked", nobody, "exposed"),
    }
    found = [cell for each in audit.report["findings"] if each["code"] == "exposed" for cell in each["cells"]]
    exposed = {cell["vantage"] for cell in found if cell["endpoint"].endswith(API)}
    assert exposed == {backup, web, "local"}
    kubelet = audit.cell("Node/node1:10250/tcp", backup)
    assert (kubelet["expected"], kubelet["verdict"]) == ("any", "reachable")
    assert audit.cell("Node/node1:10250/tcp", web)["verdict"] == "exposed"
    assert not any(cell["undecided"] for cell in audit.report["cells"])


@pytest.mark.usefixtures("account")
def test_a_service_account_is_what_the_cluster_says_it_is(tmp_path: Path) -> None:
    path = tmp_path / "expect.toml"
    path.write_text(BY_ACCOUNT)
    one, two = f"pod:{NAMESPACE}/one", f"pod:{NAMESPACE}/two"
    audit = kit.audit("--vantage", one, "--vantage", two, "--expect", str(path))
    told = {
        vantage: (audit.cell(API, vantage)["expected"], audit.cell(API, vantage)["verdict"]) for vantage in (one, two)
    }
    assert told == {one: ("any", "reachable"), two: ("blocked", "exposed")}


ETCD = "Node/node1:2379/tcp"


def test_etcd_is_for_the_node_that_holds_the_control_plane_and_no_other(tmp_path: Path) -> None:
    """No label says so on this cluster: the API server's address does."""
    nodes = ["--ssh-config", str(kit.ssh_config(tmp_path)), "--vantage", "node:node1", "--vantage", "node:node2"]
    audit = kit.audit(*nodes)
    first, second = audit.cell(ETCD, "node:node1"), audit.cell(ETCD, "node:node2")
    assert (first["expected"], first["verdict"], first["undecided"]) == ("any", "reachable", [])
    assert (second["expected"], second["verdict"], second["undecided"]) == ("blocked", "exposed", [])


def test_a_node_whose_role_may_not_be_read_is_held_to_the_strictest(tmp_path: Path) -> None:
    """The auditor may not list nodes: that node1 holds the control plane is known all the same, of node2 nothing is."""
    process = kit.start(
        "audit", "--kubeconfig", kit.kit("kubeconfig", "--auditor", "--netns"), "--format", "json",
        "--ssh-config", str(kit.ssh_config(tmp_path)), "--vantage", "node:node1", "--vantage", "node:node2",
    )  # fmt: skip
    out, err = process.communicate(timeout=kit.LIMIT)
    audit = kit.Audit(process.returncode, out, err)
    assert audit.cell(ETCD, "node:node1")["expected"] == "any"
    cell = audit.cell(ETCD, "node:node2")
    assert (cell["expected"], cell["verdict"]) == ("blocked", "exposed")
    (why,) = cell["undecided"]
    assert "control-plane nodes may reach etcd" in why
    assert "node node2 was not read" in why
