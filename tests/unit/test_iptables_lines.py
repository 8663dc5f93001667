"""One line of iptables-save taken apart: quotes, negations old and new, values that look like options, and nonsense."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netfilter import iptables
from kubeshield_tui.evidence.netfilter.iptables_options import QUOTED_LIMIT, Line, split, take_apart


def taken(rest: str) -> Line | None:
    tokens = split(f"-A INPUT {rest}".rstrip())
    assert tokens is not None
    return take_apart(tokens)


def written(line: Line | None) -> str | None:
    """A line as it would be written today, without its chain."""
    if line is None:
        return None
    parts = [option.text for option in line.general]
    parts += [f"-m {each.text}" if each.name else each.text for each in line.matches]
    if line.target is not None:
        parts.append(f"{'-g' if line.goto else '-j'} {line.target.text}")
    return " ".join(filter(None, parts))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("-A X  -j\tY", ["-A", "X", "-j", "Y"]),
        ('--comment "a b" -j Y', ["--comment", "a b", "-j", "Y"]),
        ('--comment "a" -j "Y"', ["--comment", "a", "-j", "Y"]),
        ("--comment 'a b' -j Y", ["--comment", "a b", "-j", "Y"]),
        (r"--comment a\ b", ["--comment", "a b"]),
        (r'--comment "a\\b" -j Y', ["--comment", r"a\b", "-j", "Y"]),
        (r'--comment "say \"x\" y"', ["--comment", 'say "x" y']),
        ('--comment "it\'s so"', ["--comment", "it's so"]),
        ('--comment ""', ["--comment", ""]),
        ('--comment "never ends', None),
        ("it's", None),
    ],
)
def test_quotes_are_honoured(text: str, tokens: list[str] | None) -> None:
    assert split(text) == tokens


def test_a_long_line_is_read_and_one_with_quotes_only_as_long_as_iptables_writes_them() -> None:
    long = "a " * QUOTED_LIMIT
    assert split(long) == ["a"] * QUOTED_LIMIT
    assert split(f'{long}"b"') is None
    assert split(f'{long[: QUOTED_LIMIT // 2]}"b"') is not None


@pytest.mark.parametrize(
    ("rest", "again"),
    [
        ("-s ! 10.0.0.1 -j DROP", "! -s 10.0.0.1 -j DROP"),
        ("! -s 10.0.0.1 -g USER", "! -s 10.0.0.1 -g USER"),
        ("--source 10.0.0.1 --in-interface eth0 --jump DROP", "-s 10.0.0.1 -i eth0 -j DROP"),
        ("-p tcp --dport ! 22 -j DROP", "-p tcp ! --dport 22 -j DROP"),
        ("-p tcp -m tcp ! --dport 22 ! --sport 53", "-p tcp -m tcp ! --dport 22 ! --sport 53"),
        ("-m set ! --match-set a src,dst -j DROP", "-m set ! --match-set a src,dst -j DROP"),
        ("-j DNAT --to-destination 10.0.0.1 --random", "-j DNAT --to-destination 10.0.0.1 --random"),
        ('-m comment --comment "-j ACCEPT" -j DROP', "-m comment --comment '-j ACCEPT' -j DROP"),
        ("-m comment --comment -j -j DROP", "-m comment --comment -j -j DROP"),
        ("-m comment --comment", "-m comment --comment"),
        ('-m comment --comment ""', "-m comment --comment ''"),
        ("-m new --by -5 -j DROP", "-m new --by -5 -j DROP"),
        ("-i - -j DROP", "-i - -j DROP"),
        ("-s !", "! -s"),
        ("-m", ""),
        ("-c 1 -j DROP", "-c 1 -j DROP"),
        ("-c x 2 -j DROP", "-c x 2 -j DROP"),
        ("-c \N{SUPERSCRIPT TWO} 2 -j DROP", "-c \N{SUPERSCRIPT TWO} 2 -j DROP"),
        ("-m comment --comment two words -j DROP", None),
        ("-m comment --comment word !", None),
    ],
)
def test_options_go_to_their_modules(rest: str, again: str | None) -> None:
    line = taken(rest)
    assert written(line) == again
    if line is not None:
        assert (line.chain, line.counter, line.goto) == ("INPUT", None, "-g " in rest)


def test_values_stay_with_their_option() -> None:
    line = taken("-i - -m new --by -5 --to - ! --other 1 2")
    assert line is not None
    assert [(each.name, each.negated, each.values, each.value) for each in line.general] == [("-i", False, ("-",), "-")]
    assert [(each.name, each.negated, each.values) for each in line.matches[1].options] == [
        ("--by", False, ("-5",)),
        ("--to", False, ("-",)),
        ("--other", True, ("1", "2")),
    ]


def test_a_negation_is_of_what_follows_it() -> None:
    line = taken("-i eth0 ! -f")
    assert line is not None
    assert [(each.name, each.negated, each.values) for each in line.general] == [
        ("-i", False, ("eth0",)),
        ("-f", True, ()),
    ]


def test_without_a_chain_there_is_no_rule() -> None:
    for tokens in (["-j", "DROP"], ["-A"], ["x"], ["!"], []):
        assert take_apart(tokens) is None


def test_counters_stand_before_a_rule_or_in_it() -> None:
    for text, counter in (("[7:420] -A INPUT", (7, 420)), ("-A INPUT -c 7 420", (7, 420)), ("-A INPUT", None)):
        dump = iptables.parse(f"*filter\n:INPUT ACCEPT [0:0]\n{text} -j DROP\nCOMMIT\n")
        assert dump.doubts == ()
        assert [rule.counter for rule in dump.tables[0].chains["INPUT"].rules] == [counter]


def test_a_counter_that_no_kernel_has_is_not_understood() -> None:
    dump = iptables.parse(f"*filter\n:INPUT ACCEPT [0:0]\n[{'9' * 5000}:1] -A INPUT -j DROP\nCOMMIT\n")
    assert [doubt.text[:22] for doubt in dump.doubts] == ["not understood: line 3"]
