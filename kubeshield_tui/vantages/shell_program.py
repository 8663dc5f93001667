"""What the shell of a rung below the agent is told to run. POSIX sh: dash, ash of busybox, bash.

Invariants: nothing that came from a target is evaluated; what enters a job line went through `checked_host`.
"""

from __future__ import annotations

import contextlib
import re
from ipaddress import ip_address

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.text import printable

BOOTSTRAP = ("sh", "-c", 'IFS= read -r k;eval "$k"')
"""Reads one line and executes it; POSIX shells read lines from pipes byte by byte, so nothing after it is swallowed."""
_LABEL = r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(\.{_LABEL})*\.?")
_SCOPED = re.compile(r"[0-9A-Fa-f:.]+%[A-Za-z0-9._-]{1,15}")

# Jobs are children of the shell and not of init: a container's process 1 may reap nobody. A foreground subshell makes
# dash and ash collect what ended before it; `wait`, sent when nothing is under way, frees their job tables.
JOBS = r"""
LC_ALL=C;export LC_ALL;set -f
a() { i=$1;r=$2;shift 2;printf 'ks r %s %s %.300s\n' "$i" "$r" "$*"; }
x() { while IFS= read -r l;do printf 'ks x %s %s\n' "$1" "$l";done; }
c() { @connect@; }
j() { t=$(c "$2" "$3" "$4" 2>&1 >/dev/null </dev/null);a "$1" $? $t; }
g() { { e=$( { getent ahosts "$2" </dev/null|x "$1" >&3; } 2>&1 ); } 3>&1;a "$1" 0 $e; }
y() { while IFS= read -r l;do printf 'ks e %s %.500s\n' "$1" "$l";done; }
n() { i=$1;shift;{ { nmap "$@" </dev/null|x "$i" >&3; } 2>&1|y "$i" >&3; } 3>&1;a "$i" 0; }
t() { for f in /proc/net/route /proc/net/ipv6_route;do x "$1" <"$f";done 2>/dev/null;a "$1" 0; }
@once@
printf 'ks ready\n'
m=0
while read -r o z;do case $o in
p) printf 'ks p %s\n' "$z";;
j|g|n|t) $o $z & m=$((m+1));[ $((m%16)) = 0 ]&&(:);;
w) wait;;
q) break;;
esac;done
printf 'ks q\n'
"""
SURVEY = r"""
LC_ALL=C;export LC_ALL;set -f
have() { command -v "$1" >/dev/null 2>&1; }
s() { n=$1;shift;set -- $("$@" 2>&1 </dev/null);printf 'ks %s %.400s\n' "$n" "$*"; }
for k in python3 nmap bash nc ncat busybox getent;do have $k&&printf 'ks have %s\n' $k;done
have nc&&s nc nc -h
have busybox&&s busybox busybox nc -h
have nmap&&s nmap nmap -V
have bash&&s bash bash -c 'echo "$BASH_VERSION";exec 3<>/dev/tcp/127.0.0.1/0'
s uid id -u;s user id -un;s host uname -n
while read -r b d e;do case $b in '|--') h=$d;; esac;case "$b $d $e" in '/32 host LOCAL'*) printf 'ks address %s\n' "$h";; esac;done 2>/dev/null </proc/net/fib_trie
while read -r b d;do printf 'ks address6 %s\n' "$b";done 2>/dev/null </proc/net/if_inet6
printf 'ks done\n'
IFS= read -r k;eval "$k"
"""  # noqa: E501 - a line of shell


def one_line(program: str) -> bytes:
    """Put a program of whole lines on one line."""
    lines = [line for line in program.strip().splitlines() if line]
    joined = "".join(line + (" " if re.search(r"(\bin|;;|&|;)$", line) else ";") for line in lines)
    return joined.encode("ascii") + b"\n"


def job_program(connect: str, once: str = "") -> bytes:
    """The program that does jobs: `connect` is the body that connects to $1 port $2 for $3 seconds."""
    return one_line(JOBS.replace("@connect@", connect).replace("@once@", once))


def checked_host(host: str) -> str:
    """Return `host` if it is an IP literal or a name that no shell and no tool can read as something else.

    Raises ProbeError.
    """
    with contextlib.suppress(ValueError):
        ip_address(host)
        if "%" not in host or _SCOPED.fullmatch(host):
            return host
    if _NAME.fullmatch(host):
        return host
    raise ProbeError(f"{printable(host, 80)!r} is neither an IP address nor a host name", "Nothing was asked")
