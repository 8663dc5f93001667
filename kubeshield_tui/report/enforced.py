"""What is known of a cluster's enforcement of policies, in words."""

from __future__ import annotations

from kubeshield_tui.model.evidence import SelfTest

ENFORCED = {
    True: "policies are enforced",
    False: "policies are NOT enforced",
    None: "whether policies are enforced is not known",
}


def self_test_line(test: SelfTest) -> str:
    """What a self-test came to."""
    said = f"{test.before} without a policy, {test.after} under a deny-all" if test.after else test.before
    return ". ".join(part for part in (ENFORCED[test.enforced], said, test.detail) if part)
