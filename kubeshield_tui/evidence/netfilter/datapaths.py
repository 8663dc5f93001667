"""Programs that decide on packets before netfilter does: XDP, tc and what CNIs put there. Pure.

Nobody can read what an eBPF program does, so where one sits on a packet's way the rules alone decide nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

_OWN_DEVICES = (
    (re.compile(r"cilium_(host|net|vxlan|geneve|wg\d+)|lxc[0-9a-f]{6,}|lxc_health"), "Cilium"),
    (re.compile(r"bpf(in|out)\.cali"), "Calico in eBPF mode"),
)
"""Devices that only one CNI's eBPF datapath makes: it sends packets past netfilter, whatever device they came by."""
_PROGRAMS = (
    (re.compile(r"cil_|bpf_(host|lxc|overlay|netdev)"), "Cilium"),
    (re.compile(r"cali_|calico_"), "Calico in eBPF mode"),
    (re.compile(r"handle_(in|e)gress"), "the AWS network policy agent"),
    (re.compile(r"antrea_|kuberouter_"), "its CNI"),
)
_QDISC = re.compile(r"^qdisc (clsact|ingress) \S+ dev (\S+)", re.MULTILINE)
SHOWN = 60


class Datapath(Record, frozen=True):
    """Something in front. `device` is empty where it takes packets of every device."""

    device: str
    what: str
    """In words: `XDP program on eth0`, `Cilium (cilium_host)`."""


def datapaths(links: str, qdiscs: str, bpf: str) -> tuple[Datapath, ...]:
    """Recognise them in what `ip -j -d link`, `tc qdisc` and `bpftool -j net` print; empty text for what was not read.

    Never raises.
    """
    found: dict[tuple[str, str], Datapath] = {}
    for each in (*_in_links(_list(links)), *_in_programs(_list(bpf)), *_in_qdiscs(qdiscs)):
        found.setdefault((each.device, each.what), each)
    return tuple(found.values())


def on_way(found: Sequence[Datapath], devices: Sequence[str]) -> tuple[Datapath, ...]:
    """Those that a packet meets that passes these devices; an empty name stands for one that is not known."""
    return tuple(each for each in found if not each.device or "" in devices or each.device in devices)


def _list(text: str) -> list[Mapping[str, object]]:
    try:
        told = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError):
        return []
    return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []


def _in_links(links: Sequence[Mapping[str, object]]) -> Iterator[Datapath]:
    for link in links:
        name = printable(link.get("ifname", ""), SHOWN)
        if link.get("xdp"):
            yield Datapath(device=name, what=f"an XDP program on {name}")
        for pattern, owner in _OWN_DEVICES:
            if pattern.match(name):
                yield Datapath(device="", what=owner)


def _in_programs(parts: Sequence[Mapping[str, object]]) -> Iterator[Datapath]:
    for part in parts:
        for kind in ("xdp", "tc"):
            programs = part.get(kind)
            for program in programs if isinstance(programs, list) else ():
                if not isinstance(program, dict):
                    continue
                device = printable(program.get("devname", ""), SHOWN)
                if kind == "xdp":
                    yield Datapath(device=device, what=f"an XDP program on {device}")
                    continue
                name = printable(program.get("name", ""), SHOWN)
                owner = next((owner for pattern, owner in _PROGRAMS if pattern.match(name)), "")
                by = f" of {owner}" if owner else ""
                yield Datapath(device=device, what=f"the tc program {name or '?'}{by} on {device}")


def _in_qdiscs(text: str) -> Iterator[Datapath]:
    for found in _QDISC.finditer(text):
        device = printable(found[2], SHOWN)
        yield Datapath(device=device, what=f"a tc {found[1]} hook on {device}")
