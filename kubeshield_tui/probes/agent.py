"""The probe agent: asks many targets at once and says what the network answered.

One file, standard library only, Python 3.6 and later. It is sent as text to wherever it runs: a child process, an SSH
session, a pod. It reads jobs as lines of JSON from standard input and writes results as lines of JSON to standard
output; docs/concepts/agent-protocol.md has the lines. It writes no file, opens no listener, keeps nothing.

States and reasons are those of nmap --reason. ICMP errors come from the kernel's error queue (IP_RECVERR; for TCP since
Linux 5.8, for unprivileged users too), so that a firewall's reject is told from a closed port and its sender is known.
"""

import base64
import collections
import errno
import gc
import json
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time
import warnings

VERSION = 1
IN_FLIGHT = 10000  # probes under way at once, file descriptors permitting
PER_HOST = 512
RESERVED_FDS = 64
START_CHUNK = 64  # connects between two looks at the sockets: more would blur the latencies
BURY_CHUNK = 256  # silent sockets closed between two looks at the others
LINE_LIMIT = 1 << 22
HEADER_LIMIT = 16384
BODY_KEPT = 2048
BODY_LIMIT = 65536  # what is read of a body so that a second request can follow
BANNER_LIMIT = 512
BANNER_WAIT = 0.15  # seconds for a greeting where nothing else is said
GREETING_WAIT = 0.06  # seconds before we speak: a port that greets first gets no TLS and no HTTP
ALERT_WAIT = 0.3  # seconds for the alert that TLS 1.3 sends after the handshake
RETRY_WAIT = 0.05  # seconds until a probe that lacked a local resource tries again
RESOLVERS = 8
# Kernels send few ICMP errors a second (icmp_ratelimit): of twenty rejects at once most look like drops. So the silent
# ports of a host that sent one are asked again slowly, a few of them: only the reason is at stake.
SLOW_PACE = 1.0  # seconds between two such questions to one host
SLOW_PORTS = 16
SLOW_SECONDS = 20.0
REJECT_MEMORY = 60.0
RATE_LIMITED = "maybe-rate-limited: this host sent ICMP errors for other ports, and kernels send few of them a second"
# Among many connects a port that is known to be open is asked now and then: if it falls silent, it is our own burst
# that loses packets.
BURST = 200  # connects sent between two such questions
CONTROL_PACE = 0.2  # seconds between them at least
CONTROL_WAIT = 0.9  # shorter than the kernel's retransmission: an answer to the first SYN is what counts
CONTROLS = 4  # hosts remembered
CONTROL_TRIES = 3  # failures in a row after which a control is forgotten
SMALLEST_WINDOW = 64
ASK_ANEW = 4  # times that a cell is asked again for that
LINK_MEMORY = 0.1  # seconds that the state of an own link is remembered: far less than an attempt waits
DOUBTFUL = 10.0  # seconds after a control fell silent in which one round of silence is not enough
NO_TLS = "wrong version number"  # OpenSSL's words for an answer that is no TLS
NO_ANSWER = "no answer before the deadline"
NOT_WHOLE = "no whole answer before the deadline"
CHOKED = "packets are lost in this vantage's own bursts, a known-open port fell silent too; ask with a lower --rate"

REFUSAL = (
    '{"op":"result","id":%s,"state":"closed","reason":"conn-refused","attempts":[["closed","conn-refused",%s]],'
    '"steps":[["connect",%s,false,"Connection refused"]],"ms":%s}'
)
SILENCE = '{"op":"result","id":%s,"state":"filtered","reason":"no-response","attempts":[%s],"steps":[%s]}'
SILENT_ATTEMPT = '["filtered","no-response",%r]'
SILENT_STEP = '["connect",%r,false,"no answer"]'
NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)
STREAM = int(socket.SOCK_STREAM) | int(NONBLOCK)
DATAGRAM = int(socket.SOCK_DGRAM) | int(NONBLOCK)
EINPROGRESS, EWOULDBLOCK, ECONNREFUSED = errno.EINPROGRESS, errno.EWOULDBLOCK, errno.ECONNREFUSED
SOL_SOCKET, SO_ERROR = int(socket.SOL_SOCKET), int(socket.SO_ERROR)
TCP_INFO = getattr(socket, "TCP_INFO", 0) if sys.platform.startswith("linux") else 0
SYN_SENT, CLOSED = 2, 7  # tcp_states.h
IP_RECVERR, IPV6_RECVERR = 11, 25
MSG_ERRQUEUE = 0x2000
NOT_ENOUGH = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
OWN_FAULTS = {
    errno.ENETUNREACH: "no-route",
    errno.EHOSTUNREACH: "no-route",
    errno.EINVAL: "no-route",  # a blackhole route
    errno.EAFNOSUPPORT: "no-route",
    errno.ENETDOWN: "no-route",
    errno.EACCES: "permission",  # a prohibit route, or a security module
    errno.EPERM: "permission",  # a cgroup's rule, or a firewall on the way out
}
REMOTE_ERRORS = {
    errno.EHOSTUNREACH: "host-unreach",
    errno.EHOSTDOWN: "host-unreach",
    errno.ENETUNREACH: "net-unreach",
    errno.ENOPROTOOPT: "proto-unreach",
    errno.EACCES: "admin-prohibited",
    errno.ETIMEDOUT: "no-response",
}
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)
ICMP4 = {
    0: "net-unreach",
    1: "host-unreach",
    2: "proto-unreach",
    3: "port-unreach",
    6: "net-unreach",
    7: "host-unreach",
    9: "net-prohibited",
    10: "host-prohibited",
    11: "net-unreach",
    12: "host-unreach",
    13: "admin-prohibited",
}
ICMP6 = {
    0: "net-unreach",
    1: "admin-prohibited",
    2: "host-unreach",
    3: "host-unreach",
    4: "port-unreach",
    5: "admin-prohibited",
    6: "admin-prohibited",
}
CERTIFICATE_REQUEST = 13  # TLS handshake message, RFC 8446 section 4
CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE", "CERTIFICATE_UNKNOWN")


monotonic = time.monotonic


class Poller(object):
    """epoll where there is one, else poll."""

    def __init__(self):
        self.forgets = hasattr(select, "epoll")  # what is closed, by itself
        if self.forgets:
            self.poller, self.scale = select.epoll(), 1.0
        else:
            self.poller, self.scale = select.poll(), 1000.0
        self.read, self.write = 1, 4  # EPOLLIN and EPOLLOUT are POLLIN and POLLOUT
        self.register, self.modify = self.poller.register, self.poller.modify

    def forget(self, fd):
        if not self.forgets:
            try:
                self.poller.unregister(fd)
            except (OSError, KeyError, ValueError):
                pass

    def wait(self, seconds):
        try:
            return self.poller.poll(-1 if seconds is None else max(seconds, 0) * self.scale)
        except InterruptedError:
            return []


