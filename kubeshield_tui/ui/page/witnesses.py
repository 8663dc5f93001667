"""Second looks at a cell: counters and connection tables on its way, nmap's opinion, the whole conversation. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.model.evidence import HostWitness, Support, Witness
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.ui.page.conversation import exchange_lines, tls_lines
from kubeshield_tui.ui.page.firewall import translated
from kubeshield_tui.ui.page.lines import pair
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import Line

INSPECTED_LINES = 200
SUPPORTS = {Support.SUPPORTS: "reachable", Support.REFUTES: "exposed", Support.NOTHING: "quiet"}


def witnesses(view: CellView) -> Iterator[Line]:
    """What others say of the same connection; the keys that ask them."""
    store, key, now, width = view.store, view.key, view.now, view.width
    witness, opinion, inspection = store.witnesses.get(key), store.opinions.get(key), store.inspections.get(key)
    if witness is not None:
        yield from _witness(witness, now, width)
    if opinion is not None:
        token = "exposed" if opinion.differs else "quiet" if opinion.error else ""
        yield from pair("nmap", f"{opinion_line(opinion)}, {age(now - opinion.at)}", token, width)
        if not opinion.error:
            yield from pair("", opinion.by, "quiet")
    if inspection is not None:
        yield from _inspection(inspection, now, width)
    keys = {
        "t watches a probe pass the hosts": witness,
        "m asks nmap": opinion,
        "i holds the whole safe conversation": inspection,
    }
    if rest := [words for words, had in keys.items() if had is None]:
        yield from pair("", "; ".join(rest), "quiet", width)


def opinion_line(opinion: SecondOpinion) -> str:
    """A second opinion in one sentence."""
    return opinion.error or f"{opinion.state} ({opinion.reason}); {opinion.agreement}"


def _witness(witness: Witness, now: float, width: int) -> Iterator[Line]:
    if witness.error:
        yield from pair("witness", f"{witness.error}, {age(now - witness.at)}", "quiet", width)
        return
    sent = f"{witness.sent} sent between two readings, answer {witness.answer}, {age(now - witness.at)}"
    yield from pair("witness", sent, "", width)
    yield from pair("", witness.sentence, "strong", width)
    for host in witness.hosts:
        yield from _of_host(host, width)


def _of_host(host: HostWitness, width: int) -> Iterator[Line]:
    yield from pair("", f"{host.host}: {host.sentence}", SUPPORTS[host.support], width)
    if any(host.translated):
        yield from pair("", f"  really translated: {translated(host.translated)}", "", width)
    for moved in host.moved:
        yield from pair("", f"  +{moved.counted}  {moved.rule}", "quiet" if moved.on_path else "unproven", width)


def _inspection(inspection: Inspection, now: float, width: int) -> Iterator[Line]:
    if not inspection.through:
        yield from pair("inspected", f"{inspection.error}, {age(now - inspection.at)}", "quiet", width)
        return
    told = f"through {inspection.through} in {inspection.seconds:.1f} s, {age(now - inspection.at)}"
    yield from pair("inspected", told, "strong", width)
    if inspection.error:
        yield from pair("", inspection.error, "unproven", width)
    yield from tls_lines(inspection.tls)
    if inspection.trust:
        yield from pair("trust", inspection.trust, "", width)
    for exchange in inspection.exchanges:
        yield from exchange_lines(exchange, INSPECTED_LINES)
