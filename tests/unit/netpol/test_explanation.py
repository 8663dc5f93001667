"""What is said of an answer: the deciding rule, the near miss with the one field that failed, the place in the file."""

from __future__ import annotations

import json

import pytest

from kubeshield_tui.evidence.netpol.document import verdict_document, verdict_lines
from kubeshield_tui.evidence.netpol.explain import evaluate
from kubeshield_tui.evidence.netpol.policy import Direction, ObjectKey
from kubeshield_tui.evidence.netpol.tiers import EVERY_POLICY, RuleKey, Without
from kubeshield_tui.evidence.netpol.verdict import PolicyEffect
from kubeshield_tui.evidence.netpol.world import World
from tests.unit.netpol.stage import ALLOW, DENY, UNKNOWN, ask, pod, policy, shop_with, world_of
from tests.unit.netpol.test_admin_policy import ACCEPT_OPS, DENY_OPS, PASS_OPS, cnp, ingress

DB = "podSelector: {matchLabels: {app: db}}"
API = "{podSelector: {matchLabels: {app: api}}}"


def effects(world: World, source: str = "shop/web", port: int = 5432) -> tuple[PolicyEffect, ...]:
    """The ingress policies of shop/db."""
    return ask(world, source, "shop/db", port).directions[1].policies


def near_miss(rules: str, source: str = "shop/web", port: int = 5432) -> str:
    (effect,) = effects(shop_with(policy(f"{DB}\ningress: [{rules}]")), source, port)
    return effect.near_miss


class TestNearMiss:
    @pytest.mark.parametrize(
        ("rule", "source", "port", "said"),
        [
            (
                f"{{from: [{API}], ports: [{{port: 5432}}]}}",
                "shop/web",
                5432,
                "ingress[0]: port 5432 ok; from[0] podSelector app=api: pod shop/web has app=web",
            ),
            (
                "{from: [{podSelector: {}}], ports: [{port: 5433}, {port: 5432, protocol: UDP}]}",
                "shop/web",
                5432,
                "ingress[0]: ports[0] 5433/TCP, ports[1] 5432/UDP: asked 5432/TCP; the peer matches",
            ),
            (
                "{from: [{podSelector: {matchLabels: {app: web}}}]}",
                "ops/web",
                80,
                "from[0] without namespaceSelector it means pods of shop, ops/web is in ops, podSelector ok",
            ),
            (
                "{from: [{namespaceSelector: {matchLabels: {team: green}}, podSelector: {matchLabels: {app: web}}}]}",
                "ops/web",
                80,
                "from[0] namespaceSelector team=green: namespace ops has team=blue, podSelector ok",
            ),
            (
                "{from: [{namespaceSelector: {}}], ports: [{port: http}]}",
                "ops/web",
                80,
                "ingress[0]: ports[0] 'http'/TCP is not declared by shop/db: asked 80/TCP; the peer matches",
            ),
            (
                "{from: [{namespaceSelector: {}}], ports: [{port: pg}]}",
                "ops/web",
                80,
                "ingress[0]: ports[0] 'pg'/TCP is 5432/TCP on shop/db: asked 80/TCP; the peer matches",
            ),
            (
                "{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.8/29]}}]}",
                "203.0.113.9",
                80,
                "from[0] ipBlock 203.0.113.0/24 except 203.0.113.8/29: 203.0.113.9 is in its exceptions",
            ),
            (
                "{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}",
                "2001:db8::1",
                80,
                "from[0] ipBlock 203.0.113.0/24: 2001:db8::1 is not in it, and no IPv4 address",
            ),
            (
                "{from: [{podSelector: {}}]}",
                "203.0.113.9",
                80,
                "from[0] podSelector {}: selectors match pods, 203.0.113.9 is none",
            ),
        ],
    )
    def test_the_one_field_that_failed_is_named(self, rule: str, source: str, port: int, said: str) -> None:
        found = near_miss(rule, source, port)
        assert found.removeprefix("ingress[0]: any port; ") == said

    def test_two_fields_that_failed_are_no_near_miss(self) -> None:
        assert near_miss(f"{{from: [{API}], ports: [{{port: 1}}]}}") == ""
        selectors = "{namespaceSelector: {matchLabels: {team: x}}, podSelector: {matchLabels: {app: x}}}"
        assert near_miss(f"{{from: [{selectors}]}}") == ""

    def test_the_closest_of_several_rules_and_peers(self) -> None:
        rules = (
            f"{{from: [{API}], ports: [{{port: 1}}]}}, {{from: [{API}, {{podSelector: {{}}}}], ports: [{{port: 2}}]}}"
        )
        assert near_miss(rules).startswith("ingress[1]: ports[0] 2/TCP")

    def test_a_policy_without_rules_misses_nothing(self) -> None:
        (effect,) = effects(shop_with(policy(DB)))
        assert (effect.effect, effect.rule, effect.near_miss) == (DENY, None, "")
        assert effect.why == "it has no ingress rule"


