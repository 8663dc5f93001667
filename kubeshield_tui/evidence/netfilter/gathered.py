"""What was read of one host, made ready to be asked: rules of both backends merged, routes, listeners, and what lacks.

An item that could not be read is a doubt about the whole: it may hold a rule that decides. Only what proves that there
is nothing counts as none: a tool that printed nothing and said no word, or a kernel without that backend. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.datapaths import Datapath, datapaths
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.iptables import LEGACY, NO_SETS, Dump
from kubeshield_tui.evidence.netfilter.listeners import Listener, parse_listeners
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.routing import LOCAL_RULE, Host, PolicyRule
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Ruleset, Unsure
from kubeshield_tui.model.evidence import Source, SourceStatus

STALE_SECONDS = 900.0
"""After this long a reading is said to be old, and decides nothing any more."""
FAMILIES = ("ip", "ip6")
_TABLES = {"ip": ("iptables", "iptables-legacy"), "ip6": ("ip6tables", "ip6tables-legacy")}
"""Items of a family: the backend that the host uses, and the old one."""
_ROUTING = {"ip": ("rules", "routes"), "ip6": ("rules6", "routes6")}
_SETTING = re.compile(r"^([\w./-]+):(.*)$", re.MULTILINE)
_NAMES = {"ip": "ip_tables_names", "ip6": "ip6_tables_names"}
_KERNEL_SYMBOL, _NFT_SYMBOL = "ip_rcv", "nf_tables_newtable"


class Gathered:
    """One host as it was read. Made once a reading; parsing a large one takes up to a second."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources: Mapping[str, Source] = {source.item: source for source in sources}
        self.host = next((source.host for source in sources), "")
        self.at = min((source.at for source in sources), default=0.0)
        """Seconds since the epoch when its oldest item was read."""
        self.answers: dict[Hashable, object] = {}
        """What it was asked already, kept by those who ask."""
        self._networks: dict[str, Host] = {}
        self._firewalls: dict[str, Firewall] = {}
        self._nft = parse_nft(self.text("nft")) if self.has("nft") else None

    # --- what was read

    def has(self, item: str) -> bool:
        """Whether an item was read, though it may say that there is nothing."""
        source = self.sources.get(item)
        return source is not None and source.status is SourceStatus.OK

    def text(self, item: str) -> str:
        """What an item says; empty where it was not read."""
        source = self.sources.get(item)
        return source.text if source is not None else ""

    def why_not(self, item: str) -> str:
        """Why an item was not read, in a few words."""
        source = self.sources.get(item)
        if source is None:
            return "not asked for"
        return f"{source.status}{f': {source.detail}' if source.detail else ''}"

    def age(self, now: float) -> float:
        """Seconds since it was read."""
        return max(now - self.at, 0.0)

    def is_stale(self, now: float) -> bool:
        """Whether too much may have changed since."""
        return self.age(now) > STALE_SECONDS

    @cached_property
    def unread(self) -> tuple[Source, ...]:
        """Items that could not be read and that matter: the rules of a backend which is not there are none."""
        proven = {old for current, old in _TABLES.values() if self._is_old(current)} | {
            _TABLES[family][1] for family in FAMILIES if self._kernel_tables(family) == ()
        }
        if self._is_without_nft:
            proven.add("nft")
        if self._nft is not None and not self._needs_iptables:
            proven |= {"iptables", "ip6tables"}
        return tuple(
            source
            for source in self.sources.values()
            if source.status is not SourceStatus.OK and source.item not in proven
        )

    @cached_property
    def listeners(self) -> tuple[Listener, ...] | None:
        """Who listens there; None where that was not read."""
        return parse_listeners(self.text("listeners")) if self.has("listeners") else None

    @cached_property
    def in_front(self) -> tuple[Datapath, ...]:
        """What may decide before these rules do."""
        return datapaths(self.text("links"), self.text("qdiscs"), self.text("bpf"))

    # --- ready to be asked

    def network(self, family: str) -> Host:
        """Addresses, policy rules, routes and settings that packets of a family meet; None for what was not read."""
        if family not in self._networks:
            self._networks[family] = self._network(family)
        return self._networks[family]

    def firewall(self, family: str) -> Firewall:
        """Rules and routes as packets of a family meet them, with a doubt for all that is not known of it."""
        if family not in self._firewalls:
            self._firewalls[family] = Firewall(self._ruleset(family), self.network(family))
        return self._firewalls[family]

    @cached_property
    def bridge_tables(self) -> tuple[str, ...]:
        """Names of tables that see bridged frames, which are not judged here."""
        return tuple(table.name for table in self._nft.tables if table.family == "bridge") if self._nft else ()

    def _network(self, family: str) -> Host:
        rules, routes = _ROUTING[family]
        settings = _SETTING.sub(lambda found: f"net.{found[1].replace('/', '.')} = {found[2]}", self.text("sysctls"))
        host = parse_host("\n".join((self.text("addresses"), self.text(routes), settings)))
        told = parse_host(self.text(rules)).rules
        policy = told.get("ip") or told.get("ip6") or ()
        if not self.has(rules):
            policy = (LOCAL_RULE, PolicyRule(priority=1, doubt=f"{rules} ({self.why_not(rules)})"))
        return replace(host, rules={family: policy}, routes=(host.routes or ()) if self.has(routes) else None)

    def _ruleset(self, family: str) -> Ruleset:
        sets = ipset.parse(self.text("ipset")) if self.text("ipset") else NO_SETS
        current, old = (self._dump(item, family, sets) for item in _TABLES[family])
        if current is not None and old is not None and current.origin == old.origin:
            current = None  # iptables-save of this host is the old one: both say the same
        dumps = [dump for dump in (current, old) if dump is not None]
        merged = merge(self._nft, dumps, sets)
        return replace(
            merged,
            families=frozenset(FAMILIES),
            doubts=(*self._doubts(family, dumps), *merged.doubts),
            notes=tuple(note for note in merged.notes if "iptables-legacy" not in note),
        )

    def _dump(self, item: str, family: str, sets: iptables.Sets) -> Dump | None:
        text = self.text(item)
        return iptables.parse(text, family, sets) if text.strip() else None

    def _doubts(self, family: str, dumps: Sequence[Dump]) -> list[Unsure]:
        doubts = []
        if not self.has("nft") and not self._is_without_nft:
            doubts.append(f"nft: {self.why_not('nft')}")
        if not self._knows_legacy(family, dumps):
            item = _TABLES[family][1]
            doubts.append(f"{item}: {self.why_not(item)}")
        return [Unsure(kind=Doubt.MISSING, text=text) for text in doubts]

    # --- proofs that there is nothing

    def _knows_legacy(self, family: str, dumps: Sequence[Dump]) -> bool:
        if self._kernel_tables(family) == () or any(dump.origin == LEGACY for dump in dumps):
            return True
        # Without a look at the kernel's own list, silence of the tool is believed; against what is known it is not.
        current, old = (self.sources.get(item) for item in _TABLES[family])
        warned = current is not None and "legacy tables present" in current.detail
        return old is not None and self.has(old.item) and not warned and not self._kernel_tables(family)

    def _is_old(self, item: str) -> bool:
        """Whether iptables-save of the host is that of the old backend: it names the other one in its first line."""
        first = self.text(item).partition("\n")[0]
        return first.startswith("# Generated by ip") and "nf_tables" not in first

    def _kernel_tables(self, family: str) -> tuple[str, ...] | None:
        """Tables of the old backend that the kernel says it has; None where it was not asked."""
        for line in self.text("backends").splitlines():
            name, colon, tables = line.partition(":")
            if colon and name == _NAMES[family]:
                return () if tables.strip() == "absent" else tuple(tables.split())
        return None

    @property
    def _is_without_nft(self) -> bool:
        """Whether the kernel has no nftables at all: it knows its own symbols, and that one is not among them."""
        words = self.text("backends").split()
        return _KERNEL_SYMBOL in words and _NFT_SYMBOL not in words

    @property
    def _needs_iptables(self) -> bool:
        return '"xt":' in self.text("nft")
