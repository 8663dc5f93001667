"""One shell script that reads all that decides on packets at a host, and the taking apart of what it prints.

POSIX sh, read-only, one exec a host. Each item is framed by marker lines on both streams, so that what a tool complains
of is known for each; an item that fails for an ordinary user is tried once more with `sudo -n`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

MARK = "=kubeshield="
"""Begins every line of the script's own; a dump's line that began so could only make its own item an error."""

_FRAME = """\
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin; export PATH LC_ALL=C; U=$(id -u 2>/dev/null)
say() { printf '\\n%s %s\\n' '=kubeshield=' "$*"; printf '\\n%s %s\\n' '=kubeshield=' "$*" >&2; }
first() { command -v "$1" >/dev/null 2>&1 && echo "$1" || echo "$2"; }
read_() { n=$1; shift; say begin "$n"
if command -v "$1" >/dev/null 2>&1; then "$@" </dev/null; r=$?
if [ $r -ne 0 ] && [ "$U" != 0 ] && command -v sudo >/dev/null 2>&1
then say again "$n"; sudo -n "$@" </dev/null; r=$?; fi
else r=127; echo "$1: not found" >&2; fi; say end "$n" $r; }
"""

COMMANDS: dict[str, str] = {
    "nft": "nft -j list ruleset",
    "iptables": "$(first iptables-save iptables-nft-save) -c",
    "ip6tables": "$(first ip6tables-save ip6tables-nft-save) -c",
    "iptables-legacy": "iptables-legacy-save -c",
    "ip6tables-legacy": "ip6tables-legacy-save -c",
    "ipset": "ipset save",
    "addresses": "ip -j addr show",
    "rules": "ip -j rule show",
    "rules6": "ip -j -6 rule show",
    "routes": "ip -j route show table all",
    "routes6": "ip -j -6 route show table all",
    "sysctls": "sh -c 'cd /proc/sys/net && grep -H . ipv4/ip_forward ipv4/conf/*/forwarding ipv6/conf/*/forwarding "
    "ipv4/conf/*/rp_filter ipv4/conf/*/accept_local ipv4/conf/*/route_localnet ipv4/icmp_ratelimit ipv4/icmp_ratemask "
    "ipv4/icmp_msgs_per_sec ipv4/icmp_msgs_burst ipv4/tcp_syn_retries bridge/bridge-nf-call-* "
    "netfilter/nf_conntrack_max netfilter/nf_conntrack_count 2>/dev/null; grep -H . ipv4/ip_forward'",
    "listeners": "ss -Hlntup",
    "links": "ip -j -d link show",
    "qdiscs": "tc qdisc show",
    "bpf": "bpftool -j net show",
    "backends": "sh -c 'cd /proc/net && for f in ip_tables_names ip6_tables_names; do if [ -e $f ]; "
    "then t=$(cat $f) || exit 1; echo $f: $t; else echo $f: absent; fi; done; "
    'command -v nft >/dev/null || grep -owE "ip_rcv|nf_tables_newtable" /proc/kallsyms | sort -u\'',
}
"""What is read, by name: the commands as they run. None of them changes anything."""
COUNTING = {item: COMMANDS[item] for item in ("nft", "iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy")}
"""What counts packets as they pass."""
_CHOICE = re.compile(r"\$\(first (\S+) \S+\)")


def shown(command: str) -> str:
    """A command as people read it: of two names of one tool the usual one."""
    return _CHOICE.sub(r"\1", command)


class Piece(NamedTuple):
    """What one item printed."""

    exit_status: int | None
    """None where the output was cut before the item ended."""
    text: str
    complaint: str
    with_sudo: bool


def connections(family: str, protocol: str, target: str, port: int) -> str:
    """The command that shows what the kernel keeps of connections to one address and port, and of no others.

    `family` is ip or ip6, `target` an address; neither may be foreign text.
    """
    version = "ipv6" if family == "ip6" else "ipv4"
    wanted = f'"^{version} .* {protocol} .*dst={target} sport=[0-9]+ dport={port} "'
    return (
        f"sh -c 'if command -v conntrack >/dev/null; then conntrack -L -f {version} -p {protocol} --orig-dst {target} "
        f'--dport {port}; else t=$(cat /proc/net/nf_conntrack) || exit 1; echo "$t" | grep -E {wanted} || :; fi\''
    )


def script(commands: Mapping[str, str] = COMMANDS) -> str:
    """The whole script, as an argument of `sh -c`."""
    return _FRAME + "".join(f"read_ {name} {command}\n" for name, command in commands.items())


def take_apart(stdout: str, stderr: str) -> dict[str, Piece]:
    """Split the two streams into items. What was cut off has no exit status; what was never begun is left out."""
    told, complaints = _pieces(stdout), _pieces(stderr)
    return {
        name: Piece(status, text, complaints.get(name, (None, "", False))[1], again)
        for name, (status, text, again) in told.items()
    }


def _pieces(stream: str) -> dict[str, tuple[int | None, str, bool]]:
    found: dict[str, tuple[int | None, str, bool]] = {}
    name, lines, again = "", [], False
    for line in stream.split("\n"):
        if not line.startswith(MARK):
            lines.append(line)
            continue
        words = line.split()
        match words[1:]:
            case ["begin", started]:
                name, lines, again = started, [], False
            case ["again", _]:
                lines, again = [], True
            case ["end", ended, status] if ended == name and status.isdigit():
                found[name] = (int(status), "\n".join(lines).strip("\n"), again)
                name, lines = "", []
            case _:
                lines.append(line)
    if name:
        found[name] = (None, "\n".join(lines).strip("\n"), again)
    return found
