"""A laboratory of network namespaces: a client, a router and a server, joined by veth pairs.

    client 192.0.2.1/24, 2001:db8:1::1 -- router .254 -- server 198.51.100.1/24, 2001:db8:2::1

Made with `ip netns`, needs root; everything is removed at the end. Names carry the process id, so that runs can't meet.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER4, SERVER6 = "198.51.100.1", "2001:db8:2::1"
ROUTER4 = "192.0.2.254"
ROUTER6 = "2001:db8:1::fe"


def run(*command: str, given: str | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, input=given, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Lab:
    """Three hosts."""

    def __init__(self) -> None:
        self.prefix = f"ks{os.getpid()}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def name(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def on(self, host: str, *command: str, given: str | None = None) -> str:
        return run("ip", "netns", "exec", self.name(host), *command, given=given)

    def argv(self, host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name(host), *command]

    def rules(self, host: str, text: str, hook: str = "forward") -> None:
        """Load rules of one chain, in place of all those before."""
        chain = f"table inet lab {{\nchain {hook} {{\ntype filter hook {hook} priority 0;\n{text}\n}}\n}}\n"
        self.on(host, "nft", "-f", "-", given=f"flush ruleset\n{chain}")

    def limit_icmp(self, limited: bool) -> None:
        """Have the kernel send few ICMP errors a second, as it does everywhere, or as many as there are to send."""
        four, six = ("1000", "100") if limited else ("0", "0")
        for host in ("router", "server"):
            self.on(host, "sysctl", "-qw", f"net.ipv4.icmp_ratelimit={four}", f"net.ipv6.icmp.ratelimit={six}")
            # Of each namespace since Linux 6.13; before that of the whole machine, which a test leaves as it is.
            most = "1000" if limited else "1000000"
            self.on(host, "sysctl", "-eqw", f"net.ipv4.icmp_msgs_per_sec={most}")

    def spawn(self, host: str, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self.argv(host, *command), stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        self._processes.append(process)
        return process

    def up(self) -> None:
        for host in ("client", "router", "server"):
            run("ip", "netns", "add", self.name(host))
            # Without it an address can't be used for a second, and rejects of that second are lost.
            self.on(host, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
            self.on(host, "ip", "link", "set", "lo", "up")
        self._join("client", "192.0.2.1", "2001:db8:1::1", ROUTER4, ROUTER6)
        self._join("server", SERVER4, SERVER6, "198.51.100.254", "2001:db8:2::fe")
        self.on("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.limit_icmp(False)  # it would make rejects look like silence

        for address in (SERVER4, SERVER6):
            self.on("client", sys.executable, "-c", REACH, address)

    def _join(self, host: str, own4: str, own6: str, router4: str, router6: str) -> None:
        near, far = f"{self.prefix}{host[0]}", f"{self.prefix}r{host[0]}"
        run(
            "ip",
            "link",
            "add",
            near,
            "netns",
            self.name(host),
            "type",
            "veth",
            "peer",
            far,
            "netns",
            self.name("router"),
        )
        for where, link, four, six in ((host, near, own4, own6), ("router", far, router4, router6)):
            self.on(where, "ip", "addr", "add", f"{four}/24", "dev", link)
            self.on(where, "ip", "-6", "addr", "add", f"{six}/64", "dev", link, "nodad")
            self.on(where, "ip", "link", "set", link, "up")
        self.on(host, "ip", "route", "add", "default", "via", router4)
        self.on(host, "ip", "-6", "route", "add", "default", "via", router6)

    def down(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        for host in ("client", "router", "server"):
            subprocess.run(["ip", "netns", "del", self.name(host)], capture_output=True, check=False)


@contextmanager
def lab() -> Iterator[Lab]:
    made = Lab()
    try:
        made.up()
        yield made
    finally:
        made.down()


def can_make_namespaces() -> str:
    """Why not; empty where it can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in ("ip", "nft") if not any((Path(each) / tool).exists() for each in PATHS)]
    return f"needs {', '.join(missing)}" if missing else ""


REACH = """import socket, sys, time
for _ in range(100):
    try:
        socket.create_connection((sys.argv[1], 9), 0.2)
    except ConnectionRefusedError:
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("the lab's hosts do not reach each other")
"""
"""Links need a moment until neighbours are known; rejects of that moment would be lost."""
PATHS = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/sbin"]
