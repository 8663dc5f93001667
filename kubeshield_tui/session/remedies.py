"""Remedies proposed, applied after an explicit yes (tried at the server first, looked after), and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from time import time
from typing import TYPE_CHECKING, Any, TypeVar
from typing import Protocol as Interface

from kubeshield_tui.cluster.access import may
from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.raw import as_dict
from kubeshield_tui.cluster.rights import Feature
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.judgement.draft import API_VERSION, KIND, MANAGED_LABEL, MANAGER
from kubeshield_tui.model.event import Event, PolicyApplied, PolicyTakenBack
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings

if TYPE_CHECKING:
    from kubeshield_tui.judgement.draft import Draft
    from kubeshield_tui.session.proposals import Proposal

T = TypeVar("T")
GROUP, PLURAL = API_VERSION.partition("/")[0], "networkpolicies"
LOOKS = (1.5, 5.0, 15.0)
"""Seconds after a change at which cells are asked again: engines take from one to some tens of them."""
REVIEWED = ("create", "delete")


class Running(Interface):
    """What remedies need of a session."""

    settings: Settings
    store: Store
    worlds: Worlds

    def ask_again(self, keys: Iterable[CellKey]) -> int:
        """Ask cells again now."""
        ...


class Remedies:
    """What a front end may ask of remedies."""

    def __init__(self, session: Running, clusters: Callable[[], ClusterWait], emit: Callable[[Event], None]) -> None:
        """`clusters`: those of the session by now."""
        self._session = session
        self._clusters = clusters
        self._emit = emit
        self._looking: set[asyncio.Task[None]] = set()
        self._changing: set[asyncio.Task[Any]] = set()

    def propose(self, finding: Finding) -> tuple[Proposal, ...]:
        """Ways to close what a finding is about, each tried on all that is known; empty where it is about no cell."""
        from kubeshield_tui.session.proposals import cells_of, propose

        session = self._session
        return propose(session.store, session.worlds, session.settings, cells_of(session.store, finding))

    async def apply(self, proposal: Proposal) -> PolicyApplied:
        """Make the policy of a proposal and ask its cells again. Only call it after an explicit yes to its text.

        Raises KubeShieldError where it can't be made: nothing is left behind then.
        """
        draft = proposal.remedy.draft
        if draft is None:
            raise ClusterError("there is no policy to apply", "Change the rules that are named instead")
        if self._session.store.simulated:
            raise ClusterError("the training range is simulated: no policy can be applied in it")
        return await self._to_its_end(self._apply(proposal, draft))

    async def take_back(self, applied: PolicyApplied) -> None:
        """Remove a policy that was applied, and ask its cells again. Raises KubeShieldError where it stays."""
        await self._to_its_end(self._take_back(applied))

    async def _to_its_end(self, change: Coroutine[Any, Any, T]) -> T:
        """Await a change; whoever stops waiting for it does not stop it: what was made must be known."""
        task = asyncio.get_running_loop().create_task(change)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _apply(self, proposal: Proposal, draft: Draft) -> PolicyApplied:
        client = await self._clusters().client(proposal.cluster)
        path = _path(draft.namespace)
        await self._require_rights(client, draft)
        try:
            await client.request("POST", path, {**_WRITTEN_BY, "dryRun": "All"}, draft.body)
            made = await self._create(client, path, draft)
        except NotReadable as error:
            raise _refused(error, draft) from error
        applied = PolicyApplied(
            at=time(),
            cluster=proposal.cluster,
            namespace=draft.namespace,
            name=draft.name,
            uid=_uid(made),
            text=draft.text,
            cells=proposal.cells,
            concerned=proposal.concerned,
        )
        self._emit(applied)
        self._look_again(applied, lambda: any(self._is_open(key) for key in applied.cells))
        return applied

    async def _take_back(self, applied: PolicyApplied) -> None:
        client = await self._clusters().client(applied.cluster)
        by_others = False
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": applied.uid}}
        try:
            await client.request("DELETE", f"{_path(applied.namespace)}/{applied.name}", body=body)
        except NotReadable as error:
            # Not found, or another object by that name: ours is gone, and what stands there is not ours to remove.
            by_others = error.status in {404, 409}
            if not by_others:
                hint = f"kubectl -n {applied.namespace} delete networkpolicy {applied.name}"
                raise ClusterError(f"{applied.shown} stays: {error.message}", hint) from error
        self._emit(
            PolicyTakenBack(
                at=time(),
                cluster=applied.cluster,
                namespace=applied.namespace,
                name=applied.name,
                by_others=by_others,
            )
        )
        self._look_again(applied, lambda: not all(self._is_open(key) for key in applied.cells))

    async def close(self) -> None:
        """End what is under way, ask no more. What is applied stays applied."""
        await asyncio.gather(*self._changing, return_exceptions=True)
        looking = tuple(self._looking)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    async def _require_rights(self, client: ClusterClient, draft: Draft) -> None:
        """Nothing is made that could not be removed again. Raises ClusterError."""
        for verb in REVIEWED:
            if await may(client, verb, PLURAL, namespace=draft.namespace, group=GROUP) is False:
                raise ClusterError(
                    f"{client.where}: may not {verb} networkpolicies in {draft.namespace}: nothing was made",
                    Feature.REMEDIES.role_hint(draft.namespace),
                )

    async def _create(self, client: ClusterClient, path: str, draft: Draft) -> dict[str, Any]:
        """Create it. Where no answer came, see whether it was made all the same."""
        try:
            return await client.request("POST", path, _WRITTEN_BY, draft.body)
        except NotReadable:
            raise
        except ClusterError as error:
            try:
                found = await client.request("GET", f"{path}/{draft.name}")
            except ClusterError:
                hint = f"See whether it was made: kubectl -n {draft.namespace} get networkpolicy {draft.name}"
                raise ClusterError(f"{draft.key.text}: {error.message}", hint) from error
            if as_dict(as_dict(found.get("metadata")).get("labels")).get(MANAGED_LABEL) != MANAGER:
                raise
            return found

    def _is_open(self, key: CellKey) -> bool:
        observation = self._session.store.cell(key).observation
        return observation is not None and observation.state is State.OPEN

    def _look_again(self, applied: PolicyApplied, is_pending: Callable[[], bool]) -> None:
        """Ask the cells again, all once, and again as long as the change is not seen."""

        async def look() -> None:
            asleep = 0.0
            for at in LOOKS:
                await asyncio.sleep(at - asleep)
                asleep = at
                if at != LOOKS[0] and not is_pending():
                    return
                self._session.ask_again(dict.fromkeys((*applied.cells, *applied.concerned)))

        task = asyncio.get_running_loop().create_task(look(), name=f"looking after {applied.shown}")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)


_WRITTEN_BY = {"fieldManager": MANAGER}


def _path(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"


def _uid(made: dict[str, Any]) -> str:
    return str(as_dict(made.get("metadata")).get("uid") or "")


def _refused(error: NotReadable, draft: Draft) -> ClusterError:
    """Why the server made nothing, and what to do."""
    what = f"{KIND} {draft.namespace}/{draft.name}"
    if error.status == 409:
        return ClusterError(
            f"{what} is there already: nothing was made",
            "Take it back first, or save this text and `kubectl apply -f` it, which replaces it",
        )
    if error.status == 404:
        return ClusterError(f"there is no namespace {draft.namespace}: nothing was made", "kubectl get namespaces")
    hint = Feature.REMEDIES.role_hint(draft.namespace) if error.status == 403 else "Save the text, change it, apply it"
    return ClusterError(f"{what} was refused, nothing was made: {error.message}", hint)
