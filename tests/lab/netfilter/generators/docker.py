"""dockerd itself in the router's namespace, with containers: published ports, two networks, and rules of the user's.

Docker 20.10 and later (Debian's docker.io). It keeps all that it makes in a folder of its own, and that is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.lab.netfilter.generators.place import Place, Sender, make_outspoken
from tests.lab.netfilter.world import CLIENTS, ROUTERS, SERVERS, World, listeners
from tests.lab.netns import run

PROGRAMS = ("dockerd", "docker", "containerd", "runc", "busybox")
STARTING = 30.0
BRIDGE, OTHER = "docker0", "br-other"
PREFIX6, OTHER6 = "fd00:d0c:1::/64", "fd00:d0c:2::/64"
CONTAINERS = {
    "web": ("-p", "9080:80", "-p", "9053:53/udp"),
    "local": ("-p", "127.0.0.1:9443:443", "-p", "9250:10250"),
    "other": ("-p", "9022:22", "--network", "other"),
    "apart": ("--network", "other"),
}
PORTS = (22, 53, 80, 443, 10250)
"""Where containers listen."""


@contextmanager
def installed(world: World) -> Iterator[Place]:
    """Run dockerd on the router, and containers."""
    with TemporaryDirectory() as made, ExitStack() as undo:
        folder = Path(made)
        daemon = _start(world, folder)
        undo.callback(_stop, daemon)
        _await(folder)
        _docker(folder, "import", str(_image(folder)), "box")
        options = ["--opt", f"com.docker.network.bridge.name={OTHER}", "--ipv6", "--subnet", OTHER6]
        options += ["--opt", "com.docker.network.bridge.enable_icc=false"]  # its containers must not meet
        _docker(folder, "network", "create", *options, "--subnet", "172.29.0.0/16", "other")
        senders, targets, sockets = [], {family: [*own, SERVERS[family][0]] for family, own in ROUTERS.items()}, []
        for name, published in CONTAINERS.items():
            _docker(folder, "run", "-d", "--name", name, *published, "box", "/busybox", "sleep", "600")
            undo.callback(_docker, folder, "rm", "-f", name)
            told = json.loads(_docker(folder, "inspect", name))[0]
            namespace, addresses = _named(world, undo, name, told)
            senders.append(Sender(namespace, addresses, OTHER if "other" in published else BRIDGE))
            for family, own in addresses.items():
                targets[family] += own
            sockets += listeners(namespace, addresses, PORTS)
        world.network.on("router", "iptables", "-I", "DOCKER-USER", "-s", CLIENTS["ip"][1], "-j", "DROP")
        yield Place(
            senders=[
                Sender(world.client, {family: own[:2] for family, own in CLIENTS.items()}, world.to_client),
                Sender(world.server, {family: own[:1] for family, own in SERVERS.items()}, world.to_server),
                Sender(world.router, {family: own[1:] for family, own in ROUTERS.items()}),
                *senders,
            ],
            targets={**targets, "ip": [*targets["ip"], "127.0.0.1"]},
            ports=(22, 53, 80, 8080, 9080, 9053, 9443, 9250, 9022),
            listeners=sockets,
        )  # fmt: skip


def _start(world: World, folder: Path) -> subprocess.Popen[bytes]:
    """Start the daemon. `ip netns exec` would hide the control groups from it, nsenter does not."""
    argv = ["nsenter", f"--net=/run/netns/{world.router}", "dockerd", "--data-root", str(folder / "data"),
            "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid"), "-H", f"unix://{folder / 'sock'}",
            "--storage-driver", "vfs", "--experimental", "--ipv6", "--fixed-cidr-v6", PREFIX6, "--ip6tables",
            "--userland-proxy=false"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait(30)
    for group in Path("/sys/fs/cgroup").glob("*/docker"):
        with contextlib.suppress(OSError):
            group.rmdir()


def _docker(folder: Path, *words: str) -> str:
    return run("docker", "-H", f"unix://{folder / 'sock'}", *words)


def _await(folder: Path) -> None:
    end = time.monotonic() + STARTING
    while True:
        with contextlib.suppress(AssertionError):
            _docker(folder, "info")
            return
        assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
        time.sleep(0.2)


def _image(folder: Path) -> Path:
    """Make an image that holds busybox alone."""
    image = folder / "image.tar"
    busybox = shutil.which("busybox")
    assert busybox is not None
    with tarfile.open(image, "w") as archive:
        archive.add(os.path.realpath(busybox), "busybox")
    return image


def _named(world: World, undo: ExitStack, name: str, told: dict[str, Any]) -> tuple[str, dict[str, list[str]]]:
    """Give a container's namespace a name, and return it with the container's addresses."""
    namespace = f"{world.network.prefix}-{name}"
    run("ip", "netns", "attach", namespace, str(told["State"]["Pid"]))
    undo.callback(run, "ip", "netns", "del", namespace)
    make_outspoken(namespace)
    (joined,) = told["NetworkSettings"]["Networks"].values()
    return namespace, {"ip": [joined["IPAddress"]], "ip6": [joined["GlobalIPv6Address"]]}
