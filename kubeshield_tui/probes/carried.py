#!/usr/bin/env python3
"""KubeShield's probes, to be carried to any machine with Python 3.6 or later. Nothing is installed and nothing is kept.

It shows what it would ask, asks after a yes, and writes one result file, which `kubeshield vantage import` reads.
"""

import argparse
import base64
import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
import zlib

AGENT = ""
JOB = ""
SCHEMA = "kubeshield/carried/v1"
BOOT = "import sys,base64,zlib;exec(zlib.decompress(base64.b64decode(sys.stdin.buffer.raw.readline())))"
SHOWN = 12
HELLO_SECONDS = 15.0
QUIET_SECONDS = 60.0  # without a word from the agent
TUNNELS = ("tun", "tap", "wg", "utun", "ppp", "ipsec", "tailscale", "zt", "nordlynx", "cscotun", "gpd")


class EndedError(Exception):
    """Nothing can be had; the text says why."""


def main():
    job = json.loads(zlib.decompress(base64.b64decode(JOB)).decode("utf-8"))
    options = arguments()
    targets = [target for line in job["lines"] for target in line["targets"]]
    announce(job, targets)
    if not options.yes and not agreed():
        return 2
    started = time.time()
    try:
        hello, results = run(job["lines"], len(targets))
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130
    except EndedError as error:
        print("Could not ask: %s" % error, file=sys.stderr)
        return 3
    table(targets, results)
    path = options.output or "kubeshield-result-%s-%s.json" % (
        "".join(c if c.isalnum() or c in "-." else "_" for c in socket.gethostname())[:40] or "host",
        time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
    )
    told = {
        "schema": SCHEMA,
        "job": hashlib.sha256(JOB.encode("ascii")).hexdigest(),
        "version": job["version"],
        "started": started,
        "ended": time.time(),
        "where": where(),
        "hello": hello,
        "results": [entry(target, results[target[0]]) for target in targets if target[0] in results],
    }
    try:
        write(path, json.dumps(told, separators=(",", ":")))
    except OSError as error:
        print("Can't write %s: %s" % (path, error.strerror), file=sys.stderr)
        return 3
    missing = len(targets) - len(told["results"])
    print("\n%d answers%s in %s" % (len(told["results"]), ", %d missing" % missing if missing else "", path))
    print("Carry it home and look at it:  kubeshield vantage import %s" % path)
    return 3 if missing else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yes", action="store_true", help="ask without a question")
    parser.add_argument("--output", metavar="FILE", help="result file (default: kubeshield-result-HOST-TIME.json)")
    return parser.parse_args()


def announce(job, targets):
    print("This asks %d targets from %s (%s)." % (len(targets), socket.gethostname(), ", ".join(addresses()) or "?"))
    print("TCP connects, a TLS handshake and at most two safe HTTP requests each; nothing is changed anywhere.")
    for target in targets[:SHOWN]:
        print("  %s" % place(target))
    if len(targets) > SHOWN:
        print("  ... and %d more" % (len(targets) - SHOWN))
    if tunnels():
        print("A tunnel seems to be up (%s): what is asked may go through it." % ", ".join(tunnels()))


