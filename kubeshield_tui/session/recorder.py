"""The record of a session: its events, one JSON line each. Replay, diff and tests read nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from kubeshield_tui.errors import HistoryError, SettingsError
from kubeshield_tui.model.event import Event, SessionEnded, encode_event


class Recorder:
    """Writes events to a file that only its owner may read: a record names every weak spot of an estate."""

    def __init__(self, path: Path) -> None:
        """Open `path` for writing. Raises SettingsError naming it."""
        self._path = path
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.fchmod(descriptor, 0o600)  # it may have been there before, open to others
            self._file: BinaryIO = os.fdopen(descriptor, "wb")
        except OSError as error:
            raise SettingsError(f"--record {path}: {error.strerror}", "Name a file that can be written") from error

    def __call__(self, event: Event) -> None:
        """Append one event."""
        try:
            self._file.write(encode_event(event) + b"\n")
            if isinstance(event, SessionEnded):
                self._file.flush()
        except OSError as error:
            raise HistoryError(f"record {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
