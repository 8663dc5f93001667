"""Known holes as data: which versions have them, what they need, who has to be able to reach what.

The table is holes.toml beside this file. Versions are all that is compared: nothing that tries a hole is ever sent.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from importlib import resources
from re import compile as pattern
from typing import NamedTuple

import msgspec

from kubeshield_tui.judgement.version import Release, Version, read_version, release_before, show_release
from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.model.record import Record

EVERY_VERSION = "*"
_SPAN = pattern(r"(?:>=(?P<first>[0-9]+\.[0-9]+\.[0-9]+))? ?(?:<(?P<end>[0-9]+\.[0-9]+\.[0-9]+))?")


class Affected(StrEnum):
    """Whether a version has a hole."""

    YES = "affected"
    NO = "not affected"
    UNSURE = "indeterminate"


class Requirement(StrEnum):
    """Something that must be so for a hole to matter, or to matter most."""

    ANONYMOUS = "anonymous"
    """The API answers requests of nobody in particular."""
    AGGREGATED = "aggregated"
    """Another server answers for a part of the API."""
    WEBHOOKS = "webhooks"
    """Admission webhooks are configured."""
    POLICIES = "policies"
    """NetworkPolicies exist."""
    WINDOWS = "windows"
    """A node runs Windows."""
    PORTWORX = "portworx"
    """Portworx volumes are in use."""


class Unsure(Record, frozen=True):
    """Versions of which the sources say different things."""

    versions: str
    why: str


class Weights(Record, frozen=True):
    """Severity by the worst zone that reaches the component."""

    nowhere: Severity
    """Reached from no vantage, as far as is known; the only one where no cell can tell who reaches it."""
    inside: Severity | None = None
    """Reached from nodes or from where administrators work."""
    pod: Severity | None = None
    outside: Severity | None = None


class Hole(Record, frozen=True):
    """One known hole."""

    id: str
    title: str
    """What goes wrong, short enough for a list."""
    component: str
    """Whose version decides: kube-apiserver, kubelet, kube-controller-manager, ingress-nginx."""
    severity: Weights
    needs: str
    """What an attacker needs besides the version, in words."""
    remedy: str
    reference: str
    also: tuple[str, ...] = ()
    """Other ids that the same versions have and the same fix closes."""
    affected: tuple[str, ...] = ()
    """`<1.16.11`, `>=1.17.0 <1.17.7`, `*`."""
    unsure: tuple[Unsure, ...] = ()
    fixed: tuple[str, ...] = ()
    """First releases with the fix, by line."""
    reach: tuple[str, ...] = ()
    """Components whose endpoints an attacker must reach; empty where no cell shows the way."""
    required: tuple[Requirement, ...] = ()
    """Where one of these is known not to be so, the hole does not matter."""
    raised_by: tuple[Requirement, ...] = ()
    """Where one of these is known not to be so, it is one step less severe."""


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    hole: tuple[Hole, ...]


class Span(NamedTuple):
    """Releases from `first` on and before `end`."""

    first: Release | None
    end: Release | None

    def __contains__(self, release: object) -> bool:
        return isinstance(release, tuple) and (
            (self.first is None or release >= self.first) and (self.end is None or release < self.end)
        )

    def __str__(self) -> str:
        """`1.17.0 to 1.17.6`, as advisories write it."""
        if self.end is None:
            return f"{show_release(self.first)} and later" if self.first else "every version"
        before = f"before {show_release(self.end)}"
        if self.first is None:
            return before
        major, minor, patch = self.end
        last = (major, minor, patch - 1)
        if self.first == last:
            return show_release(last)
        return f"{show_release(self.first)} to {show_release(last) if patch else before}"


class Compared(NamedTuple):
    """What comparing one version with one hole gave."""

    affected: Affected
    sentence: str


@cache
def shipped_holes() -> tuple[Hole, ...]:
    """The table that comes with the product."""
    return parse_holes(resources.files(__package__).joinpath("holes.toml").read_text(encoding="utf-8"))


def parse_holes(text: str) -> tuple[Hole, ...]:
    """Read a table. Raises ValueError (msgspec's and tomllib's are) naming the key or the hole."""
    holes = msgspec.convert(tomllib.loads(text), _Table).hole
    for hole in holes:
        for wrong in _wrong(hole):
            raise ValueError(f"{hole.id}: {wrong}")
    if len({hole.id for hole in holes}) < len(holes):
        raise ValueError("a hole stands in the table twice")
    return holes


def _wrong(hole: Hole) -> Iterator[str]:
    """What types can't say."""
    spans = [*hole.affected, *(unsure.versions for unsure in hole.unsure)]
    if not spans:
        yield "expected `affected` or `unsure`"
    for text in spans:
        span_of(text)
    for text in hole.fixed:
        version = read_version(text)
        if version is None or _plain(hole, version.release)[0] is not Affected.NO:
            yield f"{text} is listed as fixed and as affected, or is no version"
    weights = hole.severity
    levels = [weights.nowhere, weights.inside, weights.pod, weights.outside]
    if any(level is None for level in levels[1:]) and hole.reach:
        yield "expected a severity for outside, pod, inside and nowhere: it names who must reach what"
    ranks = [SEVERITIES.index(level) for level in levels if level is not None]
    if ranks != sorted(ranks):
        yield "expected severities that fall from outside over pod and inside to nowhere"


