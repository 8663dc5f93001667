"""Random policies, worlds and questions for property tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kubeshield_tui.evidence.netpol.parse import parse_policy
from kubeshield_tui.evidence.netpol.party import End, EndKind, Question
from kubeshield_tui.evidence.netpol.policy import Policy
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.cluster import ContainerPort, NamespaceRecord, NodeRecord, PodRecord
from tests.unit.netpol.plain import PlainPod, Raw

SPACES = {"red": {"team": "r", "env": "x"}, "blue": {"team": "b"}, "bare": {}}
PORTS = (79, 80, 81, 443, 53)
PODS = (
    PlainPod("red", "a", {"app": "a", "tier": "front"}, "10.0.0.1", (("web", "TCP", 80), ("dns", "UDP", 53))),
    PlainPod("red", "b", {"app": "b"}, "10.0.0.6", (("web", "TCP", 81),)),
    PlainPod("blue", "a", {"app": "a"}, "10.0.0.9"),
    PlainPod("bare", "c", {}, "10.0.0.14", (("dns", "TCP", 53),)),
)
OUTSIDE = tuple(PlainPod("", text, {}, text) for text in ("10.0.0.3", "10.0.1.1", "192.0.2.1"))
LAX = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

labels = st.fixed_dictionaries({}, optional={"app": st.sampled_from("abz"), "tier": st.sampled_from(["front", "back"])})
expressions = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(["app", "tier", "team", "env"]),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["a", "b", "r", "front"]), min_size=1, max_size=2, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(["app", "tier", "team", "env"]),
        st.sampled_from(["Exists", "DoesNotExist"]),
    ),
)
selectors = st.fixed_dictionaries(
    {}, optional={"matchLabels": labels, "matchExpressions": st.lists(expressions, max_size=2)}
)
spaces = st.one_of(selectors, st.sampled_from([{"matchLabels": {"team": "r"}}, {"matchLabels": {"team": "b"}}, {}]))
BLOCKS = (
    {"cidr": "10.0.0.0/28"},
    {"cidr": "10.0.0.0/28", "except": ["10.0.0.0/30"]},
    {"cidr": "10.0.0.0/28", "except": ["10.0.0.1/32", "10.0.0.8/29"]},
    {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/24"]},
    {"cidr": "192.0.2.0/24"},
)
peers = st.one_of(
    st.builds(lambda pods: {"podSelector": pods}, selectors),
    st.builds(lambda space: {"namespaceSelector": space}, spaces),
    st.builds(lambda space, pods: {"namespaceSelector": space, "podSelector": pods}, spaces, selectors),
    st.builds(lambda block: {"ipBlock": block}, st.sampled_from(BLOCKS)),
)
ports = st.sampled_from(
    (
        {"port": 80},
        {"port": 79, "endPort": 81},
        {"port": "web"},
        {"port": "dns", "protocol": "UDP"},
        {"port": "dns"},
        {"port": 53, "protocol": "UDP"},
        {"protocol": "SCTP"},
        {},
    )
)


def rules(key: str) -> st.SearchStrategy[list[Raw]]:
    optional = {key: st.lists(peers, max_size=2), "ports": st.lists(ports, max_size=2)}
    return st.lists(st.fixed_dictionaries({}, optional=optional), max_size=2)


specs = st.fixed_dictionaries(
    {"podSelector": selectors},
    optional={
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"], []]),
        "ingress": rules("from"),
        "egress": rules("to"),
    },
)
policies = st.lists(st.tuples(st.sampled_from(sorted(SPACES)), specs), max_size=4).map(
    lambda pairs: [as_object(number, *pair) for number, pair in enumerate(pairs)]
)
pods_and_outside = st.sampled_from(PODS + OUTSIDE)
questions = st.tuples(
    pods_and_outside, pods_and_outside, st.sampled_from(["TCP", "UDP", "SCTP"]), st.sampled_from(PORTS)
)


def as_object(number: int, namespace: str, spec: Raw) -> Raw:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": f"policy-{number}"},
        "spec": spec,
    }


def record_of(pod: PlainPod) -> PodRecord:
    return PodRecord(
        cluster="c",
        namespace=pod.namespace,
        name=pod.name,
        labels=tuple(sorted(pod.labels.items())),
        addresses=(pod.address,),
        node="n1",
        phase="Running",
        ports=tuple(ContainerPort(port=number, name=name, protocol=protocol) for name, protocol, number in pod.ports),
    )


def parsed(raw: Raw) -> Policy:
    found = parse_policy(raw)
    assert isinstance(found, Policy), found
    return found


MATCHES_PODS = Profile(ipblock_matches_pods=True)


def world_of(raw: list[Raw], profile: Profile = MATCHES_PODS) -> World:
    world = World(profile)
    for name, own in SPACES.items():
        world.put(NamespaceRecord(cluster="c", name=name, labels=tuple(sorted(own.items()))))
    for pod in PODS:
        world.put(record_of(pod))
    for item in raw:
        world.put(parsed(item))
    return world


def end_of(pod: PlainPod) -> End:
    if pod.namespace:
        return End(kind=EndKind.POD, namespace=pod.namespace, name=pod.name)
    return End(kind=EndKind.ADDRESS, name=pod.address)


def asked(question: tuple[PlainPod, PlainPod, str, int]) -> Question:
    source, destination, protocol, port = question
    return Question(source=end_of(source), destination=end_of(destination), protocol=protocol, port=port)


def every_question(ports: tuple[int, ...] = PORTS) -> Iterator[tuple[PlainPod, PlainPod, str, int]]:
    for source, destination in product(PODS + OUTSIDE, PODS + OUTSIDE):
        if source.namespace or destination.namespace:
            yield from ((source, destination, protocol, port) for protocol in ("TCP", "UDP") for port in ports)


KNOBS = tuple(Profile.__struct_fields__)
GUESTS = (
    PodRecord(
        cluster="c",
        namespace="red",
        name="host",
        addresses=("10.0.1.1",),
        node="n1",
        phase="Running",
        host_network=True,
    ),
    PodRecord(cluster="c", namespace="blue", name="late", labels=(("app", "b"),), phase="Pending"),
)
ENDS = (
    *(end_of(pod) for pod in PODS + OUTSIDE),
    *(End(kind=EndKind.POD, namespace=guest.namespace, name=guest.name) for guest in GUESTS),
    End(kind=EndKind.NODE, name="n1"),
    End(kind=EndKind.NODE, name="n2"),
)


def admin(number: int, tier: str, priority: int, subject: Raw, ingress: list[Raw], egress: list[Raw]) -> Raw:
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": f"admin-{number}"},
        "spec": {"tier": tier, "priority": priority, "subject": subject, "ingress": ingress, "egress": egress},
    }


actions = st.sampled_from(["Accept", "Deny", "Pass"])
in_cluster = st.one_of(
    st.builds(lambda space: {"namespaces": space}, spaces),
    st.builds(lambda space, pods: {"pods": {"namespaceSelector": space, "podSelector": pods}}, spaces, selectors),
)
everywhere = st.one_of(in_cluster, st.sampled_from([{"networks": ["10.0.0.0/28"]}, {"nodes": {}}]))
protocols = st.sampled_from(
    (
        [{"tcp": {"destinationPort": {"number": 80}}}],
        [{"udp": {}}, {"tcp": {"destinationPort": {"range": {"start": 79, "end": 81}}}}],
        [{"destinationNamedPort": "web"}],
    )
)


def admin_rules(key: str, who: st.SearchStrategy[Raw]) -> st.SearchStrategy[list[Raw]]:
    needed = {"action": actions, key: st.lists(who, min_size=1, max_size=2)}
    return st.lists(st.fixed_dictionaries(needed, optional={"protocols": protocols}), max_size=2)


def admin_policies_of(priorities: st.SearchStrategy[int], most: int = 3) -> st.SearchStrategy[list[Raw]]:
    item = st.tuples(
        st.sampled_from(["Admin", "Baseline"]),
        priorities,
        in_cluster,
        admin_rules("from", in_cluster),
        admin_rules("to", everywhere),
    )
    return st.lists(item, max_size=most).map(lambda items: [admin(number, *it) for number, it in enumerate(items)])


admin_policies = admin_policies_of(st.integers(1, 2))
ordered_admin_policies = admin_policies_of(st.integers(0, 1000), 5).filter(
    lambda items: len({item["spec"]["priority"] for item in items}) == len(items)
)


def mixed_world(raw: list[Raw], profile: Profile) -> World:
    world = world_of(raw, profile)
    for guest in GUESTS:
        world.put(guest)
    for name, address in (("n1", "10.0.1.1"), ("n2", "10.0.1.2")):
        world.put(NodeRecord(cluster="c", name=name, addresses=(address,)))
    return world


profiles = st.builds(Profile, **{name: st.sampled_from([None, None, True, False]) for name in KNOBS})


words = st.sampled_from(
    (
        *(
            "networking.k8s.io/v1",
            "policy.networking.k8s.io/v1alpha2",
            "policy.networking.k8s.io/v1alpha1",
            "cilium.io/v2",
        ),
        *(
            "crd.projectcalico.org/v1",
            "NetworkPolicy",
            "ClusterNetworkPolicy",
            "AdminNetworkPolicy",
            "Admin",
            "Ingress",
        ),
        *("10.0.0.0/8", "::/0", "In", "TCP", "Deny", "", "a" * 300, "\x1b[31m", "all()", "app == 'a'"),
    )
)
fields = st.sampled_from(
    (
        *(
            "apiVersion",
            "kind",
            "metadata",
            "name",
            "namespace",
            "spec",
            "podSelector",
            "policyTypes",
            "ingress",
            "egress",
        ),
        *("from", "to", "ports", "ipBlock", "cidr", "except", "namespaceSelector", "matchLabels", "matchExpressions"),
        *("key", "operator", "values", "tier", "priority", "subject", "namespaces", "pods", "action", "networks"),
        *("endpointSelector", "specs", "nodeSelector", "selector", "protocols", "tcp", "port", "endPort"),
    )
)
mess = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(fields, inner, max_size=5)),
    max_leaves=20,
)
objects = st.builds(
    lambda base, kind, version, change: {**base, "kind": kind, "apiVersion": version, **change},
    st.builds(lambda names, spec: {"metadata": names, "spec": spec}, mess, mess),
    words,
    words,
    st.dictionaries(fields, mess, max_size=2),
)


relabelled = st.builds(
    lambda pod, own: record_of(pod._replace(labels=own)), st.sampled_from(PODS), labels.map(lambda found: dict(found))
)
renamed_spaces = st.builds(
    lambda name, own: NamespaceRecord(cluster="c", name=name, labels=tuple(sorted(own.items()))),
    st.sampled_from(sorted(SPACES)),
    st.fixed_dictionaries({}, optional={"team": st.sampled_from("rb"), "env": st.just("x")}),
)
changes = st.lists(
    st.one_of(policies, admin_policies, relabelled, renamed_spaces, st.just("drop")), min_size=2, max_size=6
)
