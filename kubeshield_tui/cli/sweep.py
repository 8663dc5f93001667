"""`kubeshield sweep`: remove what an interrupted run left in a cluster."""

from __future__ import annotations

import argparse
import asyncio

from kubeshield_tui.errors import KubeShieldError
from kubeshield_tui.settings.schema import Settings


def sweep(arguments: argparse.Namespace) -> int:
    """Remove our own expired objects in every namespace of the contexts; returns the exit code."""
    settings = Settings(kubeconfig=arguments.kubeconfig, contexts=tuple(arguments.context), discovery=True)
    return asyncio.run(_sweep(settings, arguments.force))


async def _sweep(settings: Settings, force: bool) -> int:
    from kubeshield_tui.cluster.client import connect
    from kubeshield_tui.session.doors import resolve_contexts
    from kubeshield_tui.vantages.sweep import sweep as sweep_cluster

    code = 0
    for context in resolve_contexts(settings):
        try:
            client = await connect(context, settings.kubeconfig)
        except KubeShieldError as error:
            print(f"{context}: {error}")
            code = 3
            continue
        try:
            swept = await sweep_cluster(client, force=force)
        finally:
            await client.close()
        lines = [
            *(f"removed {shown}" for shown in swept.removed),
            *(f"held by a living run: {shown}" for shown in swept.held),
            *(f"LEFT BEHIND {shown}: {why}" for shown, why in swept.left),
        ]
        for line in lines or ["nothing of ours is there"]:
            print(f"{context}: {line}")
        code = code or (3 if swept.left else 0)
    return code
