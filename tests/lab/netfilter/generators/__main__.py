"""`python -m tests.lab.netfilter.generators [NAME ...] [--record]`: real programs write rules, the kernel judges."""

from __future__ import annotations

import argparse
import shutil
import sys

from tests.lab.netfilter.cases import Batch
from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.generators import docker, kube_proxy, ufw
from tests.lab.netfilter.generators.firewalld import Firewalld
from tests.lab.netfilter.generators.judging import compare, listening, send
from tests.lab.netfilter.generators.recorded import collect, firewall, write
from tests.lab.netfilter.world import world

GENERATORS = {
    "firewalld": Firewalld("nftables"),
    "firewalld-iptables": Firewalld("iptables"),
    "ufw": ufw,
    "docker": docker,
    "kube-proxy-iptables": kube_proxy.Iptables,
    "kube-proxy-nftables": kube_proxy.Nftables,
}
REPORTED = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.netfilter.generators", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*GENERATORS, []], metavar="NAME", help=", ".join(GENERATORS))
    parser.add_argument("--record", action="store_true", help="write what was dumped and what the kernel did")
    arguments = parser.parse_args()
    failed = False
    for name in arguments.names or GENERATORS:
        missing = [program for program in GENERATORS[name].PROGRAMS if shutil.which(program) is None]
        if missing:
            print(f"{name}: not run, {', '.join(missing)} not installed")
            failed = True
            continue
        failed |= not judge(name, record=arguments.record)
    return failed


def judge(name: str, *, record: bool) -> bool:
    """Run one generator; returns whether the kernel did nothing that was not said."""
    score = Score()
    with world() as made, GENERATORS[name].installed(made) as place:
        made.listeners += place.listeners
        there = listening(made.listeners)
        cases, batch = place.cases(), Batch(made)
        told = collect(made)
        send(made, batch, cases, keeps_ports=place.keeps_ports)
        wrong = compare(firewall(told), cases, there, score)
        if record and not wrong:
            write(name, made, told, cases, there)
    share = 100 * score.decided / score.cases
    said = f"{score.cases} packets, {len(wrong)} disagree, {share:.2f} % decided, {score.traced} paths compared"
    print(f"{name}: {said}", flush=True)
    for _, said in wrong[:REPORTED]:
        print(said)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
