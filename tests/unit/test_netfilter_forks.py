"""Ways through what can't be known: all of them are run, and an end names only those questions that it hangs on."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from kubeshield_tui.evidence.netfilter.forks import Forks, every_way, simplest
from kubeshield_tui.evidence.netfilter.ruleset import Doubt

Run = Callable[[Forks], object]


def ask(forks: Forks, where: str, ways: int = 2, kind: Doubt = Doubt.MODULE) -> int:
    return forks.choose(kind, where, [f"{where} {way}" for way in range(ways)])


def ends(run: Run) -> list[object]:
    leaves, all_of_them = every_way(run)
    assert all_of_them
    return [leaf.end for leaf in leaves]


def told(run: Run) -> dict[object, list[str]]:
    """What each end assumes."""
    leaves, _ = every_way(run)
    said: dict[object, list[str]] = {}
    for end in dict.fromkeys(leaf.end for leaf in leaves):
        trails = [leaf.trail for leaf in leaves if leaf.end == end]
        number, forks = simplest(trails)
        assert all(fork in trails[number] for fork in forks)
        said[end] = [fork.options[fork.taken] for fork in forks]
    return said


def test_every_way_is_run_once_the_first_options_first() -> None:
    assert ends(lambda forks: (ask(forks, "a"), ask(forks, "b", 3))) == [*itertools.product(range(2), range(3))]
    assert ends(lambda forks: ask(forks, "a") or ask(forks, "b", 3) + 5) == [5, 6, 7, 1]
    assert ends(lambda forks: "no question") == ["no question"]


def test_one_question_has_one_answer_in_a_run_and_is_one_fork() -> None:
    def run(forks: Forks) -> tuple[int, ...]:
        answers = [forks.choose(Doubt.FIELD, f"rule {at}", ["yes", "no"], same=at % 2) for at in range(4)]
        assert len(forks.trail) == 2
        return tuple(answers)

    assert ends(run) == [(0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1)]


def test_questions_that_read_alike_at_one_place_are_each_their_own() -> None:
    def run(forks: Forks) -> str:
        ask(forks, "elsewhere")
        return "both" if [ask(forks, "a"), ask(forks, "a")] == [1, 1] else "not both"

    assert len(ends(run)) == 8
    assert told(run) == {"not both": ["a 0"], "both": ["a 1", "a 1"]}


def test_an_end_hangs_on_no_question_whose_ways_all_lead_there() -> None:
    def run(forks: Forks) -> int:
        if ask(forks, "a") == 0:
            ask(forks, "c", 3)
        return ask(forks, "b")

    assert told(run) == {0: ["b 0"], 1: ["b 1"]}
    assert told(lambda forks: ask(forks, "a", 3) % 2) == {0: ["a 0"], 1: ["a 1"]}
    assert told(lambda forks: ask(forks, "a") * 0) == {0: []}


def test_of_several_ways_to_an_end_the_shortest_and_then_the_likeliest_is_told() -> None:
    def run(forks: Forks) -> str:
        if ask(forks, "a", 3) == 0:
            return "x" if ask(forks, "b") == 0 else "y"
        return "x"

    assert told(run) == {"x": ["a 1"], "y": ["a 0", "b 1"]}
    assert told(lambda forks: ask(forks, "a") == ask(forks, "b")) == {True: ["a 0", "b 0"], False: ["a 0", "b 1"]}


def test_the_way_that_is_told_is_the_first_of_those_that_come_out_the_same() -> None:
    leaves, _ = every_way(lambda forks: (ask(forks, "a"), ask(forks, "b", 3)))
    trails = [leaf.trail for leaf in leaves]
    assert simplest(trails)[0] == 0
    assert simplest(trails[3:])[0] == 0


def test_what_is_taken_for_granted_stays_an_assumption_of_all_ends() -> None:
    def run(forks: Forks) -> int:
        ask(forks, "granted", 1)
        ask(forks, "a")
        return ask(forks, "b")

    assert told(run) == {0: ["granted 0", "b 0"], 1: ["granted 0", "b 1"]}


@pytest.mark.parametrize("keys", itertools.permutations(range(3)))
def test_what_is_told_does_not_hang_on_how_questions_are_hashed(keys: tuple[int, ...]) -> None:
    def run(forks: Forks) -> bool:
        answers = [
            forks.choose(Doubt.FIELD, f"{at}", [f"{at} yes", f"{at} no"], same=key) for at, key in enumerate(keys)
        ]
        return 0 in answers

    assert told(run) == {True: ["2 yes"], False: ["0 no", "1 no", "2 no"]}


@pytest.mark.parametrize(
    ("most", "run"),
    [
        (64, lambda count: lambda forks: ask(forks, "a", count)),
        (1024, lambda count: lambda forks: ask(forks, "a", count, Doubt.RANDOM)),
        (256, lambda count: lambda forks: [ask(forks, "a", 1) for _ in range(count)]),
    ],
    ids=["guesses", "draws", "questions"],
)
def test_more_than_so_many_are_not_followed(most: int, run: Callable[[int], Run]) -> None:
    leaves, all_of_them = every_way(run(most))
    assert all_of_them
    more, all_of_them = every_way(run(most + 1))
    assert not all_of_them
    assert len(more) == (0 if most == 256 else len(leaves) + 1)


def test_no_other_way_is_tried_after_too_much_work() -> None:
    def working(steps: int) -> Run:
        def run(forks: Forks) -> int:
            assert forks.work == 0
            forks.work += steps
            return ask(forks, "a")

        return run

    assert every_way(working(100_000))[1]
    leaves, all_of_them = every_way(working(100_001))
    assert (len(leaves), all_of_them) == (2, False)
    leaves, all_of_them = every_way(working(200_001))
    assert (len(leaves), all_of_them) == (1, False)


def test_guesses_are_counted_without_the_draws_between_them() -> None:
    def run(forks: Forks) -> None:
        ask(forks, "backend", 20, Doubt.RANDOM)
        ask(forks, "a", 50)

    assert every_way(run)[1]
