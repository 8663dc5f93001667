"""Expectations files: every error names file, line and key; nothing that is written can raise anything else."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeshield_tui.discovery.catalogue import builtin
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.judgement.expectations import known_components
from kubeshield_tui.judgement.lines import baseline_text
from kubeshield_tui.settings.expect_file import FILE_LIMIT, parse_expectations, read_expectations
from kubeshield_tui.settings.expect_form import expect_schema
from kubeshield_tui.settings.toml_lines import key_lines, line_of
from tests.architecture.source import ROOT
from tests.unit.declare import as_json

RULE = '[[rule]]\nname = "r"\nmust = "any"\n'
EXCEPTION = '[[exception]]\nname = "e"\nto.component = "etcd"\nowner = "o"\nreason = "r"\nexpires = 2030-01-01\n'


def refusal(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_expectations(text, "expect.toml", "expect.toml", known_components(builtin()))
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[[rule]]\nname = "r"\nmust = "blokced"\nto.port = 1\n', 3, ["must", "blokced", "blocked"]),
        ('[[rule]]\nname = "r"\nto.port = 1\n', 1, ['rule "r"', "must", "missing"]),
        ('[[rule]]\nmust = "any"\nto.port = 1\n', 1, ["name", "missing"]),
        (RULE + 'to.namspace = "x"\n', 4, ["to.namspace", "namespace"]),
        (RULE + 'to.service_account = "x"\n', 4, ["to.service_account", "from.service_account"]),
        (RULE + 'to = { component = "etcd",\n  port = 1, nonsense = 2 }\n'.replace("\n  ", " "), 4, ["to.nonsense"]),
        (RULE + 'to.component = "kube-apisever"\n', 4, ["to.component", "kube-apisever", "kube-apiserver"]),
        (RULE + 'to.component = "nothing-*"\n', 4, ["to.component", "nothing-*"]),
        (RULE + 'to.where = "nodes"\n', 4, ["to.where", "node"]),
        (RULE + "to.port = 0\n", 4, ["to.port"]),
        (RULE + 'to.port = ["1-2", "9-3"]\n', 4, ["to.port", "9-3"]),
        (RULE + 'to.port = "http"\n', 4, ["to.port", "http"]),
        (RULE + 'to.protocol = "sctp"\n', 4, ["to.protocol", "sctp", "tcp"]),
        (RULE + 'to.address = "10.0.0.300"\n', 4, ["to.address", "10.0.0.300"]),
        (RULE + 'to.address = ["10.0.0.0/33"]\n', 4, ["to.address", "10.0.0.0/33"]),
        (RULE + "to.namespace = []\n", 4, ["to.namespace"]),
        (RULE + "to.labels = { app = 3 }\n", 4, ["to.labels"]),
        (RULE + 'from.kind = ["pod", "pods"]\n', 4, ["from.kind", "pods", "pod"]),
        (RULE + 'from.zone = "inside"\n', 4, ["from.zone", "inside", "outside"]),
        (RULE + 'from.same_cluster = "yes"\n', 4, ["from.same_cluster", "bool"]),
        (RULE + 'to.port = 1\nseverity = "hihg"\n', 5, ["severity", "hihg", "high"]),
        (RULE + 'to.port = 1\nseverity = { pods = "low" }\n', 5, ["severity.pods", "pod"]),
        (RULE + 'to.port = 1\nseverity = { pod = "lo" }\n', 5, ["severity.pod", "low"]),
        (RULE, 1, ['rule "r"', "everything"]),
        (EXCEPTION.replace('owner = "o"\n', ""), 1, ['exception "e"', "owner", "missing"]),
        (EXCEPTION.replace('reason = "r"\n', ""), 1, ["reason", "missing"]),
        (EXCEPTION.replace("expires = 2030-01-01\n", ""), 1, ["expires", "missing"]),
        (EXCEPTION.replace('owner = "o"', 'owner = ""'), 4, ["owner"]),
        (EXCEPTION.replace("2030-01-01", '"soon"'), 6, ["expires", "date"]),
        (EXCEPTION.replace("2030-01-01", "2030-01-01T00:00:00Z"), 6, ["expires", "date"]),
        (EXCEPTION + 'severity = "low"\n', 7, ["severity"]),
        (RULE + "to.port = 1\n\n[rules]\n", 6, ["rules", "rule"]),
        ("[rule]\nname = 'x'\n", 1, ["[[rule]]"]),
        ("exception = 3\n", 1, ["exception", "[[exception]]"]),
        (RULE + "to.port = 1\nto.port = 2\n", 5, ["not TOML"]),
        (RULE + 'because = "open\n', 4, ["not TOML"]),
        (RULE + RULE + RULE.replace('"r"', '"third"') + "to.port = 1\nto.prot = 2\n", 11, ['rule "third"', "to.prot"]),
        (RULE + "[rule.to]\nport = 1\n[rule.from]\nzone = 'x'\n", 7, ["from.zone"]),
    ],
)
def test_an_error_names_line_key_and_what_was_meant(text: str, line: int, said: list[str]) -> None:
    message = refusal(text)
    named = [part.strip() for part in message.splitlines()]
    at_line = [part for part in named if part.startswith(f"expect.toml:{line}:")]
    assert at_line, message
    for word in said:
        assert any(word in part for part in at_line), (word, message)


def test_several_errors_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = RULE + "to.prot = 1\n" + EXCEPTION.replace('owner = "o"\n', "") + RULE + 'to.port = "0"\n'
    lines = [int(part.split(":")[1]) for part in refusal(text).splitlines()]
    assert lines == [4, 5, 13]


def test_more_errors_than_can_be_read_are_counted() -> None:
    message = refusal((RULE + "to.prot = 1\n") * 30)
    assert len(message.splitlines()) == 11
    assert "20 more" in message


def test_without_a_catalogue_any_component_may_be_named() -> None:
    declared = parse_expectations(RULE + 'to.component = "our-own"\n', "e.toml", "e.toml")
    assert declared.rules[0].where == "e.toml:1"


def test_a_date_may_be_written_as_text() -> None:
    declared = parse_expectations(EXCEPTION.replace("2030-01-01", '"2030-01-01"'), "e.toml", "e.toml")
    assert declared.exceptions[0].form.expires == datetime.date(2030, 1, 1)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no-such"):
        read_expectations(tmp_path / "no-such.toml")
    with pytest.raises(SettingsError, match="directory"):
        read_expectations(tmp_path)
    path = tmp_path / "expect.toml"
    path.write_bytes(b"# one\n# two \xff\n")
    with pytest.raises(SettingsError, match=r"expect\.toml:2: not UTF-8"):
        read_expectations(path)
    path.write_bytes(b"#" * (FILE_LIMIT + 1))
    with pytest.raises(SettingsError, match="larger"):
        read_expectations(path)


@pytest.mark.parametrize("text", ["a = [" * 5000, "a." * 3000 + "b = 1", f"a = {'9' * 5000}", "a = 1979-13-40", "\x00"])
def test_what_breaks_readers_is_an_error_like_any_other(text: str) -> None:
    assert "expect.toml" in refusal(text)


def test_names_with_escape_sequences_are_shown_printable() -> None:
    message = refusal('[[rule]]\nname = "\\u001b[2J"\nmust = "\\u001b]0;x"\n"\\u001bkey" = 1\n')
    assert "\x1b" not in message


pieces = st.sampled_from(
    ["[[rule]]", "[[exception]]", "[rule.to]", "name", "must", "to", "from", "to.port", "from.zone", "severity", "=",
     " = ", '"any"', '"blocked"', "2030-01-01", "1", "[", "]", "{", "}", ",", '"""', "'''", "#", "\n", "\n", "owner",
     "labels", "{ app = 'x' }", "*", "true", "\\u0000", "é", "\r\n", '"1-2"', "-1", "1e400", "nan", "expires"]
)  # fmt: skip


