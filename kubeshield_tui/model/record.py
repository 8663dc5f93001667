"""The one base of every record: frozen, slotted, tagged by its own name where it stands in a union."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen record. Change one with `msgspec.structs.replace`."""
