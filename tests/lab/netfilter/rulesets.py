"""Random nft rulesets that packets of the laboratory meet: all that evaluation claims to know, in odd combinations."""

from __future__ import annotations

from random import Random

from tests.lab.netfilter.cases import MARKS
from tests.lab.netfilter.world import CLIENTS, PORTS, ROUTERS, SERVERS, VIRTUAL

RANDOM_SHARE = 0.04
"""Share of rules that draw or limit: what they decide can't be predicted."""
DYNAMIC_SHARE = 0.1
"""Share of rulesets with sets that packets change."""
TRACE = """table inet trace {
  chain pre { type filter hook prerouting priority -350; meta nftrace set 1; }
  chain out { type filter hook output priority -350; meta nftrace set 1; }%s
}
"""
TRACKING = "\n  chain never { ct state new accept; }"
"""A rule that no packet meets: while it is there the kernel tracks connections."""
UNTRACKED_SHARE = 0.05
"""Share of rulesets where only their own rules may call for conntrack."""
HOOKS = (
    ("filter", "prerouting", (-300, -150, -120, -100, -95, -10, 0)),
    ("filter", "input", (-150, 0, 10, 100, 110)),
    ("filter", "forward", (-150, 0, 10)),
    ("filter", "output", (-300, -150, -110, -100, -50, 0, 10)),
    ("route", "output", (-150, 0)),
    ("filter", "postrouting", (-150, 0, 100, 110)),
    ("nat", "prerouting", (-100, -90, 5)),
    ("nat", "output", (-100, -90)),
    ("nat", "postrouting", (100, 110)),
    ("nat", "input", (100,)),
)
WEIGHTS = (3, 6, 8, 5, 1, 2, 5, 2, 3, 1)
REJECTS = {
    "ip": ("net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited",
           "host-prohibited", "admin-prohibited"),
    "ip6": ("no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"),
    "inet": ("no-route", "port-unreachable", "host-unreachable", "admin-prohibited"),
}  # fmt: skip
STATES = ("new", "established", "related", "invalid", "untracked")
FLAGS = ("tcp flags syn", "tcp flags ! ack", "tcp flags == syn", "tcp flags != syn", "tcp flags & (syn | ack) == syn",
         "tcp flags & (syn|ack) == (syn|ack)", "tcp flags { ack, syn | ack }", "tcp flags & (fin|rst) != 0",
         "tcp flags & (fin|syn|rst|ack) == ack", "tcp flags ack")  # fmt: skip


