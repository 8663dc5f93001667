"""nmap's opinion of the lab's targets, read from its XML here, without the product's own reader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from xml.etree import ElementTree

from tests.lab.mixed import Target
from tests.lab.netns import Lab

Opinion = dict[tuple[str, int], tuple[str, str]]
"""State and reason by host and port; what nmap left out is not in it."""
AT_ONCE = 4
# The lab loses nothing and answers within a millisecond, dead neighbours after 0.3 s.
PATIENCE = ("--max-retries", "1", "--initial-rtt-timeout", "500ms", "--min-rtt-timeout", "500ms", "--max-rtt-timeout",
            "500ms", "--max-scan-delay", "0", "--min-parallelism", "100", "--defeat-rst-ratelimit")  # fmt: skip


async def ask_nmap(lab: Lab, targets: Iterable[Target]) -> Opinion:
    """Scan as root from the client: -sS or -sU, one run for hosts of the same ports."""
    ports: dict[tuple[str, int, str], set[int]] = {}
    for target in targets:
        ports.setdefault((target.kind.protocol, target.family, target.host), set()).add(target.port)
    runs: dict[tuple[str, int, tuple[int, ...]], list[str]] = {}
    for (protocol, family, host), wanted in ports.items():
        runs.setdefault((protocol, family, tuple(sorted(wanted))), []).append(host)
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(protocol: str, family: int, wanted: tuple[int, ...], hosts: list[str]) -> str:
        scan = ["-sS", "-p"] if protocol == "tcp" else ["-sU", "-p"]
        patience = [word for word in PATIENCE if protocol == "tcp" or word != "--defeat-rst-ratelimit"]
        command = ["nmap", *scan, ",".join(map(str, wanted)), "-Pn", "-n", "--reason", *patience, "-oX", "-"]
        command += (["-6"] if family == 6 else []) + hosts
        async with gate:
            process = await asyncio.create_subprocess_exec(
                *lab.argv("client", *command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    reports = await asyncio.gather(*(run(*key, hosts) for key, hosts in runs.items()))
    return {place: seen for report in reports for place, seen in _read(report)}


def _read(report: str) -> Iterable[tuple[tuple[str, int], tuple[str, str]]]:
    for host in ElementTree.fromstring(report).iter("host"):
        address = next(each.attrib["addr"] for each in host.iter("address") if each.attrib["addrtype"] != "mac")
        for port in host.iter("port"):
            state = port.find("state")
            assert state is not None
            yield (address, int(port.attrib["portid"])), (state.attrib["state"], state.attrib["reason"])
        for extra in host.iter("extraports"):
            for reasons in extra.iter("extrareasons"):
                for number in _numbers(reasons.attrib["ports"]):
                    yield (address, number), (extra.attrib["state"], reasons.attrib["reason"])


def _numbers(text: str) -> Iterable[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
