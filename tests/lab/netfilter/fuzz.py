"""`python -m tests.lab.netfilter.fuzz --seconds N --seed S`: spoiled input for every parser; exits 1 on any surprise.

No exception but the errors that name what is wrong, no hang, and never a guess: what makes a rule unreadable, or cuts a
dump off, may add outcomes and take none away.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

from tests.lab.netfilter.mess import spoil
from tests.lab.netfilter.unreadable import never_a_guess
from tests.lab.netfilter.victims import VICTIMS

HANGS = 20.0
"""Seconds that one spoiled input may take, on however slow a machine."""
REPORTED = 10


def attack(random: Random) -> tuple[str, str]:
    """Spoil one input; returns the parser's name, and what it did that it must not, empty where nothing."""
    if random.random() < 0.2:
        return "never a guess", never_a_guess(random)
    name = random.choice(list(VICTIMS))
    victim = VICTIMS[name]
    text = spoil(random, random.choice(victim.samples))
    try:
        victim.read(random, text)
    except Exception:
        return name, f"{traceback.format_exc()}\n{text[:3000]!r}"
    return name, ""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer. Not within pytest, whose own limit uses the same signal."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.netfilter.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args(arguments)
    count: Counter[str] = Counter()
    slowest, wrong, seed = (0.0, 0), [], told.seed
    end = time.monotonic() + told.seconds
    while time.monotonic() < end and len(wrong) < REPORTED:
        begun = time.process_time()
        with at_most(HANGS):
            name, said = attack(Random(seed))
        slowest = max(slowest, (time.process_time() - begun, seed))
        count[name] += 1
        if said:
            wrong.append(f"--- seed {seed}: {name}\n{said}")
        seed += 1
    print(*wrong, sep="\n")
    print(f"{count.total()} inputs, {len(wrong)} surprises: {dict(count)}")
    print(f"the slowest, seed {slowest[1]}, took {slowest[0]:.2f} s of processor time")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
