"""Remedies on a real cluster: each closes what it is to close and nothing else, as was predicted, and goes cleanly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import kit

pytestmark = pytest.mark.timeout(1200)
PREFIX = "kst-remedy"
SHOP, DEV, TOOLS = (f"{PREFIX}-{name}" for name in ("shop", "dev", "tools"))
LEAST = 10
LISTEN = (
    "import socket,sys,threading,time\n"
    "def serve(port):\n"
    " s=socket.create_server(('',port))\n"
    " while 1: s.accept()[0].close()\n"
    "for port in sys.argv[1:]: threading.Thread(target=serve,args=(int(port),)).start()\n"
    "time.sleep(7200)\n"
)
PODS = (
    (SHOP, "web", "node1", (8080, 9090)),
    (SHOP, "cart", "node2", (8080,)),
    (DEV, "box", "node1", (7000,)),
    (DEV, "tool", "node2", (7000,)),
    (TOOLS, "robot", "node2", (7070,)),
)
INTERNET = "198.51.100.10:80"
EXPECT = f"""
[[rule]]
name = "nobody needs anything of ours"
must = "blocked"
to.namespace = "{PREFIX}-*"

[[rule]]
name = "inside a namespace"
must = "any"
from.same_namespace = true

[[rule]]
name = "the tool uses the cart"
must = "reachable"
to = {{ namespace = "{SHOP}", name = ["cart", "Pod/cart"] }}
from = {{ namespace = "{DEV}", labels = {{ app = "tool" }} }}

[[rule]]
name = "web does not use the cart"
must = "blocked"
to = {{ namespace = "{SHOP}", name = ["cart", "Pod/cart"] }}
from = {{ namespace = "{SHOP}", labels = {{ app = "web" }} }}

[[rule]]
name = "the shop asks the robot"
must = "reachable"
to.namespace = "{TOOLS}"
from.namespace = "{SHOP}"

[[rule]]
name = "only the shop may go out"
must = "blocked"
to.address = "198.51.100.10"
from.namespace = ["{DEV}", "{TOOLS}"]

[[rule]]
name = "the robot uses the API"
must = "reachable"
to.component = "kube-apiserver"
from.namespace = "{TOOLS}"
"""


def pod(namespace: str, name: str, node: str, ports: tuple[int, ...]) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "python:3-slim",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", LISTEN, *map(str, ports)],
        "ports": [{"containerPort": port} for port in ports],
    }
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"namespace": namespace, "name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(namespace: str, name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What each remedy was predicted to do, and did."""
    nodes = kit.kubectl("get", "nodes", "-o", "name").split()
    assert len(nodes) >= 2, "it needs a second node: cluster up --nodes 2"
    names = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"name": n}}} for n in SPACES]
    services = [service(SHOP, "web", 8080), service(SHOP, "cart", 8080), service(TOOLS, "robot", 7070)]
    folder = tmp_path_factory.mktemp("remedy")
    (folder / "expect.toml").write_text(EXPECT)
    (folder / "targets.txt").write_text(f"{INTERNET}\n")
    (folder / "objects.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [*names, *(pod(*each) for each in PODS), *services]})
    )
    try:
        kit.kubectl("apply", "-f", str(folder / "objects.json"))
        for namespace in SPACES:
            kit.kubectl("wait", "-n", namespace, "pod", "--all", "--for=condition=Ready", "--timeout=60s")
        vantages = [f"pod:{namespace}/{name}" for namespace, name, *_ in PODS]
        arguments = [kit.kit("kubeconfig", "--netns"), folder / "expect.toml", folder / "targets.txt", PREFIX]
        done = subprocess.run(
            [kit.KIT, "exec-net", "outside", sys.executable, "-m", "tests.cluster.remedy_run",
             *map(str, arguments), *vantages, "local"],
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        yield [json.loads(line) for line in done.stdout.splitlines()]
        left = kit.kubectl(
            "get", "networkpolicies", "-A", "-l", "app.kubernetes.io/managed-by=kubeshield", "-o", "name"
        )
        assert left == ""
    finally:
        kit.kubectl("delete", "namespace", *SPACES, "--wait=false", "--ignore-not-found")


SPACES = (SHOP, DEV, TOOLS)


def applied(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in told if "policy" in each]


def test_ten_exposures_are_closed(told: list[dict[str, Any]]) -> None:
    closed = {tuple(cell) for each in applied(told) for cell in each["closed"]}
    wanted = {tuple(cell) for each in applied(told) for cell in each["cells"]}
    assert wanted <= closed
    assert len(wanted) >= LEAST
    assert len(applied(told)) >= LEAST, [each["policy"] for each in applied(told)]
    assert [each["still_exposed"] for each in applied(told)] == [[]] * len(applied(told))


def test_what_was_predicted_is_what_was_seen(told: list[dict[str, Any]]) -> None:
    for each in applied(told):
        unsure = [cell for cell in each["closed"] if cell in each["unsure"]]
        seen = [cell for cell in each["closed"] if cell not in unsure]
        assert seen == [cell for cell in each["predicted"] if cell not in unsure], (each["policy"], each["text"])
        assert len(each["unsure"]) <= each["asked"] // 4, (each["policy"], each["unsure"])


def test_nothing_else_is_worse_and_all_comes_back(told: list[dict[str, Any]]) -> None:
    for each in applied(told):
        assert each["opened"] == [], each["policy"]
        assert each["not_back"] == [], each["policy"]
    assert told[-1] == {"applied": []}
