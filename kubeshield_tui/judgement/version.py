"""Versions as Kubernetes and its images write them: three numbers, a pre-release, what a vendor added. Never raises."""

from __future__ import annotations

import re
from typing import NamedTuple

Release = tuple[int, int, int]
"""Major, minor, patch."""

# Six digits a number: enough for every version there is, and no text can make a number too long to read.
_VERSION = re.compile(
    r"\s*v?(?P<major>[0-9]{1,6})\.(?P<minor>[0-9]{1,6})\.(?P<patch>[0-9]{1,6})(?![0-9])"
    r"(?:-(?P<pre>(?:alpha|beta|rc)\.[0-9]{1,6})(?![0-9]))?(?P<vendor>.*)",
    re.DOTALL,
)


class Version(NamedTuple):
    """A version taken apart."""

    release: Release
    pre: str = ""
    """`alpha.1`, `beta.0`, `rc.2`: built before the release that it is named after."""
    vendor: str = ""
    """What else follows: `-gke.1172000`, `+k3s1`, `-eks-4b0a1c2`, `-dirty`. Whoever built it may have ported fixes."""


def read_version(text: str) -> Version | None:
    """Read `v1.33.4-gke.1172000`; None where three numbers do not stand at the beginning."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    release = (int(found["major"]), int(found["minor"]), int(found["patch"]))
    return Version(release, found["pre"] or "", found["vendor"].strip())


def show_release(release: Release) -> str:
    """`1.10.11`."""
    return ".".join(map(str, release))


def release_before(release: Release) -> Release | None:
    """The release that a pre-release of this one was built after: the patch before, or the minor before its own."""
    major, minor, patch = release
    if patch:
        return (major, minor, patch - 1)
    return (major, minor - 1, 0) if minor else None
