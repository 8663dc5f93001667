"""Discovery on the real cluster: everything that listens there is found, under the right name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubeshield_tui.cluster.client import connect
from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
from kubeshield_tui.discovery.discover import Discovery, discover
from kubeshield_tui.model.endpoint import Scope
from tests.cluster.kit import KUBECONFIG, kit, kubectl

SSHD = 2222
"""The kit's own way in: no part of the cluster."""
LISTENING = re.compile(r"^(tcp|udp)\s+\S+\s+\d+\s+\d+\s+(\S+):(\d+)\s", re.MULTILINE)
WORKLOADS = {"shop", "payments", "ops"}
"""The kit's own namespaces: others may be there for a while."""
PROCESSES = {"kube-apiserver", "kube-controller", "kube-scheduler", "kubelet", "etcd"}
"""As the kernel has their names: 15 characters."""
EVERYWHERE = frozenset({"*", "0.0.0.0", "[::]"})


@pytest.fixture(scope="module")
def nodes() -> dict[str, str]:
    """Address of each node."""
    told = kubectl(
        "get", "nodes", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.addresses[0].address}{'\\n'}{end}"
    )
    return dict(line.split() for line in told.splitlines())


@pytest.fixture
async def found() -> Discovery:
    client = await connect(read_kubeconfig(KUBECONFIG).current, KUBECONFIG)
    try:
        return await discover(client)
    finally:
        await client.close()


async def test_every_listener_of_the_nodes_is_asked(found: Discovery, nodes: dict[str, str]) -> None:
    asked = {(each.host, each.port, str(each.protocol)) for each in found.endpoints}
    for node, address in nodes.items():
        listening = LISTENING.findall(kit("exec-net", node, "ss", "-Hltun"))
        assert listening
        for protocol, host, port in listening:
            if host in EVERYWHERE or host in {address, "169.254.169.254"}:
                where = "169.254.169.254" if host.startswith("169") else address
                assert int(port) == SSHD or (where, int(port), protocol) in asked, f"{node} {host}:{port}/{protocol}"


async def test_components_are_called_what_they_are(found: Discovery, nodes: dict[str, str]) -> None:
    """Which process listens where, by the node's own word."""
    asked = {(each.host, each.port): each.component for each in found.endpoints}
    seen = set()
    for node, address in nodes.items():
        for line in kit("exec-net", node, "ss", "-Hltnp").splitlines():
            host, _, port = line.split()[3].rpartition(":")
            process = line.partition('(("')[2].partition('"')[0]
            if process in PROCESSES and (host in EVERYWHERE or host == address):
                assert asked[address, int(port)].startswith(process), line
                seen.add(process)
    assert seen == PROCESSES


async def test_services_and_what_is_behind_them(found: Discovery) -> None:
    name = "{.metadata.namespace}/{.metadata.name}"
    columns = name + " {.spec.clusterIP} {.spec.ports[*].port}"
    told = kubectl("get", "services", "-A", "-o", "jsonpath={range .items[*]}" + columns + "{'\\n'}{end}")
    asked = {(each.host, each.port) for each in found.endpoints if each.scope is Scope.CLUSTER}
    for line in told.splitlines():
        name, address, *ports = line.split()
        if address != "None":
            assert all((address, int(port)) in asked for port in ports), name
    by_id = {each.id.partition("/")[2]: each for each in found.endpoints}
    assert by_id["kube-system/Service/kube-dns:53/udp"].component == "cluster-dns"
    # This server knows EndpointSlices as v1beta1 only.
    assert by_id["payments/Service/ledger@ledger:8080/tcp"].backends
    assert by_id["shop/Service/web@172.30.0.1:30080/tcp"].backends == by_id["shop/Service/web:80/tcp"].backends != ()


async def test_what_can_be_read_is_read_and_what_it_is_is_said(found: Discovery, nodes: dict[str, str]) -> None:
    assert found.denied == ()
    facts = found.inventory.cluster
    assert [(each.what, each.name) for each in facts.recognised] == [("version", facts.version)]
    assert len(found.inventory.nodes) == len(nodes)
    pods = [pod for pod in found.inventory.pods if pod.namespace in WORKLOADS and pod.phase == "Running"]
    assert len(pods) >= 6
    assert all(pod.images and pod.owner and pod.service_account and pod.node_addresses for pod in pods)
    assert found.estate.identity
    assert {record.managed for record in found.inventory.backends if record.namespace in WORKLOADS} == {True}


async def test_who_may_not_list_nodes_finds_them_by_their_pods(found: Discovery) -> None:
    auditor = Path(kit("kubeconfig", "--auditor"))
    client = await connect(read_kubeconfig(auditor).current, auditor)
    try:
        seen = await discover(client)
    finally:
        await client.close()
    assert "list nodes" in {denied.what for denied in seen.denied}

    def on_nodes(discovery: Discovery) -> set[str]:
        return {each.id for each in discovery.endpoints if each.node and each.component != "docker-api-tls"}

    assert on_nodes(seen) == on_nodes(found)
