"""What a remedy would do, line by line, for people: what closes, what breaks, what hangs on something not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap

from kubeshield_tui.judgement.remedy import Remedy
from kubeshield_tui.judgement.trial import Flip, KnownFlow, Trial
from kubeshield_tui.model.prediction import Predicted

MARK = 11
"""Width of the word that a line begins with."""
WIDTH = 110
SHOWN = 12
"""Ends that one line names."""
NO_POLICY = "no policy"
UNKNOWN = "addresses that are not known"
Alike = Mapping[str, int]
"""By the name of a pod: how many others it stands for."""


def remedy_lines(remedy: Remedy) -> Iterator[str]:
    """Why there is no new policy, which rules admit it all the same, what else is to be known."""
    for mark, text in remedy_parts(remedy):
        yield from _marked(mark, text)


def remedy_parts(remedy: Remedy) -> Iterator[tuple[str, str]]:
    """The same, each as the word that it begins with and its text."""
    if remedy.draft is None and remedy.admitting:
        yield NO_POLICY, "other policies isolate these pods already, so that a new one could only allow more"
    elif remedy.draft is None and not remedy.notes:
        yield NO_POLICY, "none is needed: what is there denies it"
    for rule in remedy.admitting:
        yield "change", rule.text
    for note in remedy.notes:
        yield "note", note


def trial_lines(trial: Trial, alike: Alike) -> Iterator[str]:
    """What would flip."""
    for mark, text in trial_parts(trial, alike):
        yield from _marked(mark, text)


def trial_parts(trial: Trial, alike: Alike) -> Iterator[tuple[str, str]]:
    """The same, each as the word that it begins with and its text."""
    cut = [flip for flip in trial.other if flip.after is Predicted.DENY]
    rest = [flip for flip in trial.other if flip.after is not Predicted.DENY and not flip.flow.closing]
    for mark, flows in (
        ("closes", [flip.flow for flip in trial.wanted]),
        ("not sure", trial.still_open),
        ("BREAKS", _flows((*trial.broken, *trial.doubtful))),
        ("OPENS", _flows(trial.opened)),
        ("cuts", _flows(cut)),
        ("unsure", _flows(rest)),
    ):
        for text in _grouped(flows, alike, trial.hangs_on):
            yield mark, text


def _flows(flips: Iterable[Flip]) -> list[KnownFlow]:
    return [flip.flow for flip in flips]


def _grouped(flows: Iterable[KnownFlow], alike: Alike, hangs_on: Mapping[KnownFlow, str]) -> Iterator[str]:
    """A text for all connections that the same sources make, for the same reason."""
    sources: dict[tuple[str, str], list[str]] = {}
    for flow in flows:
        name = flow.source.text or UNKNOWN
        count = alike.get(name, 0)
        source = f"{name} and {count} alike" if count else name
        sources.setdefault((flow.place, hangs_on.get(flow, "")), []).append(source)
    places: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (place, why), listed in sources.items():
        places.setdefault((tuple(sorted(set(listed))), why), []).append(place)
    for (froms, why), tos in places.items():
        yield f"{_listed(froms)} -> {_listed(tos)}" + (f" ({why})" if why else "")


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return f"{', '.join(listed[:SHOWN])}{more}"


def _marked(mark: str, text: str) -> list[str]:
    indent = " " * MARK
    return wrap(text, WIDTH, initial_indent=f"{mark:<{MARK}}", subsequent_indent=indent, break_on_hyphens=False)
