"""Whether and how each cluster of a session enforces policies, by all that is known of it so far."""

from __future__ import annotations

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.evidence.enforcement import Enforcement, enforcement_of, stated, with_test
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings


def enforcement(store: Store, settings: Settings, cluster: str) -> Enforcement:
    """What its agents tell, then its newest self-test, then the user, each over the last. `cluster`: a context."""
    inventory = store.clusters.get(cluster)
    known = enforcement_of(inventory.cluster.recognised if inventory is not None else ())
    test = store.self_tests.get(cluster)
    if test is not None:
        known = with_test(known, test)
    return stated(known, ((knob, value) for context, knob, value in settings.cni if context in {"", cluster}))


def require_clusters(settings: Settings, contexts: tuple[str, ...]) -> None:
    """Let nothing be stated of a cluster that is none of this run. Raises SettingsError."""
    for context, knob, value in settings.cni:
        if context and context not in contexts:
            raise SettingsError(
                f"--cni {context}:{knob}={value}: no such context in this run", "Name it with --context too"
            )