class TestDeciding:
    def test_the_rule_that_admits_and_its_line(self) -> None:
        text = policy(f"{DB}\ningress:\n- ports: [{{port: 1}}]\n- from:\n  - podSelector: {{}}", "db")
        verdict = ask(shop_with(text), "shop/web", "shop/db", 80)
        (effect,) = verdict.directions[1].policies
        assert (effect.effect, effect.rule, effect.decides) == (ALLOW, 1, True)
        source = (shop_source(text)).splitlines()
        assert source[effect.where.line - 1].strip() == "- from:"
        assert verdict.directions[1].decider == "NetworkPolicy shop/db ingress[1]"

    def test_all_that_isolate_decide_a_denial(self) -> None:
        world = shop_with(policy(DB, "a"), policy(f"{DB}\ningress: [{{ports: [{{port: 1}}]}}]", "b"))
        direction = ask(world, "shop/web", "shop/db", 80).directions[1]
        assert direction.isolated
        assert [(effect.key.name, effect.effect, effect.decides) for effect in direction.policies] == [
            ("a", DENY, True),
            ("b", DENY, True),
        ]
        assert direction.because == "isolated by NetworkPolicy shop/a, NetworkPolicy shop/b, no rule allows it"

    def test_what_another_allows_is_not_decided_by_who_isolates(self) -> None:
        world = shop_with(policy(DB, "a"), policy(f"{DB}\ningress: [{{}}]", "b"))
        assert [(effect.effect, effect.decides) for effect in effects(world)] == [(DENY, False), (ALLOW, True)]

    def test_tiers_in_order_up_to_the_one_that_decides(self) -> None:
        closed = policy(DB, "closed")
        world = shop_with(
            cnp(ingress(PASS_OPS), "one", 1),
            cnp(ingress(DENY_OPS), "two", 2),
            cnp(ingress(ACCEPT_OPS), "base", tier="Baseline"),
            closed,
        )
        found = [(effect.key.name, effect.effect, effect.decides) for effect in effects(world, "ops/web")]
        assert found == [
            ("one", "pass", False),
            ("two", DENY, False),
            ("closed", DENY, True),
            ("base", ALLOW, False),
        ]
        world = shop_with(cnp(ingress(DENY_OPS), "one", 1), cnp(ingress(ACCEPT_OPS), "two", 2), closed)
        assert [effect.decides for effect in effects(world, "ops/web")] == [True, False, False]
        world = shop_with(cnp(ingress(DENY_OPS), "one", 1))
        (effect,) = effects(world, "shop/web")
        assert (effect.effect, effect.rule) == ("none", None)

    def test_no_policy(self) -> None:
        verdict = ask(shop_with(), "shop/web", "shop/db")
        assert [direction.because for direction in verdict.directions] == [
            "no policy selects it for egress",
            "no policy selects it for ingress",
        ]
        assert verdict.directions[0].decider == "no policy"

    def test_an_open_question_names_the_rule_that_it_hangs_on(self) -> None:
        block = "{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}"
        (effect,) = effects(shop_with(policy(f"{DB}\ningress: [{{ports: [{{port: 1}}]}}, {block}]")))
        assert (effect.effect, effect.rule, effect.decides) == (UNKNOWN, 1, True)