def complaint(text: str) -> str:
    """The refusal of a text, and what looks like one where it is taken."""
    try:
        parse_expectations(text, "expect.toml", "expect.toml", known_components(builtin()))
    except SettingsError as error:
        return error.message
    return "expect.toml:1"


@given(st.one_of(st.lists(pieces, max_size=40).map(" ".join), st.text(max_size=200)))
def test_no_text_raises_anything_but_its_refusal(text: str) -> None:
    assert complaint(text).startswith("expect.toml")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["name", "must", "to", "from", "severity", "because", "owner", "reason", "expires", "labels"])


@given(st.lists(st.dictionaries(keys, plain, max_size=6), max_size=3), st.booleans())
def test_no_tree_of_values_raises_anything_but_its_refusal(elements: list[dict[str, Any]], as_exception: bool) -> None:
    """TOML in the shape of JSON: inline tables take any value where a rule is expected."""
    key = "exception" if as_exception else "rule"
    text = f"{key} = {_inline(elements)}\n"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert complaint(text).startswith("expect.toml:1")


def _inline(value: Any) -> str:
    match value:
        case None:
            return '"none"'
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {_inline(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case float():
            return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value}.0"
        case _:
            return json.dumps(value)


names = st.text("abc-_", min_size=1, max_size=5) | st.sampled_from(['"a b"', "'x.y'", '"q\\"]"', "'#'", '"="'])
values = st.sampled_from(
    ["1", '"x # no = comment"', "'''\nthree\nlines = 1\n'''", '"""\\"""" # c', "[\n1, # [\n2,\n]", "{ a = 1, b = '}' }",
     '"""\n[[not.a.header]]\n"""', "2030-01-01"]
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["key", "key", "header", "array", "blank"]), names, values), max_size=12))
def test_every_key_is_found_on_the_line_where_it_was_written(story: list[tuple[str, str, str]]) -> None:
    text, line, expected, table, counts, used = "", 1, {}, (), {}, set()
    for number, (what, name, value) in enumerate(story):
        (key,) = tomllib.loads(f"{name} = 0")
        key, name = f"{key}{number}", json.dumps(f"{key}{number}")
        match what:
            case "key":
                piece, path = f"  {name}\t= {value} # after\n", (*table, key)
            case "header":
                piece, path = f"[{name}] # head\n", (key,)
                table = path
            case "array":
                piece, path = "[[ many ]]\n", ("many", counts.get("many", 0))
                counts["many"] = counts.get("many", 0) + 1
                table = path
            case _:
                piece, path = "# [[rule]]\n\n", ()
        if path and path not in used:
            expected[path] = line
            used.add(path)
        text += piece
        line += piece.count("\n")
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: found.get(path) for path in expected} == expected


