"""A small made-up cluster for tests of holes: records by keyword, and cells by one word each."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kubeshield_tui.judgement.cluster_view import ClusterView, Sight
from kubeshield_tui.judgement.components import component_versions
from kubeshield_tui.judgement.holes import shipped_holes
from kubeshield_tui.judgement.holes_found import known_holes
from kubeshield_tui.model.cluster import ClusterFacts, Denied, Inventory, NodeRecord, PodRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture
from kubeshield_tui.model.vantage import Vantage, Zone
from kubeshield_tui.model.verdict import Verdict
from tests.unit.estate import endpoint, vantage

OUTSIDE = vantage("ssh:phone", Zone.OUTSIDE)
POD = vantage("pod:shop")
OTHER_POD = vantage("pod:payments")
NODE = vantage("node:n1", cluster="prod")
ADMIN = vantage("local")
EVERYWHERE = (OUTSIDE, POD, OTHER_POD, NODE, ADMIN)
API = endpoint("kube-apiserver", component="kube-apiserver", host="10.0.0.1", port=6443)

WORDS = {
    "open": Sight(Verdict.REACHABLE, Posture.AUTH_REQUIRED),
    "exposed": Sight(Verdict.EXPOSED, Posture.AUTH_REQUIRED),
    "anonymous": Sight(Verdict.EXPOSED, Posture.ANONYMOUS),
    "forbidden": Sight(Verdict.EXPOSED, Posture.FORBIDDEN),
    "blocked": Sight(Verdict.BLOCKED),
    "dead": Sight(Verdict.DEAD),
    "unproven": Sight(Verdict.UNPROVEN),
    "broken": Sight(Verdict.BROKEN),
    "lost": Sight(Verdict.LOST),
    "untested": Sight(Verdict.UNTESTED),
    "nothing": Sight(),
    "elsewhere": Sight(out_of_scope=True),
}


def inventory(version: str = "v1.33.9", **lists: object) -> Inventory:
    facts = ClusterFacts(id="prod", server="https://10.0.0.1:6443", version=version)
    return replace(Inventory(cluster=facts), **lists)


def node(name: str, version: str = "v1.33.9", system: str = "linux", **facts: object) -> NodeRecord:
    labels = (("kubernetes.io/os", system),) if system else ()
    return replace(NodeRecord(cluster="prod", name=name, kubelet_version=version, labels=labels), **facts)


def pod(name: str, *images: str, namespace: str = "shop", **facts: object) -> PodRecord:
    return replace(PodRecord(cluster="prod", namespace=namespace, name=name, images=images, phase="Running"), **facts)


def on_node(name: str, component: str = "kubelet", port: int = 10250) -> Endpoint:
    made = endpoint(f"{component} {name}", component=component, host="10.0.0.11", port=port)
    return replace(made, node=name, object=f"Node/{name}")


def view_of(
    read: Inventory,
    cells: dict[tuple[Endpoint, Vantage], str] | None = None,
    *,
    endpoints: Iterable[Endpoint] = (),
    vantages: tuple[Vantage, ...] = EVERYWHERE,
    denied: tuple[str, ...] = (),
) -> ClusterView:
    """Endpoints and vantages that no cell names are there too; cells that are not named show nothing."""
    words = {CellKey(target.id, source.id): word for (target, source), word in (cells or {}).items()}
    known = {target.id: target for target in (*(target for target, _ in cells or {}), *endpoints)}
    return ClusterView(
        inventory=read,
        denied=tuple(Denied(cluster="prod", what=f"list {what}", why="forbidden") for what in denied),
        endpoints=tuple(known.values()),
        vantages=vantages,
        look=lambda key: WORDS[words.get(key, "nothing")],
    )


def holes_of(view: ClusterView) -> dict[str, Finding]:
    """Findings by code, every one of them complete."""
    findings = list(known_holes(shipped_holes(), component_versions(view.inventory), view))
    for finding in findings:
        assert finding.because
        assert finding.verify
        assert finding.remedy
        assert all(finding.because)
        assert all(finding.verify)
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.code: finding for finding in findings}
