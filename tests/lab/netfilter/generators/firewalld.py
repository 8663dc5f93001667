"""firewalld itself in the router's namespace, with a message bus of its own: zones, policies, rich rules, forwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.netfilter.generators.place import Place, Sender
from tests.lab.netfilter.world import CLIENTS, ROUTERS, SERVERS, World

STARTING = 20.0
"""Seconds that the daemon may take to answer."""
BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>"""
TRUSTED, BLOCKED = 2, 3
"""Numbers of the clients that sit in zones of their own."""


def _orders(world: World) -> Iterator[str]:
    yield f"--zone=public --change-interface={world.to_client}"
    yield f"--zone=internal --change-interface={world.to_server}"
    yield "--zone=public --add-service=https"
    yield "--zone=public --add-port=53/udp"
    yield "--zone=public --add-port=8000-8100/tcp"
    for family, kind in (("ip", "ipv4"), ("ip6", "ipv6")):
        yield f"--zone=trusted --add-source={CLIENTS[family][TRUSTED]}"
        yield f"--zone=block --add-source={CLIENTS[family][BLOCKED]}"
        rule = f'rule family="{kind}" source address="{CLIENTS[family][1]}"'
        yield f"--zone=public --add-rich-rule={rule} port port=10250 protocol=tcp accept"
        yield f"--zone=public --add-rich-rule={rule} port port=80 protocol=tcp reject type=tcp-reset"
        yield f"--zone=public --add-rich-rule={rule} service name=ssh drop"
    yield f"--zone=public --add-forward-port=port=2222:proto=tcp:toport=443:toaddr={SERVERS['ip'][1]}"
    yield "--zone=public --add-forward-port=port=8081:proto=tcp:toport=80"
    forward = f"forward-port port=2222 protocol=tcp to-port=443 to-addr={SERVERS['ip6'][1]}"
    yield f"--zone=public --add-rich-rule=rule family=ipv6 {forward}"
    yield "--zone=internal --add-masquerade"
    yield "--zone=public --add-icmp-block=echo-request"


PERMANENT = (
    "--new-ipset=office --type=hash:net",
    "--ipset=office --add-entry=192.0.2.5",
    "--zone=work --add-source=ipset:office",
    "--zone=work --add-port=10250/tcp",
    "--new-policy=inward",
    "--policy=inward --add-ingress-zone=public",
    "--policy=inward --add-egress-zone=internal",
    "--policy=inward --add-port=80/tcp",
    "--policy=inward --add-rich-rule=rule port port=8080 protocol=tcp reject",
)
"""A zone of the addresses in a set, and what may pass from zone to zone: made before the daemon starts."""


class Firewalld:
    """firewalld with its usual backend, nftables, or with iptables and ipset."""

    PROGRAMS = ("firewalld", "firewall-cmd", "firewall-offline-cmd", "dbus-daemon")

    def __init__(self, backend: str) -> None:
        self._backend = backend

    @contextmanager
    def installed(self, world: World) -> Iterator[Place]:
        """Run firewalld on the router."""
        with TemporaryDirectory() as made:
            folder = Path(made)
            shutil.copytree("/etc/firewalld", folder / "conf")
            settings = folder / "conf" / "firewalld.conf"
            settings.write_text(settings.read_text().replace("Backend=nftables", f"Backend={self._backend}"))
            (folder / "bus.conf").write_text(BUS.format(path=folder / "bus"))
            environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}"}
            for order in PERMANENT:
                configured = ("--system-config", str(folder / "conf"))
                world.network.on("router", "firewall-offline-cmd", *configured, *_words(order))
            daemons = _daemons(world, folder, environment)
            try:
                _await(world, environment)
                for order in _orders(world):
                    _tell(world, environment, *_words(order))
                yield _place(world)
            finally:
                for daemon in reversed(daemons):
                    daemon.terminate()
                    daemon.wait(10)


def _daemons(world: World, folder: Path, environment: dict[str, str]) -> list[subprocess.Popen[bytes]]:
    bus = ["dbus-daemon", f"--config-file={folder / 'bus.conf'}", "--nofork", "--nopidfile"]
    firewalld = ["firewalld", "--nofork", "--nopid", "--log-file", str(folder / "log")]
    argvs = (bus, world.network.argv("router", *firewalld, "--system-config", str(folder / "conf")))
    return [subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) for argv in argvs]


def _words(order: str) -> list[str]:
    """Split an order into its options; a rich rule is one of them with all its words."""
    head, mark, rule = order.partition(" --add-rich-rule=")
    return head.split() + ([f"--add-rich-rule={rule}"] if mark else [])


def _tell(world: World, environment: dict[str, str], *order: str) -> None:
    argv = world.network.argv("router", "firewall-cmd", *order)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{order}: {done.stderr}{done.stdout}"


def _await(world: World, environment: dict[str, str]) -> None:
    end = time.monotonic() + STARTING
    argv = world.network.argv("router", "firewall-cmd", "--state")
    while subprocess.run(argv, env=environment, capture_output=True, timeout=30, check=False).returncode:
        assert time.monotonic() < end, "firewalld does not answer"
        time.sleep(0.1)


def _place(world: World) -> Place:
    return Place(
        senders=[
            Sender(world.client, CLIENTS, world.to_client),
            Sender(world.server, {family: own[:1] for family, own in SERVERS.items()}, world.to_server),
            Sender(world.router, {family: own[1:] for family, own in ROUTERS.items()}),
        ],
        targets={family: [*ROUTERS[family], SERVERS[family][0], CLIENTS[family][0]] for family in ("ip", "ip6")},
        ports=(22, 53, 80, 443, 8080, 10250, 2222, 8081, 9),
    )