def test_what_has_no_line_of_its_own_has_that_of_what_it_stands_in() -> None:
    lines = key_lines("x = 1\n[[rule]]\nto = { port = 1 }\n[rule.from]\nzone.a = 1\n")
    assert line_of(("rule", 0, "to", "port"), lines) == 3
    assert line_of(("rule", 0, "from", "zone", "a"), lines) == 5
    assert line_of(("rule", 0, "severity"), lines) == 2
    assert line_of(("nothing",), lines) == 1


def test_the_schema_takes_the_baseline_and_refuses_what_we_refuse() -> None:
    schema = expect_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.validate(as_json(tomllib.loads(baseline_text())))
    validator.validate(as_json(tomllib.loads(EXCEPTION)))
    for text in (
        RULE + "to.prot = 1\n",
        RULE + "to.port = 0\n",
        RULE + "from.zone = 'x'\n",
        EXCEPTION.replace('owner = "o"\n', ""),
        "[[rules]]\n",
    ):
        assert not validator.is_valid(as_json(tomllib.loads(text))), text


def test_every_example_of_the_reference_is_valid() -> None:
    text = (ROOT / "docs" / "reference" / "expectations.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        declared = parse_expectations(example, "expect.toml", "expect.toml", known_components(builtin()))
        assert declared.rules


def test_every_key_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "expectations.md").read_text("utf-8")
    definitions = expect_schema()["$defs"]
    keys = [key for name in ("RuleForm", "ExceptionForm", "To", "From") for key in definitions[name]["properties"]]
    assert [key for key in keys if f"`{key}`" not in text] == []
