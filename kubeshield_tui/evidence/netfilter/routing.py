"""Where a host sends a packet, as its addresses, rules and routes say."""

from __future__ import annotations

from kubeshield_tui.model.record import Record


class Host(Record, frozen=True):
    """Addresses, policy rules, routes and settings of one network namespace."""
