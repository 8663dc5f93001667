"""Read a catalogue file: TOML, checked row by row. What it asks must be safe, wherever the file comes from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from kubeshield_tui.discovery.catalogue import CONTROL_PLANE_GROUP, METADATA_GROUP, NODES_GROUP, Row, Where
from kubeshield_tui.discovery.catalogue_rules import POSTURES, RequestTable, RowTable, ports_of, problem_of
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.endpoint import Conversation, Fact, Protocol, Reading, Request, TlsMode
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

FILE_LIMIT = 1 << 20
ROWS_LIMIT = 1_000
FORM = "A catalogue is TOML with [[row]] tables, see docs/reference/catalogue.md"
GROUPS = {
    Where.API: CONTROL_PLANE_GROUP,
    Where.CONTROL_PLANE: CONTROL_PLANE_GROUP,
    Where.NODE: NODES_GROUP,
    Where.OVERLAY: NODES_GROUP,
    Where.METADATA: METADATA_GROUP,
    Where.WORKLOAD: "",
}


class FileTable(Record, frozen=True):
    """A catalogue file."""

    row: tuple[RowTable, ...]


TABLES: dict[str, type[Record]] = {
    "": FileTable,
    "row": RowTable,
    "request": RequestTable,
    "readings": Reading,
    "facts": Fact,
}
"""Tables by the key that holds them."""
WORDS: dict[str, tuple[str, ...]] = {
    "where": tuple(Where),
    "outside": tuple(Severity),
    "inside": tuple(Severity),
    "protocol": tuple(Protocol),
    "posture": POSTURES,
}
"""What a key may be."""
_TLS: dict[bool | str, TlsMode] = {False: TlsMode.OFF, True: TlsMode.ON, "either": TlsMode.EITHER}
_INVALID = re.compile(r"(?P<what>.*?)( - at `\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.?(?P<key>\w+)(\[(?P<index>\d+)\])?")


@cache
def builtin_rows() -> tuple[Row, ...]:
    """Return the rows of the catalogue that comes with the product."""
    found = resources.files("kubeshield_tui.discovery").joinpath("catalogue.toml")
    return parse(found.read_text("utf-8"), "the built-in catalogue")


def read_file(path: Path) -> tuple[Row, ...]:
    """Return the rows of the user's file. Raises SettingsError naming the file, the row and the key."""
    source = printable(path, 200)
    try:
        with path.open("rb") as opened:
            data = opened.read(FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise SettingsError(f"{source}: larger than {FILE_LIMIT >> 20} MiB", "Keep the rows that are yours")
        return parse(data.decode("utf-8"), source)
    except OSError as error:
        raise SettingsError(f"{source}: {error.strerror}", "Check the path of the catalogue") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{source}: not UTF-8 at byte {error.start}", FORM) from error


def parse(text: str, source: str) -> tuple[Row, ...]:
    """Return the rows of a catalogue's text. Raises SettingsError naming the source, the row and the key."""
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{source}: {printable(error, 200)}", FORM) from error
    _check_keys(told, "", source)
    try:
        table = msgspec.convert(told, FileTable)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), told, source) from error
    if not 1 <= len(table.row) <= ROWS_LIMIT:
        raise SettingsError(f"{source}: {len(table.row):,} rows", f"1 to {ROWS_LIMIT:,} of one file")
    rows: dict[str, Row] = {}
    for number, row in enumerate(table.row, 1):
        place = f"{source}: {_label('row', number, row.component)}"
        problem = problem_of(row)
        if problem is not None:
            raise SettingsError(f"{place}: {problem.key}: {problem.what}", problem.hint)
        if row.component in rows:
            raise SettingsError(f"{place}: component: it is there twice", "One row a component")
        rows[row.component] = _row(row)
    return tuple(rows.values())


# --- places and nearest words


def _label(key: str, number: int, component: object = "") -> str:
    named = f" ({printable(component, 60)})" if component else ""
    return f"{key} {number}{named}"


def _check_keys(told: dict[str, Any], table: str, place: str) -> None:
    known = TABLES[table].__struct_fields__
    for key, value in told.items():
        if key not in known:
            raise SettingsError(f"{place}: unknown key {printable(key, 60)!r}", _nearest(key, known))
        if key in TABLES:
            for number, item in enumerate(value if isinstance(value, list) else [value], 1):
                if isinstance(item, dict):
                    _check_keys(item, key, f"{place}: {_label(key, number, item.get('component', ''))}")


def _nearest(word: object, known: tuple[str, ...]) -> str:
    near = get_close_matches(str(word), known, 1)
    return f"Did you mean {near[0]!r}?" if near else f"Expected one of: {', '.join(known)}"


def _invalid(said: str, told: dict[str, Any], source: str) -> SettingsError:
    """Put msgspec's sentence in words of the file: `row 2 (db): outside`, not `$.row[1].outside`."""
    found = _INVALID.fullmatch(said)
    assert found is not None  # both of its parts may be empty
    place, value, key = source, told, ""
    for step in _STEP.finditer(found["path"] or ""):
        key, index = step["key"], step["index"]
        value = _inside(value, key, index)
        component = value.get("component", "") if isinstance(value, dict) else ""
        place += f": {_label(key, int(index) + 1, component) if index else key}"
    what = printable(found["what"], 200)
    if key in WORDS and isinstance(value, str):
        return SettingsError(f"{place}: {printable(value, 60)!r} is no such word", _nearest(value, WORDS[key]))
    return SettingsError(f"{place}: {what}", FORM)


def _inside(value: Any, key: str, index: str | None) -> Any:
    try:
        return value[key] if index is None else value[key][int(index)]
    except (KeyError, IndexError, TypeError):
        return None


# --- rows


def _row(row: RowTable) -> Row:
    return Row(
        component=row.component,
        title=printable(row.title, 120),
        where=row.where,
        ports=tuple(ports_of(row)),
        protocol=row.protocol,
        conversation=Conversation(
            tls=_TLS[row.tls],
            requests=tuple(_request(each) for each in row.request),
            datagram=row.datagram,
            readings=tuple(_readings(row.readings)),
        ),
        group=printable(row.group, 60) or GROUPS[row.where],
        severity_outside=row.outside,
        severity_inside=row.inside,
        provider=printable(row.provider, 30),
        address=str(ip_address(row.address)) if row.address else "",
        unauthenticated=row.unauthenticated,
        asked=row.asked,
        reference=printable(row.reference, 300),
    )


def _request(table: RequestTable) -> Request:
    return Request(
        method=table.method,
        path=table.path,
        headers=tuple(table.headers.items()),
        keep_body=table.keep_body,
        readings=tuple(_readings(table.readings)),
        facts=table.facts,
    )


def _readings(readings: tuple[Reading, ...]) -> Iterator[Reading]:
    """What a reading says is shown, so that it is made printable."""
    for reading in readings:
        yield msgspec.structs.replace(reading, says=printable(reading.says, 160))
