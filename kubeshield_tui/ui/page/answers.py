"""Top of a cell's page: what it is, its verdict, and the three answers with their sources and ages. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from kubeshield_tui.judgement.chain import next_decider, predict
from kubeshield_tui.judgement.comparison import Code
from kubeshield_tui.judgement.words import declared, describe
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.prediction import Prediction
from kubeshield_tui.model.verdict import Judgement
from kubeshield_tui.ui.page.lines import TOKENS, answer, pair, said, to_the_right
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.layout import cut_middle, fit, row_label
from kubeshield_tui.ui.widgets.pager import Line, Piece

MOST = 2
"""Lines that an answer gets: what it rests on stands below in full."""
DOUBTS = {"undecided": "unproven", "expired": "unproven", "exception": "simulated"}
QUIET_CODES = frozenset({Code.NOT_COMPARED, Code.NO_EVIDENCE})


def head(view: CellView) -> Line:
    """Which cell this is, its verdict and how many layers would still hold."""
    endpoint, vantage = view.endpoint, view.vantage
    name = row_label(endpoint) if endpoint is not None else str(view.key.endpoint)
    where = f" on {vantage.node}" if vantage is not None and vantage.node else ""
    judgement, observation = view.judgement, view.observation
    verdict = "untested" if observation is None else str(judgement.verdict) if judgement else str(observation.state)
    depth = "" if judgement is None else _depth(judgement)
    right = f"{verdict.upper()}{depth}"
    left = f"  from {view.key.vantage}{where}"
    room = max(view.width - len(right) - 4, 1)
    name = cut_middle(name, room)
    rest = fit(left, room - cell_len(name)) if cell_len(name) < room else ""
    return to_the_right(((f" {name}", "strong"), (rest, "quiet")), (right, verdict), view.width + 1)


def answers(view: CellView) -> Iterator[Line]:
    """Must be, rules say, observed; and whether the last two agree."""
    judgement, observation, width = view.judgement, view.observation, view.width
    if observation is None:
        yield from _rules(view, predict(view.layers))
        asking = "being asked now" if view.cell.asking else "not asked yet"
        yield from answer("observed", ("untested", "untested"), view.cell.why or asking, width)
        return
    if judgement is not None:
        yield from _declared(judgement, width)
        yield from _rules(view, judgement.prediction)
    yield from _observed(view, observation)
    if judgement is not None and judgement.comparison.sentence:
        yield from pair("so", judgement.comparison.sentence, "strong" if view.disagrees else "quiet", width)


def _depth(judgement: Judgement) -> str:
    if judgement.depth is None:
        return ""
    most = "" if judgement.depth_max in {None, judgement.depth} else f" of at most {judgement.depth_max}"
    return f"  depth {judgement.depth}{most}"


def _declared(judgement: Judgement, width: int) -> Iterator[Line]:
    expectation = judgement.expectation
    token = {Must.BLOCKED: "blocked", Must.REACHABLE: "reachable"}.get(expectation.must, "quiet")
    for label, text in declared(expectation):
        if label == "must be":
            yield from answer(label, (str(expectation.must), token), expectation.source, width, most=MOST)
        else:
            yield from pair(label, text, DOUBTS.get(label, ""), width)


def _rules(view: CellView, prediction: Prediction) -> Iterator[Line]:
    decider = view.decider
    because = prediction.because if decider is None else f"{decider.layer}: {decider.decider}"
    if decider is not None and decider.at:
        because += f", read {age(view.now - decider.at)}"
    word = (said(prediction.verdict), TOKENS[prediction.verdict])
    yield from answer("rules say", word, because, view.width, _compared(view), MOST)
    if then := next_decider(view.layers):
        yield from answer("", ("then", "quiet"), then, view.width, most=MOST)


def _compared(view: CellView) -> Piece:
    """How rules and wire stand to each other."""
    judgement = view.judgement
    code = judgement.comparison.code if judgement is not None else Code.NOT_COMPARED
    if view.disagrees:
        return (f"{view.alphabet.disagrees} {code}", "exposed" if view.passed_it else "broken")
    return ("", "") if code in QUIET_CODES else (code, "reachable" if code == Code.AGREES else "quiet")


def _observed(view: CellView, observation: Observation) -> Iterator[Line]:
    words = describe(observation).removeprefix(f"{observation.state}, ")
    attempts = observation.attempts
    alike = sum(tried.state is observation.state for tried in attempts)
    right = age(view.now - observation.at)
    if attempts:
        right = f"{alike} of {len(attempts)}, {right}"
    token = str(view.judgement.verdict) if view.judgement is not None else "strong"
    yield from answer("observed", (str(observation.state), token), words, view.width, (right, "quiet"), MOST)
    facts = ", ".join(f"{name} {value}" for name, value in observation.identified)
    if told := "; ".join(part for part in (observation.detail, facts) if part):
        yield from pair("told", told, "", view.width)
    if observation.simulated:
        yield from pair("", "simulated by the training range: no packet decided it", "simulated", view.width)
