"""Runs one shell script with a node's own programs, in a pod made for it after consent and removed at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType

from kubeshield_tui.cluster.client import ClusterClient
from kubeshield_tui.cluster.exec import exec_in_pod
from kubeshield_tui.errors import ClusterError, VantageError
from kubeshield_tui.model.event import Event
from kubeshield_tui.vantages import pod_objects
from kubeshield_tui.vantages.own_pod import OwnPod
from kubeshield_tui.vantages.ssh_channel import CommandResult

_ENTER = f"R={pod_objects.NODE_ROOT};chroot $R /bin/sh -c : 2>/dev/null&&exec chroot $R /bin/sh;exec sh"
"""The node's shell among its programs, else the image's own. Short: argv travels in URLs and audit logs."""
_BETWEEN = "=kubeshield= standard error ="


class NodeReader:
    """`async with` makes the pod and removes it; in between it runs scripts."""

    def __init__(
        self, client: ClusterClient, namespace: str, node: str, image: str, report: Callable[[Event], None]
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._node = node
        self._own = OwnPod(client, namespace, node, image, 0.0, report, reads_firewall=True)

    async def __aenter__(self) -> NodeReader:
        """Make the pod and wait until it runs. Raises VantageError."""
        try:
            await self._own.create()
        except BaseException:
            await self._own.remove()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        await self._own.remove()

    async def __call__(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run `sh -c SCRIPT` there; at most `limit` bytes of output are kept. Raises VantageError.

        The server tells no exit status of its own, and no more than the beginning of standard error; so both streams
        come over one, and the script is the shell's input.
        """
        script = argv[2]
        shown = f"own pod on {self._node}"
        output = b""
        try:
            async with asyncio.timeout(timeout):
                name, command = self._own.name, ("sh", "-c", _ENTER)
                stream = await exec_in_pod(self._client, self._namespace, name, pod_objects.CONTAINER, command)
                try:
                    await stream.write(_on_one_stream(script).encode())
                    while len(output) <= limit and (data := await stream.read()):
                        output += data
                finally:
                    await stream.close()
        except TimeoutError as error:
            raise VantageError(f"{shown}: reading was not done within {timeout:g} s") from error
        except ClusterError as error:
            raise VantageError(f"{shown}: {error.message}", error.hint) from error
        printed, between, complaints = output.rpartition(f"\n{_BETWEEN}\n".encode())
        if not between:
            printed, complaints = output, stream.complaint().encode()
        return CommandResult(
            exit_status=0, stdout=printed[:limit], stderr=complaints[:limit], truncated=len(output) > limit
        )


def _on_one_stream(script: str) -> str:
    """Lines that run a script and print what it complained of behind what it printed."""
    return f"{{ E=$( {{\n{script}\n}} 2>&1 1>&3 3>&- ); }} 3>&1\nprintf '\\n%s\\n%s\\n' '{_BETWEEN}' \"$E\"; exit\n"
