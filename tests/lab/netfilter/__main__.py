"""`python -m tests.lab.netfilter --cases N --seed S`: the long run against the kernel; exits 1 on a disagreement."""

from __future__ import annotations

import argparse
import sys
import time

from tests.lab.netfilter.iptables_run import judge_iptables
from tests.lab.netfilter.run import judge
from tests.lab.netfilter.world import world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.netfilter", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--iptables", action="store_true", help="rulesets of iptables and ipset in place of nft's own")
    arguments = parser.parse_args()
    begun = time.monotonic()
    with world() as made:
        judging = judge_iptables if arguments.iptables else judge
        score = judging(made, arguments.seed, cases=arguments.cases, seconds=arguments.seconds)
    print(f"{score.said()}, seed {arguments.seed}, {time.monotonic() - begun:.0f} s")
    for wrong in filter(None, score.wrong):
        print(wrong)
    return 1 if score.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
