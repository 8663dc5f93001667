"""nft's dump as a whole: what of it is kept where it is cut off or says what nobody knows, and what of it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.nft import SHOWN, UNSEEN_ELSEWHERE, looks_like_nft, parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Ruleset
from tests.unit.firewall import ACCEPT, DROP, SSH, Rules, jump, match

RULES = Rules().base("input", [DROP], name="in")


def dump(*objects: Any) -> Ruleset:
    return parse_nft(json.dumps({"nftables": list(objects)}))


def notes(ruleset: Ruleset) -> list[str]:
    return [note for note in ruleset.notes if note not in UNSEEN_ELSEWHERE]


def verdicts(ruleset: Ruleset) -> set[str]:
    return {outcome.verdict for outcome in Firewall(ruleset).judge(parse_packet(SSH), ("syn",)).outcomes}


def test_words_around_a_dump_are_a_terminals() -> None:
    whole = f"root@n1:~# nft -j list ruleset\n{RULES.text}\nroot@n1:~# \n"
    assert parse_nft(whole) == parse_nft(RULES.text)
    assert parse_nft(whole).doubts == ()
    assert looks_like_nft(whole)


@pytest.mark.parametrize("between", [", ", ",\n", "\n,\n   ", ",,\n\n"])
def test_what_stands_before_a_cut_is_kept_and_the_line_of_the_cut_is_told(between: str) -> None:
    objects = [json.dumps(each) for each in RULES.objects]
    text = '{"nftables": [\n' + between.join(objects)
    for rest, told in (("", "the end of the text"), (between + '{"rule": {"fam', '{"rule": {"fam')):
        ruleset = parse_nft(text + rest)
        line = (text + rest[: len(between)]).count("\n") + 1
        (doubt,) = ruleset.doubts
        assert doubt.kind is Doubt.MISSING
        assert doubt.text == f"the ruleset is cut off or broken at line {line}: {told}"
        assert ruleset.tables == parse_nft(RULES.text).tables
        assert verdicts(ruleset) == {"accept", "drop", "reject"}


def test_of_a_broken_line_no_more_than_its_beginning_is_shown() -> None:
    (doubt,) = parse_nft('{"nftables": [ ' + "x" * 100).doubts
    assert doubt.text.endswith("at line 1: " + "x" * 60)


@pytest.mark.parametrize("text", ["", "table ip t {", "[]", '{"other": []}'])
def test_what_is_no_dump_is_a_doubt(text: str) -> None:
    assert [doubt.text for doubt in parse_nft(text).doubts] == ["the text is not nft's JSON"]
    assert not looks_like_nft(text)


def test_objects_that_nobody_knows_are_noted_and_those_that_decide_nothing_are_not() -> None:
    assert (
        notes(dump({"metainfo": {"version": "1.0.6"}}, {"counter": {"name": "c"}}, {"flowtable": {"name": "f"}})) == []
    )
    (note,) = notes(dump({"newthing": {"name": "n" * 500}}))
    assert note.startswith("not understood: newthing")
    assert len(note) == len("not understood: ") + SHOWN == len("not understood: ") + 200


@pytest.mark.parametrize(
    "broken", [5, {}, {"chain": {"name": "ü"}}, {"set": {"family": "ip", "table": "t"}}, {"rule": 5}]
)
def test_objects_of_a_wrong_shape_are_doubts_that_show_them(broken: Any) -> None:
    ruleset = dump(*RULES.objects, broken)
    (doubt,) = ruleset.doubts
    assert doubt.text == f"not understood: {json.dumps(broken, ensure_ascii=False)}"
    assert ruleset.tables == parse_nft(RULES.text).tables


def test_tables_and_chains_that_only_their_parts_name_are_there() -> None:
    chain, rule = RULES.objects[1:]
    assert verdicts(dump(chain, rule)) == {"drop"}
    rules = Rules().base("input", [jump("inner")]).chain("inner", [match("tcp dport", 23), ACCEPT], [DROP])
    without = [each for each in rules.objects if each.get("chain", {}).get("name") != "inner"]
    assert verdicts(dump(*without)) == {"drop"}
    (table,) = dump(rule).tables
    assert (table.family, table.name, [*table.chains], table.chains["in"].hook) == ("ip", "t", ["in"], "")


@pytest.mark.parametrize(("handle", "kept"), [(7, 7), ("7", None), (None, None)])
def test_a_handle_is_a_number(handle: object, kept: int | None) -> None:
    rule = {"rule": {**RULES.objects[2]["rule"], "handle": handle, "comment": "why"}}
    (read,) = dump(*RULES.objects[:2], rule).tables[0].chains["in"].rules
    assert (read.handle, read.comment, read.index, read.text) == (kept, "why", 0, "drop")


@pytest.mark.parametrize(("priority", "kept"), [(-150, -150), ("filter", 0), (None, 0)])
def test_a_priority_is_a_number(priority: object, kept: int) -> None:
    chain = {"chain": {**RULES.objects[1]["chain"], "prio": priority}}
    assert dump(chain).tables[0].chains["in"].priority == kept


@pytest.mark.parametrize(
    ("flags", "dynamic"),
    [([], False), (["interval"], False), (["timeout"], True), (["dynamic"], True), ("dynamic", True)],
)
def test_sets_that_packets_or_time_change_are_of_the_moment(flags: object, dynamic: bool) -> None:
    told = {"set": {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "flags": flags}}
    held = dump(told).tables[0].sets["s"]
    assert held.dynamic is dynamic
    assert held.elements.complete
