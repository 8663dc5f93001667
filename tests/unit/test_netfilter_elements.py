"""Sets and maps: what they hold, by hash or bisection, and what a value that is not known whole can meet of them."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Key, Value, beginning_with


def span(low: int | str, high: int | str) -> Interval:
    return Interval(low=low, high=high)


PORTS: list[tuple[Key, str]] = [
    (span(10, 19), "tens"),
    (span(20, 22), "twenties"),
    (7, "seven"),
    (span(0, 5), "first"),
    (span(40, 40), "forty"),
]
NAMES: list[tuple[Key, str]] = [(beginning_with("eth"), "eth*"), ("lo", "lo"), (beginning_with("br-"), "br-*")]
PAIRS: list[tuple[Key, str]] = [
    ((1, span(10, 19)), "one"),
    ((1, span(30, 39)), "one, thirties"),
    ((span(2, 5), 80), "some"),
    ((span(6, 9), span(80, 89)), "more"),
    ((1, 80), "exact"),
]


@pytest.mark.parametrize(
    ("pairs", "value", "data"),
    [
        (PORTS, 0, "first"), (PORTS, 5, "first"), (PORTS, 6, None), (PORTS, 7, "seven"), (PORTS, 8, None),
        (PORTS, 9, None), (PORTS, 10, "tens"), (PORTS, 19, "tens"), (PORTS, 20, "twenties"), (PORTS, 22, "twenties"),
        (PORTS, 23, None), (PORTS, 40, "forty"), (PORTS, 41, None), (PORTS[:1], 9, None), (PORTS, -1, None),
        (NAMES, "eth", "eth*"), (NAMES, "eth9", "eth*"), (NAMES, "et", None), (NAMES, "eti", None), (NAMES, "lo", "lo"),
        (NAMES, "lo0", None), (NAMES, "br-1", "br-*"), (NAMES, "br", None),
        (PAIRS, (1, 10), "one"), (PAIRS, (1, 19), "one"), (PAIRS, (1, 20), None), (PAIRS, (1, 39), "one, thirties"),
        (PAIRS, (1, 80), "exact"), (PAIRS, (2, 80), "some"), (PAIRS, (5, 80), "some"), (PAIRS, (5, 81), None),
        (PAIRS, (6, 80), "more"), (PAIRS, (9, 89), "more"), (PAIRS, (9, 90), None), (PAIRS, (10, 80), None),
        (PORTS, "eth0", None), (PORTS, (10, 10), None), (NAMES, 5, None), (PAIRS, 1, None), (PAIRS, ("lo", 10), None),
        (PAIRS, (1, "lo"), None), ([], 5, None), ([], (5, 5), None),
    ],
)  # fmt: skip
def test_an_element_holds_what_lies_in_it_to_both_its_ends(
    pairs: list[tuple[Key, str]], value: Value, data: str | None
) -> None:
    assert Elements(pairs).find(value) == data
    assert Elements(reversed(pairs)).find(value) == data
    assert Elements(pairs, otherwise="the rest").find(value) == (data or "the rest")


@pytest.mark.parametrize(
    ("spans", "count"),
    [
        ([(0, 255), (16, 31), (300, 310)], 2),
        ([(10, 20), (15, 30)], 1),
        ([(10, 20), (20, 30)], 1),
        ([(5, 5), (5, 9)], 1),
    ],
)
def test_intervals_that_overlap_are_one(spans: list[tuple[int, int]], count: int) -> None:
    for way in (spans, spans[::-1]):
        elements = Elements((span(*each), True) for each in way)
        assert len(elements) == count
        for value in range(320):
            assert elements.find(value) == (True if any(low <= value <= high for low, high in spans) else None)


def test_intervals_that_meet_keep_their_own_data() -> None:
    elements = Elements([(span(10, 19), "low"), (span(19, 19), "high"), (span(20, 29), "low")])
    assert [elements.find(value) for value in (10, 19, 20)] == ["low", "high", "low"]
    assert len(elements) == 3


def test_intervals_of_names_beside_those_of_numbers_raise_nothing() -> None:
    """No set of the kernel holds both; a dump may say so all the same."""
    elements = Elements([(beginning_with("eth"), True), (span(5, 9), True), (beginning_with("br"), True)])
    assert len(elements) == 3
    assert [elements.find(value) for value in (4, 10, "a", "x")] == [None] * 4


def test_as_many_are_shown_as_are_asked_for() -> None:
    mixed: list[tuple[Key, bool]] = [(7, True), (span(10, 19), True), (span(30, 39), True), ((1, span(1, 5)), True)]
    elements = Elements([*mixed, (8, True), ((2, span(1, 5)), True), ((span(3, 4), 5), True)])
    keys = [7, 8, span(10, 19), span(30, 39), (1, span(1, 5)), (2, span(1, 5)), (span(3, 4), 5)]
    assert len(elements) == len(keys)
    for count in range(9):
        assert elements.some(count) == keys[:count]


@pytest.mark.parametrize(
    ("pairs", "parts", "met"),
    [
        (PORTS, (None,), {"first", "seven", "tens", "twenties", "forty"}),
        (PAIRS, (1, None), {"one", "one, thirties", "exact"}),
        (PAIRS, (None, 80), {"some", "more", "exact"}),
        (PAIRS, (None, 15), {"one"}),
        (PAIRS, (None, None), {"one", "one, thirties", "some", "more", "exact"}),
        (PAIRS, (None,), {"one", "one, thirties", "some", "more", "exact"}),
        (PAIRS, (10, None), set()),
        (PAIRS, ("lo", None), set()),
        ([(span(5, 9), "span"), ((5, 6), "pair")], (None, 6), {"pair"}),
    ],
)
def test_what_is_known_of_a_value_tells_which_elements_it_could_meet(
    pairs: list[tuple[Key, str]], parts: tuple[int | str | None, ...], met: set[str]
) -> None:
    assert set(Elements(pairs).possible(parts)) == met
    assert set(Elements(pairs, otherwise="the rest").possible(parts)) == {*met, "the rest"}