class TestWithout:
    KEY = ObjectKey(kind="NetworkPolicy", namespace="shop", name="policy")

    def verdict(self, world: World, without: Without) -> str:
        return evaluate(world, ask(world, "shop/web", "shop/db").question, without).verdict

    def test_policies_and_rules_are_left_out(self) -> None:
        world = shop_with(policy(f"{DB}\ningress: [{{ports: [{{port: 1}}]}}, {{ports: [{{port: 80}}]}}]"))
        rule = RuleKey(policy=self.KEY, direction=Direction.INGRESS, index=1)
        assert self.verdict(world, Without()) == ALLOW
        assert self.verdict(world, Without(rules=frozenset({rule}))) == DENY, "without the rule it still isolates"
        assert self.verdict(world, Without(policies=frozenset({self.KEY}))) == ALLOW
        closed = shop_with(policy(DB), cnp(ingress("{action: Deny, from: [{namespaces: {}}]}")))
        assert self.verdict(closed, Without(policies=frozenset({self.KEY}))) == DENY
        assert self.verdict(closed, EVERY_POLICY) == ALLOW

    def test_so_is_a_protocol_that_is_not_defined(self) -> None:
        question = ask(shop_with(policy(DB)), "shop/web", "shop/db", 0, "ICMP").question
        assert evaluate(shop_with(policy(DB)), question, EVERY_POLICY).verdict == ALLOW

    def test_nothing_is_remembered_of_it(self) -> None:
        world = shop_with(policy(DB))
        assert self.verdict(world, EVERY_POLICY) == ALLOW
        assert ask(world, "shop/web", "shop/db").verdict == DENY


def shop_source(*policies: str) -> str:
    from tests.unit.netpol.stage import PODS, SHOP

    return SHOP + PODS + "".join(policies)


class TestDocument:
    def test_keys_of_the_contract(self) -> None:
        world = shop_with(policy(f"{DB}\ningress: [{{from: [{API}]}}]"))
        document = json.loads(json.dumps(verdict_document(ask(world, "shop/web", "shop/db"))))
        assert list(document) == ["verdict", "directions", "assumptions"]
        assert document["verdict"] == DENY
        assert document["assumptions"] == []
        egress, into = document["directions"]
        assert egress == {"direction": "egress", "verdict": ALLOW, "isolated": False, "policies": []}
        assert list(into) == ["direction", "verdict", "isolated", "policies"]
        (found,) = into["policies"]
        expected = {"kind": "NetworkPolicy", "namespace": "shop", "name": "policy", "rule": None, "effect": DENY}
        assert {key: found[key] for key in expected} == expected
        assert set(found) - set(expected) == {"near_miss", "file", "line"}
        assert found["file"] == "a.yaml"

    def test_a_service_lists_its_backends_and_joins_their_directions(self) -> None:
        service = "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n"
        service += "spec: {selector: {app: db}, ports: [{port: 80}]}\n"
        extra = pod("shop/db-2", "10.0.0.3", "app: db, role: spare")
        spare = policy("podSelector: {matchLabels: {role: spare}}")
        document = verdict_document(ask(shop_with(service, extra, spare), "shop/web", "service:shop/db"))
        assert document["verdict"] == UNKNOWN
        assert [item["to"] for item in document["backends"]] == ["shop/db", "shop/db-2"]
        assert [item["direction"] for item in document["directions"]] == ["egress", "ingress"]
        assert [item["verdict"] for item in document["directions"]] == [ALLOW, UNKNOWN]
        assert document["assumptions"][0].startswith("backends: ")


class TestText:
    def test_one_line_a_decision(self) -> None:
        world = shop_with(policy(f"{DB}\ningress: [{{from: [{API}], ports: [{{port: 5432}}]}}]", "db"))
        lines = list(verdict_lines(ask(world, "shop/web", "shop/db", 5432)))
        text = "\n".join(lines)
        assert lines[0] == "shop/web -> shop/db:5432/tcp   DENY"
        assert "isolated by NetworkPolicy shop/db, no rule allows it" in text
        assert "from[0] podSelector app=api: pod shop/web has app=web" in text
        assert "(a.yaml:" in text
        assert "<- decides" in text

    def test_many_backends_are_counted_not_listed(self) -> None:
        service = "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: many, namespace: shop}\n"
        service += "spec: {selector: {role: many}, ports: [{port: 80}]}\n"
        pods = "".join(pod(f"shop/p-{number}", f"10.0.2.{number}", "role: many") for number in range(25))
        lines = list(verdict_lines(ask(shop_with(service, pods), "shop/web", "service:shop/many")))
        assert lines[0].endswith("ALLOW")
        assert len([line for line in lines if line.startswith("  by ")]) == 20
        assert lines[-1] == "  and 5 more paths: 5 allow"

    def test_hostile_text_does_not_reach_it(self) -> None:
        reading_text = "\n---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n"
        reading_text += "metadata: {name: cnp}\nspec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress:"
        reading_text += ' [{name: "evil\\e[31m", action: Deny, from: [{namespaces: {}}]}]}\n'
        world = world_of(shop_source(reading_text))
        assert "\x1b" not in "\n".join(verdict_lines(ask(world, "shop/web", "shop/db")))
