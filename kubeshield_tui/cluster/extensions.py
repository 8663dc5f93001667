"""Servers that the API server itself calls: admission webhooks and aggregated APIs. Nothing here raises."""

from __future__ import annotations

from kubeshield_tui.cluster.raw import Raw, as_dict, names, number, objects, text
from kubeshield_tui.model.cluster import AggregatedApiRecord, WebhookRecord
from kubeshield_tui.model.record import Record

URL_LIMIT = 500
HTTPS_PORT = 443


class WebhookConfiguration(Record, frozen=True):
    """One configuration object with the webhooks in it: what a list or a watch hands out at once."""

    name: str
    webhooks: tuple[WebhookRecord, ...] = ()


def validating_configuration(raw: Raw, cluster: str) -> WebhookConfiguration | None:
    """A ValidatingWebhookConfiguration, None without a name."""
    return _configuration(raw, "ValidatingWebhookConfiguration")


def mutating_configuration(raw: Raw, cluster: str) -> WebhookConfiguration | None:
    """A MutatingWebhookConfiguration, None without a name."""
    return _configuration(raw, "MutatingWebhookConfiguration")


def _configuration(raw: Raw, kind: str) -> WebhookConfiguration | None:
    _, name = names(raw)
    if not name:
        return None
    return WebhookConfiguration(
        name=name, webhooks=tuple(_webhook(item, f"{kind}/{name}") for item in objects(raw.get("webhooks")))
    )


def _webhook(item: Raw, configuration: str) -> WebhookRecord:
    client = as_dict(item.get("clientConfig"))
    service = as_dict(client.get("service"))
    return WebhookRecord(
        name=f"{configuration}/{text(item.get('name'))}",
        namespace=text(service.get("namespace")),
        service=text(service.get("name")),
        port=number(service.get("port")) or HTTPS_PORT,
        url=text(client.get("url"), URL_LIMIT),
        failure_policy=text(item.get("failurePolicy"), 32),
    )


def aggregated_record(raw: Raw, cluster: str) -> AggregatedApiRecord | None:
    """An APIService, None without a name; without a service it is one that the API server answers for itself."""
    _, name = names(raw)
    if not name:
        return None
    service = as_dict(as_dict(raw.get("spec")).get("service"))
    told = {item.get("type"): item.get("status") for item in conditions(raw)}
    return AggregatedApiRecord(
        name=name,
        namespace=text(service.get("namespace")),
        service=text(service.get("name")),
        port=number(service.get("port")) or HTTPS_PORT,
        available={"True": True, "False": False}.get(text(told.get("Available"))),
    )


def conditions(raw: Raw) -> list[Raw]:
    """Conditions of a status that have a type."""
    listed = objects(as_dict(raw.get("status")).get("conditions"))
    return [item for item in listed if isinstance(item.get("type"), str)]
