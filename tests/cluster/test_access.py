"""A real API server's RBAC: an audit under exactly the printed roles, then with each right taken away in turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeshield_tui.cli.main import run
from kubeshield_tui.cluster.rights import NEEDS, Feature, Right, rights_of
from tests.cluster import kit

NAME = "kst-access-auditor"
NAMESPACE = "kst-access-pods"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAME}"
QUICK = ("--timeout", "0.5", "--attempts", "1")
OPTIONAL = set(rights_of([Feature.OWN_PODS])) - set(rights_of([Feature.OWN_PODS], optional=False))
EVERYWHERE = set(rights_of([Feature.DISCOVERY]))
OWN = [right for right in rights_of([Feature.OWN_PODS]) if right not in EVERYWHERE]
"""What an own pod needs besides discovery, which lists pods."""
Json = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    """A namespace with a service account of ours; all that was made goes at the end."""
    kit.kubectl("create", "namespace", NAMESPACE)
    try:
        kit.kubectl("create", "serviceaccount", NAME, "-n", NAMESPACE)
        yield
    finally:
        kit.kubectl("delete", "clusterrolebinding,clusterrole", NAME, "--ignore-not-found")
        kit.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    ours = ("get", "pods,leases", "-n", NAMESPACE, "-l", "app.kubernetes.io/managed-by=kubeshield", "-o", "name")
    assert kit.kubectl(*ours) == ""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service account's, as seen from inside the namespaces."""
    folder = tmp_path_factory.mktemp("access")
    asked = folder / "request.json"
    asked.write_text('{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}')
    there = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token"
    token = json.loads(kit.kubectl("create", "--raw", there, "-f", str(asked)))["status"]["token"]
    config = yaml.safe_load(Path(kit.kit("kubeconfig", "--netns")).read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def grant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Bind what `kubeshield rbac` prints, as it is or without one right."""

    def bind(lacking: Right | None = None, feature: str = "") -> None:
        chosen = [feature] if feature else ["discovery", "--feature", "own-pods", "--namespace", NAMESPACE]
        arguments = ["--feature", *chosen, "--name", NAME]
        assert run(["rbac", *arguments, "--service-account", f"{NAMESPACE}/{NAME}", "--format", "json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        taken = sum(_without(role, lacking) for role in printed["items"]) if lacking else 0
        assert taken == bool(lacking), "it was not printed"
        path = tmp_path / "roles.json"
        path.write_text(json.dumps(printed))
        kit.kubectl("apply", "-f", str(path))
        if lacking is not None:
            kit.wait_until(lambda: not _may(lacking), "the right to be gone", 10)

    return bind


def _without(role: Json, lacking: Right) -> bool:
    for rule in role.get("rules", ()):
        if rule["apiGroups"] == [lacking.group] and rule["resources"] == [lacking.resource]:
            if lacking.verb in rule["verbs"]:
                rule["verbs"].remove(lacking.verb)
                role["rules"] = [each for each in role["rules"] if each["verbs"]]
                return True
    return False


def _may(right: Right) -> bool:
    name, _, subresource = right.resource.partition("/")
    resource = f"{name}.{right.group}" if right.group else name
    more = ["--subresource", subresource] if subresource else []
    asked = ("auth", "can-i", right.verb, resource, *more, "-n", NAMESPACE, "--as", ACCOUNT)
    return kit.kit("kubectl", *asked, check=False).splitlines()[-1] == "yes"


def audit(kubeconfig: Path, *arguments: str) -> kit.Audit:
    process = kit.start("audit", "--kubeconfig", str(kubeconfig), "--format", "json", *arguments)
    out, err = process.communicate(timeout=kit.LIMIT)
    assert "Traceback" not in err
    return kit.Audit(process.returncode, out, err)


def found(told: kit.Audit) -> set[str]:
    """Ids of what was found; other tests may come and go in namespaces of their own."""
    return {each["id"] for each in told.report["endpoints"] if not each["namespace"].startswith("kst-")}


def shown(right: Right) -> str:
    return f"{right.verb} {right.resource}"


def test_kubectl_takes_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = [word for feature in Feature for word in ("--feature", feature)]
    for number, choice in enumerate((every, [*every, "--namespace", NAMESPACE], ["--feature", "exec"])):
        assert run(["rbac", *choice, "--user", 'au"dit: no', "--name", NAME]) == 0
        path = tmp_path / f"{number}.yaml"
        path.write_text(capsys.readouterr().out)
        for where in ("client", "server"):
            said = kit.kubectl("apply", f"--dry-run={where}", "-f", str(path))
            assert "clusterrolebinding.rbac.authorization.k8s.io" in said
            assert said.count("dry run") == path.read_text().count("\nkind: ")


def test_under_exactly_the_printed_roles_everything_works(
    kubeconfig: Path, grant: Callable[..., None], tmp_path: Path
) -> None:
    grant()
    vantages = ["--vantage", "local", "--zone", "local=outside", "--vantage", f"pod:{NAMESPACE}", "--yes"]
    told = audit(kubeconfig, *vantages)
    admin = audit(Path(kit.kit("kubeconfig", "--netns")), *vantages)
    assert told.report["denied"] == []
    assert told.report["incomplete"] == []
    assert {each["status"] for each in told.report["vantages"]} == {"ready"}
    assert told.code == admin.code == 1
    assert found(told) == found(admin)


@pytest.mark.parametrize("lacking", rights_of([Feature.DISCOVERY]), ids=shown)
def test_without_one_list_the_rest_is_audited_and_coverage_tells(
    kubeconfig: Path, grant: Callable[..., None], lacking: Right
) -> None:
    grant(lacking)
    told = audit(kubeconfig, "--zone", "local=outside", *QUICK)
    resource = f"{lacking.resource}.{lacking.group}" if lacking.group else lacking.resource
    assert f"list {resource}" in {each["what"] for each in told.report["denied"]}
    assert {each["why"] for each in told.report["denied"]} == {"forbidden"}
    assert told.report["endpoints"]
    assert told.report["coverage"]["tested"]
    assert told.report["incomplete"] == []
    assert told.code in {0, 1}


@pytest.mark.parametrize("lacking", OWN, ids=shown)
def test_without_one_right_an_own_pod_works_or_says_which(
    kubeconfig: Path, grant: Callable[..., None], tmp_path: Path, lacking: Right
) -> None:
    grant(lacking)
    targets = tmp_path / "targets"
    targets.write_text("172.30.0.1:10250\n")
    told = audit(
        kubeconfig, "--no-discovery", "--targets", str(targets), "--vantage", f"pod:{NAMESPACE}", "--yes", *QUICK
    )
    assert "LEFT BEHIND" not in told.err
    (vantage,) = told.report["vantages"]
    (cell,) = told.report["cells"]
    if lacking in OPTIONAL:
        assert (vantage["status"], cell["state"]) == ("ready", "open"), told.err
        assert told.report["incomplete"] == []
        return
    assert (vantage["status"], cell["state"]) == ("failed", "untested"), told.err
    assert "rbac --feature" in vantage["detail"]
    assert told.code == 3
    assert [each["why"] for each in told.report["coverage"]["untested"]] == ["vantage-lost"]


def test_a_self_test_needs_what_is_printed_for_it(kubeconfig: Path, grant: Callable[..., None]) -> None:
    grant(feature="selftest")
    process = kit.start("selftest", "--kubeconfig", str(kubeconfig), "--yes")
    out, err = process.communicate(timeout=kit.LIMIT)
    assert (process.returncode, "NetworkPolicies ENFORCED" in out) == (0, True), err
    assert "removed Namespace kubeshield-selftest-" in err
    assert "LEFT BEHIND" not in err


def test_the_doctor_says_before_what_the_audit_would_meet(kubeconfig: Path, grant: Callable[..., None]) -> None:
    lacking = NEEDS[Feature.DISCOVERY][0].rights[0]
    grant(lacking)
    process = kit.start("doctor", "--kubeconfig", str(kubeconfig), "--vantage", f"pod:{NAMESPACE}", "--format", "json")
    out, err = process.communicate(timeout=kit.LIMIT)
    assert process.returncode == 0, err
    rights = {each["subject"]: each for each in json.loads(out)["checks"] if each["area"] in {"rights", "vantage"}}
    assert rights["discovery"]["said"] == f"not granted: {shown(lacking)}"
    assert "all rights" in rights[f"pod:{NAMESPACE}"]["said"]
