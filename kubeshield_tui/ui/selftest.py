"""The self-test of a cell's cluster, from any screen that has a cell: offered, asked for a yes, told."""

from __future__ import annotations

from textual.screen import Screen

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.report.enforced import self_test_line
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.query import cluster_of
from kubeshield_tui.ui.screens.consent import ConsentScreen


def offer_self_test(screen: Screen[None], session: SessionControl, key: CellKey) -> None:
    """Show what a self-test of the cell's cluster would create, and run it after a yes."""
    store, cluster = session.store, cluster_of(session.store, key)
    if store.simulated:
        screen.notify("the training range has no network of its own to test", markup=False)
        return
    if not cluster:
        screen.notify("this cell is about no cluster", markup=False)
        return
    from kubeshield_tui.session.selftest import objects_of_self_test

    def answered(yes: bool | None) -> None:
        if yes:
            # The app's own worker: the screen may be left while it runs.
            screen.app.run_worker(_run(screen, session, cluster), group=f"self-test {cluster}", exit_on_error=False)

    why = f"Does {cluster} enforce NetworkPolicies? Two pods of ours try it, in a minute or two. Created there:"
    screen.app.push_screen(ConsentScreen(why, objects_of_self_test(session.settings.pod_image)), answered)


async def _run(screen: Screen[None], session: SessionControl, cluster: str) -> None:
    app = screen.app
    app.notify(f"self-test of {cluster} ...", markup=False, timeout=5)
    await session.self_test(cluster)
    test = session.store.self_tests.get(cluster)
    if test is not None:
        app.notify(
            f"{cluster}: {self_test_line(test)}",
            severity="information" if test.enforced else "warning",
            markup=False,
            timeout=12,
        )
