"""What a session leaves: said when the screen is gone."""

from __future__ import annotations

import sys
from shlex import quote

from kubeshield_tui.session.store import Store


def say_leavings(store: Store) -> None:
    """Tell what was removed and what could not be."""
    for _, object_ in store.removed:
        print(f"kubeshield: removed {object_}", file=sys.stderr)
    for left in store.left:
        print(f"kubeshield: LEFT BEHIND {left.object}: {left.why}", file=sys.stderr)
    for policy in store.applied.values():
        print(
            f"kubeshield: STAYS APPLIED {policy.shown} in {policy.cluster}; take it back: kubectl --context "
            f"{quote(policy.cluster)} -n {policy.namespace} delete networkpolicy {policy.name}",
            file=sys.stderr,
        )
    if not store.removed and not store.left and not store.applied:
        print("kubeshield: nothing was created, nothing is left behind", file=sys.stderr)
