"""The pod of our own: it passes Pod Security `restricted`, and each rule of the standard bites when it is broken.

The rules stand here a second time on purpose, by the documentation's own table, beside the range's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from kubeshield_tui.range.restricted import violations
from kubeshield_tui.vantages import pod_objects

Spec = dict[str, Any]
NOW = datetime(2026, 5, 17, 12, 0, 0, 250, tzinfo=UTC)
SECURITY = ("securityContext",)


def pod(node: str = "") -> Spec:
    return pod_objects.probe_pod("shop", "kubeshield-1", "the-uid", "python:3-slim", node)


def spec() -> Spec:
    found: Spec = pod()["spec"]
    return found


def container(of: Spec) -> Spec:
    found: Spec = of["containers"][0]
    return found


def put(value: object, *path: str | int) -> Callable[[Spec], None]:
    def change(of: Spec) -> None:
        *parents, last = path
        place: Any = of
        for each in parents:
            place = place[each] if isinstance(each, int) else place.setdefault(each, {})
        place[last] = value

    return change


def both_without(key: str) -> Callable[[Spec], None]:
    def change(of: Spec) -> None:
        of["securityContext"].pop(key, None)
        container(of)["securityContext"].pop(key, None)

    return change


INSIDE = ("containers", 0, "securityContext")
BROKEN: dict[str, Callable[[Spec], None]] = {
    # Baseline
    "host network": put(True, "hostNetwork"),
    "host PID": put(True, "hostPID"),
    "host IPC": put(True, "hostIPC"),
    "privileged": put(True, *INSIDE, "privileged"),
    "host path": put([{"name": "v", "hostPath": {"path": "/"}}], "volumes"),
    "host port": put([{"containerPort": 80, "hostPort": 80}], "containers", 0, "ports"),
    "added capability": put(["SYS_ADMIN"], *INSIDE, "capabilities", "add"),
    "raw sockets": put(["NET_RAW"], *INSIDE, "capabilities", "add"),
    "unconfined seccomp": put({"type": "Unconfined"}, "securityContext", "seccompProfile"),
    "unconfined seccomp inside": put({"type": "Unconfined"}, *INSIDE, "seccompProfile"),
    # Restricted
    "NFS volume": put([{"name": "v", "nfs": {"server": "s", "path": "/"}}], "volumes"),
    "escalation": put(True, *INSIDE, "allowPrivilegeEscalation"),
    "escalation unsaid": put(None, *INSIDE, "allowPrivilegeEscalation"),
    "root allowed": put(False, "securityContext", "runAsNonRoot"),
    "root allowed inside": put(False, *INSIDE, "runAsNonRoot"),
    "root unsaid": both_without("runAsNonRoot"),
    "user 0": put(0, "securityContext", "runAsUser"),
    "user 0 inside": put(0, *INSIDE, "runAsUser"),
    "seccomp unsaid": both_without("seccompProfile"),
    "capabilities kept": put([], *INSIDE, "capabilities", "drop"),
    "one capability dropped": put(["NET_RAW"], *INSIDE, "capabilities", "drop"),
    "capabilities unsaid": put({}, *INSIDE, "capabilities"),
    "careless init container": put([{"name": "i", "image": "x"}], "initContainers"),
    "careless second container": lambda of: of["containers"].append({"name": "i", "image": "x"}),
}


def forbidden(of: Spec) -> list[str]:
    """The standard as it is documented: control by control, for every container."""
    shared = of.get("securityContext") or {}
    volumes = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected")
    wrong = [key for key in ("hostNetwork", "hostPID", "hostIPC") if of.get(key)]
    wrong += ["volume" for each in of.get("volumes") or () if not set(each) - {"name"} <= {*volumes, "secret"}]
    wrong += ["sysctls"] * bool(shared.get("sysctls"))
    for each in [*of["containers"], *(of.get("initContainers") or ())]:
        own = each.get("securityContext") or {}
        capabilities = own.get("capabilities") or {}
        profile = own.get("seccompProfile", shared.get("seccompProfile")) or {}
        rules = {
            "privileged": own.get("privileged") is not True,
            "escalation": own.get("allowPrivilegeEscalation") is False,
            "drop": "ALL" in (capabilities.get("drop") or ()),
            "add": set(capabilities.get("add") or ()) <= {"NET_BIND_SERVICE"},
            "non-root": own.get("runAsNonRoot", shared.get("runAsNonRoot")) is True,
            "user": own.get("runAsUser", shared.get("runAsUser")) != 0,
            "seccomp": profile.get("type") in ("RuntimeDefault", "Localhost"),
            "ports": not any(port.get("hostPort") for port in each.get("ports") or ()),
        }
        wrong += [rule for rule, kept in rules.items() if not kept]
    return wrong


def test_our_pod_passes_by_both_readings() -> None:
    assert violations(spec()) == []
    assert forbidden(spec()) == []


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_bites(rule: str) -> None:
    changed = spec()
    BROKEN[rule](changed)
    assert violations(changed) != []
    assert forbidden(changed) != []


def test_a_pod_that_may_bind_low_ports_still_passes() -> None:
    changed = spec()
    put(["NET_BIND_SERVICE"], *INSIDE, "capabilities", "add")(changed)
    put([{"name": "t", "emptyDir": {}}, {"name": "c", "configMap": {}}], "volumes")(changed)
    put({"type": "Localhost", "localhostProfile": "x"}, *INSIDE, "seccompProfile")(changed)
    assert violations(changed) == forbidden(changed) == []


def test_it_is_least_of_all_that_works() -> None:
    body = pod()
    inner = container(body["spec"])
    assert body["spec"]["automountServiceAccountToken"] is False
    assert body["spec"]["enableServiceLinks"] is False
    assert body["spec"]["restartPolicy"] == "Never"
    assert 0 < body["spec"]["activeDeadlineSeconds"] <= 3600
    assert body["spec"]["readinessGates"]  # nobody sets it: never an endpoint of a Service
    assert "volumes" not in body["spec"]
    assert "serviceAccountName" not in body["spec"]
    assert inner["securityContext"]["readOnlyRootFilesystem"] is True
    assert set(inner["resources"]["limits"]) == set(inner["resources"]["requests"]) == {"cpu", "memory"}
    assert "ports" not in inner
    assert "env" not in inner


def test_its_lease_owns_it() -> None:
    (owner,) = pod()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Lease", "kubeshield-1", "the-uid")
    assert owner["controller"] is True  # no controller of the workload's adopts it by its labels
    held = pod_objects.lease("shop", "kubeshield-1", "me", NOW)
    assert held["apiVersion"] == owner["apiVersion"]
    key, _, value = pod_objects.SELECTOR.partition("=")
    for each in (held, pod()):
        assert each["metadata"]["labels"][key] == value
        assert each["metadata"]["namespace"] == "shop"


def test_labels_are_not_shared_between_objects() -> None:
    first = pod()
    kept = copy.deepcopy(pod())
    first["metadata"]["labels"]["app"] = "changed"
    assert pod() == kept
    json.dumps(first)  # plain objects


def test_a_node_is_named_only_when_asked_for() -> None:
    anywhere, there = pod()["spec"], pod("n2")["spec"]
    assert "nodeName" not in anywhere
    assert "tolerations" not in anywhere
    assert anywhere["nodeSelector"] == {"kubernetes.io/os": "linux"}  # the image is, and a node may be Windows
    assert there["nodeName"] == "n2"
    assert "nodeSelector" not in there  # the kubelet would refuse the pod over a label that somebody moved
    assert there["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]  # an eviction passes nodeName by
    assert violations(there) == forbidden(there) == []


def test_a_pod_for_a_node_breaks_host_network_and_nothing_else() -> None:
    """Baseline and restricted forbid hostNetwork; every other rule of both is kept, and still bites."""
    body = pod_objects.probe_pod("default", "n", "u", "python:3-slim", "n1", host_network=True)
    assert violations(body["spec"]) == forbidden(body["spec"]) == ["hostNetwork"]
    without = copy.deepcopy(body["spec"])
    del without["hostNetwork"]
    assert without == pod("n1")["spec"]
    # On a host's network a declared port would be the host's.
    assert not any("ports" in each for each in body["spec"]["containers"])
    for rule, change in BROKEN.items():
        changed = copy.deepcopy(body["spec"])
        change(changed)
        if rule != "host network":
            assert len(forbidden(changed)) > 1, rule
            assert len(violations(changed)) > 1, rule


def test_a_lease_is_micro_time_in_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    for moment in (NOW, east):
        fields = pod_objects.lease("shop", "n", "me", moment)["spec"]
        assert fields["acquireTime"] == fields["renewTime"] == "2026-05-17T12:00:00.000250Z"
        assert pod_objects.renewal(moment) == {"spec": {"renewTime": "2026-05-17T12:00:00.000250Z"}}


@pytest.mark.parametrize(
    ("fields", "age", "expired"),
    [
        ({}, 0, False),
        ({}, pod_objects.LEASE_SECONDS, False),
        ({}, pod_objects.LEASE_SECONDS + 1, True),
        ({}, -3600, False),  # a clock ahead of ours
        ({"renewTime": "2026-05-17T12:00:00Z"}, 61, True),  # as other clients write it
        ({"renewTime": "2026-05-17T14:00:00+02:00"}, 61, True),
        ({"leaseDurationSeconds": 3600}, 61, False),
        # What can't be read is taken as living: a sweep must not end another's run.
        ({"renewTime": None}, 3600, False),
        ({"renewTime": "yesterday"}, 3600, False),
        ({"renewTime": "2026-05-17T12:00:00"}, 3600, False),
        ({"leaseDurationSeconds": None}, 3600, False),
        ({"leaseDurationSeconds": "soon"}, 3600, False),
    ],
)
def test_who_does_not_renew_is_gone(fields: Spec, age: int, expired: bool) -> None:
    held = pod_objects.lease("shop", "n", "me", NOW)["spec"]
    assert pod_objects.is_expired({**held, **fields}, NOW + timedelta(seconds=age)) is expired


def test_a_lease_without_a_spec_is_living() -> None:
    assert pod_objects.is_expired({}, NOW) is False
