"""Policies that an API server would refuse: named by file, line and field, and what may depend on them unknown."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netpol.tri import Assumption
from tests.unit.netpol.stage import ALLOW, DENY, PODS, SHOP, UNKNOWN, ask, hangs_on, policy, reading_of, says, world_of

DB = "podSelector: {matchLabels: {app: db}}"
CLOSED = policy(DB, "closed")


def refused(text: str) -> str:
    """The one problem of a text."""
    (problem,) = reading_of(text).problems
    return problem.text


class TestRefusedPolicies:
    @pytest.mark.parametrize(
        ("spec", "line", "field"),
        [
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 10.0.0.0}}", 9, "spec.ingress[0].from[0].ipBlock.cidr"),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 10.0.0.300/8}}", 9, "ipBlock.cidr"),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 010.0.0.0/8}}", 9, "ipBlock.cidr"),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: '::ffff:10.0.0.0/104'}}", 9, "ipBlock.cidr"),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 10.0.0.0/255.0.0.0}}", 9, "ipBlock.cidr"),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{except: [10.0.0.0/8]}}", 9, "ipBlock: cidr is missing"),
            (
                f"{DB}\ningress:\n- from:\n  - ipBlock:\n      cidr: 10.0.0.0/8\n      except:\n      - 11.0.0.0/16",
                12,
                "spec.ingress[0].from[0].ipBlock.except[0]",
            ),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}", 9, "except[0]"),
            (f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 10.0.0.0/8, except: ['::/0']}}", 9, "except[0]"),
            (
                f"{DB}\ningress:\n- from:\n  - {{ipBlock: {{cidr: 10.0.0.0/8}}, podSelector: {{}}}}",
                9,
                "from[0]: sets both",
            ),
            (f"{DB}\ningress:\n- from:\n  - {{}}", 9, "from[0]: must specify a peer"),
            (f"{DB}\ningress:\n- from:\n  - podSelector: null", 9, "from[0]: must specify a peer"),
            (f"{DB}\ningress:\n- from:\n  - podselector: {{}}", 9, "from[0].podselector: is not a field"),
            (f"{DB}\ningress:\n- to: []", 8, "spec.ingress[0].to: is not a field"),
            (f"{DB}\ningress:\n  from: []", 7, "spec.ingress: expected a list"),
            (f"{DB}\ningress:\n- from: {{}}", 8, "spec.ingress[0].from: expected a list"),
            (f"{DB}\ningress:\n- ports:\n  - port: 80\n    endPort: 79", 10, "ports[0].endPort: 79 is below port 80"),
            (f"{DB}\ningress:\n- ports:\n  - endPort: 79", 9, "ports[0].endPort: stands without port"),
            (
                f"{DB}\ningress:\n- ports:\n  - {{port: http, endPort: 79}}",
                9,
                "ports[0].endPort: stands beside a named port",
            ),
            (f"{DB}\ningress:\n- ports:\n  - port: 0", 9, "ports[0].port: 0 is not from 1 to 65535"),
            (f"{DB}\ningress:\n- ports:\n  - port: 65536", 9, "ports[0].port"),
            (f"{DB}\ningress:\n- ports:\n  - port: '80'", 9, "write it without quotes"),
            (f"{DB}\ningress:\n- ports:\n  - port: 80.5", 9, "ports[0].port"),
            (f"{DB}\ningress:\n- ports:\n  - port: true", 9, "ports[0].port"),
            (f"{DB}\ningress:\n- ports:\n  - port: Http", 9, "ports[0].port"),
            (f"{DB}\ningress:\n- ports:\n  - port: a--b", 9, "ports[0].port"),
            (f"{DB}\ningress:\n- ports:\n  - {{port: 80, protocol: tcp}}", 9, "'tcp' is none of TCP, UDP, SCTP"),
            (f"{DB}\ningress:\n- ports: [80]", 8, "ports[0]: expected an object"),
            ("podSelector: {matchLabels: {app: 5}}", 6, "write it in quotes"),
            ("podSelector: {matchLabels: {app: on}}", 6, "expected text, not true"),
            ("podSelector: {matchLabels: {app: 'a b'}}", 6, "can't be the value of a label"),
            ("podSelector: {matchLabels: {'a/b/c': x}}", 6, "can't be the key of a label"),
            ("podSelector: {matchLabels: [app]}", 6, "expected an object, not a list"),
            ("podSelector: {app: db}", 6, "spec.podSelector.app: is not a field"),
            ("podSelector: [db]", 6, "spec.podSelector: expected an object"),
            ("podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}", 6, "operator"),
            ("podSelector: {matchExpressions: [{key: a, operator: In}]}", 6, "needs values"),
            ("podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}", 6, "takes no values"),
            ("podSelector: {matchExpressions: [{operator: Exists}]}", 6, "key is missing"),
            (f"{DB}\npolicyTypes: [ingress]", 7, "spec.policyTypes[0]"),
            (f"{DB}\npolicyTypes: Ingress", 7, "spec.policyTypes: expected a list"),
            (f"{DB}\ningres: []", 7, "spec.ingres: is not a field"),
            (f"{DB}\ningress: []\ningress: [{{}}]", 8, "spec.ingress: stands there twice"),
        ],
    )
    def test_file_line_and_field_are_named_and_nothing_of_it_is_allowed(self, spec: str, line: int, field: str) -> None:
        text = policy(spec).lstrip()
        said = refused(text)
        assert said.startswith(f"a.yaml:{line}: NetworkPolicy shop/policy: ")
        assert field in said
        verdict = ask(reading_of(SHOP + PODS + "\n" + text).world(), "shop/web", "shop/db")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.UNDECIDABLE}

    def test_the_rest_counts_and_what_another_allows_stays_allowed(self) -> None:
        bad = policy(f"{DB}\ningress: [{{ports: [{{port: 0}}]}}]", "bad")
        world = reading_of(SHOP + PODS + bad).world()
        assert says(world, "shop/db", "shop/web") == ALLOW, "it has no rule for egress and selects shop/db only"
        assert says(world, "ops/web", "shop/web") == ALLOW
        allowing = policy(f"{DB}\ningress: [{{ports: [{{port: 80}}]}}]", "good")
        world = reading_of(SHOP + PODS + bad + allowing).world()
        assert says(world, "shop/web", "shop/db", 80) == ALLOW
        assert says(world, "shop/web", "shop/db", 81) == UNKNOWN

    @pytest.mark.parametrize(
        ("version", "kind"),
        [
            ("networking.k8s.io/v2", "NetworkPolicy"),
            ("networking.k8s.io", "NetworkPolicy"),
            ("extensions/v1beta1", "NetworkPolicy"),
            ("networking.k8s.oi/v1", "NetworkPolicy"),
            ("v1", "NetworkPolicy"),
            ("networking.k8s.io/v1", "networkpolicy"),
            ("networking.k8s.io/v1", "NetworkPolicies"),
        ],
    )
    def test_unknown_versions_and_kinds(self, version: str, kind: str) -> None:
        text = policy(DB).replace("networking.k8s.io/v1", version).replace("kind: NetworkPolicy", f"kind: {kind}")
        reading = reading_of(SHOP + PODS + text)
        assert ("kind" if kind != "NetworkPolicy" else "apiVersion") in reading.problems[0].text
        world = reading.world()
        assert says(world, "shop/web", "shop/db") == UNKNOWN
        assert says(world, "ops/web", "ops/agent") == ALLOW, "a NetworkPolicy speaks of its namespace only"

    @pytest.mark.parametrize("name", ["", "name: null", "name: Upper", "name: 'a b'", "name: 5", "name: [x]"])
    def test_a_policy_needs_a_name(self, name: str) -> None:
        text = policy(DB).replace("name: policy, ", f"{name}, " if name else "")
        assert "metadata.name" in refused(text)
        assert says(reading_of(SHOP + PODS + text).world(), "shop/web", "shop/db") == UNKNOWN

    @pytest.mark.parametrize("namespace", ["5", "[shop]", "{}", "Shop"])
    def test_a_namespace_that_can_not_be_leaves_every_namespace_open(self, namespace: str) -> None:
        world = reading_of(SHOP + PODS + policy(DB, namespace=namespace)).world()
        assert says(world, "shop/web", "shop/db") == UNKNOWN

    def test_without_a_namespace_it_is_in_default(self) -> None:
        text = policy("podSelector: {}").replace(", namespace: shop", "")
        world = world_of(SHOP + PODS + PODS.replace("namespace: shop", "namespace: default") + text)
        assert says(world, "ops/web", "default/db") == DENY
        assert says(world, "ops/web", "shop/db") == ALLOW

    def test_two_that_disagree_are_undecidable_two_alike_are_one(self) -> None:
        assert says(world_of(SHOP + PODS + CLOSED, CLOSED), "shop/web", "shop/db") == DENY
        reading = reading_of(SHOP + PODS + CLOSED, policy(f"{DB}\ningress: [{{}}]", "closed"))
        assert "a.yaml:" in reading.problems[0].text
        assert reading.problems[0].text.startswith("b.yaml:3: NetworkPolicy shop/closed: stands at a.yaml:")
        assert says(reading.world(), "shop/web", "shop/db") == UNKNOWN
