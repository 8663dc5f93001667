"""kube-proxy's rules as read from nodes of real clusters, loaded on the router, which stands for the node.

Its iptables mode comes from a node of Kubernetes 1.20 (`iptables-save -c`, kept in the folder of what was recorded: a
newer dump in its place is judged and recorded anew), its nftables mode from a node of 1.36. Around it stand the node's
pods behind a bridge, another node's pods at the server, and a visitor at the client.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.lab.netfilter.generators.place import Place, Sender, behind_bridge
from tests.lab.netfilter.generators.recorded import FOLDER
from tests.lab.netfilter.world import World, listeners

BRIDGE, NODE, VISITOR = "cni0", "172.30.0.1", "172.30.0.254"
EXTERNAL = "198.51.100.77"
POD_PORTS = (8080, 7007)
DUMP, DUMP_NFT = FOLDER / "kube-proxy-iptables" / "iptables-save", FOLDER / "kube-proxy-1.36.nft.json"
ORDER = ("metainfo", "table", "chain", "set", "map", "rule")
"""Of objects when they are loaded: each after those that it names."""


class Iptables:
    """kube-proxy in iptables mode: two pods of each Service here, two at another node."""

    PROGRAMS = ("iptables-nft-restore",)

    @staticmethod
    @contextmanager
    def installed(world: World) -> Iterator[Place]:
        """Load the rules, and make what stands around them."""
        dump = DUMP.read_text("utf-8")
        here = sorted(set(re.findall(r"--to-destination (10\.244\.1\.\d+):(?:8080|7007)$", dump, re.MULTILINE)))
        there = sorted(set(re.findall(r"--to-destination (10\.244\.0\.\d+):", dump)))
        services = sorted(set(re.findall(r"-d (10\.96\.\d+\.\d+|203\.0\.113\.\d+)/32 ", dump)))
        with _around(world, "10.244.1.1/24", here, there) as place:
            world.network.on("router", "iptables-nft-restore", given=dump)
            place.targets["ip"] += [*services, "10.96.9.9"]
            place.ports = (80, 443, 7, 53, 5432, 8443, 8080, 30080, 30090, 30091, 30092, 30093)
            yield place


class Nftables:
    """kube-proxy in nftables mode: both pods of each Service are at this node."""

    PROGRAMS = ("nft",)

    @staticmethod
    @contextmanager
    def installed(world: World) -> Iterator[Place]:
        """Load the rules, and make what stands around them."""
        told = [each for each in json.loads(DUMP_NFT.read_text("utf-8"))["nftables"] if _is_own(each)]
        told.sort(key=lambda each: ORDER.index(next(iter(each))))
        external = f"{EXTERNAL}/32", "dev", f"{world.network.prefix}s"
        world.network.on("server", "ip", "addr", "add", *external)  # who has it at other ports than the Service's
        with _around(world, "10.244.0.1/24", ["10.244.0.2", "10.244.0.3"], []) as place:
            world.network.on("router", "nft", "-j", "-f", "-", given=json.dumps({"nftables": told}))
            place.targets["ip"] += ["10.96.0.1", "10.96.233.155", "10.96.34.209", "10.96.82.95", "10.96.125.255",
                                    "10.96.186.37", "10.96.9.9", EXTERNAL]  # fmt: skip
            place.ports = (80, 443, 5432, 8443, 8080, 30080, 30081, 9)
            yield place


def _is_own(told: dict[str, dict[str, object]]) -> bool:
    kind, body = next(iter(told.items()))
    return kind == "metainfo" or body["name" if kind == "table" else "table"] == "kube-proxy"


@contextmanager
def _around(world: World, gateway: str, here: Sequence[str], there: Sequence[str]) -> Iterator[Place]:
    """Make the pods of this node and of another, the API server at this one, and the visitor."""
    on = world.network.on
    client, server = f"{world.network.prefix}c", f"{world.network.prefix}s"
    on("router", "ip", "addr", "add", f"{NODE}/24", "dev", world.to_client)
    on("client", "ip", "addr", "add", f"{VISITOR}/24", "dev", client)
    on("client", "ip", "route", "add", "10.0.0.0/8", "via", NODE)
    on("router", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    for pod in there:
        on("server", "ip", "addr", "add", f"{pod}/32", "dev", server)
    if there:
        on("router", "ip", "route", "add", "10.244.0.0/24", "via", "198.51.100.1")
    with behind_bridge(world, BRIDGE, {"ip": gateway}, [{"ip": f"{pod}/24"} for pod in here]) as names:
        sockets = [*listeners(world.router, {"ip": [NODE]}, (6443,), (socket.SOCK_STREAM,))]
        sockets += listeners(world.server, {"ip": there}, (*POD_PORTS, 53, 8443))
        for name, pod in zip(names, here, strict=True):
            sockets += listeners(name, {"ip": [pod]}, POD_PORTS)
        senders = [
            Sender(world.client, {"ip": [VISITOR]}, world.to_client),
            Sender(world.router, {"ip": [NODE, "127.0.0.1"]}),
        ]
        senders.append(Sender(names[0], {"ip": [here[0]]}, BRIDGE))
        yield Place(
            senders=senders,
            targets={"ip": [NODE, "127.0.0.1", *here[-1:], *there[-1:]]},
            ports=(),
            listeners=sockets,
            keeps_ports=False,
        )
