"""What an earlier run found, from its JSON report or its record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import EndpointFound, EndpointGone, SessionStarted, decode_event
from kubeshield_tui.model.ids import EndpointId
from kubeshield_tui.report.document import ReportEndpoint

HINT = "Expected what `audit --format json` printed, or what --record wrote"


class _Report(msgspec.Struct, frozen=True):
    title: str
    endpoints: tuple[ReportEndpoint, ...]


def read_found(path: Path) -> tuple[str, tuple[Endpoint, ...]]:
    """Return the title and the endpoints of an earlier run. Raises SettingsError naming the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}", "Check the path") from error
    lines = data.splitlines()
    try:
        if b'"event"' in lines[0][:200]:
            return _of_record(path, lines)
        report = msgspec.json.decode(data, type=_Report)
    except (IndexError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: neither a report nor a record: {error}", HINT) from error
    shared = [field for field in ReportEndpoint.__struct_fields__ if field in Endpoint.__struct_fields__]
    found = (Endpoint(**{field: getattr(listed, field) for field in shared}) for listed in report.endpoints)
    return report.title, tuple(found)


def _of_record(path: Path, lines: Iterable[bytes]) -> tuple[str, tuple[Endpoint, ...]]:
    title, endpoints = "", dict[EndpointId, Endpoint]()
    for number, line in enumerate(lines, 1):
        try:
            event = decode_event(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}:{number}: {error}", HINT) from error
        match event:
            case SessionStarted():
                title = event.title
            case EndpointFound():
                endpoints[event.endpoint.id] = event.endpoint
            case EndpointGone():
                endpoints.pop(event.endpoint, None)
    return title, tuple(endpoints.values())
