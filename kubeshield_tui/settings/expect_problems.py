"""What is wrong with an expectations file, in words: which key, what was expected, what was probably meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import msgspec

from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.globs import glob
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageKind, Zone
from kubeshield_tui.settings.expect_form import (
    ExceptionForm,
    From,
    Grade,
    GradeByZone,
    RuleForm,
    To,
    as_list,
)
from kubeshield_tui.settings.toml_lines import KeyPath

WAIVER_KEYS = ("owner", "reason", "expires")
_TABLES: dict[str, type[msgspec.Struct]] = {"to": To, "from": From, "severity": GradeByZone}
_WORDS: dict[str, Iterable[str]] = {
    "must": Must,
    "severity": Grade,
    "kind": VantageKind,
    "zone": Zone,
    "protocol": Protocol,
    **dict.fromkeys(Zone, Grade),
}
"""Key -> the words that it takes."""
_SAID = re.compile(r"(?P<said>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<number>\d+)\]")
_FIELD = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<field>.*)`", re.DOTALL)
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Problem(NamedTuple):
    """Something that can't be used as it stands."""

    path: KeyPath
    sentence: str


def problem_of(at: KeyPath, error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> Problem:
    """Say what a validation found in the element `at`, which should have been a `kind`."""
    found = _SAID.fullmatch(str(error))
    said, shown_path = (found["said"], found["path"] or "") if found else (str(error), "")
    path = (*at, *(step["name"] or int(step["number"]) for step in _STEP.finditer(shown_path)))
    names = [part for part in path[len(at) :] if isinstance(part, str)]
    if field := _FIELD.fullmatch(said):
        if field["what"].startswith("contains"):
            return unknown_key(path, field["field"], _TABLES[names[-1]] if names else kind)
        why = f": an exception has {', '.join(WAIVER_KEYS)}" if field["field"] in WAIVER_KEYS else ""
        return Problem((*path, field["field"]), f"is missing{why}")
    if said.startswith("Invalid enum value") and names[-1:] and names[-1] in _WORDS:
        return Problem(path, _no_such_word(said.removeprefix("Invalid enum value "), _WORDS[names[-1]]))
    if said == "Invalid RFC3339 encoded date" or "`date`" in said:
        return Problem(path, "expected a date without a time, 2026-12-31")
    return Problem(path, printable(said[:1].lower() + said[1:], 200))


def unknown_key(path: KeyPath, key: str, kind: type[msgspec.Struct]) -> Problem:
    """Say that a table has no such key, and which one was probably meant."""
    keys = kind.__struct_encode_fields__
    elsewhere = [f"{table}.{key}" for table in ("to", "from") if key in _TABLES[table].__struct_encode_fields__]
    meant = get_close_matches(key, keys, 1, 0.5)
    if meant:
        guess = f"did you mean {meant[0]}?"
    elif elsewhere:
        guess = f"did you mean {elsewhere[0]}?"
    else:
        guess = f"there are {', '.join(keys)}"
    return Problem((*path, key), f"no such key; {guess}")


def problems_of(at: KeyPath, form: RuleForm | ExceptionForm, components: Mapping[str, str]) -> Iterator[Problem]:
    """Whatever types can't say about a rule or an exception. `components`: those that exist, with their kind."""
    if form.to == To() and form.source == From():
        yield Problem(at, 'it speaks of everything; say to.component = "*" if that is meant')
    for ports in as_list(form.to.port):
        if isinstance(ports, str) and not _is_range(ports):
            yield Problem((*at, "to", "port"), f"{_shown(ports)}: expected 443 or '8000-8010', within 1 to 65535")
    for address in as_list(form.to.address):
        if why := _bad_address(address):
            yield Problem((*at, "to", "address"), f"{_shown(address)}: {why}")
    for key, wanted, known in (
        ("component", form.to.component, components.keys()),
        ("where", form.to.where, frozenset(filter(None, components.values()))),
    ):
        for word in as_list(wanted):
            if known and not any(map(glob(word).fullmatch, known)):
                yield Problem((*at, "to", key), _no_such_word(_shown(word), known))


def _is_range(text: str) -> bool:
    found = _PORTS.fullmatch(text)
    return found is not None and 1 <= int(found[1]) <= int(found[2] or found[1]) <= 65535


def _bad_address(text: str) -> str:
    """Why an address can't be used; empty if it can."""
    if "/" in text:
        try:
            ip_network(text, strict=False)
        except ValueError:
            return "not a network (10.0.0.0/8, 2001:db8::/32)"
    elif ":" in text or text.replace(".", "").isdigit():
        try:
            ip_address(text)
        except ValueError:
            return "not an IP address; a range of them is a network (10.0.0.0/8)"
    return ""


def _no_such_word(value: str, words: Iterable[str]) -> str:
    """`'blokced': expected any, blocked or reachable; did you mean blocked?`."""
    known = sorted(map(str, words))
    meant = get_close_matches(value.strip("'\""), known, 1, 0.5)
    guess = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(known)}"
    return f"{printable(value, 80)} is not known; {guess}"


def _shown(value: str) -> str:
    return repr(printable(value, 80))