class Timers(object):
    """Deadlines in queues by length: equal lengths come due in the order they were set, so no heap is needed."""

    def __init__(self):
        self.queues = {}

    def set(self, probe, length, now):
        probe.due = due = now + length
        queue = self.queues.get(length)
        if queue is None:
            queue = self.queues[length] = collections.deque()
        queue.append((due, probe))

    def next(self):
        earliest = None
        for queue in self.queues.values():
            while queue and queue[0][1].due != queue[0][0]:
                queue.popleft()  # it was set anew since, or is over
            if queue and (earliest is None or queue[0][0] < earliest):
                earliest = queue[0][0]
        return earliest

    def take(self, now):
        taken = []
        for length in [length for length, queue in self.queues.items() if not queue]:
            if len(self.queues) > 64:
                del self.queues[length]
        for queue in self.queues.values():
            while queue and queue[0][0] <= now:
                due, probe = queue.popleft()
                if probe.due == due:
                    taken.append(probe)
        return taken


class Common(object):
    """How all targets of one line are asked."""

    def __init__(self, told):
        self.protocol = str(told.get("protocol", "tcp"))
        self.udp = self.protocol == "udp"
        self.timeout = float(told.get("timeout", 1.5))
        self.confirm = float(told.get("confirm", 3.5))
        self.attempts = max(int(told.get("attempts", 2)), 1)
        self.deadline = float(told.get("deadline", 8.0))
        self.tls = told.get("tls") in ("on", "either")
        self.either = told.get("tls") == "either"
        self.datagram = base64.b64decode(str(told.get("datagram", "")))
        self.server_name = str(told.get("server_name", ""))
        self.requests = [
            (clean(each[0]), clean(each[1]), [(clean(name), clean(value)) for name, value in each[2]], keeps_body(each))
            for each in told.get("requests", ())[:2]
        ]


def clean(text):
    """No line break may smuggle a header in."""
    return str(text).replace("\r", "").replace("\n", "")


def keeps_body(request):
    """Whether an answer's body may be told. What a PUT brings is a session token: never."""
    return request[0] != "PUT" and (len(request) < 4 or bool(request[3]))


CONTROL = Common({"timeout": CONTROL_WAIT, "attempts": 1})


class Probe(object):
    """One target under way. What most targets never need stands on the class: ten thousand are made at once."""

    addresses = address = family = sock = fd = tls = icmp = begun = due = end = ms = sent = asked = first = None
    phase = "queued"
    attempt = wanted = request = anew = 0
    http = ()
    source = detail = ""
    banner = buffer = outgoing = b""
    cancelled = speaking = slow = dialing = False

    def __init__(self, target, common):
        self.id, self.host, self.port = target[0], str(target[1]), int(target[2])
        self.connect = (str(target[3]), int(target[4])) if len(target) > 4 else (self.host, self.port)
        self.common = common
        self.tried, self.steps = [], []


