"""What someone should act on: a finding for every cell that is not as it must be."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import API_SERVER, METADATA, METADATA_GROUP
from kubeshield_tui.judgement.comparison import Code
from kubeshield_tui.judgement.disagreements import cause_of, commands_of, remedy_of, title_of
from kubeshield_tui.judgement.words import declared, describe
from kubeshield_tui.model.endpoint import Endpoint, Request, TlsMode
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import finding_id
from kubeshield_tui.model.observation import Observation, Posture
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.model.verdict import Judgement, Verdict

_REMEDIES = {
    "kube-apiserver": "Admit only known networks to the API: a private address or VPN, a firewall in front of it, and "
    "for pods a NetworkPolicy with egress to the API's endpoints only where it is needed.",
    "kubelet": "Admit port 10250 on the nodes' firewall only from the control plane; keep anonymous-auth=false and "
    "authorization-mode=Webhook.",
    "kubelet-read-only": "Set the kubelet's readOnlyPort to 0: this port knows no authentication.",
    "etcd": "Admit 2379 only from control-plane nodes and keep client-cert-auth=true.",
    METADATA: "Deny egress to 169.254.169.254/32 for pods (a NetworkPolicy with ipBlock and except), and "
    "require session tokens with a hop limit of 1 on the instances.",
}


_REMEDY = "Close this path: a NetworkPolicy or a firewall rule that admits known sources only."
_WALLS = {API_SERVER: "api", METADATA: "metadata"}
"""What `kubeshield remedy` writes a policy for."""


def findings_of(
    endpoint: Endpoint,
    vantage: Vantage,
    observation: Observation,
    judgement: Judgement,
    ambiguous: bool,
    disagreement: Severity | None = None,
) -> Iterator[Finding]:
    """Findings of one cell. `disagreement`: how severe it is that rules and reality differ, None where they don't."""
    if disagreement is not None:
        code = Code(judgement.comparison.code)
        found = _of_cell(
            str(code),
            disagreement,
            title_of(code, judgement),
            (judgement.comparison.sentence, *_because(judgement, observation)),
            remedy_of(code, observation),
            endpoint,
            vantage,
        )
        cause = cause_of(code, judgement, observation)
        yield replace(found, verify=(*found.verify, *commands_of(judgement)), cause=cause)
    if judgement.verdict is Verdict.EXPOSED:
        yield _of_cell(
            "exposed",
            _severity(judgement, observation),
            f"is reachable from {vantage.id}",
            _because(judgement, observation),
            _remedy(endpoint, vantage, observation),
            endpoint,
            vantage,
        )
    if judgement.verdict is Verdict.BROKEN:
        yield _of_cell(
            "broken",
            judgement.expectation.severity,
            f"must be reachable from {vantage.id} and is not",
            _because(judgement, observation),
            "Check that the service runs and listens, then the rules on the way: egress policy, firewalls, "
            "ingress policy.",
            endpoint,
            vantage,
        )
    if ambiguous:
        certificate = observation.tls.certificate if observation.tls else None
        seen = f"certificate {certificate.sha256[:16]}…" if certificate else "no certificate"
        yield _of_cell(
            "different-target",
            Severity.LOW,
            "is not the same server from everywhere",
            ("two server certificates were seen at this private address", f"{seen} seen from here"),
            "Check whether two networks use this address, or name the servers apart in a targets file.",
            endpoint,
            vantage,
        )


def _remedy(endpoint: Endpoint, vantage: Vantage, observation: Observation) -> str:
    """How to close it, and what writes the policy where one can."""
    component = METADATA if endpoint.group == METADATA_GROUP else endpoint.component
    text = _REMEDIES.get(component, _REMEDY)
    if component not in _WALLS or vantage.spec.kind is not VantageKind.POD or observation.simulated:
        return text
    context = f" --context {quote(vantage.cluster)}" if vantage.cluster else ""
    command = f"kubeshield remedy {_WALLS[component]} -n {quote(vantage.spec.namespace)}{context}"
    return f"{text} `{command}` writes the policy and tells what it would cut."


def _of_cell(
    code: str,
    severity: Severity,
    what: str,
    because: tuple[str, ...],
    remedy: str,
    endpoint: Endpoint,
    vantage: Vantage,
) -> Finding:
    return Finding(
        id=finding_id(code, endpoint.id, vantage.id),
        code=code,
        severity=severity,
        title=f"{endpoint.name} {endpoint.host}:{endpoint.port} {what}",
        because=because,
        verify=verify_commands(endpoint, vantage),
        remedy=remedy,
        endpoint=endpoint.id,
        vantage=vantage.id,
        cluster=endpoint.cluster,
        namespace=endpoint.namespace,
        object=endpoint.object,
        component=endpoint.component,
    )


def _severity(judgement: Judgement, observation: Observation) -> Severity:
    expectation = judgement.expectation
    return expectation.severity_anonymous if observation.posture is Posture.ANONYMOUS else expectation.severity


def _because(judgement: Judgement, observation: Observation) -> tuple[str, ...]:
    facts = [f"{label} {text}" for label, text in declared(judgement.expectation)]
    facts.append(f"rules say {judgement.prediction.verdict}: {judgement.prediction.because}")
    facts.append(f"observed {describe(observation)}")
    facts.extend(f"{layer.layer}: {layer.verdict} ({layer.decider})" for layer in judgement.layers)
    if observation.simulated:
        facts.append("simulated by the training range")
    return tuple(facts)


def _options(request: Request) -> str:
    """Options of curl that ask as we did; what must not be told is not printed."""
    method = {"HEAD": "-I ", "PUT": "-X PUT "}.get(request.method, "")
    headers = "".join(f'-H "{name}: {value}" ' for name, value in request.headers)
    return method + headers + ("" if request.keep_body else '-o /dev/null -w "%{http_code}" ')


def verify_commands(endpoint: Endpoint, vantage: Vantage) -> tuple[str, ...]:
    """Commands that show the same without this program, run at the vantage."""
    plain = quote(endpoint.host)  # from the API, perhaps: one word, whatever it is
    host = f"[{plain}]" if ":" in plain else plain
    scheme = "http" if endpoint.conversation.tls is TlsMode.OFF else "https"
    requests = endpoint.conversation.requests
    ask = f"nc -vz -w 3 {plain} {endpoint.port}"
    if requests:
        ask = f"curl -sk -m 5 {_options(requests[-1])}{scheme}://{host}:{endpoint.port}{requests[-1].path}"
    spec = vantage.spec
    context = f" --context {quote(vantage.cluster)}" if vantage.cluster else ""
    match spec.kind:
        case VantageKind.SSH | VantageKind.NODE if spec.host:
            target = f"{spec.user}@{spec.host}" if spec.user else spec.host
            port = f"-p {spec.port} " if spec.port else ""
            return (f"ssh {port}{target} {quote(ask)}",)
        case VantageKind.NODE:  # a debugging pod stands in the node's own network, as ours did
            return (f"kubectl{context} debug node/{spec.node} -it --image AN-IMAGE -- {ask}",)
        case VantageKind.POD:
            pod = spec.pod or "A-POD"
            return (f"kubectl{context} -n {spec.namespace} exec {pod} -- {ask}",)
        case _:
            return (ask, f"nmap -Pn -sT --reason -p {endpoint.port} {plain}")
