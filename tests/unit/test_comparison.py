"""Every expectation beside every observation: one code, one sentence, and never an agreement without evidence."""

from __future__ import annotations

from itertools import product

import pytest

from kubeshield_tui.judgement.comparison import DISAGREEMENTS, Circumstances, Code, Expected, Seen, compare
from kubeshield_tui.model.expectation import Severity

FULL = Circumstances(complete=True, proven=True, twice=True, deny_style="drop", listener=True)
ALL = [
    Circumstances(complete, assumed, listener, style, collapsed, fits, proven, front, settled, twice, blackhole)
    for complete, assumed, collapsed, proven, front, settled, twice, blackhole in product(*[(False, True)] * 8)
    for listener, style, fits in product((None, False, True), ("", "drop", "reject", "icmp"), (None, False, True))
]
THROUGH = {Seen.OPEN, Seen.RESET}
DENYING = {Expected.POLICY_DENY, Expected.DROP, Expected.REJECT_RESET, Expected.REJECT_ICMP, Expected.NO_ROUTE}

# By hand, from the table of the reference: everything collected, both ends alive, a listener known, denials are drops.
TABLE = {
    "allow": "agrees agrees nothing-listens rejected-elsewhere blocked-elsewhere compatible",
    "policy-deny": "not-enforced not-enforced not-enforced rejected-elsewhere agrees compatible",
    "drop": "bypassed bypassed bypassed rejected-elsewhere agrees compatible",
    "reject-reset": "bypassed bypassed agrees rejected-elsewhere blocked-elsewhere compatible",
    "reject-icmp": "bypassed bypassed bypassed compatible compatible compatible",
    "late-reject": "agrees agrees rejected-elsewhere rejected-elsewhere blocked-elsewhere compatible",
    "no-route": "bypassed bypassed bypassed agrees compatible compatible",
    "unknown": "resolved resolved resolved resolved resolved resolved",
    "none": "no-evidence no-evidence no-evidence no-evidence no-evidence no-evidence",
}
COLUMNS = [Seen.OPEN, Seen.RESET, Seen.REFUSED, Seen.REJECTED, Seen.SILENCE, Seen.SAYS_NOTHING]


@pytest.mark.parametrize("expected", Expected)
def test_the_table(expected: Expected) -> None:
    found = [str(compare(expected, seen, FULL).code) for seen in COLUMNS]
    assert found == TABLE[expected].split()
    assert compare(expected, Seen.NOTHING, FULL).code is Code.NOT_COMPARED


def test_every_combination_has_one_code_one_sentence_and_a_severity_where_it_is_a_finding() -> None:
    for expected, seen in product(Expected, Seen):
        for given in ALL:
            code, sentence, severity = compare(expected, seen, given)
            assert code in Code
            assert sentence
            assert (severity is not None) == (code in DISAGREEMENTS)


def test_nothing_agrees_while_a_layer_is_missing() -> None:
    for expected, seen in product(Expected, Seen):
        for given in ALL:
            assert given.complete or compare(expected, seen, given).code is not Code.AGREES


def test_a_denial_that_lets_something_through_never_agrees_and_silence_never_accuses() -> None:
    for expected in DENYING:
        for given in ALL:
            assert all(compare(expected, seen, given).code is not Code.AGREES for seen in THROUGH)
            accused = compare(expected, Seen.SILENCE, given).code
            assert accused not in {Code.NOT_ENFORCED, Code.BYPASSED}


def test_an_allowance_is_never_called_unenforced() -> None:
    for seen, given in product(Seen, ALL):
        assert compare(Expected.ALLOW, seen, given).code not in {Code.NOT_ENFORCED, Code.BYPASSED}


CASES = [
    (Expected.ALLOW, Seen.OPEN, {"listener": False}, Code.UNEXPECTED_LISTENER),
    (Expected.ALLOW, Seen.REFUSED, {"listener": None}, Code.AGREES),
    (Expected.ALLOW, Seen.REFUSED, {"collapsed": True}, Code.COMPATIBLE),
    (Expected.ALLOW, Seen.SILENCE, {"proven": False}, Code.COMPATIBLE),
    (Expected.POLICY_DENY, Seen.OPEN, {"settled": False}, Code.COMPATIBLE),
    (Expected.POLICY_DENY, Seen.OPEN, {"front": True}, Code.COMPATIBLE),
    (Expected.POLICY_DENY, Seen.REFUSED, {"deny_style": "icmp"}, Code.AGREES),
    (Expected.POLICY_DENY, Seen.REFUSED, {"deny_style": ""}, Code.COMPATIBLE),
    (Expected.POLICY_DENY, Seen.REFUSED, {"collapsed": True}, Code.COMPATIBLE),
    (Expected.POLICY_DENY, Seen.REJECTED, {"rejecter_fits": True}, Code.AGREES),
    (Expected.POLICY_DENY, Seen.SILENCE, {"deny_style": "reject"}, Code.COMPATIBLE),
    (Expected.DROP, Seen.REFUSED, {"collapsed": True}, Code.COMPATIBLE),
    (Expected.REJECT_ICMP, Seen.REFUSED, {"collapsed": True}, Code.AGREES),
    (Expected.REJECT_ICMP, Seen.REJECTED, {"rejecter_fits": True}, Code.AGREES),
    (Expected.REJECT_ICMP, Seen.REJECTED, {"rejecter_fits": False}, Code.REJECTED_ELSEWHERE),
    (Expected.NO_ROUTE, Seen.SILENCE, {"blackhole": True}, Code.AGREES),
]


@pytest.mark.parametrize(("expected", "seen", "given", "code"), CASES)
def test_circumstances(expected: Expected, seen: Seen, given: dict[str, object], code: Code) -> None:
    assert compare(expected, seen, FULL._replace(**given)).code is code  # type: ignore[arg-type]


def test_one_look_or_an_assumption_makes_a_finding_less_severe() -> None:
    severe = [
        compare(Expected.POLICY_DENY, Seen.OPEN, FULL._replace(**given)).severity  # type: ignore[arg-type]
        for given in ({}, {"twice": False}, {"assumed": True}, {"twice": False, "assumed": True})
    ]
    assert severe == [Severity.CRITICAL, Severity.HIGH, Severity.HIGH, Severity.MEDIUM]