def agreed():
    if not sys.stdin.isatty():
        print("No terminal to ask at; say --yes.", file=sys.stderr)
        return False
    try:
        return input("Ask them now? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def place(target):
    host = "[%s]" % target[1] if ":" in target[1] else target[1]
    return "%s:%d/%s" % (host, target[2], target[3])


def run(lines, count):
    """Run the agent as a child and take its answers: its hello, and {id: (time, result)}."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    watch = Watch(process)
    complaints = []
    reader = threading.Thread(target=lambda: complaints.append(process.stderr.read()))
    reader.daemon = True
    reader.start()
    try:
        process.stdin.write(AGENT.encode("ascii") + b"\n")
        process.stdin.flush()
        hello = watch.line(HELLO_SECONDS)
        if not hello or hello.get("op") != "hello":
            process.kill()
            reader.join(2)
            raise EndedError("no agent came up: %s" % b"".join(complaints).decode("utf-8", "replace")[-300:])
        writer = threading.Thread(target=feed, args=(process, lines))
        writer.daemon = True
        writer.start()
        results = {}
        while len(results) < count:
            told = watch.line(QUIET_SECONDS)
            if told is None:
                break
            if told.get("op") == "result":
                results[told.get("id")] = (time.time(), told)
                if sys.stderr.isatty():
                    sys.stderr.write("\r%d of %d answered" % (len(results), count))
        if sys.stderr.isatty():
            sys.stderr.write("\n")
        return hello, results
    finally:
        watch.stop()
        process.kill()
        process.wait()


def feed(process, lines):
    try:
        for line in lines:
            told = dict(line, targets=[target[:3] for target in line["targets"]])
            process.stdin.write(json.dumps(told, separators=(",", ":")).encode("utf-8") + b"\n")
            process.stdin.flush()
    except (OSError, ValueError):
        pass


class Watch(object):
    """Lines of a child, none of them waited for for ever."""

    def __init__(self, process):
        self.process = process
        self.timer = None

    def line(self, seconds):
        self.stop()
        self.timer = threading.Timer(seconds, self.process.kill)
        self.timer.daemon = True
        self.timer.start()
        data = self.process.stdout.readline()
        try:
            return json.loads(data.decode("utf-8")) if data else None
        except ValueError:
            return {}

    def stop(self):
        if self.timer is not None:
            self.timer.cancel()


def entry(target, answered):
    at, told = answered
    return {"host": target[1], "port": target[2], "protocol": target[3], "at": at, "told": told}


def table(targets, results):
    print("")
    width = min(max([len(place(target)) for target in targets] + [10]), 48)
    for target in targets[:200]:
        told = results.get(target[0], (0, {"state": "no answer", "reason": ""}))[1]
        time_text = "%.1f ms" % told["ms"] if isinstance(told.get("ms"), (int, float)) else ""
        print("%-*s  %-14s %-18s %s" % (width, place(target)[:width], told["state"], told["reason"], time_text))
    if len(targets) > 200:
        print("... and %d more in the file" % (len(targets) - 200))


def addresses():
    found = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.connect((target, 9))  # nothing is sent: UDP only looks up the route
                found.append(sock.getsockname()[0])
            finally:
                sock.close()
        except OSError:
            pass
    return found


def interfaces():
    try:
        return [name for _, name in socket.if_nameindex()]
    except (OSError, AttributeError):
        return []


def tunnels():
    up = []
    for name in interfaces():
        if name.lower().startswith(TUNNELS):
            try:
                with open("/sys/class/net/%s/operstate" % name) as state:
                    if state.read().strip() == "down":
                        continue
            except (OSError, IOError):
                pass
            up.append(name)
    return up


def routes():
    """Destinations of this machine's IPv4 routes, as Linux lists them."""
    found = []
    try:
        with open("/proc/net/route") as table:
            for line in list(table)[1:200]:
                name, destination, gateway, _, _, _, _, mask = line.split()[:8]
                found.append([address_of(destination), address_of(mask), address_of(gateway), name])
    except (OSError, IOError, ValueError):
        pass
    return found


def address_of(text):
    return socket.inet_ntoa(int(text, 16).to_bytes(4, "little"))


def where():
    return {
        "host_name": socket.gethostname(),
        "system": platform.platform()[:120],
        "python": platform.python_version(),
        "addresses": addresses(),
        "interfaces": interfaces()[:100],
        "tunnels": tunnels(),
        "routes": routes(),
    }


def write(path, text):
    """Write a file whole or not at all, for its owner only."""
    part = "%s.part-%d" % (path, os.getpid())
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


if __name__ == "__main__":
    sys.exit(main())
