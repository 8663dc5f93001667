"""The rows of one grid: what several clusters have and what the user named, each place once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kubeshield_tui.discovery.hosts import Place, address_of, place_of
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import EndpointId

if TYPE_CHECKING:
    from kubeshield_tui.discovery.estate import Estate


class Change(NamedTuple):
    """How the grid's rows differ from before."""

    found: tuple[Endpoint, ...] = ()
    """New rows, and rows with something new to say."""
    gone: tuple[EndpointId, ...] = ()


class Roster:
    """Put in what was read; get back which rows came and went. The order of reading makes no difference."""

    def __init__(self, contexts: Iterable[str] = (), targets: Iterable[Endpoint] = ()) -> None:
        self._contexts = tuple(contexts)
        self._targets = tuple(targets)
        self._estates: dict[str, Estate] = {}
        self._rows: dict[EndpointId, Endpoint] = {}

    def begin(self) -> Change:
        """The rows before any cluster was read: what the user named."""
        return self._settle()

    def read(self, estate: Estate) -> Change:
        """Take a cluster's state, for the first time or again."""
        self._estates[estate.context.name] = estate
        return self._settle()

    def twin_of(self, context: str) -> str:
        """The context, named before this one, that names the same cluster; empty if none does.

        They are the same where the uid of kube-system is, and where it can't be read, where the server's address is.
        """
        estate = self._estates.get(context)
        if estate is None:
            return ""
        for other in self._contexts[: self._contexts.index(context)]:
            known = self._estates.get(other)
            if known is not None and _is_same(known, estate):
                return other
        return ""

    def _settle(self) -> Change:
        rows = {row.id: row for row in self._all()}
        before, self._rows = self._rows, rows
        found = tuple(row for key, row in rows.items() if before.get(key) != row)
        return Change(found, tuple(key for key in before if key not in rows))

    def _all(self) -> Iterable[Endpoint]:
        discovered = self._discovered()
        named: dict[Place, Endpoint] = {place_of(target): target for target in self._targets}
        for target in named.values():
            if place_of(target) not in discovered:
                yield target
        for place, rows in discovered.items():
            yield from (_laid_over(row, named[place]) for row in rows) if place in named else rows

    def _discovered(self) -> dict[Place, list[Endpoint]]:
        """Rows of all clusters by place. Public addresses are one place for all of them, private ones need not be."""
        found: dict[Place, list[Endpoint]] = {}
        for context in self._contexts:
            estate = self._estates.get(context)
            if estate is None or self.twin_of(context):
                continue
            for row in estate.endpoints():
                rows = found.setdefault(place_of(row), [])
                if rows and rows[0].cluster != row.cluster and _is_public(row.host):
                    source = f"{rows[0].source}; {row.source} of {row.cluster}"
                    rows[0] = msgspec.structs.replace(rows[0], source=source)
                else:
                    rows.append(row)
        return found


def _laid_over(row: Endpoint, target: Endpoint) -> Endpoint:
    # An expectation is quoted with its row's source, so the line that states it comes first.
    sources = (target.source, row.source) if target.declared else (row.source, target.source)
    source = "; ".join(filter(None, sources))
    return msgspec.structs.replace(row, declared=target.declared, source=source, named=True)


def _is_public(host: str) -> bool:
    address = address_of(host)
    return address is not None and address.is_global


def _is_same(one: Estate, other: Estate) -> bool:
    if one.identity and other.identity:
        return one.identity == other.identity
    return one.context.server == other.context.server != ""