class Writer:
    """Writes one ruleset."""

    def __init__(self, random: Random, to_client: str, to_server: str) -> None:
        self.random = random
        self.devices = (to_client, to_server, "lo", to_client[:-2] + "*", "nosuch0")
        self.dynamic = random.random() < DYNAMIC_SHARE
        """Whether packets change sets that rules look into: one connection then decides over the next."""
        self.settles = random.random() < UNTRACKED_SHARE
        """Whether to wait a moment after loading: the kernel stops tracking for the last ruleset in its own time."""

    def ruleset(self) -> str:
        kinds = [("ip", "one"), ("ip6", "one"), ("inet", "two"), ("inet", "three"), ("ip", "four")]
        chosen = self.random.sample(kinds, self.random.choice((1, 2, 2, 3)))
        return TRACE % ("" if self.settles else TRACKING) + "".join(
            self._table(family, name) for family, name in chosen
        )

    def _table(self, family: str, name: str) -> str:
        random = self.random
        v4, v6 = family in {"ip", "inet"}, family in {"ip6", "inet"}
        parts = [f"table {family} {name} {{"]
        self.sets: dict[str, str] = {}
        if v4:
            parts.append(self._address_set("a4", "ipv4_addr", "ip"))
            parts.append(self._pair_set("p4", "ipv4_addr", "ip"))
        if v6:
            parts.append(self._address_set("a6", "ipv6_addr", "ip6"))
            parts.append(self._pair_set("p6", "ipv6_addr", "ip6"))
        parts.append(f" set ports {{ type inet_service; flags interval; elements = {{ {self._ports()} }} }}")
        timeout = "timeout 1h; " if random.random() < 0.5 else ""
        for family4, kind in (("ip", "ipv4_addr"), ("ip6", "ipv6_addr")):
            if self.dynamic and ((family4 == "ip" and v4) or (family4 == "ip6" and v6)):
                parts.append(f" set seen{family4} {{ type {kind}; flags dynamic; {timeout}size 65535; }}")
        inner = [f"c{number}" for number in range(random.choice((0, 1, 2, 3, 4)))]
        self.after = inner
        verdicts = ", ".join(f"{port} : {self._verdict()}" for port in random.sample(PORTS, random.randint(1, 4)))
        every = f", * : {self._verdict()}" if random.random() < 0.2 else ""
        for number, chain in reversed(list(enumerate(inner))):
            self.after = inner[number + 1 :]
            parts.append(f" chain {chain} {{\n{self._rules(family, 'inner', random.randint(0, 5))} }}")
        self.after = inner
        parts.append(f" map byport {{ type inet_service : verdict; elements = {{ {verdicts}{every} }} }}")
        self.after = inner
        for number in range(random.randint(1, 5)):
            parts.append(self._base(family, f"b{number}"))
        return "\n".join([*parts, "}", ""])

    def _base(self, family: str, name: str) -> str:
        random = self.random
        kind, hook, priorities = random.choices(HOOKS, WEIGHTS)[0]
        policy = "drop" if random.random() < 0.2 and kind != "nat" else "accept"
        body = self._nat_rules(family, hook) if kind == "nat" else self._rules(family, hook, random.randint(0, 8))
        priority = random.choice(priorities)
        return f" chain {name} {{ type {kind} hook {hook} priority {priority}; policy {policy};\n{body} }}"

    # --- values

    def _address(self, family: str) -> str:
        return self.random.choice(CLIENTS[family] * 2 + SERVERS[family] * 2 + ROUTERS[family] + VIRTUAL[family])

    def _prefix(self, family: str) -> str:
        if family == "ip":
            return self.random.choice(
                ("192.0.2.0/24", "198.51.100.0/24", "198.51.100.0/30", "203.0.113.0/24", "192.0.0.0/8", "0.0.0.0/1")
            )
        return self.random.choice(
            ("2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:2::/126", "2001:db8::/32", "fd00::/8")
        )

    def _span(self, family: str) -> str:
        pair = sorted(self.random.sample(range(1, 5), 2))
        base = self.random.choice(("192.0.2.", "198.51.100.") if family == "ip" else ("2001:db8:1::", "2001:db8:2::"))
        return f"{base}{pair[0]}-{base}{pair[1]}"

    def _addresses(self, family: str) -> str:
        picked = self.random.sample(CLIENTS[family] + SERVERS[family] + ROUTERS[family], self.random.randint(1, 4))
        return ", ".join(picked)

    def _ports(self) -> str:
        picked = sorted(self.random.sample(PORTS, self.random.randint(1, 4)))
        return ", ".join(f"{port}-{port + self.random.choice((1, 5))}" if self.random.random() < 0.2 else str(port)
                         for port in picked)  # fmt: skip

    def _address_set(self, name: str, kind: str, family: str) -> str:
        if self.random.random() < 0.5:
            return f" set {name} {{ type {kind}; elements = {{ {self._addresses(family)} }} }}"
        elements = f"{self._prefix(family)}, {self._address(family)}"
        return f" set {name} {{ type {kind}; flags interval; auto-merge; elements = {{ {elements} }} }}"

    def _pair_set(self, name: str, kind: str, family: str) -> str:
        pairs = ", ".join(
            f"{self._prefix(family) if self.random.random() < 0.4 else self._address(family)} . "
            f"{self.random.choice(('1-100', '400-9000', *map(str, PORTS)))}"
            for _ in range(1)
        )
        return f" set {name} {{ type {kind} . inet_service; flags interval; elements = {{ {pairs} }} }}"

    # --- conditions

    def _begin(self, family: str) -> None:
        """Settle which family and protocol the next rule is about: nft refuses rules that can't match."""
        self.own = family if family != "inet" else self.random.choice(("ip", "ip6"))
        self.layer = self.random.choice(("tcp", "tcp", "tcp", "udp", "th"))
        self.compares = False
        """nft lists `< 53` and `> 443` of one rule as `!= 53-443`, which is another thing: one comparison a rule."""
        self.names_family = False
        """nft's listing loses such a match where `reject with tcp reset` follows: none is put there."""

    def _conditions(self, family: str, hook: str) -> str:
        random = self.random
        count = random.choice((0, 1, 1, 1, 2, 2, 3))
        makers = [self._address_match, self._address_match, self._port_match, self._port_match, self._device_match,
                  self._ct_match, self._ct_match, self._mark_match, self._other_match]  # fmt: skip
        parts = []
        for maker in random.sample(makers, count):
            parts.append(maker(family, hook))
        if random.random() < RANDOM_SHARE:
            parts.append(
                random.choice(("limit rate 1/hour burst 1 packets", "limit rate over 1/hour burst 1 packets",
                               "numgen random mod 3 0", "numgen inc mod 2 1", "meta random < 1000000000",
                               f"jhash {self.own} saddr mod 2 0"))
            )  # fmt: skip
        return " ".join(parts)

    def _address_match(self, family: str, hook: str) -> str:
        random = self.random
        own = self.own
        short = "4" if own == "ip" else "6"
        side = random.choice(("saddr", "daddr"))
        no = random.choice(("", "", "", "!= "))
        value = random.choice(
            (self._address(own), self._prefix(own), self._span(own), f"{{ {self._addresses(own)} }}", f"@a{short}")
        )
        if random.random() < 0.2:
            pairs = f"@p{short}" if random.random() < 0.6 else f"{{ {self._address(own)} . {random.choice(PORTS)} }}"
            return f"{self._layer4()} {own} {side} . {self.layer} {random.choice(('sport', 'dport'))} {no}{pairs}"
        if random.random() < 0.1:
            return f"ct {random.choice(('original', 'reply'))} {own} {side} {no}{self._address(own)}"
        return f"{own} {side} {no}{value}"

    def _port_match(self, family: str, hook: str) -> str:
        random = self.random
        side = random.choice(("dport", "dport", "dport", "sport"))
        port = random.choice(PORTS)
        some = [str(port), f"!= {port}", f"{{ {self._ports()} }}", f"{port - 5}-{port + 400}", "@ports", "!= @ports",
                f"!= {{ {self._ports()} }}"]  # fmt: skip
        if not self.compares:
            some += [f"< {port}", f">= {port}", f"<= {port}", f"> {port}"]
        value = random.choice(some)
        self.compares = self.compares or value[0] in "<>"
        return f"{self._layer4()} {self.layer} {side} {value}"

    def _layer4(self) -> str:
        if self.layer == "th":
            return "meta l4proto { tcp, udp }"
        return "" if self.random.random() < 0.7 else f"meta l4proto {self.layer}"

    def _device_match(self, family: str, hook: str) -> str:
        random = self.random
        device = random.choice(self.devices)
        key = random.choice(("iifname", "oifname"))
        no = random.choice(("", "", "!= "))
        if device == "lo" and random.random() < 0.5 and hook in {"input", "prerouting"}:
            return f"iif {no}lo"
        if random.random() < 0.3:
            return (
                f'{key} {no}{{ "{device}", "{random.choice(self.devices[:2])}x" }}'
                if "*" not in device
                else f'{key} {no}"{device}"'
            )
        return f'{key} {no}"{device}"'

    def _ct_match(self, family: str, hook: str) -> str:
        random = self.random
        one, two = random.sample(STATES[:4], 2)
        return random.choice(
            (f"ct state {one}", f"ct state {one},{two}", f"ct state {{ {one}, {two} }}", f"ct state != {one}",
             "ct state established,related", "ct state new", "ct state != established", "ct status dnat",
             "ct status ! dnat", "ct status snat", "ct direction original", "ct direction reply", "ct state untracked",
             f"ct mark {random.choice((0, 1, 2))}", "ct mark & 1 == 1", "ct mark != 1", "ct status seen-reply",
             f"{self._layer4() or 'meta l4proto ' + self.layer} ct original proto-dst 80",
             f"ct state != {{ {one}, {two} }}", "ct status assured")
        )  # fmt: skip

    def _mark_match(self, family: str, hook: str) -> str:
        mark = self.random.choice(MARKS)
        return self.random.choice(
            (f"meta mark {mark}", f"meta mark & {mark} == {mark}", f"meta mark & {mark} != 0", f"meta mark != {mark}",
             f"meta mark & 0xf0 == {mark}", f"meta mark < {mark}")
        )  # fmt: skip

    def _other_match(self, family: str, hook: str) -> str:
        random = self.random
        own = self.own
        some = ["meta l4proto != 50", "meta l4proto != icmp", "meta pkttype unicast", "fib daddr type != local",
                f"fib daddr type {self._fib_type()}", f"fib saddr type {self._fib_type()}"]  # fmt: skip
        if self.layer == "tcp":
            some += random.sample(FLAGS, 5)
        else:
            some += ["meta l4proto != tcp", "meta l4proto udp" if self.layer == "udp" else "meta l4proto != udp"]
        if hook in {"prerouting", "input", "forward"}:
            some += ["fib saddr . iif oif missing", "fib saddr . iif oif exists", "fib daddr . iif type local"]
        if family == "inet":
            some += ["meta nfproto ipv4" if own == "ip" else "meta nfproto ipv6"]
        if own == "ip":
            some += ["ip protocol != 50", "ip version 4", "meta protocol ip"]
        else:
            some += ["ip6 nexthdr != 50", "meta protocol ip6"]
        picked = random.choice(some)
        self.names_family = self.names_family or picked.startswith(("meta nfproto", "meta protocol"))
        return picked

    def _fib_type(self) -> str:
        return self.random.choice(("local", "unicast", "{ local, broadcast }", "multicast"))

    # --- what rules do

    def _verdict(self) -> str:
        random = self.random
        some = ["accept", "accept", "drop", "return", "continue"]
        some += [f"{word} {chain}" for chain in self.after for word in ("jump", "jump", "goto")]
        return random.choice(some)

    def _rules(self, family: str, hook: str, count: int) -> str:
        lines = []
        for _ in range(count):
            self._begin(family)
            conditions = self._conditions(family, hook)
            lines.append(f"  {conditions} {self._action(family, hook)}".rstrip())
        return "\n".join(lines) + "\n" if lines else ""

    def _action(self, family: str, hook: str) -> str:
        random = self.random
        counter = "counter " if random.random() < 0.3 else ""
        draw = random.random()
        if draw < 0.3:
            return f"{counter}accept"
        if draw < 0.4:
            return f"{counter}drop"
        if draw < 0.5 and hook in {"input", "forward", "output", "prerouting"}:
            return counter + self._reject(family)
        if draw < 0.68 and self.after:
            return f"{counter}{random.choice(('jump', 'jump', 'jump', 'goto'))} {random.choice(self.after)}"
        if draw < 0.72:
            return f"{counter}return"
        if draw < 0.82:
            return self._verdict_map(family, hook)
        if draw < 0.9:
            mark = random.choice(MARKS)
            return random.choice(
                (f"meta mark set {mark}", f"meta mark set meta mark | {mark}", f"meta mark set meta mark & {mark}",
                 f"meta mark set meta mark ^ {mark}", "ct mark set meta mark", "meta mark set ct mark",
                 f"ct mark set {mark}", "ct mark set ct mark | 1")
            )  # fmt: skip
        if draw < 0.93 and hook in {"prerouting", "output"}:
            return "notrack"
        if not self.dynamic:
            return "accept"
        if draw < 0.96:
            own = self.own
            operation = random.choice(("add", "update", "add", "delete"))
            rest = random.choice(("", " accept", " drop"))
            return f"{operation} @seen{own} {{ {own} {random.choice(('saddr', 'daddr'))} }}{rest}"
        own = self.own
        return f"{own} {random.choice(('saddr', 'daddr'))} @seen{own} {random.choice(('accept', 'drop'))}"

    def _reject(self, family: str) -> str:
        random = self.random
        kind = random.choice(("plain", "reset", "icmp", "icmp", "icmpx"))
        if kind == "plain":
            return "reject"
        if kind == "reset" and self.layer == "tcp" and not self.names_family:
            return "meta l4proto tcp reject with tcp reset"
        if kind == "icmpx" and family == "inet":
            return f"reject with icmpx type {random.choice(REJECTS['inet'])}"
        own = self.own
        return f"reject with {'icmp' if own == 'ip' else 'icmpv6'} type {random.choice(REJECTS[own])}"

    def _verdict_map(self, family: str, hook: str) -> str:
        random = self.random
        own = self.own
        picked = random.sample(PORTS, 3)
        ports = ", ".join(f"{port} : {self._verdict()}" for port in picked)
        pick = random.randrange(6)
        if pick == 0:
            return f"{self._layer4()} {self.layer} dport vmap {{ {ports} }}"
        if pick == 1:
            return f"ct state vmap {{ established : {self._verdict()}, new : {self._verdict()}, invalid : drop }}"
        if pick == 2:
            pairs = ", ".join(f"{self._address(own)} . {port} : {self._verdict()}" for port in picked)
            return f"{self._layer4()} {own} daddr . {self.layer} dport vmap {{ {pairs} }}"
        if pick == 3 and random.random() < 2 * RANDOM_SHARE:
            return f"numgen random mod 2 vmap {{ 0 : {self._verdict()}, 1 : {self._verdict()} }}"
        if pick == 4:
            return f'iifname vmap {{ "{self.devices[0]}" : {self._verdict()}, "lo" : {self._verdict()} }}'
        where = "@byport" if hook != "inner" else f"{{ {ports} }}"
        return f"{self._layer4()} {self.layer} dport vmap {where}"

    # --- translation

    def _nat_rules(self, family: str, hook: str) -> str:
        random = self.random
        lines = []
        for _ in range(random.randint(1, 5)):
            self._begin(family)
            conditions = self._conditions(family, hook)
            if hook in {"prerouting", "output"}:
                lines.append(f"  {conditions} {self._destination(family, hook)}")
            else:
                lines.append(f"  {conditions} {self._source(family, hook)}")
        return "\n".join(lines) + "\n"

    def _destination(self, family: str, hook: str) -> str:
        random = self.random
        own = self.own
        to = random.choice(SERVERS[own] * 2 + ROUTERS[own])
        if hook == "output" and own == "ip":
            to = random.choice((*SERVERS[own], "127.0.0.1"))
        word = f"dnat {own} to" if family == "inet" else "dnat to"
        bracket = f"[{to}]" if own == "ip6" else to
        ports = random.sample(PORTS, 2)
        first = f"{own} daddr {random.choice(VIRTUAL[own] + SERVERS[own])} " if random.random() < 0.6 else ""
        layer = self._layer4() or f"meta l4proto {self.layer}"
        other = random.choice(SERVERS[own])
        by_pair = f"{{ {random.choice(VIRTUAL[own])} . {ports[0]} : {to} . {ports[1]} }}"
        return random.choice(
            (f"{first}{word} {to}", f"{first}{layer} {word} {bracket}:{ports[0]}",
             f"{first}{layer} redirect to :{ports[0]}", f"{first}redirect",
             f"{first}{layer} {self.layer} dport {ports[0]} {word} {bracket}:{ports[1]}", "accept", "return",
             f"{layer} {word} {self.layer} dport map {{ {ports[0]} : {to}, {ports[1]} : {other} }}",
             f"{layer} {word} {own} daddr . {self.layer} dport map {by_pair}")
        )  # fmt: skip

    def _source(self, family: str, hook: str) -> str:
        random = self.random
        own = self.own
        word = f"snat {own} to" if family == "inet" else "snat to"
        some = [f"{word} {ROUTERS[own][1]}", "accept", "return"]
        if hook == "postrouting":
            some += ["masquerade", "masquerade", f'oifname "{self.devices[1]}" masquerade']
        return random.choice(some)
