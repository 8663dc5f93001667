"""One ruleset of what several tools say of one host: nft and iptables each tell half of the rules that both can show.

Rules of iptables-nft stand in both dumps. nft's JSON has no options of iptables' own modules ("xt"); iptables-save
leaves out what was added by nft itself, without a word. So they are merged rule by rule: nft's where it has no "xt",
else iptables'. Where a chain's rules can't be paired, nft's stay, and those with "xt" stay unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.iptables import LEGACY, NO_SETS, Dump, Sets
from kubeshield_tui.evidence.netfilter.ruleset import Chain, Doubt, Rule, Ruleset, Table, Unsure


def merge(nft: Ruleset | None, dumps: Sequence[Dump], sets: Sets = NO_SETS) -> Ruleset:
    """Join what was read of one host. `dumps` were parsed with the same `sets`."""
    notes = list(nft.notes) if nft else []
    doubts = list(nft.doubts) if nft else []
    tables = list(nft.tables) if nft else []
    for dump in dumps:
        notes.extend(dump.notes)
        doubts.extend(dump.doubts)
        if dump.origin == LEGACY or nft is None:
            tables.extend(dump.tables)
        else:
            tables = _beside(tables, dump, sets, notes)
    if nft is None and any(dump.origin != LEGACY for dump in dumps):
        notes.append("nft's own ruleset was not given: tables that nft made itself are not in here")
    legacy = {dump.family for dump in dumps if dump.origin == LEGACY}
    for dump in dumps:
        if dump.legacy_elsewhere and dump.family not in legacy:
            doubts.append(Unsure(kind=Doubt.MISSING, text=f"{dump.family}: rules of iptables-legacy were not given"))
    families = (nft.families if nft else frozenset()) | {dump.family for dump in dumps}
    return Ruleset(tables=tuple(tables), families=families, doubts=tuple(doubts), notes=tuple(notes))


def _beside(tables: list[Table], dump: Dump, sets: Sets, notes: list[str]) -> list[Table]:
    by_name = {table.name: table for table in dump.tables}
    merged = []
    for table in tables:
        other = by_name.pop(table.name, None) if table.family == dump.family and table.origin == "nft" else None
        if other is None:
            merged.append(table)
            continue
        chains = {name: _chain(chain, other.chains.get(name), table, notes) for name, chain in table.chains.items()}
        merged.append(replace(table, chains=chains, sets={**sets.named, **table.sets}))
    for name, table in by_name.items():
        if any(chain.rules for chain in table.chains.values()):
            notes.append(f"{dump.family} {name} is in iptables-save and not in nft's ruleset: read at one time?")
            merged.append(table)
    return merged


def _chain(chain: Chain, other: Chain | None, table: Table, notes: list[str]) -> Chain:
    if not any(has_xt(rule.source) for rule in chain.rules):
        return chain
    told = other.rules if other else ()
    if len(told) != len(chain.rules):
        notes.append(
            f"{table.family} {table.name} {chain.name}: {len(chain.rules)} rules in nft, {len(told)} in iptables-save: "
            "those of iptables' own modules stay unknown"
        )
        return chain
    return replace(chain, rules=tuple(map(_paired, chain.rules, told)))


def _paired(rule: Rule, line: Rule) -> Rule:
    if not has_xt(rule.source):
        return rule
    return replace(line, handle=rule.handle, counter=rule.counter or line.counter)


def has_xt(source: object) -> bool:
    """Whether nft shows a rule with something of iptables' own modules."""
    return isinstance(source, list | tuple) and any(isinstance(each, dict) and "xt" in each for each in source)
