"""Random iptables rulesets with ipsets, for both families, in the form that iptables-restore reads."""

from __future__ import annotations

from random import Random

from tests.lab.netfilter.rulesets import RANDOM_SHARE
from tests.lab.netfilter.world import CLIENTS, PORTS, ROUTERS, SERVERS, VIRTUAL

SETS = """create hosts{n} hash:ip family {family} -exist
create nets{n} hash:net family {family} -exist
create pairs{n} hash:ip,port family {family} -exist
create ports{n} bitmap:port range 0-65535 -exist
flush hosts{n}
flush nets{n}
flush pairs{n}
flush ports{n}
"""
CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
REJECTS = {
    "ip": ("icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
           "icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited"),
    "ip6": ("icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable",
            "icmp6-policy-fail", "icmp6-reject-route"),
}  # fmt: skip
NETS = {
    "ip": ("192.0.2.0/24", "198.51.100.0/24", "198.51.100.0/30", "203.0.113.0/24", "192.0.0.0/8", "0.0.0.0/1"),
    "ip6": ("2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:2::/126", "2001:db8::/32", "fd00::/8"),
}
DRAWN = ("-m limit --limit 1000/s ", "-m statistic --mode random --probability 0.5 ")
FLAGS = ("--syn", "--tcp-flags FIN,SYN,RST,ACK ACK", "--tcp-flags ALL SYN,ACK", "--tcp-flags ACK NONE")
MARKINGS = ("--set-xmark 0x4000/0x4000", "--set-mark 0x1", "--or-mark 0x2", "--xor-mark 0x1", "--and-mark 0x1")
STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "SNAT", "DNAT")


