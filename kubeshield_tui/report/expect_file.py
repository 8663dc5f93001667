"""An expectations file to begin with: what was found, the baseline, an exception, all of it commented out.

A line that begins with `#` and no space is TOML, ready for the `#` to be taken off; `# ` begins prose.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from kubeshield_tui.discovery.catalogue import Catalogue
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.lines import baseline_text
from kubeshield_tui.judgement.selectors import weigh
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import LineKind
from kubeshield_tui.model.text import printable

WIDTH = 110
SHOWN = 6
"""Endpoints listed of one component or of one namespace; more are counted."""
HEAD = """\
# Expectations: what must be blocked or reachable, and from where. Use them: kubeshield audit --expect FILE
#
# All that follows is commented out, so this file changes nothing as it is. Take the # off what you want and change
# it; then: kubeshield expect check FILE
#
# Of the rules that match a cell the last one decides. All of them stand over the baseline, and an exception stands
# over all rules until it expires.
#
# Keys in your editor: kubeshield expect schema > expect.schema.json, and this as the first line of the file:
#     #:schema ./expect.schema.json
"""
EXAMPLES = """\
# --- One component may reach the API, and nobody else

#[[rule]]
#name = "only the operator may reach the API"
#must = "blocked"
#to.component = "kube-apiserver"
#from.kind = "pod"

#[[rule]]
#name = "the operator"
#must = "reachable"
#because = "it reconciles what it owns"
#to.component = "kube-apiserver"
#from = {{ kind = "pod", namespace = {namespace}, labels = {{ app = "operator" }} }}

# --- Namespaces keep to themselves

#[[rule]]
#name = "no pod reaches another namespace's Services"
#must = "blocked"
#to.namespace = "*"
#from.kind = "pod"

#[[rule]]
#name = "its own namespace"
#must = "any"
#to.namespace = "*"
#from.same_namespace = true

# --- An exception: who answers for it, why, and the last day on which it holds

#[[exception]]
#name = "the old agent reads metadata"
#to.component = "cloud-metadata"
#from.namespace = {namespace}
#owner = "team@example.org"
#reason = "it is replaced in the next release"
#expires = 2026-12-31
"""


def expectations_file(title: str, endpoints: Sequence[Endpoint], catalogue: Catalogue) -> str:
    """Write the file for what was found; `title` says where."""
    parts = [HEAD, *_prose(f"Found in {title}: {len(endpoints)} endpoints.")]
    parts.append("\n# --- The baseline: it holds without this file\n")
    expectations = Expectations(catalogue=catalogue)
    lines = [line for line in expectations.lines if line.kind is LineKind.BASELINE]
    spoken_of: set[str] = set()
    for line, block in zip(lines, _blocks(), strict=True):
        meant = [endpoint for endpoint in endpoints if weigh(line.to, endpoint) is True]
        spoken_of.update(endpoint.id for endpoint in meant)
        parts.extend(_prose("found: " + ("; ".join(map(_listed, _by_component(meant))) or "none")))
        parts.extend(f"#{row}" if row else "" for row in block)
        parts.append("")
    others = [endpoint for endpoint in endpoints if endpoint.id not in spoken_of]
    parts.append("# --- Found, and nothing is expected of it so far\n")
    for heading, group in _grouped(others).items():
        parts.extend(_prose(f"{heading}: {_listed(group)}"))
    namespace = next((endpoint.namespace for endpoint in others if endpoint.namespace), "ops")
    parts.append("\n" + EXAMPLES.format(namespace=json.dumps(printable(namespace), ensure_ascii=False)))
    return "\n".join(parts)


def _blocks() -> list[list[str]]:
    """The baseline's rules as text, without its comments."""
    blocks: list[list[str]] = []
    for row in baseline_text().splitlines():
        if row == "[[rule]]":
            blocks.append([])
        if blocks and row and not row.startswith("#"):
            blocks[-1].append(row)
    return blocks


def _by_component(endpoints: Iterable[Endpoint]) -> Iterable[list[Endpoint]]:
    components: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        components.setdefault(endpoint.component, []).append(endpoint)
    return components.values()


def _grouped(endpoints: Iterable[Endpoint]) -> dict[str, list[Endpoint]]:
    groups: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        heading = f"namespace {endpoint.namespace}, {endpoint.component}" if endpoint.namespace else endpoint.component
        groups.setdefault(heading, []).append(endpoint)
    return groups


def _listed(endpoints: Sequence[Endpoint]) -> str:
    names = [
        f"{endpoint.name} {f'[{endpoint.host}]' if ':' in endpoint.host else endpoint.host}:{endpoint.port}"
        for endpoint in endpoints[:SHOWN]
    ]
    more = [f"and {len(endpoints) - SHOWN} more"] if len(endpoints) > SHOWN else []
    return ", ".join(names + more)


def _prose(text: str) -> Iterator[str]:
    return (f"# {row}" for row in wrap(printable(text, 10_000), WIDTH, break_on_hyphens=False))
