"""Policies of other systems: recognised, not evaluated. Whom they may select is read generously, never too narrowly."""

from __future__ import annotations

import re

from kubeshield_tui.evidence.netpol.fields import Cursor, FieldError
from kubeshield_tui.evidence.netpol.parse_parts import selector_of
from kubeshield_tui.evidence.netpol.policy import (
    ObjectKey,
    OpaquePolicy,
    Operator,
    PodSet,
    Reach,
    Requirement,
    Selector,
    Where,
)
from kubeshield_tui.model.text import printable

CILIUM = "cilium.io"
CALICO = frozenset({"crd.projectcalico.org", "projectcalico.org"})
FOREIGN_GROUPS = frozenset({CILIUM, *CALICO, "crd.antrea.io"})
OUR_KINDS = frozenset({"NetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"})
RESERVED_KEYS = ("io.kubernetes.", "io.cilium.", "projectcalico.org/")
"""Labels that those systems add to pods and namespaces themselves."""
_SOURCES = frozenset({"k8s", "any"})
_TERM = re.compile(
    r"""\s*(?:
        (?P<all>all\(\)|global\(\))
      | (?P<absent>!\s*)?has\(\s*(?P<has>[\w./-]+)\s*\)
      | (?P<key>[\w./-]+)\s*(?P<sign>==|!=)\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")
    )\s*""",
    re.VERBOSE,
)


def foreign_policy(whole: Cursor, where: Where, group: str) -> OpaquePolicy:
    """A policy of another system. Raises FieldError where even its name can't be read."""
    kind = printable(whole.get("kind").text(), 80)
    shown = printable(group, 80) or "another system"
    metadata = whole.get("metadata")
    name = metadata.get("name").object_name()
    namespace = metadata.get("namespace")
    given = "" if namespace.is_empty else namespace.namespace_name()
    is_cluster_wide = kind.startswith(("CiliumClusterwide", "Global", "Cluster"))
    if group == CILIUM or group in CALICO:
        given = "" if is_cluster_wide else given or "default"
    spec = whole.get("spec")
    subject, hosts = PodSet(namespace=given or None), False
    try:
        if group == CILIUM:
            subject, hosts = _cilium(whole, given)
        elif group in CALICO:
            subject, hosts = _calico(spec, given)
    except FieldError:
        hosts = is_cluster_wide
    return OpaquePolicy(
        # Kinds that Kubernetes has too are told apart by their group, as kubectl does it.
        key=ObjectKey(kind=f"{kind}.{shown}" if kind in OUR_KINDS else kind, namespace=given, name=name),
        reach=Reach.EITHER_END,
        why=f"a policy of {shown}",
        subject=subject,
        hosts=hosts,
        where=where,
    )


def _cilium(whole: Cursor, namespace: str) -> tuple[PodSet, bool]:
    specs = [item for item in (whole.get("spec"), *whole.get("specs").items()) if not item.is_absent]
    hosts = any(not spec.get("nodeSelector").is_absent for spec in specs)
    selectors = [spec.get("endpointSelector") for spec in specs if spec.get("nodeSelector").is_absent]
    own = namespace or None
    if len(selectors) != 1 or not isinstance(selectors[0].value, dict):
        return PodSet(namespace=own), hosts
    return PodSet(namespace=own, pods=_without_sources(selectors[0])), hosts


def _without_sources(at: Cursor) -> Selector:
    """A selector of Cilium without the requirements on labels that Kubernetes does not have. Raises FieldError."""
    labels, expressions = at.get("matchLabels"), at.get("matchExpressions")
    listed = labels.fields(labels.value) if labels.value else {}
    kept = {plain: item.value for key, item in listed.items() if (plain := _plain_key(key)) is not None}
    terms = [
        {**item.value, "key": plain}
        for item in expressions.items()
        if (plain := _plain_key(item.get("key").value)) is not None
    ]
    return selector_of(Cursor({"matchLabels": kept, "matchExpressions": terms}))


def _plain_key(key: object) -> str | None:
    source, colon, rest = str(key).partition(":")
    plain = rest if colon else source
    if (colon and source not in _SOURCES) or plain.startswith(RESERVED_KEYS):
        return None
    return plain


def _calico(spec: Cursor, namespace: str) -> tuple[PodSet, bool]:
    pods = _expression(spec.get("selector").value)
    namespaces = spec.get("namespaceSelector").value
    # Only policies without a namespace reach hosts, and those that select namespaces do not.
    hosts = not namespace and not namespaces
    return PodSet(namespace=namespace or None, namespaces=_expression(namespaces), pods=pods), hosts


def _expression(text: object) -> Selector:
    """Requirements that a selector of Calico surely makes; what is not understood narrows nothing."""
    requirements = []
    for term in text.split("&&") if isinstance(text, str) and "||" not in text else ():
        match = _TERM.fullmatch(term)
        if match is None:
            return Selector()
        key = match["has"] or match["key"]
        if match["all"] or key.startswith(RESERVED_KEYS):
            continue
        if match["has"]:
            operator = Operator.DOES_NOT_EXIST if match["absent"] else Operator.EXISTS
            requirements.append(Requirement(key=key, operator=operator))
            continue
        value = match["single"] if match["single"] is not None else match["double"]
        operator = Operator.IN if match["sign"] == "==" else Operator.NOT_IN
        requirements.append(Requirement(key=key, operator=operator, values=(value,)))
    return Selector(requirements=tuple(requirements))
