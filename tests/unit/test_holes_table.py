"""The table of known holes: every edge written by hand from the advisories, so that a slip in the data shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeshield_tui.judgement.holes import Affected, Hole, compare, extent, parse_holes, shipped_holes, span_of
from kubeshield_tui.judgement.version import Version, read_version, release_before, show_release

HOLES = {hole.id: hole for hole in shipped_holes()}
MEANING = {"+": Affected.YES, "-": Affected.NO, "?": Affected.UNSURE}

EDGES = {
    "CVE-2018-1002105": "0.21.4- 1.0.0+ 1.9.11+ 1.10.10+ 1.10.11- 1.10.13- 1.11.0+ 1.11.4+ 1.11.5- 1.12.0+ 1.12.2+ "
    "1.12.3- 1.13.0- 1.20.2- 1.33.4-",
    "CVE-2020-8558": "1.0.0+ 1.15.12+ 1.16.10+ 1.16.11- 1.17.0+ 1.17.6+ 1.17.7- 1.18.0+ 1.18.3+ 1.18.4- 1.19.0- "
    "1.20.2-",
    "CVE-2025-0426": "1.24.17- 1.25.0? 1.29.13? 1.29.14- 1.30.0+ 1.30.9+ 1.30.10- 1.31.0+ 1.31.5+ 1.31.6- 1.32.0+ "
    "1.32.1+ 1.32.2- 1.33.0-",
    "CVE-2022-3294": "1.20.2? 1.21.14? 1.22.0+ 1.22.15+ 1.22.16- 1.23.0+ 1.23.13+ 1.23.14- 1.24.0+ 1.24.7+ 1.24.8- "
    "1.25.0+ 1.25.3+ 1.25.4- 1.26.0-",
    "CVE-2022-3172": "1.0.0+ 1.20.2+ 1.21.13+ 1.21.14? 1.22.0+ 1.22.13+ 1.22.14- 1.23.0+ 1.23.10+ 1.23.11- 1.24.0+ "
    "1.24.4+ 1.24.5- 1.25.0+ 1.25.1- 1.26.0-",
    "CVE-2021-25737": "1.15.12- 1.16.0+ 1.17.17+ 1.18.18+ 1.18.19- 1.19.0+ 1.19.10+ 1.19.11- 1.20.0+ 1.20.2+ 1.20.6+ "
    "1.20.7- 1.21.0+ 1.21.1- 1.22.0-",
    "CVE-2021-25741": "1.18.20+ 1.19.14+ 1.19.15? 1.19.16- 1.20.0+ 1.20.2+ 1.20.10+ 1.20.11- 1.21.0+ 1.21.4+ 1.21.5- "
    "1.22.0+ 1.22.1? 1.22.2- 1.23.0-",
    "CVE-2020-8555": "1.14.10+ 1.15.11+ 1.15.12- 1.16.0+ 1.16.8+ 1.16.9- 1.17.0+ 1.17.4+ 1.17.5- 1.18.0+ 1.18.1- "
    "1.19.0-",
    "CVE-2020-8551": "1.14.10- 1.15.0+ 1.15.9+ 1.15.10- 1.16.0+ 1.16.6+ 1.16.7- 1.17.0+ 1.17.2+ 1.17.3- 1.18.0-",
    "CVE-2019-11248": "1.11.10+ 1.12.9+ 1.12.10- 1.13.0+ 1.13.7+ 1.13.8- 1.14.0+ 1.14.3+ 1.14.4- 1.15.0-",
    "CVE-2020-10749": "1.15.12+ 1.16.10+ 1.16.11- 1.17.0+ 1.17.6+ 1.17.7? 1.17.16? 1.17.17- 1.18.0+ 1.18.3+ 1.18.4- "
    "1.19.0-",
    "CVE-2023-5528": "1.24.17+ 1.25.15+ 1.25.16- 1.26.0+ 1.26.10+ 1.26.11- 1.27.0+ 1.27.7+ 1.27.8- 1.28.0+ 1.28.3+ "
    "1.28.4- 1.29.0-",
    "CVE-2024-7598": "1.2.7- 1.3.0+ 1.29.14+ 1.30.0? 1.33.4? 1.34.0- 1.35.1-",
    "CVE-2025-13281": "1.31.14? 1.32.0+ 1.32.9+ 1.32.10- 1.33.0+ 1.33.5+ 1.33.6- 1.34.0+ 1.34.1+ 1.34.2- 1.35.0-",
    "CVE-2020-8561": "1.0.0+ 1.20.2+ 1.40.0+",
    "CVE-2020-8562": "1.0.0+ 1.20.2+ 1.40.0+",
    "CVE-2025-1974": "0.26.1+ 1.10.6+ 1.11.4+ 1.11.5- 1.11.8- 1.12.0+ 1.12.1- 1.13.0-",
    "CVE-2026-24512": "1.9.0+ 1.12.8+ 1.13.6+ 1.13.7- 1.14.0+ 1.14.2+ 1.14.3- 1.15.0-",
    "CVE-2026-24513": "1.9.0+ 1.12.8+ 1.13.6+ 1.13.7- 1.14.0+ 1.14.2+ 1.14.3- 1.15.0-",
    "CVE-2026-24514": "1.9.0+ 1.12.8+ 1.13.6+ 1.13.7- 1.14.0+ 1.14.2+ 1.14.3- 1.15.0-",
    "CVE-2025-15566": "1.11.5? 1.12.4? 1.12.5- 1.12.8- 1.13.0? 1.13.1- 1.14.0-",
    "CVE-2026-3288": "1.11.5+ 1.12.8+ 1.13.0? 1.13.9? 1.14.0+ 1.14.3+ 1.14.4- 1.15.0-",
}
"""Hole -> versions, + affected, - not affected, ? indeterminate. Written from the advisories, not from the table."""


def edges() -> list[tuple[str, str, Affected]]:
    return [(hole, word[:-1], MEANING[word[-1]]) for hole, words in EDGES.items() for word in words.split()]


@pytest.mark.parametrize(("hole", "version", "expected"), edges())
def test_every_edge_is_as_the_advisories_have_it(hole: str, version: str, expected: Affected) -> None:
    assert compare(HOLES[hole], f"v{version}").affected is expected
    assert compare(HOLES[hole], version).affected is expected


@pytest.mark.parametrize(
    "suffix", ["-gke.1172000", "+k3s1", "-eks-4b0a1c2", "-dirty", "+rke2r1", "~deb12u1", "-debian-12-r3", "-r0", "+x.9"]
)
def test_a_vendors_suffix_makes_affected_indeterminate_and_leaves_fixed_alone(suffix: str) -> None:
    for hole, version, plain in edges():
        expected = Affected.NO if plain is Affected.NO else Affected.UNSURE
        assert compare(HOLES[hole], f"v{version}{suffix}").affected is expected, (hole, version)


def test_no_hole_and_no_edge_of_the_data_is_left_out_above() -> None:
    assert set(EDGES) == set(HOLES)
    for hole in HOLES.values():
        written = {read_version(word[:-1]).release for word in EDGES[hole.id].split()}  # type: ignore[union-attr]
        for text in (*hole.affected, *(unsure.versions for unsure in hole.unsure)):
            span = span_of(text)
            assert span.first is None or span.first in written, (hole.id, text)
            assert span.end is None or span.end in written, (hole.id, text)
            if span.end is not None and span.end[2]:
                assert release_before(span.end) in written, (hole.id, text)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.11.5-beta.0", "?"),  # built between 1.11.4 and 1.11.5: the fix may be in it
        ("v1.11.6-beta.0", "-"),
        ("v1.11.4-beta.0", "+"),
        ("v1.12.0-rc.1", "+"),
        ("v1.13.0-alpha.3", "?"),  # begun before the fix
        ("v1.14.0-alpha.0", "-"),
        ("v1.13.0-alpha.0.1234+0a1b2c3d", "?"),
        ("v1.12.0-rc.1+k3s1", "?"),
        ("v1.10.11-rc.1.gke.3", "?"),
    ],
)
def test_a_pre_release_is_judged_by_the_releases_on_both_sides(version: str, expected: str) -> None:
    assert compare(HOLES["CVE-2018-1002105"], version).affected is MEANING[expected]


@pytest.mark.parametrize("text", ["", "latest", "1.20", "v1", "v1.20.x", "sha256:0123", "Kubernetes v1.20.2", "v1..2"])
def test_what_is_no_version_is_indeterminate_never_not_affected(text: str) -> None:
    assert read_version(text) is None
    for hole in HOLES.values():
        assert compare(hole, text).affected is Affected.UNSURE


@given(st.text() | st.from_regex(r"v?\d+\.\d+\.\d+.*"))
def test_no_text_breaks_the_reading(text: str) -> None:
    version = read_version(text)
    assert version is None or all(isinstance(part, int) for part in version.release)
    for hole in (HOLES["CVE-2018-1002105"], HOLES["CVE-2025-15566"]):
        assert compare(hole, text).sentence


numbers = st.integers(0, 999_999)
releases = st.tuples(numbers, numbers, numbers)


@given(releases, releases)
def test_versions_are_ordered_as_numbers_not_as_text(one: tuple[int, int, int], two: tuple[int, int, int]) -> None:
    first, second = (read_version(f"v{show_release(release)}") for release in (one, two))
    assert first
    assert second
    assert (first.release < second.release) == (one < two)
    assert read_version(show_release(one)) == Version(one)


@given(releases, st.sampled_from(["", "alpha.0", "beta.12", "rc.1"]), st.from_regex(r"[+~_][ -~]*", fullmatch=True))
def test_a_version_is_taken_apart_as_it_was_put_together(release: tuple[int, int, int], pre: str, vendor: str) -> None:
    text = f"v{show_release(release)}{'-' if pre else ''}{pre}{vendor}"
    assert read_version(text) == Version(release, pre, vendor.strip())


@given(releases)
def test_the_release_before_is_before(release: tuple[int, int, int]) -> None:
    before = release_before(release)
    assert before is None or before < release


def test_ranges_are_shown_as_advisories_write_them() -> None:
    assert [str(span_of(text)) for text in (">=1.17.0 <1.17.7", "<1.16.11", ">=1.22.1 <1.22.2", ">=1.3.0 <1.30.0")] == [
        "1.17.0 to 1.17.6",
        "before 1.16.11",
        "1.22.1",
        "1.3.0 to before 1.30.0",
    ]
    assert [str(span_of(text)) for text in ("*", ">=1.3.0")] == ["every version", "1.3.0 and later"]
    assert extent(HOLES["CVE-2022-3294"]).startswith("affected: before 1.22.0 (not certain), 1.22.0 to 1.22.15, ")


def test_the_table_is_complete_where_people_read_it() -> None:
    first = shipped_holes()[0]
    assert first.id == "CVE-2018-1002105"
    assert first.reach == ("kube-apiserver",)
    for hole in shipped_holes():
        assert hole.reference.startswith("https://")
        assert hole.remedy.endswith(".")
        assert not hole.needs.endswith(".")


def test_users_can_read_which_holes_are_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "known-holes.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("|")]
    for hole in shipped_holes():
        assert any(hole.id in row and hole.component in row for row in rows), hole.id


ROW = """
[[hole]]
id = "CVE-2000-1"
title = "t"
component = "kubelet"
affected = [">=1.0.0 <1.2.0"]
fixed = ["1.2.0"]
severity = { nowhere = "low" }
needs = "n"
remedy = "r"
reference = "https://example.com"
"""


def test_a_row_is_read() -> None:
    (hole,) = parse_holes(ROW)
    assert isinstance(hole, Hole)
    assert compare(hole, "v1.1.9").affected is Affected.YES


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ('affected = [">=1.0.0 <1.2.0"]', "", "expected `affected` or `unsure`"),
        ('affected = [">=1.0.0 <1.2.0"]', 'affected = ["=<1.2.0"]', "'=<1.2.0' is no range of versions"),
        ('affected = [">=1.0.0 <1.2.0"]', 'affected = [">=1.2.0 <1.0.0"]', "is empty"),
        ('affected = [">=1.0.0 <1.2.0"]', 'affected = [""]', "is no range of versions"),
        ('fixed = ["1.2.0"]', 'fixed = ["1.1.0"]', "1.1.0 is listed as fixed and as affected"),
        ('fixed = ["1.2.0"]', 'fixed = ["new"]', "is no version"),
        ('{ nowhere = "low" }', '{ nowhere = "grave" }', r"\$.hole\[0\].severity.nowhere"),
        ('{ nowhere = "low" }', '{ nowhere = "low", pod = "info" }', "expected severities that fall"),
        ('needs = "n"', 'needs = "n"\nreach = ["kubelet"]', "expected a severity for outside"),
        ('needs = "n"', 'needs = "n"\nneed = 1', "unknown field `need`"),
        ('needs = "n"', 'needs = "n"\nrequired = ["luck"]', r"\$.hole\[0\].required\[0\]"),
        ('id = "CVE-2000-1"', "id = CVE", "Invalid value"),
    ],
)
def test_a_slip_in_the_table_is_named(line: str, instead: str, said: str) -> None:
    assert line in ROW
    with pytest.raises(ValueError, match=said):
        parse_holes(ROW.replace(line, instead))


def test_a_hole_stands_there_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_holes(ROW + ROW)
