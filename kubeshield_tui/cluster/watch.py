"""Follow the objects of a kind: list them, then hold one request open for what changes, for as long as it takes.

The API's own rules (kubernetes.io, "Efficient detection of changes"): a watch begins at the resourceVersion of a list,
bookmarks move that on, and 410 means that the server forgot it: list again. Clocks play no part.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import msgspec

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.kinds import Key, Kind
from kubeshield_tui.cluster.raw import names
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

WATCH_SECONDS = (300, 600)
"""After how long the server is to end a watch: drawn anew each time, so that a dozen do not end together."""
SILENCE_SECONDS = 150.0
"""A watch without a byte for this long is asked anew: servers send a bookmark a minute."""
POLL_SECONDS = 30.0
"""How often a kind is listed that may not be watched."""
STEADY_SECONDS = 10.0
"""A watch that lives this long is well; what ends sooner is met with longer and longer waits."""
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before the next try, half to all of it by chance; the last one repeats."""
SHORT_LIVES = 3
"""Watches cut short in a row before that is said."""
LINE_LIMIT = 8 << 20
"""Bytes of one event: a server stores objects of 1.5 MiB at most unless told otherwise."""
BREATH = 100
"""Events taken before others get a turn."""
REFUSALS = frozenset({403, 404, 405})
"""Not for us, not known, not watchable."""
EXPIRED = 410


class Listed(NamedTuple):
    """All objects of a kind, as they are now."""

    kind: Kind
    records: tuple[Record, ...]


class Put(NamedTuple):
    """An object is new or was changed."""

    kind: Kind
    record: Record


class Gone(NamedTuple):
    """An object was deleted."""

    kind: Kind
    key: Key


class Failed(NamedTuple):
    """A kind can't be followed now: said once, until it is Restored. What was told before may be out of date."""

    kind: Kind
    why: str
    seconds: float
    """Until the next try; later ones wait longer."""


class Restored(NamedTuple):
    """A kind is followed again."""

    kind: Kind


class Slowed(NamedTuple):
    """A kind is read, but its changes come late: said once, until it is Restored."""

    kind: Kind
    why: str


class Unreadable(NamedTuple):
    """A kind may not be listed in any version that there is: it is not asked again."""

    kind: Kind
    refusals: tuple[tuple[str, str], ...]
    """(resource, why) of each version."""


class Skipped(NamedTuple):
    """An event that can't be taken in; the others go on."""

    kind: Kind
    why: str


Fact = Listed | Put | Gone | Failed | Restored | Slowed | Unreadable | Skipped
Tell = Callable[[Fact], None]


class _Expired(Exception):  # noqa: N818 - a fact
    """The server forgot the resourceVersion that we have."""


class _Cure(IntEnum):
    """What shows that trouble is over, each more than the one before."""

    ANSWER = 0
    """A list, or a watch that is agreed to."""
    EVENT = 1
    """An event that can be read."""
    STEADY = 2
    """A watch that holds."""


class _Event(msgspec.Struct):
    type: str
    object: dict[str, Any]


_decode = msgspec.json.Decoder(_Event).decode


async def watch(client: ClusterClient, kinds: Iterable[Kind], tell: Tell) -> None:
    """Follow kinds until cancelled: `tell` gets each fact as it comes, Listed or Unreadable or Failed first.

    Each kind holds one connection of the client's pool (100 unless the kubeconfig's library is told otherwise).
    """
    answered = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            group.create_task(_Watch(client, kind, tell, answered).run(), name=f"watch {kind.resource}")


