"""`kubeshield audit`: one run without a screen, its report on standard output, its talk on standard error."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from kubeshield_tui.cli.options import settings_from
from kubeshield_tui.cli.process import INTERRUPTED, run_until_signal
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model import event as happened
from kubeshield_tui.report.enforced import self_test_line
from kubeshield_tui.report.outcome import exit_code
from kubeshield_tui.session.doors import LocalChannel
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Format, Settings


def audit(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    settings = settings_from(arguments)
    with Output(settings.output) as output:
        session = audit_session(settings, output)
        interrupted = run_until_signal(session.audit())
        return finish(session, output, interrupted)


def audit_session(settings: Settings, output: Output, local_channel: LocalChannel | None = None) -> Session:
    """Make the session of an audit, with its listeners."""
    listeners = [narrate]
    if settings.format is Format.NDJSON:
        listeners.append(output.event)
    return Session(settings, local_channel=local_channel, listeners=listeners)


def finish(session: Session, output: Output, interrupted: bool) -> int:
    """Print the report and return the exit code."""
    match session.settings.format:
        case Format.TEXT:
            from kubeshield_tui.report.text import report_text

            output.write(report_text(session.store, ascii_only=not output.takes_unicode).encode(errors="replace"))
        case Format.JSON:
            from kubeshield_tui.report.document import report_json

            output.write(report_json(session.store))
        case Format.NDJSON:
            pass  # every event was written as it happened
    return INTERRUPTED if interrupted else exit_code(session.store, session.settings.fail_on)


def narrate(event: happened.Event) -> None:
    """Tell on standard error what happens, one line a fact."""
    line = ""
    match event:
        case happened.Progress():
            line = event.phase
        case happened.ClusterFailed():
            line = f"cluster {event.context}: {event.message}. {event.hint}"
        case happened.VantageChanged() if event.detail and event.status != "ready":
            line = f"vantage {event.vantage} {event.status}: {event.detail}"
        case happened.ReadDenied():
            line = f"not readable: {event.denied.what} ({event.denied.why})"
        case happened.ExpectationsReviewed():
            notes = [f"{declared.shown}: {note}" for declared in event.lines for note in declared.notes]
            line = "\n            ".join(notes)
        case happened.SelfTested():
            line = f"self-test of {event.test.cluster}: {self_test_line(event.test)}"
        case happened.ObjectCreated():
            line = f"created {event.object}"
        case happened.ObjectRemoved():
            line = f"removed {event.object}"
        case happened.ObjectLeft():
            line = f"LEFT BEHIND {event.object}: {event.why}"
    if line:
        with contextlib.suppress(OSError):  # whoever read this went away; the audit goes on
            print(f"kubeshield: {line}", file=sys.stderr, flush=True)


class Output:
    """Standard output or a file. A file is written beside its place and moved there at the end: never half a report."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part") if path else None
        self._stream = sys.stdout.buffer
        self.takes_unicode = path is not None or "utf" in (sys.stdout.encoding or "").lower()

    def __enter__(self) -> Output:
        if self._part is not None:
            try:
                self._stream = self._part.open("wb")
            except OSError as error:
                raise SettingsError(
                    f"--output {self._path}: {error.strerror}", "Name a file that can be written"
                ) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._part is None or self._path is None:
            return
        self._stream.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Write bytes and flush."""
        self._stream.write(data)
        self._stream.flush()

    def event(self, event: happened.Event) -> None:
        """Write one event as a line."""
        self.write(happened.encode_event(event) + b"\n")
