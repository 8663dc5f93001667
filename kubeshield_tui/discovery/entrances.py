"""Ways in that other objects name: Ingresses, and admission webhooks and aggregated APIs outside of any Service."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from kubeshield_tui.discovery import catalogue
from kubeshield_tui.discovery.ground import Ground
from kubeshield_tui.discovery.hosts import host_of, reach_of, unaskable
from kubeshield_tui.discovery.workloads import ADMISSION, HANDSHAKE, Called
from kubeshield_tui.model.cluster import IngressRecord, WebhookRecord
from kubeshield_tui.model.endpoint import Conversation, Endpoint, TlsMode
from kubeshield_tui.model.ids import endpoint_id

INGRESS = "ingress"
WEBHOOKS_GROUP = "admission webhooks"
HOSTS_ASKED = 5
"""Names asked of an Ingress that has no address of its own."""


def ingresses(ground: Ground) -> Iterator[Endpoint]:
    """Addresses of Ingresses, which answer for all their names; the names where no address is told."""
    for ingress in sorted(ground.inventory.ingresses, key=lambda each: (each.namespace, each.name)):
        shown = f"Ingress {ingress.namespace}/{ingress.name}"
        names = [host for each in ingress.hosts if (host := host_of(each))]
        asked = []
        for address in ingress.addresses:
            if why := unaskable(address):
                ground.skip(f"{shown} at {address}", why)
            else:
                asked.append(host_of(address))
        if not asked:
            asked = names[:HOSTS_ASKED]
            if len(names) > HOSTS_ASKED:
                ground.skip(shown, f"{HOSTS_ASKED} of its {len(names)} names are asked")
            elif not names:
                ground.skip(shown, "it has neither an address nor a whole name yet")
        for host in asked:
            yield _ingress(ground, ingress, host, 80, Conversation(requests=catalogue.HTTP.requests))
            if ingress.tls_hosts:
                yield _ingress(ground, ingress, host, 443, _over_tls(ingress, host))


def _over_tls(ingress: IngressRecord, host: str) -> Conversation:
    """Its first whole name tells the controller which certificate to show."""
    names = [name for each in ingress.tls_hosts if (name := host_of(each))]
    name = host if host in names else next(iter(names), "")
    return Conversation(tls=TlsMode.ON, server_name=name, requests=catalogue.HTTPS.requests)


def _ingress(ground: Ground, ingress: IngressRecord, host: str, port: int, conversation: Conversation) -> Endpoint:
    object_ = f"Ingress/{ingress.name}"
    return Endpoint(
        id=endpoint_id(ground.cluster, ingress.namespace, object_, port, "tcp", host),
        component=INGRESS,
        name=ingress.name,
        host=host,
        port=port,
        cluster=ground.cluster,
        namespace=ingress.namespace,
        object=object_,
        group=ingress.namespace,
        scope=reach_of(host),
        conversation=conversation,
        node=ground.node_of.get(host, ""),
        source=f"Ingress {ingress.namespace}/{ingress.name}",
    )


def webhooks(ground: Ground) -> Iterator[Endpoint]:
    """Webhooks that are called by URL. Those behind Services are the Services' rows; what has none is said."""
    served = {
        Called(service.namespace, service.name, port.port)
        for service in ground.inventory.services
        for port in service.ports
    }
    for webhook in sorted(ground.inventory.webhooks, key=lambda each: each.name):
        if webhook.url:
            yield from _by_url(ground, webhook)
        elif Called(webhook.namespace, webhook.service, webhook.port) not in served:
            why = f"no Service {webhook.namespace}/{webhook.service} with port {webhook.port}"
            ground.skip(webhook.name, why)
    for each in ground.inventory.aggregated:
        if Called(each.namespace, each.service, each.port) not in served:
            ground.skip(f"APIService {each.name}", f"no Service {each.namespace}/{each.service} with port {each.port}")


def _by_url(ground: Ground, webhook: WebhookRecord) -> Iterator[Endpoint]:
    try:
        parts = urlsplit(webhook.url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        host, port = "", 0
    if why := unaskable(host):
        ground.skip(webhook.name, f"{webhook.url}: {why}")
        return
    host = host_of(host)
    yield Endpoint(
        id=endpoint_id(ground.cluster, "", webhook.name, port, "tcp"),
        component=ADMISSION,
        name=webhook.name.rpartition("/")[2],
        host=host,
        port=port,
        cluster=ground.cluster,
        object=webhook.name.rpartition("/")[0],
        group=WEBHOOKS_GROUP,
        scope=reach_of(host),
        conversation=HANDSHAKE,
        node=ground.node_of.get(host, ""),
        source=webhook.name,
    )
