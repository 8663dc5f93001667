"""Ways to close a cell: their YAML, what each would change, and what was applied already. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.model.event import PolicyApplied
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.report.remedy import remedy_parts, trial_parts
from kubeshield_tui.session.proposals import Proposal
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.page.lines import INDENT, pair
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import LABEL, Line

MARKS = {"closes": "reachable", "BREAKS": "exposed", "OPENS": "exposed", "not sure": "unproven", "unsure": "unproven"}
"""Colour tokens of what a trial says."""


def applied(view: CellView) -> Iterator[Line]:
    """What was applied here, and the key that takes it back."""
    for made in applied_to(view.store, view.key):
        words = f"{made.shown}, {age(view.now - made.at)}: u takes it back"
        yield from pair("applied", words, "reachable", view.width)


def proposals(view: CellView) -> Iterator[Line]:
    """What is proposed, with what each would change, and the keys."""
    if view.proposals is None:
        yield from pair("", "a proposes a policy that closes it, tried on all that is known", "quiet", view.width)
        return
    for proposal in view.proposals:
        yield ()
        yield from _proposal(view, proposal)


def _proposal(view: CellView, proposal: Proposal) -> Iterator[Line]:
    width, draft = view.width, proposal.remedy.draft
    if draft is not None:
        safe = "breaks nothing that is known to be needed" if proposal.is_safe else "LOOK at what it does first"
        token = "reachable" if proposal.is_safe else "exposed"
        count = len(proposal.trial.wanted)
        closes = f"{draft.key.text} closes {count} cell{'s' * (count != 1)}"
        yield from pair("proposal", f"{closes}, {safe}", token, width)
    for mark, text in _parts(proposal):
        yield from pair(mark, text, MARKS.get(mark, "quiet"), width)
    if draft is None:
        return
    for line in draft.text.splitlines():
        yield ((" " * INDENT, LABEL), (line, "quiet" if line.lstrip().startswith("#") else ""))
    keys = "a applies it, after your yes; S saves it" if is_new(view.store, proposal) else "applied; S saves it"
    yield from pair("", keys, "quiet", width)


def _parts(proposal: Proposal) -> Iterator[tuple[str, str]]:
    yield from remedy_parts(proposal.remedy)
    yield from trial_parts(proposal.trial, {})
    for mark, text in trial_parts(proposal.possible, proposal.alike):
        yield mark, f"{text} (nobody asked)"


def applied_to(store: Store, key: CellKey) -> list[PolicyApplied]:
    """Policies that we made to close a cell, the last one last."""
    return sorted((each for each in store.applied.values() if key in each.cells), key=lambda each: each.at)


def is_new(store: Store, proposal: Proposal) -> bool:
    """Whether a proposal has a policy that was not applied yet."""
    draft = proposal.remedy.draft
    return draft is not None and (proposal.cluster, draft.namespace, draft.name) not in store.applied


def shown_for_consent(proposal: Proposal) -> list[str]:
    """What is agreed to: what it changes, then its text."""
    return ["\n".join(f"{mark:<11}{text}" for mark, text in _parts(proposal)), proposal.text.rstrip()]
