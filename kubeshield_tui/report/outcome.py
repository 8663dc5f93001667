"""The exit code of an audit, so that cron can raise the alarm."""

from __future__ import annotations

from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.session.store import Store

CLEAN, FINDINGS, WRONG_USE, INCOMPLETE = 0, 1, 2, 3


def exit_code(store: Store, fail_on: Severity) -> int:
    """Return 1 with findings at or above `fail_on`, else 3 if something could not be measured, else 0."""
    bar = SEVERITIES.index(fail_on)
    if any(SEVERITIES.index(finding.severity) >= bar for finding in store.findings.values()):
        return FINDINGS
    return INCOMPLETE if store.incomplete else CLEAN
