"""`kubeshield rbac`: what is printed is valid, never more than asked for, and bound to exactly whom was named."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml

from kubeshield_tui.cli.main import run
from kubeshield_tui.cli.rbac import FEATURES
from kubeshield_tui.cluster.rights import NEEDS, Feature, Right, lost_without, shown_rights

Json = dict[str, Any]
NEVER = {"secrets", "configmaps", "nodes/proxy", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "*"}
MAY_CHANGE = {"pods", "pods/exec", "leases"}
CHANGES_OF = {"selftest": {"namespaces", "networkpolicies"}, "remedies": {"networkpolicies"}}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Json]:
    """Objects as YAML has them, after a check that JSON has the same."""
    assert run(["rbac", *arguments]) == 0
    text = capsys.readouterr().out
    documents = [document for document in yaml.safe_load_all(text) if document is not None]
    assert run(["rbac", *arguments, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"apiVersion": "v1", "kind": "List", "items": documents}
    return documents


def test_the_command_line_knows_every_feature() -> None:
    assert FEATURES == tuple(Feature)
    assert set(NEEDS) == set(Feature)


@pytest.mark.parametrize("features", [*itertools.combinations(FEATURES, 2), FEATURES], ids="+".join)
def test_no_choice_of_features_grants_what_is_never_needed(
    features: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word for feature in features for word in ("--feature", feature)]
    for document in printed(capsys, *arguments):
        for rule in document["rules"]:
            (resource,) = rule["resources"]
            assert resource not in NEVER
            assert set(rule) == {"apiGroups", "resources", "verbs"}
            assert "*" not in [*rule["apiGroups"], *rule["verbs"]]
            reads = {"get", "list", "watch"}
            assert set(rule["verbs"]) <= reads | {"create", "update", "delete"}
            changes = MAY_CHANGE.union(*(CHANGES_OF.get(feature, set()) for feature in features))
            assert set(rule["verbs"]) <= reads or resource in changes
        named = [(rule["apiGroups"][0], rule["resources"][0]) for rule in document["rules"]]
        assert len(named) == len(set(named)), "two rules for one resource"


def test_the_default_is_discovery_alone_and_bound_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    (role,) = printed(capsys)
    assert (role["kind"], role["metadata"]) == ("ClusterRole", {"name": "kubeshield"})
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list"}


def test_namespaces_get_roles_that_do_not_repeat_the_cluster_role(capsys: pytest.CaptureFixture[str]) -> None:
    made = printed(
        capsys, "--feature", "discovery", "--feature", "own-pods", "--namespace", "shop", "--namespace", "ops",
        "--namespace", "shop",
    )  # fmt: skip
    assert [(role["kind"], role["metadata"].get("namespace")) for role in made] == [
        ("ClusterRole", None), ("Role", "shop"), ("Role", "ops"),
    ]  # fmt: skip
    (pods,) = [rule for rule in made[1]["rules"] if rule["resources"] == ["pods"]]
    assert pods["verbs"] == ["get", "create", "delete"]  # list is granted everywhere already
    assert made[1]["rules"] == made[2]["rules"]


def test_pods_on_nodes_are_made_in_one_namespace_unless_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, namespace in ((("--feature", "node-pods"), "default"), (("--feature", "per-node"), "default"),
                                 (("--feature", "node-pods", "--namespace", "probes"), "probes")):  # fmt: skip
        wide, local = printed(capsys, *arguments)
        assert [rule["resources"] for rule in wide["rules"]] == [["nodes"]]
        assert local["metadata"]["namespace"] == namespace


def test_to_watch_is_to_list_first(capsys: pytest.CaptureFixture[str]) -> None:
    (role,) = printed(capsys, "--feature", "watch")
    assert {tuple(rule["verbs"]) for rule in role["rules"]} == {("list", "watch")}


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        (["--user", "no"], {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "no"}),
        (["--user", 'a"b: #ünï🔑'], {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": 'a"b: #ünï🔑'}),
        (["--group", "1e3"], {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "1e3"}),
        (["--service-account", "ops/null"], {"kind": "ServiceAccount", "namespace": "ops", "name": "null"}),
    ],
)
def test_a_binding_names_exactly_whom_was_named(
    arguments: list[str], subject: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    made = printed(
        capsys, "--feature", "discovery", "--feature", "exec", "--namespace", "on", "--name", "y", *arguments
    )
    assert [each["kind"] for each in made] == ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
    for role, binding in zip(made[::2], made[1::2], strict=True):
        assert binding["subjects"] == [subject]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": "y"}
        assert binding["roleRef"] == reference
        assert binding["metadata"] == role["metadata"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--namespace", "shop"], "--namespace has no meaning for discovery"),
        (["--feature", "exec", "--namespace", "Shop"], "--namespace 'Shop'"),
        (["--feature", "exec", "--namespace", "*"], "--namespace '*'"),
        (["--service-account", "ops"], "NAMESPACE/NAME"),
        (["--service-account", "ops/Name"], "NAMESPACE/NAME"),
        (["--user", ""], "--user"),
        (["--user", "a\nb"], "--user"),
        (["--group", "\x1b[31m"], "--group"),
        (["--name", "Not A Name"], "--name"),
    ],
)
def test_what_can_not_be_is_named_with_exit_code_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rbac", *arguments]) == 2
    told = capsys.readouterr()
    assert named in told.err
    assert told.out == ""


def test_every_rule_says_what_it_is_for_and_what_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    run(["rbac", *[word for feature in FEATURES for word in ("--feature", feature)]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    for number, line in enumerate(lines):
        if line.startswith("  - apiGroups"):
            above = " ".join(itertools.takewhile(lambda each: each.startswith("  #"), reversed(lines[:number])))
            assert "Without:" in above, line


def test_rights_for_people() -> None:
    rights = [Right(verb=verb, resource=resource) for resource in ("pods", "nodes") for verb in ("get", "list")]
    assert (
        shown_rights([*rights, Right(verb="create", resource="pods/exec")]) == "get, list pods, nodes; create pods/exec"
    )


def test_what_is_lost_is_known_of_every_kind_in_every_version() -> None:
    assert "kubelets" in lost_without("list nodes")
    assert lost_without("list endpoints") == lost_without("list endpointslices.discovery.k8s.io") != ""
    assert "known holes" in lost_without("get /version")
    assert lost_without("list secrets") == ""


def test_an_unknown_feature_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["rbac", "--feature", "everything"])
    assert caught.value.code == 2
    assert "per-namespace" in capsys.readouterr().err
