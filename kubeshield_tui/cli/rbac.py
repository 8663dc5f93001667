"""`kubeshield rbac`: print the smallest roles for the features chosen. Asks no cluster."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from kubeshield_tui import __version__
from kubeshield_tui.cli import options
from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.cluster.rights import Feature
    from kubeshield_tui.cluster.roles import Reason, Role, Subject

FEATURES = (
    "discovery", "watch", "other-policies", "exec", "own-pods", "node-pods", "per-namespace", "per-node", "remedies",
    "selftest", "sweep",
)  # fmt: skip
"""Values of --feature: names of Feature, which `--help` may not wait for."""
FORMATS = ("yaml", "json")
WIDTH = 110
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_ACCOUNT = re.compile(
    r"(?P<namespace>[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)/(?P<name>[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)"
)
_GIVEN_TO_ALL = (
    "What it uses besides, everybody who is logged in may by default: get /version (ClusterRole "
    "system:public-info-viewer), get /apis (system:discovery) and create selfsubjectaccessreviews (system:basic-user)."
)
_NEVER = (
    "Never needed: Secrets, ConfigMaps, nodes/proxy, pods/attach, pods/portforward, impersonation, anything with *."
)


def add_rbac(parser: argparse.ArgumentParser) -> None:
    """Flags of `rbac`."""
    add = parser.add_argument
    add("--feature", action="append", choices=FEATURES, default=[], metavar="F",
        help=f"{', '.join(FEATURES)}; again for several (default: discovery)")  # fmt: skip
    add("--namespace", action="append", default=[], metavar="NS",
        help="where pods are asked from; again for several (default: any; for pods on nodes: default)")  # fmt: skip
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--user", metavar="NAME", help="bind it to a user")
    whom.add_argument("--group", metavar="NAME", help="bind it to a group")
    whom.add_argument("--service-account", metavar="NS/NAME", help="bind it to a service account")
    add("--name", default="kubeshield", metavar="NAME", help="name of the objects (default: kubeshield)")
    add("--format", choices=FORMATS, default="yaml", metavar="F", help="yaml, json (default: yaml)")


def rbac(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from kubeshield_tui.cluster.rights import NEEDS, Feature
    from kubeshield_tui.cluster.roles import roles
    from kubeshield_tui.settings.schema import DEFAULT_POD_NAMESPACE

    features = tuple(Feature(name) for name in arguments.feature or ["discovery"])
    namespaces = tuple(options.namespace_from(text, "--namespace") for text in arguments.namespace)
    if namespaces and not any(need.in_namespace for feature in features for need in NEEDS[feature]):
        raise SettingsError(
            f"--namespace has no meaning for {', '.join(features)}: that is asked of the whole cluster",
            "Leave it out, or add --feature exec, own-pods, node-pods, per-node or remedies",
        )
    if not _NAME.fullmatch(arguments.name):
        raise SettingsError(
            f"--name {arguments.name!r} is no name of an object", "Use lower-case letters, digits, - and ."
        )
    subject = _subject(arguments)
    made = roles(features, namespaces, arguments.name, DEFAULT_POD_NAMESPACE)
    print(_json(made, subject) if arguments.format == "json" else _yaml(made, subject, features))
    return 0


def _subject(arguments: argparse.Namespace) -> Subject | None:
    """Raises SettingsError for a name that can be nobody's."""
    from kubeshield_tui.cluster.roles import Subject, SubjectKind

    if arguments.service_account is not None:
        found = _ACCOUNT.fullmatch(arguments.service_account)
        if not found:
            raise SettingsError(
                f"--service-account {arguments.service_account!r}: expected NAMESPACE/NAME",
                "kubectl get serviceaccounts -A shows them",
            )
        return Subject(kind=SubjectKind.SERVICE_ACCOUNT, name=found["name"], namespace=found["namespace"])
    for kind, name in ((SubjectKind.USER, arguments.user), (SubjectKind.GROUP, arguments.group)):
        if name is not None:
            if not name.strip() or not name.isprintable():
                raise SettingsError(f"--{kind.lower()} {name!r} is no name", "Name it as the API server sees it")
            return Subject(kind=kind, name=name)
    return None


def _objects(role: Role, subject: Subject | None) -> Iterator[dict[str, Any]]:
    yield {**role.head, "rules": [rule.body for rule in role.rules]}
    if subject is not None:
        yield role.binding(subject)


def _json(made: Sequence[Role], subject: Subject | None) -> str:
    items = [body for role in made for body in _objects(role, subject)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2, ensure_ascii=False)


def _yaml(made: Sequence[Role], subject: Subject | None, features: Sequence[Feature]) -> str:
    """Documents with comments, which no library writes. Quoted scalars are JSON's, and so YAML's."""
    lines = [f"# KubeShield {__version__}, for:"]
    lines += [f"#   {feature}: {feature.duty}" for feature in dict.fromkeys(features)]
    for sentence in (
        "What is not granted is said and left out; nothing here is all or nothing.",
        _GIVEN_TO_ALL,
        _NEVER,
    ):
        lines += _comment(sentence)
    if subject is None:
        lines += _comment("Nobody has it yet: --user, --group or --service-account adds the binding.")
    for role in made:
        lines += ["---", *_fields(role.head), "rules:"]
        for rule in role.rules:
            for reason in rule.reasons:
                lines += _comment(_sentence(reason, rule.verbs), "  ")
            lines += [
                f"  - apiGroups: [{rule.group or _quoted('')}]",
                f"    resources: [{rule.resource}]",
                f"    verbs: [{', '.join(rule.verbs)}]",
            ]
        if subject is not None:
            lines += ["---", *_fields(role.binding(subject))]
    return "\n".join(lines)


def _sentence(reason: Reason, verbs: Sequence[str]) -> str:
    which = (
        "" if len(reason.verbs) == len(verbs) or reason.verbs == (reason.feature,) else f" ({', '.join(reason.verbs)})"
    )
    less = ", can be left out" if reason.optional else ""
    return f"{reason.feature}{which}{less}: {reason.why}. Without: {reason.without}."


def _comment(sentence: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}" for line in wrap(sentence, WIDTH - len(indent) - 2, break_on_hyphens=False)]


def _fields(body: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in body.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _fields(value, f"{indent}  ")
        elif isinstance(value, list):
            yield f"{indent}{key}:"
            for item in value:
                first, *others = _fields(item, f"{indent}    ")
                yield f"{indent}  - {first.strip()}"
                yield from others
        else:
            # Only names are free text: `no` and `1e3` are names, and must not be read as anything else.
            yield f"{indent}{key}: {_quoted(value) if key in {'name', 'namespace'} else value}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
