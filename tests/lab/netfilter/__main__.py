"""`python -m tests.lab.netfilter --cases N --seed S`: the long run against the kernel; exits 1 on a disagreement."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.lab.netfilter.iptables_run import judge_iptables
from tests.lab.netfilter.record import Recorder
from tests.lab.netfilter.run import judge
from tests.lab.netfilter.world import world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.netfilter", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0, help="go on until so many have gone")
    parser.add_argument("--iptables", action="store_true", help="rulesets of iptables and ipset in place of nft's own")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the corpus of nft rulesets, at most --bytes")
    parser.add_argument("--bytes", type=int, default=1_400_000)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with world() as made:
        if arguments.iptables:
            score = judge_iptables(made, arguments.seed, cases=arguments.cases, seconds=arguments.seconds)
        else:
            recorder = Recorder(arguments.record, arguments.bytes, made.network.prefix, made.told)
            score = judge(made, arguments.seed, cases=arguments.cases, seconds=arguments.seconds, record=recorder.take)
            recorder.close()
    print(f"{score.said()}, seed {arguments.seed}, {time.monotonic() - begun:.0f} s")
    for wrong in filter(None, [*score.wrong, *score.once]):
        print(wrong)
    return 1 if score.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
