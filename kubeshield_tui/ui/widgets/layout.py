"""Which rows and columns the grid has, and how wide. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from kubeshield_tui.model.endpoint import Endpoint, Protocol
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.vantage import Vantage, Zone
from kubeshield_tui.session.query import grouped
from kubeshield_tui.session.store import Store

FIRST_MIN, FIRST_MAX = 24, 50
NAME_MIN = 12
"""Columns of a name that are left where the rest is needed for words in the cells."""
DEPTH = 6
"""Columns of an endpoint's own depth, where there is room."""
ZONE_ORDER = (Zone.OUTSIDE, Zone.ADMIN, Zone.POD, Zone.NODE)


class Detail(IntEnum):
    """How much a cell shows, and how wide that is."""

    GLYPH = 5
    WORD = 14
    FULL = 30


@dataclass(frozen=True, slots=True)
class Row:
    """A group's heading, or an endpoint."""

    group: str
    endpoint: EndpointId | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A vantage."""

    vantage: VantageId
    label: str
    zone: Zone
    width: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The whole grid."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    first: int
    """Width of the frozen first column."""
    detail: Detail
    depth: int = 0
    """How much of it at its end is for the endpoint's depth."""

    @property
    def width(self) -> int:
        """All columns together."""
        return self.first + sum(column.width for column in self.columns)


EMPTY_GRID = Grid((), (), FIRST_MIN, Detail.GLYPH)


def lay_out(
    store: Store, width: int, folded: Iterable[str], wanted: str, only: Container[EndpointId] | None = None
) -> Grid:
    """Lay out what a store holds for `width` columns. `wanted` is the filter's text; `only`: no rows but these."""
    rows = _rows(store, set(folded), wanted.lower(), only)
    vantages = sorted(store.vantages.values(), key=lambda vantage: ZONE_ORDER.index(vantage.zone))
    longest = max((cell_len(row.label) for row in rows if row.endpoint), default=FIRST_MIN)
    first = min(max(longest + 3, FIRST_MIN), FIRST_MAX, max(width // 2, FIRST_MIN))
    address = max((cell_len(row.label.rpartition(" ")[2]) for row in rows if row.endpoint), default=0)
    # A verdict's word is worth more than the whole of a name; what an answer took is not.
    least = {Detail.FULL: first, Detail.WORD: min(max(address + NAME_MIN + 3, FIRST_MIN), first)}
    for detail in (Detail.FULL, Detail.WORD, Detail.GLYPH):
        columns = tuple(_column(vantage, detail, len(vantages)) for vantage in vantages)
        room = width - sum(column.width for column in columns)
        if room >= least.get(detail, first):
            depth = DEPTH if room - first >= DEPTH else 0
            return Grid(rows, columns, min(first, room) + depth, detail, depth)
    # Glyphs alone do not fit either: names give way before the columns have to scroll.
    return Grid(rows, columns, min(first, max(room, FIRST_MIN)), detail)


def _column(vantage: Vantage, detail: Detail, count: int) -> Column:
    label = short_name(vantage)
    room = 10 if count > 6 else 16
    width = max(detail, min(cell_len(label) + 2, detail if detail > Detail.GLYPH else room))
    return Column(vantage.id, label, vantage.zone, width)


def short_name(vantage: Vantage) -> str:
    """A column's label: the spec without its kind."""
    return vantage.spec.text.partition(":")[2] or vantage.spec.text


def _rows(store: Store, folded: set[str], wanted: str, only: Container[EndpointId] | None) -> tuple[Row, ...]:
    rows: list[Row] = []
    for group, endpoints in grouped(store).items():
        kept = [endpoint for endpoint in endpoints if only is None or endpoint.id in only]
        shown = [endpoint for endpoint in kept if not wanted or wanted in _haystack(store, endpoint)]
        if shown:
            rows.append(Row(group))
        if group not in folded:
            rows.extend(Row(group, endpoint.id, row_label(endpoint)) for endpoint in shown)
    return tuple(rows)


def row_label(endpoint: Endpoint) -> str:
    """Name and address of an endpoint."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    udp = "/udp" if endpoint.protocol is Protocol.UDP else ""
    return f"{endpoint.name} {host}:{endpoint.port}{udp}"


def _haystack(store: Store, endpoint: Endpoint) -> str:
    words = [row_label(endpoint), endpoint.namespace, endpoint.component, endpoint.group]
    for vantage in store.vantages:
        verdict = store.cell(CellKey(endpoint.id, vantage)).verdict
        if verdict is not None:
            words.append(str(verdict))
    return " ".join(words).lower()


@lru_cache(8192)
def fit(text: str, width: int) -> str:
    """Cut or pad to exactly `width` columns; what is cut ends in an ellipsis."""
    if cell_len(text) > width:
        return set_cell_size(set_cell_size(text, max(width - 1, 0)).rstrip() + "…", width)
    return set_cell_size(text, width)


@lru_cache(8192)
def fit_label(label: str, width: int) -> str:
    """Cut or pad `name address:port` to exactly `width` columns: the name gives way first, in its middle, and the port
    is never cut."""
    if cell_len(label) <= width:
        return set_cell_size(label, width)
    name, _, address = label.rpartition(" ")
    room = width - cell_len(address) - 1
    if name and room >= 3:
        return set_cell_size(f"{cut_middle(name, room)} {address}", width)
    return set_cell_size(cut_middle(address, width), width)


def cut_middle(text: str, width: int) -> str:
    """Cut to at most `width` columns; an ellipsis stands for what is missing in the middle, both ends are kept."""
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, max(width // 2, 0)).rstrip()
    tail = text
    while tail and cell_len(head) + 1 + cell_len(tail) > width:
        tail = tail[1:]
    return f"{head}…{tail}"
