"""Open ports of nmap reports become rows: what a scan found is asked from everywhere else too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubeshield_tui.discovery.catalogue import Catalogue
from kubeshield_tui.discovery.hosts import Place, host_of, place_of
from kubeshield_tui.discovery.targets_file import TARGETS_LIMIT, target_of
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import VantageKind, VantageSpec


def with_open_ports(
    targets: Iterable[Endpoint], specs: Iterable[VantageSpec], known: Catalogue
) -> tuple[Endpoint, ...]:
    """The user's targets, and what nmap reports among the vantages found open besides.

    Raises SettingsError for a report with more than a grid holds, VantageError for one that can't be read.
    """
    found: dict[Place, list[Endpoint]] = {}
    for target in targets:
        found.setdefault(place_of(target), []).append(target)
    for spec in specs:
        for endpoint in _open_ports(spec, known) if spec.kind is VantageKind.NMAP else ():
            found.setdefault(place_of(endpoint), [endpoint])
            if len(found) > TARGETS_LIMIT:
                message = f"--vantage {spec.text}: more than {TARGETS_LIMIT:,} open ports"
                raise SettingsError(message, "Scan fewer hosts or ports")
    return tuple(endpoint for endpoints in found.values() for endpoint in endpoints)


def _open_ports(spec: VantageSpec, known: Catalogue) -> Iterator[Endpoint]:
    from kubeshield_tui.vantages.recorded import read_file

    for (told, port, protocol), answer in read_file(spec).answers.items():
        host = host_of(told)
        if host and answer.told.get("state") == State.OPEN:
            yield target_of(host, port, protocol, source=spec.text, known=known)
