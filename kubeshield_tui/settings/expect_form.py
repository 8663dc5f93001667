"""The form of an expectations file: its keys and types, from which its JSON Schema is made too."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.vantage import VantageKind, Zone

T = TypeVar("T")
TEXT_LIMIT = 253
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT)]
Names = Text | Annotated[list[Text], Meta(min_length=1)]
"""One or several, any of which matches; `*` stands for any run of characters, `?` for one."""
Labels = Annotated[dict[Text, str | Annotated[list[str], Meta(min_length=1)]], Meta(min_length=1)]
Number = Annotated[int, Meta(ge=1, le=65535)]
Ports = Number | Text | Annotated[list[Number | Text], Meta(min_length=1)]


class Grade(StrEnum):
    """A severity, or the catalogue's own."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    CATALOGUE = "catalogue"


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class GradeByZone(_Form, frozen=True, kw_only=True):
    """A severity a zone; zones that are not named have the default."""

    outside: Grade | UnsetType = UNSET
    admin: Grade | UnsetType = UNSET
    pod: Grade | UnsetType = UNSET
    node: Grade | UnsetType = UNSET


class To(_Form, frozen=True, kw_only=True):
    """Which endpoints: all keys that are given must match, and of a list any one."""

    component: Annotated[
        Names | UnsetType, Meta(description="As the catalogue names it: kube-apiserver, etcd, ...")
    ] = UNSET
    where: Annotated[
        Names | UnsetType, Meta(description="What kind of component: api, control-plane, node, metadata, workload, ...")
    ] = UNSET
    namespace: Annotated[Names | UnsetType, Meta(description="Namespace of the object behind the endpoint")] = UNSET
    name: Annotated[Names | UnsetType, Meta(description="Name in the grid, or of the object: web, Service/web")] = UNSET
    labels: Annotated[
        Labels | UnsetType, Meta(description="Labels of the object, or of any pod behind it; '*' for any value")
    ] = UNSET
    port: Annotated[Ports | UnsetType, Meta(description="443, '8000-8010', or a list of these")] = UNSET
    protocol: Annotated[Protocol | UnsetType, Meta(description="tcp or udp")] = UNSET
    cluster: Annotated[Names | UnsetType, Meta(description="Context of the kubeconfig")] = UNSET
    group: Annotated[Names | UnsetType, Meta(description="Heading in the grid: control plane, nodes, ...")] = UNSET
    address: Annotated[Names | UnsetType, Meta(description="IP address, network (10.0.0.0/8) or host name")] = UNSET
    unauthenticated: Annotated[
        bool | UnsetType, Meta(description="Whether the catalogue says that it asks nobody who they are")
    ] = UNSET


class From(_Form, frozen=True, kw_only=True):
    """Which vantages: all keys that are given must match, and of a list any one."""

    kind: Annotated[
        VantageKind | Annotated[list[VantageKind], Meta(min_length=1)] | UnsetType,
        Meta(description="local, ssh, pod, node, script or nmap"),
    ] = UNSET
    zone: Annotated[
        Zone | Annotated[list[Zone], Meta(min_length=1)] | UnsetType, Meta(description="outside, admin, pod or node")
    ] = UNSET
    name: Annotated[Names | UnsetType, Meta(description="The vantage as it is written: ssh:jump, pod:shop/web-*")] = (
        UNSET
    )
    namespace: Annotated[Names | UnsetType, Meta(description="Namespace of the pod")] = UNSET
    labels: Annotated[Labels | UnsetType, Meta(description="Labels of the pod; '*' for any value")] = UNSET
    service_account: Annotated[Names | UnsetType, Meta(description="Service account of the pod")] = UNSET
    node: Annotated[Names | UnsetType, Meta(description="Node that it stands on")] = UNSET
    node_role: Annotated[Names | UnsetType, Meta(description="A role of that node: control-plane, worker, ...")] = UNSET
    cluster: Annotated[Names | UnsetType, Meta(description="Context of the cluster that it stands in")] = UNSET
    same_cluster: Annotated[bool | UnsetType, Meta(description="Whether it stands in the endpoint's cluster")] = UNSET
    same_namespace: Annotated[bool | UnsetType, Meta(description="Whether it is a pod of the endpoint's namespace")] = (
        UNSET
    )


class RuleForm(_Form, frozen=True, kw_only=True):
    """What must be so. Of the rules that match a cell the last one decides."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="Shown wherever it decides")]
    must: Annotated[Must, Meta(description="blocked, reachable, or any: nothing is demanded")]
    to: To = To()
    source: From = msgspec.field(name="from", default=From())
    severity: Annotated[
        Grade | GradeByZone | UnsetType, Meta(description="Of a finding if it is not so; high unless said otherwise")
    ] = UNSET
    because: Annotated[str, Meta(max_length=1000, description="Why; shown in the cell and its findings")] = ""


class ExceptionForm(_Form, frozen=True, kw_only=True):
    """What may be otherwise for a time. Wins over all rules until it expires."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="Shown wherever it decides")]
    owner: Annotated[str, Meta(min_length=1, max_length=200, description="Who answers for it")]
    reason: Annotated[str, Meta(min_length=1, max_length=1000, description="Why it is needed")]
    expires: Annotated[datetime.date, Meta(description="Last day on which it holds (UTC), 2026-12-31")]
    to: To = To()
    source: From = msgspec.field(name="from", default=From())
    must: Annotated[Must, Meta(description="What holds for its time; any unless said otherwise")] = Must.ANY


class ExpectForm(_Form, frozen=True, kw_only=True):
    """Expectations of one estate, laid over the built-in baseline."""

    rule: Annotated[list[RuleForm], Meta(description="In order: of those that match a cell the last decides")] = []
    exception: Annotated[list[ExceptionForm], Meta(description="In order, after all rules")] = []


def as_list(value: T | list[T] | UnsetType) -> Sequence[T]:
    """One, several or none as a list."""
    if isinstance(value, UnsetType):
        return ()
    return value if isinstance(value, list) else (value,)


def expect_schema() -> dict[str, Any]:
    """The file's JSON Schema (2020-12), for editors."""
    (reference,), definitions = msgspec.json.schema_components([ExpectForm], ref_template="#/$defs/{name}")
    top = definitions.pop(str(reference["$ref"]).rpartition("/")[2])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "kubeshield/expect/v1",
        **top,
        "$defs": definitions,
    }