@cache
def span_of(text: str) -> Span:
    """Read `>=1.17.0 <1.17.7`. Raises ValueError."""
    if text == EVERY_VERSION:
        return Span(None, None)
    found = _SPAN.fullmatch(text)
    if found is None or not text.strip():
        raise ValueError(f"{text!r} is no range of versions: expected `>=1.17.0 <1.17.7`, one half of it, or `*`")
    first, end = (read_version(found[name] or "") for name in ("first", "end"))
    if first and end and first.release >= end.release:
        raise ValueError(f"{text!r} is empty")
    return Span(first.release if first else None, end.release if end else None)


def compare(hole: Hole, text: str) -> Compared:
    """Tell whether a version has a hole: `v1.20.2` affected, `v1.20.2-gke.3` indeterminate, unreadable ones too."""
    version = read_version(text)
    if version is None:
        return Compared(Affected.UNSURE, f"{text!r} is no version" if text else "the version is not known")
    affected, why = _of_version(hole, version)
    if affected is Affected.YES and version.vendor:
        why = f"the suffix {version.vendor!r} says that somebody else built it, and may have ported the fix"
        affected = Affected.UNSURE
    return Compared(affected, f"{text} is {affected}" + (f": {why}" if why else ""))


def extent(hole: Hole) -> str:
    """Affected and fixed versions in words."""
    spans = [(span_of(text), "") for text in hole.affected]
    spans.extend((span_of(unsure.versions), " (not certain)") for unsure in hole.unsure)
    spans.sort(key=lambda each: each[0].first or (0, 0, 0))
    fixed = f"fixed in {', '.join(hole.fixed)}" if hole.fixed else "no release fixes it"
    return f"affected: {', '.join(f'{span}{doubt}' for span, doubt in spans)}; {fixed}"


def _of_version(hole: Hole, version: Version) -> tuple[Affected, str]:
    affected, why = _plain(hole, version.release)
    before = release_before(version.release) if version.pre else None
    if before is None or _plain(hole, before)[0] is affected:
        return affected, why
    # Built somewhere between two releases that differ: the fix (or the fault) may be in it or not.
    return Affected.UNSURE, f"a pre-release between {show_release(before)} and {show_release(version.release)}"


def _plain(hole: Hole, release: Release) -> tuple[Affected, str]:
    if any(release in span_of(text) for text in hole.affected):
        return Affected.YES, ""
    for unsure in hole.unsure:
        if release in span_of(unsure.versions):
            return Affected.UNSURE, unsure.why
    return Affected.NO, ""
