"""The page on the catalogue says what it says: `python -m tests.unit.test_catalogue_page` writes its tables."""

from __future__ import annotations

import tomllib
from itertools import groupby
from pathlib import Path

from kubeshield_tui.discovery.catalogue import Row, Where, builtin
from kubeshield_tui.discovery.catalogue_file import parse
from kubeshield_tui.discovery.catalogue_rules import RequestTable, RowTable
from kubeshield_tui.model.endpoint import TlsMode
from kubeshield_tui.probes.datagrams import DATAGRAMS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "catalogue.md"
BEGIN, END = "<!-- rows: written by `python -m tests.unit.test_catalogue_page` -->\n", "<!-- end of rows -->"
HEADINGS = {
    Where.API: "The API",
    Where.CONTROL_PLANE: "The control plane",
    Where.NODE: "Nodes",
    Where.OVERLAY: "Overlays",
    Where.WORKLOAD: "Add-ons and workloads",
    Where.METADATA: "Cloud metadata",
}


def ports(row: Row) -> str:
    place = f"[{row.address}]:" if ":" in row.address else f"{row.address}:" if row.address else ""
    return ", ".join(f"{place}{port}" for port in row.ports) + ("/udp" if row.protocol == "udp" else "")


def asked(row: Row) -> str:
    talk = row.conversation
    if not row.asked:
        return "*not asked*"
    said = [
        f"`{each.method} {each.path}`" + "".join(f" with `{name}: {value}`" for name, value in each.headers)
        for each in talk.requests
    ]
    if talk.datagram:
        said.append(talk.datagram.upper())
    secure = {TlsMode.ON: "TLS", TlsMode.EITHER: "TLS if it speaks it", TlsMode.OFF: ""}[talk.tls]
    return ", then ".join(part for part in (secure, *said) if part) or "connect"


def line(row: Row) -> str:
    named = f"`{row.component}`" + (f" [{row.provider}]" if row.provider else "")
    severities = f"{row.severity_outside} / {row.severity_inside}" + (" ✗" if row.unauthenticated else "")
    return f"| {named} | {row.title} | {ports(row)} | {asked(row)} | {severities} | {row.reference} |"


def tables() -> str:
    lines = []
    rows = sorted(builtin().rows, key=lambda row: list(HEADINGS).index(row.where))
    for where, group in groupby(rows, key=lambda row: row.where):
        lines += [f"### {HEADINGS[where]}", "", "| component | | listens on | asked | outside / inside | source |"]
        lines += ["|---|---|---|---|---|---|", *map(line, group), ""]
    return "\n".join(lines)


def with_tables(page: str) -> str:
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def test_the_tables_are_the_catalogues() -> None:
    page = PAGE.read_text("utf-8")
    assert BEGIN in page
    assert page == with_tables(page), "run: python -m tests.unit.test_catalogue_page"


def test_the_example_is_a_catalogue() -> None:
    example = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    (row,) = parse(example, "the example")
    assert row.component == "vault"
    assert tomllib.loads(example)["row"][0]["request"]


def test_every_key_is_explained() -> None:
    page = PAGE.read_text("utf-8")
    of_rows, of_requests = page.partition("| key of a row |")[2].partition("| key of a request |")[::2]
    assert [key for key in RowTable.__struct_fields__ if f"`{key}`" not in of_rows] == []
    assert [key for key in RequestTable.__struct_fields__ if f"`{key}`" not in of_requests] == []
    assert [name for name in DATAGRAMS if f"`{name}`" not in of_rows] == []


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