class _Watch:
    """One kind. `kind` names it in facts, `_version` is the version of its API that the server lets us read."""

    def __init__(self, client: ClusterClient, kind: Kind, tell: Tell, answered: asyncio.Event) -> None:
        self._client = client
        self._kind = kind
        self._tell = tell
        self._answered = answered
        """Pulsed when a kind answers after a failure: the others need not sit out their waits."""
        self._version: Kind | None = None
        self._position = ""
        """resourceVersion up to which everything was told; empty before a list and after 410."""
        self._agreed = False
        """The server agreed to a watch at least once: a later refusal passes (one that starts knows no roles yet)."""
        self._listed_only: Slowed | None = None
        """Said where it may not be watched."""
        self._short = 0
        """Tries in a row that did not live long."""
        self._said: Failed | Slowed | None = None
        self._cure = _Cure.ANSWER
        """What ends the trouble that was said."""
        self._cure_of_failure = _Cure.ANSWER
        """What would end a failure that came now."""

    async def run(self) -> None:
        """Follow until cancelled, or until it is known that nothing can be read."""
        while True:
            began = time.monotonic()
            why = ""
            self._cure_of_failure = _Cure.ANSWER
            try:
                if not self._position and not await self._list():
                    return
                await self._follow()
            except _Expired:
                self._position = ""
            except ClusterError as error:
                why = error.message
                if isinstance(error, NotReadable) and error.status == EXPIRED:
                    self._position, why = "", ""
                elif self._cure_of_failure is _Cure.EVENT and self._short >= SHORT_LIVES:
                    self._position = ""  # going on from there met the same mess again and again
            lived = time.monotonic() - began
            self._short = 0 if lived >= STEADY_SECONDS else self._short + 1
            await self._wait(why, lived)

    async def _wait(self, why: str, lived: float) -> None:
        seconds = BACKOFF[min(self._short, len(BACKOFF) - 1)] * random.uniform(0.5, 1.0)
        if why and not isinstance(self._said, Failed):
            self._say(Failed(self._kind, printable(why, 300), seconds), self._cure_of_failure)
        elif self._short >= SHORT_LIVES and self._said is None:
            ends = f"the server ends each watch within {max(lived, 1):.0f} s"
            self._say(Slowed(self._kind, f"{ends}: asked again every {BACKOFF[-1]:g} s at most"), _Cure.STEADY)
        if not why:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._answered.wait()
        except TimeoutError:
            return

    def _say(self, trouble: Failed | Slowed, cure: _Cure) -> None:
        self._said, self._cure = trouble, cure
        self._tell(trouble)

    def _well(self, shown: _Cure) -> None:
        """Tell that trouble is over, if what is shown cures it."""
        if self._said is None or self._said is self._listed_only or shown < self._cure:
            return
        self._said = self._listed_only
        self._tell(Restored(self._kind) if self._listed_only is None else self._listed_only)
        self._answered.set()
        self._answered.clear()

    # --- listing

    async def _list(self) -> bool:
        """Tell all objects, of the newest version that we may read; False where there is none."""
        refusals: dict[str, str] = {}
        for version in (self._version,) if self._version else self._kind.versions:
            try:
                make = partial(version.make, cluster=self._client.context.name)
                records, position = await self._client.snapshot(version.path, make)
            except NotReadable as error:
                if self._version is not None or error.status not in REFUSALS:
                    raise
                refusals.setdefault(version.resource, error.why)
                continue
            self._version = version
            self._position = position or "0"
            self._well(_Cure.ANSWER)
            self._tell(Listed(self._kind, tuple(records)))
            return True
        self._tell(Unreadable(self._kind, tuple(refusals.items())))
        return False

    # --- watching

    async def _follow(self) -> None:
        """Tell what changes until the server ends it. Where watching is not allowed: wait, then have it listed."""
        if self._listed_only is not None:
            await asyncio.sleep(POLL_SECONDS)
            raise _Expired
        assert self._version is not None
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._position,
            "timeoutSeconds": random.randint(*WATCH_SECONDS),
        }
        pieces = self._client.pieces(self._version.path, query, silence=SILENCE_SECONDS)
        try:
            async with aclosing(pieces), aclosing(_lines(pieces)) as lines:
                await self._take_all(lines)
        except NotReadable as error:
            if self._agreed or error.status not in REFUSALS:
                raise
            why = f"may not be watched ({error.why}): listed every {POLL_SECONDS:g} s"
            self._listed_only = Slowed(self._kind, why)
            self._say(self._listed_only, _Cure.STEADY)

    async def _take_all(self, lines: AsyncIterator[bytes | None]) -> None:
        began, number = time.monotonic(), 0
        async for line in lines:
            if line is None:
                self._tell(Skipped(self._kind, f"an event of more than {LINE_LIMIT >> 20} MiB is left out"))
            elif line:
                self._take(line)
                self._well(_Cure.EVENT)
            else:
                self._agreed, self._cure_of_failure = True, _Cure.EVENT
                self._well(_Cure.ANSWER)
            if time.monotonic() - began >= STEADY_SECONDS:
                self._well(_Cure.STEADY)
            number += 1
            if number % BREATH == 0:
                await asyncio.sleep(0)

    def _take(self, line: bytes) -> None:
        assert self._version is not None
        try:
            event = _decode(line)
        except (msgspec.MsgspecError, RecursionError):
            raise ClusterError(f"this is no watch event: {printable(line, 80)}", "Is it a Kubernetes API?") from None
        metadata = event.object.get("metadata")
        position = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        match event.type:
            case "ADDED" | "MODIFIED":
                record = self._version.make(event.object, self._client.context.name)
                if record is not None:
                    self._tell(Put(self._kind, record))
            case "DELETED":
                self._tell(Gone(self._kind, names(event.object)))
            case "ERROR" if event.object.get("code") == EXPIRED:
                raise _Expired
            case "ERROR":
                said = printable(event.object.get("message") or event.object.get("reason") or "", 200)
                raise ClusterError(f"the server ended the watch: {said}")
        if isinstance(position, str) and position:
            self._position = position


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes | None]:
    """Lines of a stream, None for each that is too long to be kept. An empty piece is handed on as an empty line."""
    parts: list[bytes] = []
    size = 0
    async for piece in pieces:
        if not piece:
            yield piece
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield None if size + len(end) > LINE_LIMIT else b"".join((*parts, end))
            parts, size = [], 0
        size += len(rest)
        if rest and size <= LINE_LIMIT:
            parts.append(rest)
        elif rest:
            parts = []
