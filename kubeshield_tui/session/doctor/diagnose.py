"""Looks at everything that a run stands on. Reads only, creates nothing; every look has a limit.

It connects to the clusters of its contexts and to the vantages that were named, and to nothing else.
"""

from __future__ import annotations

import asyncio

from kubeshield_tui import __version__
from kubeshield_tui.errors import SettingsError, VantageError
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageKind, VantageSpec
from kubeshield_tui.session.doctor.check import Check, Diagnosis, Health
from kubeshield_tui.session.doctor.cluster import cluster_checks
from kubeshield_tui.session.doctor.machine import machine_checks, terminal_check, tool_checks
from kubeshield_tui.session.doctor.vantages import vantage_checks
from kubeshield_tui.settings.schema import Settings


async def diagnose(settings: Settings) -> Diagnosis:
    """Look at everything. Raises SettingsError for a context that the kubeconfig does not have."""
    kubeconfig, contexts = _kubeconfig(settings)
    first = contexts[0] if contexts else ""
    by_cluster: dict[str, list[VantageSpec]] = {context: [] for context in contexts}
    others: list[VantageSpec] = []
    for spec in settings.vantages:
        if _is_in_cluster(spec):
            by_cluster.setdefault(spec.cluster or first, []).append(spec)
        else:
            others.append(spec)
    parts = await asyncio.gather(
        tool_checks(),
        _ssh_checks(settings),
        *(cluster_checks(settings, context, first, specs) for context, specs in by_cluster.items()),
        *(vantage_checks(settings, spec) for spec in others),
    )
    checks = (*machine_checks(), terminal_check(), *kubeconfig, *(check for part in parts for check in part))
    return Diagnosis(version=__version__, ok=all(check.health is not Health.BROKEN for check in checks), checks=checks)


def _is_in_cluster(spec: VantageSpec) -> bool:
    return spec.kind is VantageKind.POD or spec.creates_pod


def _kubeconfig(settings: Settings) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """What the kubeconfig is like, and the contexts of this run that are in it."""
    from kubeshield_tui.cluster.kubeconfig import read_kubeconfig

    is_needed = settings.discovery or any(map(_is_in_cluster, settings.vantages))
    health = Health.BROKEN if is_needed else Health.ABSENT
    try:
        kubeconfig = read_kubeconfig(settings.kubeconfig)
    except SettingsError as error:
        return (Check(area="kubeconfig", health=health, said=error.message, hint=error.hint),), ()
    if settings.contexts:
        contexts = tuple(dict.fromkeys(kubeconfig.context(name).name for name in settings.contexts))
    else:
        try:
            contexts = (kubeconfig.context(kubeconfig.current).name,)
        except SettingsError as error:
            return (Check(area="kubeconfig", health=health, said=error.message, hint=error.hint),), ()
    files, count = ", ".join(str(path) for path in kubeconfig.files), len(kubeconfig.contexts)
    current = printable(kubeconfig.current, 80) or "none"
    said = f"{files}: {count} context{'' if count == 1 else 's'}, current: {current}"
    return (Check(area="kubeconfig", said=said),), contexts if is_needed else ()


async def _ssh_checks(settings: Settings) -> tuple[Check, ...]:
    """The user's ssh_config and agent; hosts are looked at only where they are vantages."""
    from kubeshield_tui.settings.ssh_hosts import ssh_hosts
    from kubeshield_tui.vantages.ssh_route import config_files
    from kubeshield_tui.vantages.ssh_way import agent_says

    try:
        files = ", ".join(str(path) for path in config_files(settings.ssh_config))
    except VantageError as error:
        config = Check(area="ssh", health=Health.BROKEN, said=error.message, hint=error.hint)
    else:
        count = len(ssh_hosts(settings.ssh_config))
        config = Check(area="ssh", health=Health.ABSENT, said="no ssh_config")
        if files:
            config = Check(area="ssh", said=f"{files}: {count} host{'' if count == 1 else 's'}")
    try:
        keys, why = await agent_says()
    except VantageError as error:
        return config, Check(area="ssh", health=Health.ABSENT, said=error.message)
    if why:
        hint = "Start it anew, or unset SSH_AUTH_SOCK"
        return config, Check(area="ssh", health=Health.LIMITED, said=why, hint=hint)
    return config, Check(area="ssh", said=f"agent with {keys} key{'' if keys == 1 else 's'}")