class Agent(object):
    """The loop: jobs in, sockets, results out."""

    def __init__(self):
        self.poller = Poller()
        self.timers = Timers()
        self.in_flight = room()
        self.by_fd = {}
        self.by_id = {}
        self.dying = collections.deque()
        self.ready = collections.deque()
        self.held = collections.defaultdict(collections.deque)  # host -> probes beyond the host's limit
        self.active = {}
        self.literals = {}
        self.rejecting = {}
        self.burst = Burst()
        self.links = Links()
        self.connecting = 0
        self.under_way = 0
        self.starved = None
        self.out = []
        self.incoming = b""
        self.ending = False
        self.resolver = None
        self.contexts = {}

    # --- lines

    def say(self, **line):
        self.out.append(json.dumps(line, separators=(",", ":")))

    def flush(self):
        if not self.out:
            return
        data = ("\n".join(self.out) + "\n").encode("utf-8")
        self.out = []
        while data:
            data = data[os.write(1, data) :]

    def run(self):
        self.say(
            op="hello", version=VERSION, python="%d.%d" % sys.version_info[:2], host_name=socket.gethostname(),
            user=user(), addresses=own_addresses(), in_flight=self.in_flight, time=time.time(),
        )  # fmt: skip
        self.poller.register(0, self.poller.read)
        while True:
            self.flush()
            if self.ending and not self.by_id:
                self.say(op="bye")
                self.flush()
                return
            if not self.turn():
                return

    def turn(self):
        """One turn of the loop; False at the end of standard input."""
        now = monotonic()
        room_left = self.has_room()
        can_start = self.ready and room_left and (self.starved is None or self.starved <= now)
        due = self.timers.next()
        if self.starved is not None and self.ready and not can_start:
            due = self.starved if due is None else min(due, self.starved)
        events = self.poller.wait(0 if can_start or self.dying else None if due is None else due - now)
        for fd, event in events:
            if fd == 0:
                if not self.read_lines():
                    return False
            elif self.resolver is not None and fd == self.resolver.fd:
                self.resolved()
            else:
                probe = self.by_fd.get(fd)
                if probe is not None:
                    self.guarded(self.on_event, probe)
        # Only after the sockets were looked at: what answered in time must not be called silent because we were late.
        overdue = self.timers.take(monotonic())
        for probe in overdue:
            probe.due = None
            self.guarded(self.on_time, probe)
        if can_start:
            self.start_some()
        if self.burst.sent > (BURST if self.burst.window == IN_FLIGHT else SMALLEST_WINDOW):
            self.control(monotonic())  # behind what was just sent, where a limit would bite
        if self.dying and not overdue and not events:
            self.flush()
            self.bury()
        return True

    def has_room(self):
        busy = self.under_way + len(self.dying)
        return busy < self.in_flight and self.connecting < self.burst.window

    def guarded(self, step, probe):
        """A defect met with one target must not end the others."""
        try:
            step(probe)
        except Exception as error:
            if probe.id in self.by_id:
                probe.detail = "internal error: %s: %s" % (type(error).__name__, error)
                self.finish(probe, "error", "resources")

    def read_lines(self):
        data = os.read(0, 1 << 16)
        if not data:
            return False
        self.incoming += data
        lines = self.incoming.split(b"\n")
        self.incoming = lines.pop()
        if len(self.incoming) > LINE_LIMIT:
            self.incoming = b""
            self.say(op="error", message="a line longer than %d bytes" % LINE_LIMIT)
        for line in lines:
            if line.strip():
                self.read_line(line)
        return True

    def read_line(self, line):
        try:
            told = json.loads(line.decode("utf-8"))
            op = told["op"]
            if op == "probe":
                common = Common(told.get("common", {}))
                for target in told["targets"]:
                    self.put(Probe(target, common))
            elif op == "cancel":
                for key in told.get("ids", list(self.by_id)):
                    self.cancel(key)
            elif op == "ping":
                self.say(op="pong", seq=told.get("seq"))
            elif op == "end":
                self.ending = True
            else:
                self.say(op="error", message="unknown op %r" % (op,))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self.say(op="error", message="%s: %s" % (type(error).__name__, error))

    # --- starting

    def put(self, probe):
        self.by_id[probe.id] = probe
        if probe.common.protocol not in ("tcp", "udp"):
            probe.detail = "%s is not asked by this version" % clean(probe.common.protocol)
            self.finish(probe, "error", "resources")
        else:
            self.ready.append(probe)

    def cancel(self, key):
        probe = self.by_id.pop(key, None)
        if probe is not None:
            probe.cancelled = True
            self.release(probe)

    def start_some(self):
        self.starved = None
        most = self.connecting + START_CHUNK
        for _ in range(4 * START_CHUNK):  # those that are answered at once cost nobody's latency
            if not self.ready or self.connecting >= most or not self.has_room() or self.starved is not None:
                return
            probe = self.ready.popleft()
            if probe.cancelled:
                continue
            if probe.phase == "queued" and self.active.get(probe.host, 0) >= PER_HOST:
                self.held[probe.host].append(probe)
            else:
                self.guarded(self.start, probe)

    def start(self, probe):
        now = monotonic()
        if probe.phase == "queued":
            self.active[probe.host] = self.active.get(probe.host, 0) + 1
            self.under_way += 1
            probe.phase = "starting"
            probe.begun, probe.end = now, now + probe.common.deadline if probe.first is None else probe.first.end
        if probe.addresses is None:
            literal = self.literal(probe.connect)
            if literal is None:
                probe.phase = "resolve"
                self.timers.set(probe, probe.common.deadline, now)
                if self.resolver is None:
                    self.resolver = Resolver()
                    self.poller.register(self.resolver.fd, self.poller.read)
                self.resolver.ask(probe)
                return
            probe.addresses = literal
        self.connect(probe)

    def literal(self, place):
        """[(family, address)] of an IP literal, None for a name; remembered by host."""
        host, port = place
        known = self.literals.get(host)
        if known is None:
            if len(self.literals) > 4096:
                self.literals.clear()
            found = addresses_of(place) or [(0, ())]
            known = self.literals[host] = (found[0][0], found[0][1][2:])
        family, rest = known
        return ((family, (host, port) + rest),) if family else None

    def resolved(self):
        for probe, addresses, error in self.resolver.take():
            if probe.cancelled or probe.phase != "resolve":
                continue
            probe.due = None
            self.step(probe, "resolve", probe.begun, bool(addresses), error or addresses[0][1][0])
            if not addresses:
                probe.detail = error
                self.finish(probe, "error", "dns-failure")
                continue
            probe.addresses = addresses
            self.guarded(self.connect, probe)

    def connect(self, probe):
        probe.family, probe.address = probe.addresses[0]
        udp = probe.common.udp
        try:
            probe.sock = sock = open_socket(probe.family, DATAGRAM if udp else STREAM)
        except OSError as error:
            self.own_fault(probe, error.errno)
            return
        probe.fd = sock.fileno()
        probe.sent = monotonic()
        if udp:
            self.send(probe)
            return
        probe.phase = "connect"
        self.burst.sent += 1
        code = sock.connect_ex(probe.address)
        if code == EINPROGRESS or code == EWOULDBLOCK:
            # On the same host the answer came while we were in connect(): no need to wait for the loop to tell.
            code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
            if code:
                self.failed(probe, code)
                return
            self.by_fd[probe.fd] = probe
            probe.dialing = True
            self.connecting += 1
            self.poller.register(probe.fd, self.poller.write)
            common = probe.common
            self.timers.set(probe, common.timeout if probe.attempt == 0 else common.confirm, probe.sent)
        elif code == 0:
            self.by_fd[probe.fd] = probe
            self.poller.register(probe.fd, self.poller.read)
            self.connected(probe)
        else:
            probe.icmp = error_queue(sock)
            if probe.icmp is None and code != ECONNREFUSED:
                self.own_fault(probe, code)
            else:
                self.refused(probe, code)

    # --- UDP

    def send(self, probe):
        """Send the datagram from a connected socket: only such a one is told of ICMP errors."""
        probe.phase = "udp"
        try:
            probe.sock.connect(probe.address)
            probe.sock.send(probe.common.datagram)
        except OSError as error:
            icmp = error_queue(probe.sock)
            if icmp is not None or error.errno == ECONNREFUSED:
                self.unreachable(probe, error.errno, icmp)
            else:
                self.own_fault(probe, error.errno)
            return
        self.by_fd[probe.fd] = probe
        self.poller.register(probe.fd, self.poller.read)
        self.timers.set(probe, probe.common.timeout if probe.attempt == 0 else probe.common.confirm, probe.sent)

    def received(self, probe):
        try:
            data = probe.sock.recv(BODY_KEPT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.unreachable(probe, error.errno, error_queue(probe.sock))
            return
        probe.ms = since(probe.sent)
        probe.banner = data[:BANNER_LIMIT]
        probe.tried.append(["open", "udp-response", probe.ms])
        try:
            probe.source = probe.sock.getsockname()[0]
        except OSError:
            pass
        self.step(probe, "udp", probe.sent, True, "%d bytes" % len(data))
        self.finish(probe, "open", "udp-response")

    def unreachable(self, probe, code, icmp):
        """An ICMP error came back. Only the target itself can say that nobody listens."""
        probe.icmp = icmp
        if icmp is None:
            state, reason = ("closed", "port-unreach") if code == ECONNREFUSED else judge(code, None)
        else:
            state, reason = judge(code, icmp)
            if reason == "port-unreach" and icmp["source"] == probe.address[0].partition("%")[0]:
                state = "closed"
            self.note_reject(probe)
        probe.ms = since(probe.sent)
        probe.tried.append([state, reason, probe.ms])
        self.step(probe, "udp", probe.sent, False, told_icmp(icmp) if icmp else os.strerror(code))
        self.finish(probe, state, reason)

    # --- silence: ours, theirs, or a limit's

    def note_reject(self, probe):
        known = self.rejecting.get(probe.host)
        now = monotonic()
        if known is None or now - known[0] > REJECT_MEMORY:
            if len(self.rejecting) > 4096:
                self.rejecting.clear()
            known = self.rejecting[probe.host] = [now, 0, now]
        known[0] = now

    def ask_slowly(self, probe):
        """Whether a silent port is asked once more, in its turn, because its host is known to reject."""
        known = self.rejecting.get(probe.host)
        now = monotonic()
        if known is None or probe.slow or now - known[0] > REJECT_MEMORY:
            return False
        _, count, turn = known
        turn = max(turn, now)
        if count >= SLOW_PORTS or turn - now > SLOW_SECONDS:
            probe.detail = RATE_LIMITED
            return False
        known[1:] = [count + 1, turn + SLOW_PACE]
        probe.slow, probe.phase = True, "slow"
        probe.end += turn - now + probe.common.confirm
        self.timers.set(probe, round(turn - now + 0.005, 2), now)
        return True

    def control(self, now):
        """Ask what is known to be open, while many connects are under way."""
        if self.burst.asking or now < self.burst.next or not self.burst.known:
            return
        self.burst.next, self.burst.sent = now + CONTROL_PACE, 0
        for host, place in list(self.burst.known.items())[-2:]:
            probe = Probe([None, host, 0], CONTROL)
            probe.addresses, probe.phase, probe.sent = [place[:2]], "control", now
            probe.family, probe.address = place[:2]
            try:
                probe.sock = open_socket(probe.family, STREAM)
                probe.fd = probe.sock.fileno()
                code = probe.sock.connect_ex(probe.address)
            except OSError:
                continue  # no file descriptor to spare says nothing of the network
            self.burst.asking.append(probe)
            self.by_fd[probe.fd] = probe
            self.poller.register(probe.fd, self.poller.write)
            self.timers.set(probe, CONTROL_WAIT, now)
            if code not in (EINPROGRESS, EWOULDBLOCK):
                self.controlled(probe, code in (0, ECONNREFUSED))
                return

    def controlled(self, probe, answered):
        burst = self.burst
        self.close(probe)
        if probe not in burst.asking:
            return
        burst.asking.remove(probe)
        if answered:
            burst.strikes.pop(probe.host, None)
            for other in burst.asking:
                self.close(other)
            burst.asking = []
            if burst.window < IN_FLIGHT and self.connecting + START_CHUNK > burst.window:
                burst.window = min(IN_FLIGHT, burst.window + 16)
            elif not self.ready:
                burst.window = IN_FLIGHT
        else:
            strikes = burst.strikes[probe.host] = burst.strikes.get(probe.host, 0) + 1
            if strikes >= CONTROL_TRIES:
                burst.known.pop(probe.host, None)
            if burst.asking:
                return
            burst.window = max(min(burst.window, self.connecting) // 2, SMALLEST_WINDOW)
            burst.choked = monotonic()
        held, burst.held = burst.held, []
        for probe in held:
            if not probe.cancelled:
                self.settle(probe)

    def settle(self, probe):
        """All attempts met silence: say so, unless it may have been our own doing."""
        if self.burst.asking and not probe.common.udp:
            probe.phase = "held"
            self.burst.held.append(probe)
            return
        # A limit on the way lets some of a burst pass, the control perhaps: soon after one fell silent, silence counts
        # only where a round that began later met it too.
        choked = self.burst.choked >= probe.begun or (probe.anew == 0 and self.burst.choked > monotonic() - DOUBTFUL)
        link, is_down, changed = self.links.of(probe.address[0], monotonic())
        if is_down or (changed >= probe.begun and probe.anew == ASK_ANEW):
            probe.detail = "%s, this vantage's own link to it, %s" % (
                link,
                "is down" if is_down else "went down meanwhile",
            )
            self.finish(probe, "error", "no-route")
        elif choked and probe.anew == ASK_ANEW:
            probe.detail = CHOKED
            self.finish(probe, "error", "resources")
        elif choked or changed >= probe.begun:
            probe.anew += 1
            probe.attempt = 0
            probe.begun = monotonic()
            probe.end = probe.begun + probe.common.deadline
            probe.phase = "anew"
            self.ready.append(probe)
        elif len(probe.addresses) > 1:
            self.next_address(probe)
        elif not self.ask_slowly(probe):
            self.finish(probe, "open|filtered" if probe.common.udp else "filtered", "no-response")

    def own_fault(self, probe, code):
        """The vantage itself could not send."""
        self.close(probe)
        if code in NOT_ENOUGH and monotonic() < probe.end:
            if self.under_way > 1 or probe.wanted < 20:
                probe.wanted += 1
                self.starved = monotonic() + RETRY_WAIT
                self.ready.appendleft(probe)
                return
        probe.detail = os.strerror(code)
        self.finish(probe, "error", OWN_FAULTS.get(code, "resources"))

    # --- events

    def on_event(self, probe):
        if probe.phase == "connect":
            code = probe.sock.getsockopt(SOL_SOCKET, SO_ERROR)
            if code == 0:
                try:
                    probe.sock.getpeername()
                except OSError:
                    return  # a note in the error queue that does not end the attempt
                self.connected(probe)
            else:
                self.failed(probe, code)
        elif probe.phase == "udp":
            self.received(probe)
        elif probe.phase == "control":
            self.controlled(probe, probe.sock.getsockopt(SOL_SOCKET, SO_ERROR) in (0, ECONNREFUSED))
        elif probe.phase == "greeting":
            self.greeted(probe)
        elif probe.phase == "tls":
            self.handshake(probe)
        elif probe.phase in ("http", "alert"):
            self.talk(probe)

    def on_time(self, probe):
        if probe.phase == "connect":
            # SYN-ACK or error may stand in the socket already, unread because we were busy.
            code = probe.sock.getsockopt(SOL_SOCKET, SO_ERROR)
            if code:
                self.failed(probe, code)
            elif is_connected(probe.sock):
                self.connected(probe)
            else:
                self.silent(probe, "connect")
        elif probe.phase == "udp":
            self.received(probe)
            if probe.phase == "udp":
                self.silent(probe, "udp")
        elif probe.phase == "slow":
            self.connect(probe)
        elif probe.phase == "control":
            self.controlled(probe, is_connected(probe.sock))
        elif probe.phase == "greeting":
            self.speak(probe)
        elif probe.phase == "resolve":
            probe.detail = "the resolver did not answer in %.1f s" % probe.common.deadline
            self.finish(probe, "error", "dns-failure")
        else:
            name = {"alert": "tls"}.get(probe.phase, probe.phase)
            if probe.phase == "http":
                self.keep_answer(probe)
            if probe.phase != "alert":
                begun = probe.phase == "http" and probe.buffer
                self.step(probe, name, probe.sent, False, NOT_WHOLE if begun else NO_ANSWER)
            self.finish(probe, "open", "syn-ack")

    def silent(self, probe, name):
        ms = since(probe.sent)
        probe.tried.append(["open|filtered" if name == "udp" else "filtered", "no-response", ms])
        probe.steps.append([name, ms, False, "no answer"])
        self.close_later(probe)
        probe.attempt += 1
        if probe.attempt < probe.common.attempts:
            self.connect(probe)
        else:
            self.settle(probe)

    def next_address(self, probe):
        """A name with several addresses: the first that answers speaks for it."""
        probe.addresses = probe.addresses[1:]
        probe.attempt = 0
        probe.tried = []
        if monotonic() < probe.end:
            self.connect(probe)
        else:
            self.finish(probe, "open|filtered" if probe.common.udp else "filtered", "no-response")

    def failed(self, probe, code):
        probe.icmp = error_queue(probe.sock)
        if probe.icmp is not None or code != ECONNREFUSED or probe.steps:
            self.refused(probe, code)
            return
        # The most frequent answer of all, without detours.
        ms = repr(since(probe.sent))
        key = probe.id
        if self.by_id.pop(key, None) is not None:
            self.release(probe)
            self.out.append(REFUSAL % (quoted(key), ms, ms, ms))

    def refused(self, probe, code):
        state, reason = judge(code, probe.icmp)
        if reason == "host-unreach" and probe.icmp and self.links.has_dead_gateway(probe.address[0], probe.icmp):
            state, reason = "error", "no-route"
            probe.detail = "the gateway of this vantage's own link does not answer"
        probe.ms = since(probe.sent)
        probe.tried.append([state, reason, probe.ms])
        detail = os.strerror(code)
        if probe.icmp:
            detail = told_icmp(probe.icmp)
            self.note_reject(probe)
        self.step(probe, "connect", probe.sent, state == "open", detail)
        if reason == "no-response" and probe.attempt + 1 < probe.common.attempts:
            self.close(probe)
            probe.attempt += 1
            self.connect(probe)
            return
        self.finish(probe, state, reason)

    def connected(self, probe):
        self.dialed(probe)
        self.burst.note(probe)
        probe.ms = since(probe.sent)
        probe.tried.append(["open", "syn-ack", probe.ms])
        self.step(probe, "connect", probe.sent, True, "SYN-ACK")
        try:
            probe.source = probe.sock.getsockname()[0]
        except OSError:
            pass
        self.poller.modify(probe.fd, self.poller.read)
        probe.phase = "greeting"
        probe.sent = monotonic()
        says = probe.common.tls or probe.common.requests
        # Twice the round trip: a greeting that is on its way when we connect has arrived by then.
        self.timers.set(
            probe, round(GREETING_WAIT + min(2 * probe.ms / 1000.0, 0.5), 2) if says else BANNER_WAIT, probe.sent
        )

    def greeted(self, probe):
        try:
            data = probe.sock.recv(BANNER_LIMIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.cut(probe, "banner", error)
            return
        probe.banner = data
        detail = "%d bytes, unasked" % len(data) if data else "closed by the peer"
        self.step(probe, "banner", probe.sent, bool(data), detail)
        self.finish(probe, "open", "syn-ack")

    def cut(self, probe, name, error):
        """The peer ended an open connection the hard way."""
        reset = error.errno == errno.ECONNRESET
        self.step(probe, name, probe.sent, False, "reset by the peer" if reset else os.strerror(error.errno or 0))
        first = reset and not probe.speaking
        self.finish(probe, "open", "reset" if first else "syn-ack")

    # --- conversation

    def speak(self, probe):
        common = probe.common
        probe.sent = monotonic()
        left = probe.end - probe.sent
        if not (common.tls or common.requests) or left <= 0:
            self.finish(probe, "open", "syn-ack")
            return
        probe.speaking = True
        self.timers.set(probe, left, probe.sent)
        if not common.tls or probe.first is not None:
            probe.phase = "http"
            self.ask(probe)
            return
        probe.phase = "tls"
        probe.tls = no_tls()
        name = common.server_name or None
        context = tls_context()
        if hasattr(context, "_msg_callback"):
            context._msg_callback = lambda conn, way, version, content, kind, data: note(probe, way, kind)
        plain = socket.socket(probe.family, socket.SOCK_STREAM, 0, probe.sock.detach())
        plain.setblocking(False)
        probe.sock = context.wrap_socket(plain, do_handshake_on_connect=False, server_hostname=name)
        self.handshake(probe)

    def handshake(self, probe):
        try:
            probe.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.poller.modify(probe.fd, self.poller.read)
        except ssl.SSLWantWriteError:
            self.poller.modify(probe.fd, self.poller.write)
        except OSError as error:
            self.tls_failed(probe, error)
        else:
            self.shaken(probe)

    def shaken(self, probe):
        sock, told = probe.sock, probe.tls
        shaken_hands(told, sock)
        self.step(probe, "tls", probe.sent, True, "%s %s" % (told["version"], told["cipher"]))
        self.poller.modify(probe.fd, self.poller.read)
        if probe.common.requests:
            probe.phase = "http"
            self.ask(probe)
        elif told["version"] == "TLSv1.3":
            probe.phase = "alert"  # its refusal of a client without certificate comes only now
            self.timers.set(probe, ALERT_WAIT, monotonic())
            self.talk(probe)
        else:
            self.finish(probe, "open", "syn-ack")

    def tls_failed(self, probe, error):
        detail = why_no_tls(probe.tls, error)
        self.step(probe, "tls", probe.sent, False, detail)
        if probe.common.either and NO_TLS in detail:
            self.ask_plainly(probe)
        else:
            self.finish(probe, "open", "syn-ack")

    def ask_plainly(self, first):
        """Ask once more without TLS, on a connection of its own. That it is open is known, whatever comes of that."""
        again = Probe((first.id, first.host, first.port) + first.connect, first.common)
        again.first, again.addresses, again.steps = first, [(first.family, first.address)], first.steps
        again.attempt = first.common.attempts - 1
        self.release(first)
        self.by_id[again.id] = again
        self.ready.appendleft(again)

    def ask(self, probe):
        last = probe.request + 1 == len(probe.common.requests)
        probe.outgoing = request_bytes(probe.host, probe.port, probe.common.requests[probe.request], last)
        probe.buffer = b""
        probe.asked = probe.sent = monotonic()
        self.talk(probe)

    def talk(self, probe):
        try:
            while probe.outgoing:
                probe.outgoing = probe.outgoing[probe.sock.send(probe.outgoing) :]
            while True:
                data = probe.sock.recv(16384)
                if not data:
                    self.answered(probe, True)
                    return
                if probe.phase == "alert":
                    continue
                probe.buffer += data
                if self.answered(probe, False):
                    return
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            self.poller.modify(probe.fd, self.poller.write | self.poller.read if probe.outgoing else self.poller.read)
        except ssl.SSLWantWriteError:
            self.poller.modify(probe.fd, self.poller.write | self.poller.read)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.answered(probe, True)
        except ssl.SSLError as error:
            reason = error.reason or ""
            if probe.tls:
                note_alert(probe.tls, reason)
            self.keep_answer(probe)
            self.step(
                probe, "http" if probe.common.requests else "tls", probe.sent, False, reason.replace("_", " ").lower()
            )
            self.finish(probe, "open", "syn-ack")
        except OSError as error:
            self.keep_answer(probe)
            self.cut(probe, "http" if probe.common.requests else "tls", error)

    def answered(self, probe, ended):
        """Look whether the answer is whole; True when the probe went on or is over."""
        if probe.phase == "alert":
            self.finish(probe, "open", "syn-ack")
            return True
        method = probe.common.requests[probe.request][0]
        whole, keeps = whole_answer(probe.buffer, method, ended)
        if not whole:
            return False
        answer = self.keep_answer(probe)
        detail = "%s %s: %s %s" % (method, answer["path"], answer["status"] or "no status", answer["reason"])
        self.step(probe, "http", probe.asked, bool(answer["status"]), detail)
        probe.request += 1
        if probe.request < len(probe.common.requests) and keeps and not ended:
            self.ask(probe)
        else:
            self.finish(probe, "open", "syn-ack")
        return True

    def keep_answer(self, probe):
        if probe.request < len(probe.http) or not probe.common.requests:
            return None
        answer = answer_of(probe.common.requests[probe.request], probe.buffer, since(probe.asked))
        probe.http += (answer,)
        return answer

    # --- ending

    def step(self, probe, name, begun, ok, detail):
        probe.steps.append([name, since(begun), ok, detail])

    def finish(self, probe, state, reason):
        if self.by_id.pop(probe.id, None) is None:
            return
        first = probe.first
        if first is not None:
            state, reason, probe.detail, probe.icmp = "open", "syn-ack", "", None
            probe.tried, probe.ms, probe.source, probe.tls = first.tried, first.ms, first.source, first.tls
        simple = len(probe.steps) == len(probe.tried) and not probe.detail
        if simple and state == "filtered" and reason == "no-response":
            self.release(probe)
            times = [tried[2] for tried in probe.tried]
            attempts, steps = (",".join(form % ms for ms in times) for form in (SILENT_ATTEMPT, SILENT_STEP))
            self.out.append(SILENCE % (quoted(probe.id), attempts, steps))
            return
        told = {
            "op": "result",
            "id": probe.id,
            "state": state,
            "reason": reason,
            "attempts": probe.tried,
            "steps": probe.steps,
        }
        if probe.tried and probe.tried[-1][0] == "open" and reason == "reset":
            probe.tried[-1][1] = "reset"
        for name in ("ms", "icmp", "source", "detail", "tls", "http"):
            value = getattr(probe, name)
            if value:
                told[name] = value
        if probe.banner:
            told["banner"] = base64.b64encode(probe.banner).decode("ascii")
        if probe.address is not None and probe.connect[0] == probe.host and probe.address[0] != probe.host:
            told["peer"] = probe.address[0]
        self.release(probe)
        self.out.append(json.dumps(told, separators=(",", ":")))

    def release(self, probe):
        """Give back what a probe holds and let the next one of its host go."""
        probe.due = None
        self.close(probe)
        if probe.phase not in ("queued", "over"):
            self.under_way -= 1
            left = self.active[probe.host] = self.active[probe.host] - 1
            if not left:
                del self.active[probe.host]
            if self.held:
                queue = self.held.get(probe.host)
                if queue:
                    self.ready.append(queue.popleft())
                    if not queue:
                        del self.held[probe.host]
        probe.phase = "over"

    def close_later(self, probe):
        """Closing thousands of silent sockets takes the kernel longer than telling of them: that comes after."""
        self.dialed(probe)
        self.dying.append((probe.sock, probe.fd))
        self.by_fd.pop(probe.fd, None)
        probe.due = probe.sock = probe.fd = None

    def bury(self):
        for _ in range(min(len(self.dying), BURY_CHUNK)):
            sock, fd = self.dying.popleft()
            self.poller.forget(fd)
            sock.close()

    def dialed(self, probe):
        if probe.dialing:
            probe.dialing = False
            self.connecting -= 1

    def close(self, probe):
        probe.due = None
        if probe.dialing:
            self.dialed(probe)
        sock = probe.sock
        if sock is None:
            return
        if self.by_fd.pop(probe.fd, None) is not None:
            self.poller.forget(probe.fd)
        probe.sock = probe.fd = None
        try:
            sock.close()
        except OSError:
            pass


class Links(object):
    """The own links of this host, as far as they bear on a target: what vanishes on a dead one says nothing of it."""

    def __init__(self):
        self.sock = None
        self.states = {}  # link -> (when looked at, whether it is down, when it last moved)
        self.routes = {}  # target -> (when looked up, link, gateway)
        self.changes = {}  # link -> (carrier changes counted so far, when that last moved)
        self.own = set(own_addresses())
        for link in self.listed():
            self.changes[link] = (self.read(link, "carrier_changes"), -1.0)

    def listed(self):
        try:
            return [link for link in os.listdir("/sys/class/net") if link != "lo"]
        except OSError:
            return []

    def read(self, link, name):
        try:
            with open("/sys/class/net/%s/%s" % (link, name)) as file:
                return file.read().strip()
        except (OSError, IOError):
            return ""

    def of(self, target, now):
        """(link to a target, whether it is down, when its carrier was last seen to have moved)."""
        link = self.route(target, now)[1]
        if not link or link == "lo":
            return link, False, -1.0
        state = self.states.get(link)
        if state is None or now - state[0] > LINK_MEMORY:
            counted = self.read(link, "carrier_changes")
            known, moved = self.changes.get(link, (counted, -1.0))
            if counted != known:
                moved = now
            self.changes[link] = (counted, moved)
            state = self.states[link] = (now, self.read(link, "carrier") == "0", moved)
        return link, state[1], state[2]

    def has_dead_gateway(self, target, icmp):
        """Whether an error that we sent ourselves means that our gateway, not the target, is not there."""
        if icmp["source"] not in self.own:
            return False
        gateway = self.route(target, monotonic())[2]
        if not gateway or ":" in gateway:
            return bool(gateway)
        try:
            with open("/proc/net/arp") as table:
                entries = [line.split() for line in table]
        except (OSError, IOError):
            return False
        return not any(entry[0] == gateway and int(entry[2], 16) & 2 for entry in entries[1:] if len(entry) > 2)

    def route(self, target, now):
        known = self.routes.get(target)
        if known is None or now - known[0] > 1.0:
            if len(self.routes) > 4096:
                self.routes.clear()
            known = self.routes[target] = (now,) + self.ask(target.partition("%")[0])
        return known

    def ask(self, target):
        """(link, gateway) of the route to an address, empty where unknown. Layout: rtnetlink(7)."""
        try:
            if self.sock is None:
                self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
                self.sock.settimeout(0.2)
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            packed = socket.inet_pton(family, target)
            body = struct.pack("=BBBBBBBBI", family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
            body += struct.pack("=HH", 4 + len(packed), 1) + packed  # RTA_DST
            self.sock.send(struct.pack("=IHHII", 16 + len(body), 26, 1, 0, 0) + body)  # RTM_GETROUTE, NLM_F_REQUEST
            data = self.sock.recv(4096)
            link = gateway = ""
            if struct.unpack("=H", data[4:6])[0] != 24:  # RTM_NEWROUTE
                return "", ""
            place = 28
            while place + 4 <= len(data):
                length, kind = struct.unpack("=HH", data[place : place + 4])
                value = data[place + 4 : place + length]
                if kind == 4:  # RTA_OIF
                    link = socket.if_indextoname(struct.unpack("=I", value)[0])
                elif kind == 5:  # RTA_GATEWAY
                    gateway = socket.inet_ntop(family, value)
                place += max((length + 3) & ~3, 4)
            return link, gateway
        except (OSError, AttributeError, ValueError, struct.error):
            return "", ""


class Burst(object):
    """What is known of our own burst: open ports to check it with, and how many connects it may have."""

    def __init__(self):
        self.known = collections.OrderedDict()  # host -> (family, address)
        self.strikes = {}
        self.asking = []
        self.held = []  # silent probes that wait for what the control says
        self.window = IN_FLIGHT
        self.next = 0.0
        self.sent = 0
        self.choked = -1e9

    def note(self, probe):
        if probe.host in self.known:
            return
        self.known[probe.host] = (probe.family, probe.address)
        if len(self.known) > CONTROLS:
            self.known.popitem(last=False)


class Resolver(object):
    """Names, resolved in a few threads: getaddrinfo blocks."""

    def __init__(self):
        self.fd, self.wake = os.pipe()
        self.jobs = collections.deque()
        self.there = threading.Semaphore(0)
        self.done = collections.deque()
        for _ in range(RESOLVERS):
            thread = threading.Thread(target=self.work)
            thread.daemon = True
            thread.start()

    def ask(self, probe):
        self.jobs.append(probe)
        self.there.release()

    def work(self):
        while True:
            self.there.acquire()
            probe = self.jobs.popleft()
            addresses, error = [], ""
            try:
                host, port = probe.connect
                found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
                addresses = [(family, address) for family, _, _, _, address in found]
            except (OSError, UnicodeError) as failure:
                error = getattr(failure, "strerror", None) or str(failure)
            self.done.append((probe, addresses, error))
            os.write(self.wake, b".")

    def take(self):
        os.read(self.fd, 4096)
        while self.done:
            yield self.done.popleft()


def open_socket(family, kind):
    """A socket that does not block and is told of ICMP errors. The bare type: a third faster to make and to close."""
    sock = socket.SocketType(family, kind)
    if not NONBLOCK:
        sock.setblocking(False)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(41, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(0, IP_RECVERR, 1)
    except OSError:
        pass  # not Linux: the reason will be coarser
    return sock


def quoted(key):
    return '"%s"' % key if type(key) is str and key.isdigit() else json.dumps(key)


def told_icmp(icmp):
    return "ICMP type %(type)d code %(code)d from %(source)s" % icmp


def judge(code, icmp):
    """State and reason of a failed connect."""
    if icmp is not None:
        if icmp["family"] == 4:
            reason = ICMP4.get(icmp["code"], "host-unreach") if icmp["type"] == 3 else "time-exceeded"
        else:
            reason = ICMP6.get(icmp["code"], "host-unreach") if icmp["type"] == 1 else "time-exceeded"
        return "filtered", reason
    if code == ECONNREFUSED:
        return "closed", "conn-refused"
    if code == errno.ECONNRESET:
        return "open", "reset"
    if code == errno.EPERM:
        return "error", "permission"
    if code in UNREACHABLE and tells_icmp():
        return "error", "no-route"  # a hop's word stands in the queue; without one it is our own link that is gone
    if code in REMOTE_ERRORS:
        return "filtered", REMOTE_ERRORS[code]
    return "error", "resources"


def tells_icmp():
    """Whether the kernel notes ICMP errors of TCP for everybody: Linux 5.8 and later."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return tuple(int(part) for part in os.uname()[2].split("-")[0].split(".")[:2]) >= (5, 8)
    except ValueError:
        return False


def error_queue(sock):
    """The newest ICMP error of a socket, None if there is none. Layout: struct sock_extended_err, ip(7)."""
    found = None
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(1, 512, MSG_ERRQUEUE)
        except (OSError, AttributeError):
            return found
        for level, kind, data in ancillary:
            if (level, kind) not in ((0, IP_RECVERR), (41, IPV6_RECVERR)) or len(data) < 16:
                continue
            _, origin, icmp_type, icmp_code, _, _, _ = struct.unpack("=IBBBBII", data[:16])
            if origin in (2, 3):  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
                source = offender(data[16:])
                found = {"type": icmp_type, "code": icmp_code, "source": source, "family": 4 if origin == 2 else 6}


def offender(data):
    """Address in a struct sockaddr, as text."""
    if len(data) >= 8:
        family = struct.unpack("=H", data[:2])[0]
        if family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, data[4:8])
        if family == socket.AF_INET6 and len(data) >= 24:
            return socket.inet_ntop(socket.AF_INET6, data[8:24])
    return ""


def is_connected(sock):
    if TCP_INFO:
        return sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0] not in (SYN_SENT, CLOSED)
    try:
        sock.getpeername()
        return True
    except OSError:
        return False


def note(probe, way, kind):
    if way == "read" and int(kind) == CERTIFICATE_REQUEST and probe.tls and not probe.tls["client_certificate"]:
        probe.tls["client_certificate"] = "requested"


def addresses_of(place):
    """[(family, address)] of an IP literal, None for a name."""
    host, port = place
    if ":" in host:
        try:
            return [
                (family, address)
                for family, _, _, _, address in socket.getaddrinfo(
                    host, port, socket.AF_INET6, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST
                )
            ][:1]
        except OSError:
            return None
    try:
        socket.inet_aton(host)
    except OSError:
        return None
    return [(socket.AF_INET, (host, port))] if host.count(".") == 3 else None


def tls_context():
    """A context of its own for each connection: only so does its callback know whose message it sees."""
    context = ssl.SSLContext(getattr(ssl, "PROTOCOL_TLS_CLIENT", ssl.PROTOCOL_SSLv23))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # we look at who answers; whether to trust it is for the reader to say
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")  # old servers are the ones to find
    except ssl.SSLError:
        pass
    if hasattr(ssl, "TLSVersion"):
        try:
            context.minimum_version = ssl.TLSVersion.TLSv1
        except (ValueError, OSError):
            pass
    try:
        context.set_alpn_protocols(["http/1.1"])
    except NotImplementedError:
        pass
    return context


def no_tls():
    return {"version": "", "cipher": "", "alpn": "", "client_certificate": "", "alert": "", "der": ""}


def shaken_hands(told, sock):
    """Note what a handshake agreed on."""
    told["version"] = sock.version() or ""
    told["cipher"] = (sock.cipher() or ("",))[0]
    told["alpn"] = sock.selected_alpn_protocol() or ""
    told["der"] = base64.b64encode(sock.getpeercert(True) or b"").decode("ascii")


def why_no_tls(told, error):
    """Say how a handshake failed, and note the alert."""
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed by the peer after ClientHello"
    if isinstance(error, ssl.SSLError):
        note_alert(told, reason)
        return reason.replace("_", " ").lower() or str(error)
    if error.errno == errno.ECONNRESET:
        return "reset after ClientHello"
    return os.strerror(error.errno) if error.errno else "closed by the peer after ClientHello"


def note_alert(told, reason):
    if "ALERT" not in reason:
        return
    told["alert"] = reason.replace("_", " ").lower()
    wanted = any(alert in reason for alert in CERTIFICATE_ALERTS)
    sure = "CERTIFICATE_REQUIRED" in reason or "BAD_CERTIFICATE" in reason
    if sure or (wanted and told["client_certificate"]):
        told["client_certificate"] = "required"


def request_bytes(host, port, request, last):
    method, path, headers = request[:3]
    shown = "[%s]" % host if ":" in host else host
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: %s:%d" % (shown, port), "User-Agent: kubeshield"]
    if not any(name.lower() == "accept" for name, _ in headers):
        lines.append("Accept: */*")
    lines.extend("%s: %s" % pair for pair in headers)
    if method == "PUT":
        lines.append("Content-Length: 0")
    lines.append("Connection: %s" % ("close" if last else "keep-alive"))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def answer_of(request, data, ms):
    status, reason, headers, body = parse_answer(data)
    if not request[3]:
        body = b""
    return {
        "method": request[0], "path": request[1], "status": status, "reason": reason, "headers": headers,
        "body": base64.b64encode(body[:BODY_KEPT]).decode("ascii"), "ms": ms,
    }  # fmt: skip


def split_answer(data):
    head, mark, body = data.partition(b"\r\n\r\n")
    if not mark:
        head, mark, body = data.partition(b"\n\n")
    return head, bool(mark), body


def parse_answer(data):
    """Status, reason, headers and body of what came so far; status 0 where it is no HTTP."""
    head, _, body = split_answer(data[: HEADER_LIMIT + BODY_LIMIT])
    lines = head[:HEADER_LIMIT].decode("latin-1").splitlines() or [""]
    words = lines[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return 0, "", [], data[:BODY_KEPT]
    headers = [[part.strip()[:256] for part in line.split(":", 1)] for line in lines[1:40] if ":" in line]
    return int(words[1][:3]), words[2][:80] if len(words) > 2 else "", headers, body


def whole_answer(data, method, ended):
    """(the answer is whole, the connection can be used again)."""
    head, has_head, body = split_answer(data)
    if not has_head:
        return ended or len(data) > HEADER_LIMIT or (len(data) >= 5 and not data.startswith(b"HTTP/")), False
    status, _, headers, _ = parse_answer(data)
    named = {name.lower(): value.lower() for name, value in headers}
    keeps = named.get("connection") != "close" and head.startswith(b"HTTP/1.1")
    if status < 200 and status != 101:
        return ended, False
    if method == "HEAD" or status in (204, 304):
        return True, keeps
    if "chunked" in named.get("transfer-encoding", ""):
        return ended or body.endswith(b"0\r\n\r\n") or len(body) > BODY_LIMIT, keeps and body.endswith(b"0\r\n\r\n")
    if named.get("content-length", "").isdigit():
        length = int(named["content-length"])
        return ended or len(body) >= length or len(body) > BODY_LIMIT, keeps and len(body) == length
    return ended or len(body) > BODY_LIMIT, False


def since(begun):
    return round((monotonic() - begun) * 1000, 3)


def room():
    """How many sockets we may hold: the soft limit is raised to the hard one first."""
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass
        if soft == resource.RLIM_INFINITY:
            return IN_FLIGHT
        return max(min(IN_FLIGHT, soft - RESERVED_FDS), 1)
    except ImportError:
        return 256


def user():
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(getattr(os, "getuid", lambda: "")())


def own_addresses():
    """Addresses of this host, as the kernel lists them; without /proc, those that a route would use."""
    found = set()
    try:
        with open("/proc/net/fib_trie") as trie:
            last = ""
            for line in trie:
                if "|--" in line:
                    last = line.split("|--")[1].strip()
                elif "/32 host LOCAL" in line:
                    found.add(last)
    except (OSError, IOError):
        pass
    try:
        with open("/proc/net/if_inet6") as table:
            for line in table:
                found.add(socket.inet_ntop(socket.AF_INET6, bytes(bytearray.fromhex(line.split()[0]))))
    except (OSError, IOError, ValueError):
        pass
    if not found:
        for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
            try:
                with socket.socket(family, socket.SOCK_DGRAM) as sock:
                    sock.connect((target, 9))  # nothing is sent: UDP only looks up the route
                    found.add(sock.getsockname()[0])
            except OSError:
                pass
    return sorted(found)


if __name__ == "__main__":
    try:
        gc.set_threshold(50000)  # ten thousand probes are not garbage; looking through them costs more than all else
        warnings.simplefilter("ignore")  # old TLS is deprecated, and what we look for
        Agent().run()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
