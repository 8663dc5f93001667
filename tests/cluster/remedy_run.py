"""Close what is exposed, one remedy after the other: what was predicted and what was seen, a line of JSON each.

python -m tests.cluster.remedy_run KUBECONFIG EXPECT TARGETS PREFIX VANTAGE...
Runs where the cluster's addresses are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from time import time

from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.proposals import Proposal
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings

KIT = tuple(
    ("", knob, value)
    for knob, value in {
        "enforces": "yes",
        "ipblock-matches-pods": "yes",
        "ipblock-matches-nodes": "yes",
        "pod-to-own-node": "no",
        "hostnetwork-subject": "no",
        "hostnetwork-peer": "no",
    }.items()
)
"""What the kit's enforcer does where the specification leaves it open: its rules compare addresses."""
PROGRAMMED_SECONDS = 3.0
"""What the enforcer and the service proxy may take."""
SWEEP_SECONDS = 90.0


class Run:
    """One session, from the first sweep to the last remedy."""

    def __init__(self, session: Session, prefix: str) -> None:
        self.session = session
        self.store = session.store
        self._prefix = prefix

    @property
    def cells(self) -> list[CellKey]:
        """The cells that count: endpoints of our namespaces and those that belong to no namespace."""
        wanted = [
            endpoint.id
            for endpoint in self.store.endpoints.values()
            if endpoint.namespace.startswith(self._prefix) or endpoint.namespace in {"", "default"}
        ]
        keys = [CellKey(endpoint, vantage) for endpoint in wanted for vantage in self.store.vantages]
        return [key for key in keys if self.store.cell(key).untested is None]

    async def sweep(self, keys: Iterable[CellKey] | None = None) -> dict[CellKey, bool]:
        """Ask cells now; returns which are open."""
        wanted = list(keys or self.cells)
        begun, end = time(), time() + SWEEP_SECONDS
        rest = wanted
        while rest := [key for key in rest if not self._answered(key, begun)]:
            if time() > end:
                raise TimeoutError(
                    f"no answer within {SWEEP_SECONDS} s: {[(key, self.store.cell(key)) for key in rest[:3]]}"
                )
            self.session.ask_again(key for key in rest if not self.store.cell(key).asking)
            await asyncio.sleep(0.5)
        return {key: self._is_open(key) for key in wanted}

    def _answered(self, key: CellKey, since: float) -> bool:
        cell = self.store.cell(key)
        return cell.untested is not None or (
            cell.observation is not None and cell.observation.at >= since and not cell.asking
        )

    def _is_open(self, key: CellKey) -> bool:
        observation = self.store.cell(key).observation
        return observation is not None and observation.state is State.OPEN

    async def sure(self, expected: dict[CellKey, bool]) -> dict[CellKey, bool]:
        """Ask all; what is not as expected is asked once more, since a busy machine may be late."""
        seen = await self.sweep(expected)
        differing = [key for key, state in expected.items() if seen[key] is not state]
        if differing:
            await asyncio.sleep(PROGRAMMED_SECONDS)
            seen |= await self.sweep(differing)
        return seen

    async def close(self, finding: Finding, proposal: Proposal, before: dict[CellKey, bool]) -> dict[str, object]:
        """Apply, look, take back, look. `before`: which cells are open."""
        predicted = {flip.flow.key: flip for flip in proposal.trial.flips}
        open_now = {
            key: state and not (key in predicted and predicted[key].after is Predicted.DENY)
            for key, state in before.items()
        }
        applied = await self.session.remedies.apply(proposal)
        await asyncio.sleep(PROGRAMMED_SECONDS)
        after = await self.sure(open_now)
        unsure = {key for key, flip in predicted.items() if Predicted.UNKNOWN in {flip.before, flip.after}}
        findings = [
            other.id
            for other in self.store.findings.values()
            if other.code == "exposed" and CellKey(other.endpoint, other.vantage) in proposal.cells
        ]
        await self.session.remedies.take_back(applied)
        await asyncio.sleep(PROGRAMMED_SECONDS)
        again = await self.sure(before)
        return {
            "finding": finding.id,
            "policy": applied.shown,
            "cells": [list(key) for key in proposal.cells],
            "safe": proposal.is_safe,
            "asked": proposal.trial.asked,
            "unsure": [list(key) for key in unsure],
            "predicted": sorted(
                list(key) for key, flip in predicted.items() if flip.after is Predicted.DENY and before.get(key)
            ),
            "closed": sorted(list(key) for key in before if before[key] and not after[key]),
            "opened": sorted(list(key) for key in before if after[key] and not before[key]),
            "still_exposed": findings,
            "not_back": sorted(list(key) for key in before if again[key] is not before[key]),
            "text": applied.text,
        }


async def main() -> None:
    kubeconfig, expect, targets, prefix, *vantages = sys.argv[1:]
    settings = Settings(
        kubeconfig=Path(kubeconfig),
        expect=Path(expect),
        targets=Path(targets),
        vantages=tuple(parse_vantage(text) for text in vantages),
        zones=(("local", "outside"),),
        cni=KIT,
        timing=Timing(timeout=1.0, confirm=1.0, attempts=2),
    )
    session = Session(settings)
    run = Run(session, prefix)
    running = asyncio.create_task(session.run())
    try:
        async with asyncio.timeout(SWEEP_SECONDS):
            while run.store.phase != "watching" and not running.done():
                await asyncio.sleep(0.1)
        before = await run.sweep()
        done: set[CellKey] = set()
        while finding := next(iter(exposed(run, done)), None):
            done.add(CellKey(finding.endpoint, finding.vantage))
            for proposal in session.remedies.propose(finding):
                done.update(proposal.cells)
                told: dict[str, object] = {"finding": finding.id, "notes": proposal.remedy.notes}
                if proposal.remedy.draft is not None:
                    told = await run.close(finding, proposal, before)
                print(json.dumps(told), flush=True)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    print(json.dumps({"applied": [policy.shown for policy in run.store.applied.values()]}), flush=True)


def exposed(run: Run, done: set[CellKey]) -> list[Finding]:
    """Findings on cells that count and that no remedy has been tried for."""
    counting = set(run.cells) - done
    return [
        finding
        for finding in sorted(run.store.findings.values(), key=lambda finding: finding.id)
        if finding.code == "exposed"
        and (key := CellKey(finding.endpoint, finding.vantage)) in counting
        and run.store.cell(key).verdict is Verdict.EXPOSED
    ]


if __name__ == "__main__":
    asyncio.run(main())