class IptablesWriter:
    """Writes the rules of one family and the sets that they use."""

    def __init__(self, random: Random, family: str, to_client: str, to_server: str) -> None:
        self.random = random
        self.family = family
        self.number = "6" if family == "ip6" else "4"
        self.devices = (to_client, to_server, "lo", to_client[:-2] + "+", "nosuch0")

    def sets(self) -> str:
        """Text for `ipset restore`."""
        random, n = self.random, self.number
        lines = [SETS.format(n=n, family="inet6" if self.family == "ip6" else "inet")]
        lines += [f"add hosts{n} {self._address()} -exist" for _ in range(random.randint(0, 4))]
        for net in random.sample(NETS[self.family], random.randint(0, 4)):
            nomatch = " nomatch" if random.random() < 0.3 else ""
            lines.append(f"add nets{n} {net.replace('0.0.0.0/1', '128.0.0.0/1')}{nomatch} -exist")
        for _ in range(random.randint(0, 5)):
            protocol = random.choice(("tcp", "udp"))
            lines.append(f"add pairs{n} {self._address()},{protocol}:{random.choice(PORTS)} -exist")
        lines += [f"add ports{n} {random.choice(PORTS)} -exist" for _ in range(random.randint(0, 3))]
        return "\n".join([*lines, ""])

    def rules(self) -> str:
        """Text for iptables-restore or ip6tables-restore."""
        chosen = [table for table in CHAINS if self.random.random() < (0.9 if table == "filter" else 0.45)]
        return "".join(self._table(table) for table in chosen)

    def _table(self, table: str) -> str:
        random = self.random
        inner = [f"U{number}" for number in range(random.choice((0, 1, 2, 3)))]
        lines = [f"*{table}"]
        for chain in CHAINS[table]:
            policy = "DROP" if table in {"filter", "mangle"} and random.random() < 0.12 else "ACCEPT"
            lines.append(f":{chain} {policy} [0:0]")
        lines += [f":{chain} - [0:0]" for chain in inner]
        for number, chain in enumerate(inner):
            lines += self._rules(table, chain, inner[number + 1 :], random.randint(0, 4))
        for chain in CHAINS[table]:
            lines += self._rules(table, chain, inner, random.choice((0, 0, 1, 2, 3, 6)))
        return "\n".join([*lines, "COMMIT", ""])

    def _rules(self, table: str, chain: str, inner: list[str], count: int) -> list[str]:
        return [self._rule(table, chain, inner) for _ in range(count)]

    def _rule(self, table: str, chain: str, inner: list[str]) -> str:
        matches, target = self._matches(chain), self._target(table, chain, inner)
        # What is drawn or limited and then does nothing is met or not: no evaluation tells the two apart.
        drawn = self.random.random() < RANDOM_SHARE and target and "LOG" not in target and "MARK" not in target
        return f"-A {chain} {matches}{self.random.choice(DRAWN) if drawn else ''}{target}"

    # --- matches

    def _matches(self, chain: str) -> str:
        random = self.random
        self.protocol = random.choice(("", "", "tcp", "tcp", "udp"))
        parts = [f"-p {self.protocol}"] if self.protocol else []
        for make, share in (
            (self._end, 0.35), (self._device, 0.2), (self._port, 0.4), (self._state, 0.3), (self._mark, 0.12),
            (self._set, 0.15), (self._other, 0.2),
        ):  # fmt: skip
            if random.random() < share:
                parts.append(make(chain))
        if random.random() < 0.2:
            parts.append('-m comment --comment "a \\"quoted\\" -j word"')
        return "".join(f"{part} " for part in parts if part)

    def _not(self) -> str:
        return "! " if self.random.random() < 0.3 else ""

    def _address(self) -> str:
        family = self.family
        return self.random.choice(CLIENTS[family] * 2 + SERVERS[family] * 2 + ROUTERS[family] + VIRTUAL[family])

    def _end(self, chain: str) -> str:
        random = self.random
        value = random.choice((self._address(), random.choice(NETS[self.family])))
        if random.random() < 0.15:
            pair = sorted(random.sample(range(1, 5), 2))
            base = random.choice(
                ("192.0.2.", "198.51.100.") if self.family == "ip" else ("2001:db8:1::", "2001:db8:2::")
            )
            return f"-m iprange {self._not()}--{random.choice(('src', 'dst'))}-range {base}{pair[0]}-{base}{pair[1]}"
        return f"{self._not()}{random.choice(('-s', '-d'))} {value}"

    def _device(self, chain: str) -> str:
        ways = {"PREROUTING": "i", "INPUT": "i", "OUTPUT": "o", "POSTROUTING": "o"}.get(chain)
        if chain.startswith("U"):
            return ""  # a chain of the user's may be called from where a packet has no such device
        return f"{self._not()}-{ways or self.random.choice('io')} {self.random.choice(self.devices)}"

    def _port(self, chain: str) -> str:
        random = self.random
        if not self.protocol:
            return ""
        if random.random() < 0.3:
            some = ",".join(map(str, random.sample(PORTS, random.randint(1, 3))))
            kind = random.choice(("dports", "dports", "sports", "ports"))
            return f"-m multiport {self._not()}--{kind} {some},9000:9100"
        if self.protocol == "tcp" and random.random() < 0.3:
            flags = random.choice(
                ("--syn", "--tcp-flags FIN,SYN,RST,ACK ACK", "--tcp-flags ALL SYN,ACK", "--tcp-flags ACK NONE")
            )
            return f"-m tcp {self._not()}{flags}"
        ports = random.choice((str(random.choice(PORTS)), "0:1023", "1024:", "53:443"))
        return f"-m {self.protocol} {self._not()}--{random.choice(('dport', 'dport', 'sport'))} {ports}"

    def _state(self, chain: str) -> str:
        random = self.random
        kind = random.random()
        if kind < 0.7:
            states = ",".join(random.sample(STATES, random.randint(1, 3)))
            return f"-m conntrack {self._not()}--ctstate {states}"
        if kind < 0.8:
            return f"-m conntrack --ctdir {random.choice(('ORIGINAL', 'REPLY'))}"
        if kind < 0.9:
            return f"-m conntrack {self._not()}--ctorigdst {self._address()}"
        return f"-m conntrack {self._not()}--ctstatus {random.choice(('SEEN_REPLY', 'CONFIRMED', 'ASSURED', 'NONE'))}"

    def _mark(self, chain: str) -> str:
        kind = self.random.choice(("mark", "mark", "connmark"))
        return f"-m {kind} {self._not()}--mark {self.random.choice(('0x1', '0x4000/0x4000', '0x1/0x3', '0x0'))}"

    def _set(self, chain: str) -> str:
        random, n = self.random, self.number
        end = random.choice(("src", "dst"))
        name, ends = random.choice(
            ((f"hosts{n}", end), (f"nets{n}", end), (f"pairs{n}", f"{end},dst"), (f"ports{n}", "dst"))
        )
        return f"-m set {self._not()}--match-set {name} {ends}"

    def _other(self, chain: str) -> str:
        kind = self.random.choice(("LOCAL", "UNICAST", "LOCAL,BROADCAST"))
        if self.family == "ip6":
            kind = self.random.choice(("LOCAL", "UNICAST"))
        if chain.startswith("U"):
            return ""
        return f"-m addrtype {self._not()}--{self.random.choice(('src', 'dst'))}-type {kind}"

    # --- targets

    def _target(self, table: str, chain: str, inner: list[str]) -> str:
        random = self.random
        if inner and random.random() < 0.3:
            return f"{random.choice(('-j', '-j', '-g'))} {random.choice(inner)}"
        if table == "nat":
            return self._nat(chain)
        choices = ["-j ACCEPT", "-j ACCEPT", "-j RETURN", "", '-j LOG --log-prefix "x "', "-j DROP"]
        if table == "raw":
            choices += ["-j CT --notrack"]
        if table == "mangle":
            choices += [
                f"-j MARK {each}"
                for each in (
                    "--set-xmark 0x4000/0x4000",
                    "--set-mark 0x1",
                    "--or-mark 0x2",
                    "--xor-mark 0x1",
                    "--and-mark 0x1",
                )
            ]
            choices += ["-j CONNMARK --save-mark", "-j CONNMARK --restore-mark --nfmask 0x3 --ctmask 0x3"]
        if table == "filter":
            reject = f"-j REJECT --reject-with {random.choice(REJECTS[self.family])}"
            choices += [reject, "-j REJECT", "-j DROP"]
            if self.protocol == "tcp":
                choices.append("-j REJECT --reject-with tcp-reset")
        return random.choice(choices)

    def _nat(self, chain: str) -> str:
        random = self.random
        if chain.startswith("U"):
            return random.choice(("-j ACCEPT", "-j RETURN", ""))
        port = f":{random.choice(PORTS)}" if self.protocol and random.random() < 0.6 else ""
        address = random.choice(SERVERS[self.family] + SERVERS[self.family] + ROUTERS[self.family])
        if port and self.family == "ip6":
            address = f"[{address}]"
        if chain in {"PREROUTING", "OUTPUT"}:
            choices = [f"-j DNAT --to-destination {address}{port}"] * 3 + ["-j ACCEPT", ""]
            if self.protocol:
                choices.append(f"-j REDIRECT --to-ports {random.choice(PORTS)}")
            return random.choice(choices)
        if chain == "INPUT":
            return random.choice(("-j ACCEPT", "", "-j RETURN"))
        return random.choice(("-j MASQUERADE", f"-j SNAT --to-source {ROUTERS[self.family][1]}", "-j ACCEPT", ""))
