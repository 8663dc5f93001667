"""The commands that a finding gives: they show the same without this program, from where it was seen."""

from __future__ import annotations

import shlex

from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import conversation_of
from kubeshield_tui.judgement.findings import verify_commands
from tests.unit.estate import endpoint, vantage


def test_what_a_node_saw_is_verified_on_that_node() -> None:
    kubelet = endpoint("kubelet", host="10.0.0.11", port=10255)
    by_pod = vantage("node:n1", cluster="prod")
    (command,) = verify_commands(kubelet, by_pod)
    assert command.startswith("kubectl --context prod debug node/n1 ")
    assert command.endswith(" -- nc -vz -w 3 10.0.0.11 10255")
    over_ssh = replace(by_pod, spec=replace(by_pod.spec, host="n1"))
    assert verify_commands(kubelet, over_ssh) == ("ssh n1 'nc -vz -w 3 10.0.0.11 10255'",)


def test_a_request_is_verified_as_it_was_asked() -> None:
    def asked(component: str) -> str:
        target = replace(endpoint("m", host="10.0.0.1", port=80), conversation=conversation_of(component, 80))
        return verify_commands(target, vantage("local"))[0]

    assert asked("kubelet") == "curl -sk -m 5 -I https://10.0.0.1:80/pods"
    assert asked("azure-imds") == 'curl -sk -m 5 -H "Metadata: true" http://10.0.0.1:80/metadata/versions'
    assert asked("etcd") == "curl -sk -m 5 https://10.0.0.1:80/version"
    # A session token is asked for, and not printed.
    assert asked("aws-imds-token") == (
        'curl -sk -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 1" -o /dev/null -w "%{http_code}" '
        "http://10.0.0.1:80/latest/api/token"
    )


def test_what_an_api_calls_a_host_stays_one_word() -> None:
    hostile = endpoint("lb", host="a; touch x", port=80)
    assert verify_commands(hostile, vantage("local"))[0] == "nc -vz -w 3 'a; touch x' 80"
    (over_ssh,) = verify_commands(hostile, vantage("ssh:jump"))
    assert shlex.split(shlex.split(over_ssh)[2]) == ["nc", "-vz", "-w", "3", "a; touch x", "80"]
    (in_pod,) = verify_commands(hostile, vantage("pod:shop", cluster="prod & more"))
    assert shlex.split(in_pod)[:3] == ["kubectl", "--context", "prod & more"]
    assert shlex.split(in_pod)[-2:] == ["a; touch x", "80"]
