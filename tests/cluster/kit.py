"""The real cluster that the tests here run against.

Settings come from the environment:
KUBESHIELD_TEST_KUBECONFIG  kubeconfig that works from this machine (without it nothing here runs)
KUBESHIELD_TEST_KIT         the cluster's control program: `exec-net HOST CMD`, `policy on|off`, `kubeconfig`, `up`

Node and pod addresses exist only inside the cluster's own network namespaces, so the product runs in the namespace of
the host `outside`, and nothing is ever sent to such an address from the machine itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KIT = os.environ.get("KUBESHIELD_TEST_KIT", "")
KUBECONFIG = Path(os.environ.get("KUBESHIELD_TEST_KUBECONFIG", "."))
STATE = KUBECONFIG.parent
PROGRAM = "from kubeshield_tui.cli.main import main; main()"
LIMIT = 180
OUTSIDE = "172.30.0.254"
"""Address of the host `outside`."""


def kit(*arguments: str, check: bool = True) -> str:
    """Run the control program."""
    return subprocess.run([KIT, *arguments], capture_output=True, text=True, timeout=LIMIT, check=check).stdout.strip()


def kubectl(*arguments: str) -> str:
    """Run kubectl as the cluster's admin."""
    return kit("kubectl", *arguments)


def ssh_config(directory: Path) -> Path:
    """An ssh_config that reaches the hosts from inside the namespaces."""
    addresses = {"outside": OUTSIDE, "node1": "172.30.0.1", "node2": "172.30.0.2"}
    path = directory / "ssh_config"
    path.write_text(
        "".join(
            f"Host {name}\n  HostName {address}\n  Port 2222\n  User root\n  IdentityFile {STATE}/ssh/id_ed25519\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {STATE}/ssh/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
            for name, address in addresses.items()
        )
    )
    return path


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the product in the namespace of the host `outside`."""
    return subprocess.Popen(
        [KIT, "exec-net", "outside", sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


class Audit:
    """One audit's outcome."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, err
        self.report: dict[str, Any] = json.loads(out) if out else {}

    def cell(self, endpoint: str, vantage: str) -> dict[str, Any]:
        """The cell whose endpoint id ends so."""
        found = [
            cell for cell in self.report["cells"] if cell["endpoint"].endswith(endpoint) and cell["vantage"] == vantage
        ]
        assert len(found) == 1, (endpoint, vantage, found, sorted({cell["endpoint"] for cell in self.report["cells"]}))
        return found[0]


def audit(*arguments: str) -> Audit:
    """Run an audit to its end."""
    process = start("audit", "--kubeconfig", kit("kubeconfig", "--netns"), "--format", "json", *arguments)
    out, err = process.communicate(timeout=LIMIT)
    return Audit(process.returncode, out, err)


def own_objects() -> list[str]:
    """Pods and Leases of ours that exist in the cluster."""
    names = kubectl("get", "pods,leases", "-A", "-l", "app.kubernetes.io/managed-by=kubeshield", "-o", "name")
    return names.split()


def wait_until(condition: Any, what: str, seconds: float = 60) -> None:
    """Look again and again until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        time.sleep(0.2)


def restart_api_server() -> None:
    """End the API server that the kit started, and have the kit start it again."""
    pid = int((STATE / "run" / "apiserver.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    kit("up")
