"""Rules that firewalld, ufw, dockerd and kube-proxy wrote, and what the kernel did with packets: all was predicted.

Recorded with `python -m tests.lab.netfilter.generators --record`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.generators.judging import compare
from tests.lab.netfilter.generators.recorded import FOLDER, firewall, read

DECIDED = {"firewalld": 1.0, "ufw": 0.9, "docker": 1.0, "kube-proxy-iptables": 0.98, "kube-proxy-nftables": 1.0}
"""Share of packets at least that are decided; ufw limits attempts, and kube-proxy asks for bridge ports."""


@pytest.mark.parametrize("name", DECIDED)
def test_the_kernel_did_what_was_predicted_addresses_included(name: str) -> None:
    told, cases, there = read(FOLDER / name)
    score = Score()
    judge = firewall(told)
    assert [said for _, said in compare(judge, cases, there, score)][:3] == []
    assert score.decided / score.cases >= DECIDED[name]


@pytest.mark.parametrize("name", DECIDED)
def test_what_was_recorded_is_of_every_kind(name: str) -> None:
    _, cases, _ = read(FOLDER / name)
    seen = Counter((case.got_through, case.error is None) for case in cases)
    assert min(seen[True, True], seen[False, True], seen[False, False]) >= 4, seen
    assert {"tcp", "udp"} < {case.packet.protocol for case in cases}
    assert {"input", "output"} <= {case.packet.hook for case in cases}
