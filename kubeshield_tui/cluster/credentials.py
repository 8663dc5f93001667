"""Load what a context logs in with. The client library reads it, and runs the credential plugin where one is named."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Any

from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model.text import printable

PLUGIN_SECONDS = 20.0
"""What a credential plugin may take: some open a browser, none may hang the screen."""


class _Complaints(logging.Handler):
    """Keeps what the library only logs: the failure of a credential plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(printable(record.getMessage(), 300))


async def load_credentials(entry: ContextEntry, kubeconfig: Path | None) -> Any:
    """Return the client library's configuration of a context. Raises ClusterError naming what can't be loaded."""
    # 0.4 s to import: in a thread, so that the first frame does not wait for it.
    await asyncio.to_thread(_warm_up)
    from kubernetes.aio import client, config

    configuration = type.__call__(client.Configuration)
    complaints = _Complaints()
    logger = logging.getLogger("kubernetes.aio.config.kube_config")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        async with asyncio.timeout(PLUGIN_SECONDS):
            await config.load_kube_config(
                config_file=None if kubeconfig is None else str(kubeconfig),
                context=entry.name,
                client_configuration=configuration,
                persist_config=False,  # read-only means the user's kubeconfig too
            )
    except TimeoutError:
        _end_plugin(entry.plugin)
        what = f"the credential plugin `{entry.plugin}`" if entry.plugin else "loading credentials"
        raise ClusterError(
            f"context {entry.name}: {what} did not end within {PLUGIN_SECONDS:g} s", "Run it by hand"
        ) from None
    except Exception as error:
        raise ClusterError(f"context {entry.name}: {printable(error, 300)}", "Check the kubeconfig's user") from error
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagates
    if complaints.said and entry.plugin:
        said = complaints.said[-1]
        raise ClusterError(f"context {entry.name}: credential plugin `{entry.plugin}`: {said}", "Run it by hand")
    configuration.retries = None  # any number, and False is one, makes the library ask again and again
    return configuration


def _end_plugin(command: str) -> None:
    """End the plugin that hangs: the library gives no hold of the process that it started.

    Only a child of this very process whose command is the plugin's is ended.
    """
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == command.encode():
                    os.kill(int(pid), signal.SIGKILL)


def _warm_up() -> None:
    import kubernetes.aio.client
    import kubernetes.aio.config  # noqa: F401 - imported for their effect
