"""Selectors of expectations, made ready once: does this line speak of that endpoint, of that vantage? Three-valued.

Yes, no, or `Unknown` with the fact that is missing. A no of one key settles it, whatever is unknown of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from msgspec import UnsetType

from kubeshield_tui.discovery.catalogue import Catalogue
from kubeshield_tui.judgement.facts import Facts, Unknown
from kubeshield_tui.model.cluster import Labels
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.globs import glob, is_glob
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.settings.expect_form import From, To, as_list

Answer = bool | Unknown
T = TypeVar("T", Endpoint, Vantage)
Check = Callable[[T], Answer]
Words = Callable[[str], bool]


def weigh(checks: Iterable[Check[T]], thing: T) -> Answer:
    """All checks of a selector: no if one says no, else unknown if one does not know, else yes."""
    unknown: Unknown | None = None
    for check in checks:
        answer = check(thing)
        if answer is False:
            return False
        if unknown is None and answer is not True:
            unknown = answer
    return True if unknown is None else unknown


def endpoint_checks(to: To, facts: Facts, catalogue: Catalogue) -> tuple[Check[Endpoint], ...]:
    """Checks of `to`, the cheapest first."""
    checks: list[Check[Endpoint]] = []
    if component := _words(to.component):
        checks.append(lambda endpoint: component(endpoint.component))
    if namespace := _words(to.namespace):
        checks.append(lambda endpoint: namespace(endpoint.namespace))
    if cluster := _words(to.cluster):
        checks.append(lambda endpoint: cluster(endpoint.cluster))
    if group := _words(to.group):
        checks.append(lambda endpoint: group(endpoint.group))
    if not isinstance(to.protocol, UnsetType):
        protocol = to.protocol
        checks.append(lambda endpoint: endpoint.protocol is protocol)
    if not isinstance(to.unauthenticated, UnsetType):
        asks_nobody, open_to_all = to.unauthenticated, {row.component for row in catalogue.rows if row.unauthenticated}
        checks.append(lambda endpoint: (endpoint.component in open_to_all) is asks_nobody)
    if where := _words(to.where):
        meant = {row.component for row in catalogue.rows if where(row.where)}
        checks.append(lambda endpoint: endpoint.component in meant)
    ports = frozenset(number for port in as_list(to.port) for number in _range(str(port)))
    if ports:
        checks.append(lambda endpoint: endpoint.port in ports)
    if name := _words(to.name):
        checks.append(lambda one: name(one.name) or name(one.object) or name(one.object.partition("/")[2]))
    if addresses := as_list(to.address):
        checks.append(_address_check(addresses))
    if not isinstance(to.labels, UnsetType):
        checks.append(_endpoint_labels(to.labels, facts))
    return tuple(checks)


def vantage_checks(source: From, facts: Facts) -> tuple[Check[Vantage], ...]:
    """Checks of `from`, the cheapest first. What concerns both ends (`same_...`) is not among them."""
    checks: list[Check[Vantage]] = []
    if kinds := frozenset(as_list(source.kind)):
        checks.append(lambda vantage: vantage.spec.kind in kinds)
    if zones := frozenset(as_list(source.zone)):
        checks.append(lambda vantage: vantage.zone in zones)
    if name := _words(source.name):
        checks.append(lambda vantage: name(vantage.id) or name(vantage.spec.text))
    if namespace := _words(source.namespace):
        checks.append(lambda vantage: namespace(facts.namespace_of(vantage)))
    if cluster := _words(source.cluster):
        checks.append(lambda vantage: _known(facts.cluster_of(vantage), cluster))
    if account := _words(source.service_account):
        checks.append(lambda vantage: _known(facts.account_of(vantage), account))
    if node := _words(source.node):
        checks.append(lambda vantage: _known(facts.node_of(vantage), node))
    if role := _words(source.node_role):
        checks.append(lambda vantage: _any_of(facts.roles_of(vantage), role))
    if not isinstance(source.labels, UnsetType):
        checks.append(_vantage_labels(source.labels, facts))
    return tuple(checks)


def _words(names: str | list[str] | UnsetType) -> Words | None:
    """Whether a text is one of the names; None where there are none. What has no name is not meant by `*`."""
    listed = as_list(names)
    if not listed:
        return None
    is_meant = _text_test(listed)
    return (lambda text: bool(text) and is_meant(text)) if any(map(is_glob, listed)) else is_meant


def _text_test(texts: Iterable[str]) -> Words:
    listed = list(texts)
    if not any(map(is_glob, listed)):
        return frozenset(listed).__contains__
    first, *others = [glob(text).fullmatch for text in listed]
    return lambda text: first(text) is not None or any(other(text) for other in others)


def _known(fact: str | Unknown, words: Words) -> Answer:
    return fact if isinstance(fact, Unknown) else words(fact)


def _any_of(facts: tuple[tuple[str, ...], Unknown | None], words: Words) -> Answer:
    known, lacking = facts
    return any(map(words, known)) or lacking or False


def _range(port: str) -> range:
    first, _, last = port.partition("-")
    return range(int(first), int(last or first) + 1)


def _address_check(addresses: Iterable[str]) -> Check[Endpoint]:
    networks: list[IPv4Network | IPv6Network] = []
    names: list[str] = []
    for address in addresses:
        try:
            networks.append(ip_network(address, strict=False))
        except ValueError:
            names.append(address)
    is_named = _text_test(names)

    def check(endpoint: Endpoint) -> Answer:
        if is_named(endpoint.host):
            return True
        address = _parsed(endpoint.host)
        if address is None:
            why = f"{endpoint.host} is a name, which each vantage looks up for itself"
            return Unknown(why) if networks else False
        return any(address in network for network in networks)

    return check


@lru_cache(maxsize=65_536)
def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    """The address of a literal; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _label_test(wanted: dict[str, str | list[str]]) -> Callable[[Labels], bool]:
    tests = {key: _text_test(as_list(values)) for key, values in wanted.items()}

    def test(labels: Labels) -> bool:
        have = dict(labels)
        return all(key in have and is_wanted(have[key]) for key, is_wanted in tests.items())

    return test


def _endpoint_labels(wanted: dict[str, str | list[str]], facts: Facts) -> Check[Endpoint]:
    test = _label_test(wanted)

    def check(endpoint: Endpoint) -> Answer:
        sets, lacking = facts.labels_of_endpoint(endpoint)
        return any(map(test, sets)) or lacking or False

    return check


def _vantage_labels(wanted: dict[str, str | list[str]], facts: Facts) -> Check[Vantage]:
    test = _label_test(wanted)

    def check(vantage: Vantage) -> Answer:
        labels = facts.labels_of_vantage(vantage)
        return labels if isinstance(labels, Unknown) else test(labels)

    return check
