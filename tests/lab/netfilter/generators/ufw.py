"""ufw itself on the router, with a configuration of its own: what it denies, rejects, limits, routes and logs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.lab.netfilter.generators.place import Place, Sender
from tests.lab.netfilter.world import CLIENTS, ROUTERS, SERVERS, World

PROGRAMS = ("ufw",)
PARTS = ("/etc/ufw", "/lib/ufw", "/usr/share/ufw")


def _orders(world: World) -> Iterator[str]:
    yield "logging medium"
    yield "default deny incoming"
    yield "default reject routed"
    yield "allow 443/tcp"
    yield "limit 22/tcp"
    yield "reject 80"
    yield "deny 8080/tcp"
    yield "allow 53/udp"
    for family in ("ip", "ip6"):
        yield f"prepend deny from {CLIENTS[family][1]}"
        yield f"prepend allow from {CLIENTS[family][2]} to any port 10250 proto tcp"
        yield f"deny out to {SERVERS[family][1]} port 80 proto tcp"
        yield f"reject out to {SERVERS[family][1]} port 443 proto tcp"
        yield f"route allow in on {world.to_client} out on {world.to_server} to {SERVERS[family][0]} port 80 proto tcp"
        yield f"route limit in on {world.to_client} to {SERVERS[family][0]} port 22 proto tcp"
        yield f"route deny from {CLIENTS[family][0]} to {SERVERS[family][0]} port 8080"
    yield f"allow in on {world.to_server} to any port 8000:8100 proto tcp"


@contextmanager
def installed(world: World) -> Iterator[Place]:
    """Have ufw write rules on the router."""
    root = Path(mkdtemp(dir="/var/lib"))  # ufw warns of a path that all may write to
    try:
        for part in PARTS:
            shutil.copytree(part, f"{root}{part}")
        (root / "etc/default").mkdir()
        shutil.copy("/etc/default/ufw", root / "etc/default")
        for order in (*_orders(world), "--force enable"):
            world.network.on("router", "ufw", f"--rootdir={root}", f"--datadir={root}", *order.split())
        world.network.on("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        yield _place(world)
    finally:
        shutil.rmtree(root)


def _place(world: World) -> Place:
    return Place(
        senders=[
            Sender(world.client, {family: own[:3] for family, own in CLIENTS.items()}, world.to_client),
            Sender(world.server, {family: own[:2] for family, own in SERVERS.items()}, world.to_server),
            Sender(world.router, {family: own[1:] for family, own in ROUTERS.items()}),
        ],
        targets={family: [*ROUTERS[family], *SERVERS[family][:2]] for family in ("ip", "ip6")},
        ports=(22, 53, 80, 443, 8080, 10250, 9),
    )
