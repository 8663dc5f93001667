"""Worlds out of manifests, and questions to them."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from kubeshield_tui.evidence.netpol.explain import decide, evaluate
from kubeshield_tui.evidence.netpol.manifests import Reading
from kubeshield_tui.evidence.netpol.parse import parse_policy
from kubeshield_tui.evidence.netpol.party import Question, parse_end
from kubeshield_tui.evidence.netpol.policy import OpaquePolicy, Policy
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.tri import Assumption
from kubeshield_tui.evidence.netpol.verdict import Verdict
from kubeshield_tui.evidence.netpol.world import World

ALLOW, DENY, UNKNOWN = "allow", "deny", "unknown"

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: red}}
---
apiVersion: v1
kind: Namespace
metadata: {name: ops, labels: {team: blue}}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: a}}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {zone: b}}
status: {addresses: [{type: InternalIP, address: 192.168.0.2}, {type: Hostname, address: n2}]}
"""
"""Two namespaces and two nodes."""


def pod(
    name: str,
    address: str = "",
    labels: str = "",
    ports: str = "",
    node: str = "n1",
    phase: str = "Running",
    host_network: bool = False,
) -> str:
    """The manifest of pod `NAMESPACE/NAME`; label app is its name unless `labels` says otherwise."""
    namespace, _, own = name.partition("/")
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {own}, namespace: {namespace}, labels: {{{labels or f"app: {own}"}}}}}
spec:
  nodeName: {node or '""'}
  hostNetwork: {str(host_network).lower()}
  containers: [{{name: main, ports: [{ports}]}}]
status: {{phase: {phase}, podIP: {address or '""'}}}
"""


PODS = (
    pod("shop/web", "10.0.0.1")
    + pod("shop/db", "10.0.0.2", ports="{containerPort: 5432, name: pg}", node="n2")
    + pod("ops/web", "10.0.1.1", node="n2")
    + pod("ops/agent", "10.0.1.2", labels="app: agent, tier: system")
)
"""shop/web and ops/agent on n1, shop/db and ops/web on n2."""


def policy(spec: str, name: str = "policy", namespace: str = "shop") -> str:
    """The manifest of a NetworkPolicy."""
    body = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    head = f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}"
    return f"\n---\n{head}\nspec:\n{body}\n"


def reading_of(*texts: str) -> Reading:
    """What was read of manifests."""
    reading = Reading()
    for number, text in enumerate(texts):
        reading.take(text, f"{'abcdefgh'[number]}.yaml")
    return reading


def world_of(*texts: str, profile: Profile | None = None) -> World:
    """The World of manifests that are all well."""
    reading = reading_of(*texts)
    assert [problem.text for problem in reading.problems] == []
    world = reading.world()
    if profile is not None:
        world.profile = profile
    return world


def shop_with(*policies: str, profile: Profile | None = None) -> World:
    """The shop with some policies."""
    return world_of(SHOP + PODS + "".join(policies), profile=profile)


def ask(world: World, source: str, destination: str, port: int = 80, protocol: str = "TCP") -> Verdict:
    """Ask a question; the quick way must say the same."""
    one, other = parse_end(source), parse_end(destination)
    assert one is not None
    assert other is not None
    question = Question(source=one, destination=other, port=port, protocol=protocol)
    verdict = evaluate(world, question)
    assert decide(world, question) == verdict.verdict
    return verdict


def says(world: World, source: str, destination: str, port: int = 80, protocol: str = "TCP") -> str:
    """The verdict of a question."""
    return ask(world, source, destination, port, protocol).verdict.value


def hangs_on(verdict: Verdict) -> set[Assumption]:
    """Names of what an answer hangs on."""
    return {reason.assumption for reason in verdict.assumptions}


def live(spec: dict[str, Any], namespace: str = "shop", name: str = "live") -> Policy | OpaquePolicy:
    """A NetworkPolicy as an API server gives it."""
    return parse_policy(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )
