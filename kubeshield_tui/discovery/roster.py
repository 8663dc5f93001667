"""The rows of one grid: what several clusters have and what the user named, each place once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kubeshield_tui.discovery.hosts import Place, address_of, place_of
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import EndpointId, endpoint_id

if TYPE_CHECKING:
    from kubeshield_tui.discovery.estate import Estate


class Change(NamedTuple):
    """How the grid's rows differ from before."""

    found: tuple[Endpoint, ...] = ()
    """New rows, and rows with something new to say."""
    gone: tuple[EndpointId, ...] = ()
    twins: tuple[tuple[str, str], ...] = ()
    """(context, earlier context) that turned out to name one cluster: the rows stand under the earlier one."""


class Roster:
    """Put in what was read; get back which rows came and went. The order of reading makes no difference."""

    def __init__(self, contexts: Iterable[str] = (), targets: Iterable[Endpoint] = ()) -> None:
        self._contexts = tuple(contexts)
        # Where a component is named it counts over a line that names the address alone.
        self._targets = sorted(targets, key=_names_component)
        self._estates: dict[str, Estate] = {}
        self._rows: dict[EndpointId, Endpoint] = {}
        self._twins: frozenset[tuple[str, str]] = frozenset()

    def begin(self) -> Change:
        """The rows before any cluster was read: what the user named."""
        return self._settle()

    def read(self, estate: Estate) -> Change:
        """Take a cluster's state, for the first time or again."""
        self._estates[estate.context.name] = estate
        return self._settle()

    def is_twin(self, context: str) -> bool:
        """Whether an earlier context names the same cluster: the rows are that one's."""
        return any(each == context for each, _ in self._twins)

    def _twin_of(self, context: str) -> str:
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
        told = self._twins
        self._twins = frozenset((each, twin) for each in self._estates if (twin := self._twin_of(each)))
        return Change(found, tuple(key for key in before if key not in rows), tuple(sorted(self._twins - told)))

    def _all(self) -> Iterable[Endpoint]:
        discovered = self._discovered()
        for target in self._targets:
            rows = discovered.get(place_of(target), [])
            fitting = [number for number, row in enumerate(rows) if _is_about(target, row)]
            for number in fitting:
                rows[number] = _laid_over(rows[number], target)
            if not fitting:
                yield target
        for rows in discovered.values():
            yield from rows

    def _discovered(self) -> dict[Place, list[Endpoint]]:
        """Rows of all clusters by place. Public addresses are one place for all of them, private ones need not be."""
        found: dict[Place, list[Endpoint]] = {}
        for context in self._contexts:
            estate = self._estates.get(context)
            if estate is None or self._twin_of(context):
                continue
            for row in estate.endpoints():
                rows = found.setdefault(place_of(row), [])
                if rows and rows[0].cluster != row.cluster and _is_public(row.host):
                    source = f"{rows[0].source}; {row.source} of {row.cluster}"
                    rows[0] = msgspec.structs.replace(rows[0], source=source)
                else:
                    rows.append(row)
        return found


def _names_component(target: Endpoint) -> bool:
    return target.id != endpoint_id("", "", "", target.port, target.protocol, target.host)


def _is_about(target: Endpoint, row: Endpoint) -> bool:
    """Whether a target at a row's place means this row: where it names a component, it means that one."""
    return target.component == row.component or not _names_component(target)


def _laid_over(row: Endpoint, target: Endpoint) -> Endpoint:
    # An expectation is quoted with its row's source, so the line that states it comes first.
    sources = (target.source, row.source) if target.declared else (row.source, target.source)
    source = "; ".join(filter(None, sources))
    return msgspec.structs.replace(row, declared=target.declared or row.declared, source=source, named=True)


def _is_public(host: str) -> bool:
    address = address_of(host)
    return address is not None and address.is_global


def _is_same(one: Estate, other: Estate) -> bool:
    if one.identity and other.identity:
        return one.identity == other.identity
    return one.context.server == other.context.server != ""
