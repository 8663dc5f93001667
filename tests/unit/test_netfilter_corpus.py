"""What the kernel did with thousands of packets, recorded: every outcome is among those predicted, path for path."""

from __future__ import annotations

from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.record import read
from tests.lab.netfilter.run import compare


def test_the_kernel_did_nothing_that_was_not_predicted() -> None:
    told, rulesets = read()
    host = parse_host(told)
    score = Score()
    wrong = [said for listing, cases in rulesets for _, said in compare(parse_nft(listing), host, cases, score)]
    assert wrong[:3] == []
    assert score.cases > 2000
    assert score.traced == score.cases
    assert score.decided / score.cases >= 0.95
