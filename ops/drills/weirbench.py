"""The figures of ops/bench: Weir's data plane against nginx as a plain keep-alive reverse proxy, same upstream, same machine, one run."""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import re
import resource
import secrets
import sqlite3
import statistics
import subprocess
import sys
import time
import zlib

import benchhttp2
from weirlab import LOOPBACK, Lab, LabError, free_port, http, progress, wait_for
from weirload import chat
from weirnginx import NGINX
from weirsigned import Ed25519, Requests, base58, write

PLAIN = "sim-in120-out40"
# Each chunk is a write of its own, as a model's tokens are; the last figure is of one that comes in one piece.
STREAM = "sim-chunks64-burst1"
STREAM_WHOLE = "sim-chunks64"
OPEN = "sim-chunks600-pace200ms"
CONNECTIONS = 64

SERVERS = """
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://provider; }} }}
    server {{ listen 127.0.0.1:{stream_port}; location / {{ proxy_pass http://provider; proxy_buffering off; }} }}
"""

WRK = """
local keys = {{}}
for line in io.lines("{keys}") do keys[#keys + 1] = line end
local bodies = {{ [[{body}]] }}
local requests = {{}}
init = function()
    for i = 1, #keys do
        requests[i] = wrk.format("POST", "{path}",
            {{ ["Authorization"] = "Bearer " .. keys[i], ["Content-Type"] = "application/json", ["anthropic-version"] = "2023-06-01" }}, bodies[1])
    end
    math.randomseed({seed})
end
request = function() return requests[math.random(#requests)] end
done = function(summary, latency, requests)
    io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
        latency:percentile(99), summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


# APIs: where a request goes, and what it says.
def messages(model, stream):
    return {**chat(model, stream), "max_tokens": 64}


CHAT, MESSAGES = ("/v1/chat/completions", chat), ("/v1/messages", messages)


def processor_seconds(*pids):
    """(of the event loops' threads, of all others), since these processes began. Wall time on shared cores is noise; this is not."""
    loops = rest = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/stat") as stat:
                    name, fields = stat.read().partition("(")[2].rsplit(")", 1)
            except OSError:
                continue  # A thread that ended.
            ticks = sum(map(int, fields.split()[11:13]))
            if name.startswith("NIO-ELT"):
                loops += ticks
            else:
                rest += ticks
    return loops / os.sysconf("SC_CLK_TCK"), rest / os.sysconf("SC_CLK_TCK")


class Meter:
    """Processor microseconds of some processes between its making and `per`."""

    def __init__(self, *pids):
        self.pids = pids
        self.before = processor_seconds(*pids)

    def per(self, count):
        """(loops, rest) for each of `count`."""
        return tuple((now - then) * 1e6 / max(1, count) for now, then in zip(processor_seconds(*self.pids), self.before))


class Bench:
    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.rows = []
        self.nginx = None
        self.nginx_port = free_port()
        self.nginx_stream_port = free_port()

    # Programs

    def start_nginx(self):
        servers = SERVERS.format(port=self.nginx_port, stream_port=self.nginx_stream_port)
        self.nginx = NGINX(f"{self.lab.folder}/nginx", self.lab.simulator.port, servers)
        wait_for("nginx", lambda: http("GET", f"http://{LOOPBACK}:{self.nginx_port}/v1/models")[0] == 200)

    def stop_nginx(self):
        if self.nginx:
            self.nginx.stop()

    # Measuring

    def measured(self, pids, *arguments, **more):
        """What `wrk` says, and the processor time a request: (loops, rest)."""
        meter = Meter(*pids)
        rate, p50, p99 = self.wrk(*arguments, **more)
        return rate, p50, p99, meter.per(rate * self.options.seconds)

    def wrk(self, port, model, seconds, keys=None, stream=False, api=CHAT):
        """(requests a second, p50 µs, p99 µs); complains about errors."""
        path, make = api
        folder = self.lab.folder
        with open(f"{folder}/wrk.keys", "w") as file:
            file.write("\n".join(keys or [self.lab.key]) + "\n")
        with open(f"{folder}/wrk.lua", "w") as file:
            file.write(WRK.format(keys=f"{folder}/wrk.keys", path=path, body=json.dumps(make(model, stream)), seed=self.options.seed))
        done = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--timeout", "10", "-s", f"{folder}/wrk.lua", f"http://{LOOPBACK}:{port}/"],
            capture_output=True, text=True, check=False)
        found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
        if not found:
            raise LabError(f"wrk: {done.stdout}{done.stderr}")
        requests, micros, p50, p99, bad, broken = map(int, found.groups())
        if bad or broken or not requests:
            raise LabError(f"wrk against port {port}: {requests} requests, {bad} error statuses, {broken} broken connections")
        return requests / (micros / 1e6), p50, p99

    def load(self, port, model, rate, seconds, connections=CONNECTIONS, stream=False):
        return self.generate(
            port, "/v1/chat/completions", "--rate", str(rate), "--connections", str(connections), "--seconds", str(seconds), "--warmup", "1",
            "--header", f"Authorization: Bearer {self.lab.key}", "--body", json.dumps(chat(model, stream)))

    def generate(self, port, path, *options):
        """What the load generator counted, where all was answered with 200."""
        done = subprocess.run(
            [f"{self.lab.bin}/weir-simulator", "load", "--url", f"http://{LOOPBACK}:{port}{path}", "--json", *options],
            capture_output=True, text=True, check=True)
        result = json.loads(done.stdout)
        if set(result["statuses"]) != {"200"} or result["failures"] or result["timeouts"]:
            raise LabError(f"load against port {port}: {done.stdout}")
        return result

    def cpu_seconds(self):
        return sum(processor_seconds(self.lab.data_planes[-1].pid))

    # The table

    def row(self, figure, measured, target="", holds=None):
        self.rows.append((figure, measured, target, "" if holds is None else "met" if holds else "MISSED"))
        progress(f"{figure}: {measured}")

    def compare(self, what, model, nginx_port, stream):
        """Rounds of both in turn; the ratio is the median of the rounds' ratios, since a machine drifts."""
        plane = self.lab.data_planes[0]
        weir_port = plane.port
        options = self.options
        self.wrk(nginx_port, model, options.warm, stream=stream)
        self.wrk(weir_port, model, options.warm, stream=stream)
        pairs = []
        for _ in range(options.rounds):
            nginx = self.measured(self.nginx.pids, nginx_port, model, options.seconds, stream=stream)
            weir = self.measured([plane.pid], weir_port, model, options.seconds, stream=stream)
            pairs.append((nginx, weir))
        rate = statistics.median(weir[0] / nginx[0] for nginx, weir in pairs)
        tail = statistics.median(weir[2] / nginx[2] for nginx, weir in pairs)
        unit = "streams/s" if stream else "requests/s"
        self.row(f"{what}: nginx, {unit}", f"{statistics.median(n[0] for n, _ in pairs):,.0f}")
        self.row(f"{what}: weir, {unit}", f"{statistics.median(w[0] for _, w in pairs):,.0f}")
        least = 0.8 if stream else 0.9
        self.row(f"{what}: weir / nginx", f"{rate:.2f}", f">= {least:.2f}", rate >= least)
        p99s = f"{statistics.median(w[2] for _, w in pairs) / 1000:.2f} / {statistics.median(n[2] for n, _ in pairs) / 1000:.2f} ms"
        self.row(f"{what}: p99 weir / nginx", f"{tail:.2f} ({p99s})", "" if stream else "<= 1.30", None if stream else tail <= 1.3)
        other = statistics.median(sum(n[3]) for n, _ in pairs)
        loops, rest = (statistics.median(w[3][part] for _, w in pairs) for part in (0, 1))
        self.row(f"{what}: processor time a request: nginx; weir's loops + rest", f"{other:.1f}; {loops:.1f} + {rest:.1f} µs")

    def translations(self):
        """Each API's clients on models that speak the other one; nginx passes on what the provider speaks. No control plane is running."""
        lab, plane = self.lab, self.lab.data_planes[0]
        base = f"http://{LOOPBACK}:{lab.simulator.port}"
        makers = {"chat completions": (CHAT, {"kind": "openai", "base_url": base + "/v1", "apis": ["chat"], "auth": {"scheme": "bearer"}}),
                  "Messages": (MESSAGES, {"kind": "anthropic", "base_url": base, "auth": {"scheme": "header", "header": "x-api-key"}})}
        models = {"non-streaming": (PLAIN, False), "64-chunk streams": (STREAM, True), "64 chunks in one piece": (STREAM_WHOLE, True)}
        for name, (_, provider) in makers.items():
            endpoint = lab.create_endpoint_of(name, **provider)
            for model, _ in models.values():
                lab.create_model(f"{name[:4].lower()}-{model}", endpoints=[(endpoint, model, 1)], capabilities=("chat",))
        lab.roll_out()
        lab.wait_serving(f"mess-{STREAM_WHOLE}")
        self.settle()
        lab.control.stop()
        for caller, provider in (("Messages", "chat completions"), ("chat completions", "Messages")):
            for what, (model, stream) in models.items():
                port = self.nginx_stream_port if stream else self.nginx_port
                own = f"{provider[:4].lower()}-{model}"
                pairs = []
                for round_number in range(self.options.rounds + 1):
                    seconds = self.options.seconds if round_number else 1
                    nginx = self.wrk(port, model, seconds, stream=stream, api=makers[provider][0])
                    meter = Meter(plane.pid)
                    weir = self.wrk(plane.port, own, seconds, stream=stream, api=makers[caller][0])
                    if round_number:
                        pairs.append((nginx, weir, meter.per(weir[0] * seconds)))
                rate = statistics.median(weir[0] / nginx[0] for nginx, weir, _ in pairs)
                rates = " / ".join(f"{statistics.median(pair[side][0] for pair in pairs):,.0f}" for side in (1, 0))
                cost = " + ".join(f"{statistics.median(pair[2][part] for pair in pairs):.1f}" for part in (0, 1))
                self.row(f"{caller} on {provider}, {what}: weir / nginx", f"{rate:.2f} ({rates}; {cost} µs)", ">= 0.30", rate >= 0.3)
        lab.control.start()
        lab.control.wait_ready(60)

    def settle(self):
        """Until all usage is stored: what is still shipped would take its processor time from whoever is measured next."""
        plane = self.lab.data_planes[0]
        wait_for("the data plane to ship its usage", lambda: self.lab.outbox_empty(plane), 600, every=0.2)

    def comparisons(self, groups):
        """Without a control plane: it belongs on another machine, and on this one it would store usage on the same processors, even for
        a while after the load, in nginx's turn. The data plane does everything else, its journal and its outbox included."""
        control, plane = self.lab.control, self.lab.data_planes[0]
        self.settle()
        before = plane.metrics()["weir_proxy_usage_completions_total"]
        control.stop()
        if "plain" in groups:
            self.compare("non-streaming", PLAIN, self.nginx_port, False)
        if "streams" in groups:
            self.compare("64-chunk streams", STREAM, self.nginx_stream_port, True)
            self.compare("64 chunks in one piece", STREAM_WHOLE, self.nginx_stream_port, True)
        if "rate" in groups:
            self.fixed_rate()
        control.start()
        control.wait_ready(60)
        begun = time.monotonic()
        shipping, storing = Meter(plane.pid), Meter(control.pid)
        self.settle()
        took = time.monotonic() - begun
        records = int(plane.metrics()["weir_proxy_usage_completions_total"] - before)
        self.row("processor time a record: shipped by the data plane, stored by the control plane",
                 f"{sum(shipping.per(records)):.1f} and {sum(storing.per(records)):.1f} µs")
        self.row("the usage of all that, stored by a control plane after", f"{took:.0f} s ({records:,} records, {records / took:,.0f}/s)")
        if "plain" in groups:
            before, data, store = plane.metrics()["weir_proxy_usage_completions_total"], Meter(plane.pid), Meter(control.pid)
            rates = [self.wrk(plane.port, PLAIN, self.options.seconds)[0] for _ in range(self.options.rounds)]
            self.row("non-streaming: weir, its control plane storing on the same cores", f"{statistics.median(rates):,.0f}")
            self.settle()
            count = plane.metrics()["weir_proxy_usage_completions_total"] - before
            loops, rest = data.per(count)
            self.row("  processor time a request: loops, settlement on the data plane, storing",
                     f"{loops:.1f}, {rest:.1f} and {sum(store.per(count)):.1f} µs", "settlement <= 5 µs", rest <= 5)
        if "rate" in groups:
            runs = [self.load(plane.port, PLAIN, 2000, self.options.seconds)["latency"] for _ in range(self.options.rounds)]
            p50, p99 = (statistics.median(run[point] for run in runs) / 1000 for point in ("p50_us", "p99_us"))
            self.row("2,000 requests/s: p50 and p99, its control plane on the same cores", f"{p50:.3f} and {p99:.3f} ms, nothing deducted")

    def fixed_rate(self):
        options = self.options
        direct_runs, weir_runs, nginx_runs = [], [], []
        for _ in range(options.rounds):
            direct_runs.append(self.load(self.lab.simulator.port, PLAIN, 2000, options.seconds))
            weir_runs.append(self.load(self.lab.data_planes[0].port, PLAIN, 2000, options.seconds))
            nginx_runs.append(self.load(self.nginx_port, PLAIN, 2000, options.seconds))

        def middle(runs, point):
            return statistics.median(run["latency"][point] for run in runs) / 1000
        for point, name, limit in [("p50_us", "p50", 0.2), ("p99_us", "p99", 1.0)]:
            direct = middle(direct_runs, point)
            added = middle(weir_runs, point) - direct
            other = middle(nginx_runs, point) - direct
            self.row(f"2,000 requests/s: {name} added by weir (nginx)", f"{added:.3f} ms ({other:.3f} ms; direct {direct:.3f} ms)",
                     f"<= {limit} ms", added <= limit)

    # Ways to prove who calls

    def proofs(self):
        """Each way with everything on (nonces in the journal and the outbox included), in turn; the costs are the data plane's processor time, whose
        ratios a busy machine spoils least. What is signed is signed ahead."""
        lab, plane = self.lab, self.lab.data_planes[0]
        requests = Requests(f"{LOOPBACK}:{plane.port}", json.dumps(chat(PLAIN)).encode())
        lab.admin.post("/users", {"tenant_id": lab.tenant_id, "oid": "bench", "email": "bench@example.org", "payment_valid_until": "2099-12-31T00:00:00Z"})
        app = lab.admin.post("/apps?owner_id=bench", {"app_id": "bench", "name": "Bench"})
        signing = lab.admin.post("/signing-secrets", {"key_id": lab.key_id})
        signer = Ed25519()
        lab.admin.post("/dids", {"tenant_id": lab.tenant_id, "did": signer.did})
        ways = {
            "virtual key": requests.key(lab.key), "app secret": requests.app("bench", app["secret"], "bench"),
            "HMAC": requests.hmac(lab.key_id, signing["secret"]), "DID, Ed25519": requests.did(signer),
            "RFC 9421, Ed25519": requests.message(signer)}
        for way, make in ways.items():
            wait_for(f"the data plane to take a {way}", lambda make=make: self.sent_once(make, 5), 60)
        costs = {way: [] for way in ways}
        for round_number in range(self.options.rounds + 1):
            for way, make in ways.items():
                write(f"{lab.folder}/requests", make, self.options.proofs if round_number else 2000)
                meter, before = Meter(plane.pid), plane.metrics()["weir_proxy_usage_completions_total"]
                rate = self.sent_once(None, 60)
                self.fold()
                cost = meter.per(plane.metrics()["weir_proxy_usage_completions_total"] - before)
                if round_number:
                    costs[way].append((rate, *cost))
        for way, found in costs.items():
            rate, loops, rest = (statistics.median(column) for column in zip(*found))
            ratio = statistics.median(sum(this[1:]) / sum(key[1:]) for this, key in zip(found, costs["virtual key"]))
            cores = 1e6 / (loops + rest)
            target, holds = {
                "app secret": ("<= 1.05", ratio <= 1.05), "HMAC": ("<= 1.05", ratio <= 1.05),
                "DID, Ed25519": (">= 8,000 a core", cores >= 8000)}.get(way, ("", None))
            self.row(f"{way}: processor time a request (loops + rest); that of a virtual key's; requests/s of one core, and as sent",
                     f"{loops:.1f} + {rest:.1f} µs; {ratio:.2f}; {cores:,.0f}, {rate:,.0f}", target, holds)

    def sent_once(self, make, seconds):
        """Sends what stands in the file of requests, or one; answers requests a second."""
        file = f"{self.lab.folder}/requests"
        if make:
            write(file, make, 1)
        return self.generate(
            self.lab.data_planes[0].port, "/", "--requests", file, "--connections", str(1 if make else CONNECTIONS), "--seconds", str(seconds),
            "--warmup", "0")["requests_per_second"]

    def fold(self):
        """Until all that was recorded stands in the outbox: it is part of a request's cost."""
        plane = self.lab.data_planes[0]

        def folded():
            metrics = plane.metrics()
            return metrics["weir_proxy_usage_folded_records_total"] >= metrics["weir_proxy_usage_completions_total"]
        wait_for("the data plane to fold its journal", folded, 60, every=0.1)

    def cost_per_request(self, keys):
        """CPU microseconds of the data plane's process a request; wall time on a shared machine is noise."""
        before = self.cpu_seconds()
        rate, _, _ = self.wrk(self.lab.data_planes[-1].port, PLAIN, self.options.seconds, keys=keys)
        return (self.cpu_seconds() - before) * 1e6 / (rate * self.options.seconds)

    def memory(self):
        return self.lab.data_planes[-1].resident_megabytes()


class Revision:
    """A Weir of some revision, started by that revision's scripts."""

    def __init__(self, name, programs, drills, models):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "benchhost.py")
        self.host = subprocess.Popen(
            [sys.executable, script, drills, name, *models], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "WEIR_BIN": programs})
        line = self.host.stdout.readline()
        if not line:
            raise LabError(f"{name} did not start: {programs}")
        found = json.loads(line)
        self.port, self.key, self.pid = found["port"], found["key"], found["data_plane"]

    def tell(self, command):
        self.host.stdin.write(command + "\n")
        self.host.stdin.flush()
        answer = self.host.stdout.readline()
        if not answer:
            raise LabError(f"{command}: no answer")
        return int(answer)

    def stop(self):
        self.host.stdin.close()
        self.host.wait(60)


def against(options):
    """This revision and another, in turn: requests a second and processor time a request. Their control planes are stopped meanwhile."""
    models = [PLAIN, STREAM, STREAM_WHOLE]
    drills = os.path.dirname(os.path.abspath(__file__))
    with Lab("against") as lab:
        bench = Bench(lab, options)
        sides = []
        try:
            sides.append(Revision("this", lab.bin, drills, models))
            sides.append(Revision("other", options.against_programs, options.against_drills, models))
            for side in sides:
                side.tell("settle")
                side.tell("pause")
            for what, model, stream in [("non-streaming", PLAIN, False), ("64-chunk streams", STREAM, True),
                                        ("64 chunks in one piece", STREAM_WHOLE, True)]:
                for side in sides:
                    bench.wrk(side.port, model, options.warm, keys=[side.key], stream=stream)
                pairs = []
                for _ in range(options.rounds):
                    pairs.append([bench.measured([side.pid], side.port, model, options.seconds, keys=[side.key], stream=stream)
                                  for side in sides])
                rate = statistics.median(this[0] / other[0] for this, other in pairs)
                cost = statistics.median(sum(other[3]) / max(0.01, sum(this[3])) for this, other in pairs)
                rates = " / ".join(f"{statistics.median(pair[side][0] for pair in pairs):,.0f}" for side in (0, 1))
                costs = " / ".join("{:.1f} + {:.1f}".format(*(statistics.median(pair[side][3][part] for pair in pairs) for part in (0, 1)))
                                   for side in (0, 1))
                bench.row(f"{what}: requests/s, this / {options.against}", f"{rate:.2f} ({rates})", ">= 0.97", rate >= 0.97)
                bench.row(f"{what}: processor time, {options.against} / this (loops + rest)", f"{cost:.2f} (this {costs} µs)", ">= 0.97",
                          cost >= 0.97)
            for side, name in zip(sides, ("this", options.against)):
                before = processor_seconds(side.pid)
                control = side.tell("resume")
                store = Meter(control)
                side.tell("settle")
                spent = sum(processor_seconds(side.pid)) - sum(before)
                bench.row(f"shipping and storing all that, {name}", f"{spent:.1f} and {sum(store.per(1)) / 1e6:.1f} s of processor time")
        finally:
            for side in sides:
                side.stop()
        return bench.rows


def identifier(prefix):
    return prefix + base64.b32encode(secrets.token_bytes(10)).decode().lower()


def virtual_key():
    """(id, plaintext, SHA-256) as VirtualKeyText makes them."""
    suffix = identifier("")
    body = f"weir_{suffix}_" + base64.b32encode(secrets.token_bytes(32)).decode().lower().rstrip("=")
    checksum = base64.b32encode(zlib.crc32(body.encode()).to_bytes(4, "big")).decode().lower().rstrip("=")
    text = body + checksum
    return f"key_{suffix}", text, hashlib.sha256(text.encode()).digest()


def add_keys(lab, count, keep=5000, dids_too=0):
    """Writes keys (and DIDs) straight into the stopped control plane's database; a million through the API is not what is measured here."""
    lab.control.stop()
    kept = []
    database = sqlite3.connect(f"{lab.control.data}/weir.db", isolation_level=None)
    now = int(time.time() * 1000)
    # Their ids are random: without room for the whole index each row would be a write of its own.
    database.execute("PRAGMA cache_size = -500000")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    revision = database.execute("UPDATE counters SET value = value + 1 WHERE name = 'directory' RETURNING value").fetchone()[0]
    chunk = []
    for number in range(count):
        if number < keep:
            identifier, text, digest = virtual_key()
            kept.append(text)
        else:
            # Nobody will ask with these: what they are the digest of is not needed.
            identifier, digest = identifier("key_"), secrets.token_bytes(32)
        chunk.append((identifier, lab.project_id, lab.tenant_id, "bench", digest, "[]", "[]", "[]", "{}", 1, now, now, revision))
        if len(chunk) == 10_000 or number == count - 1:
            database.executemany(
                "INSERT INTO virtual_keys (id, project_id, tenant_id, name, sha256, models, capabilities, channels, tags, revision, "
                "created_at, updated_at, directory_revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", chunk)
            chunk = []
    dids = []
    for _ in range(dids_too):
        key = secrets.token_bytes(32)
        dids.append((identifier("did_"), lab.tenant_id, "did:key:z" + base58(b"\xed\x01" + key), "active",
                     hashlib.sha256(b"\x01" + key).digest(), 1, now, now, revision))
    database.executemany(
        "INSERT INTO dids (id, tenant_id, did, status, fingerprint, revision, created_at, updated_at, directory_revision) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", dids)
    database.execute("COMMIT")
    database.close()
    lab.control.start()
    lab.control.wait_ready(300)
    return kept


def wait_for_keys(lab, plane, count, seconds):
    def has_them():
        held = plane.health()[1]["directory"]["keys"]
        if held < count:
            raise LabError(f"{held} of {count} keys")
        return True
    wait_for(f"the data plane to hold {count:,} keys", has_them, seconds, every=0.5)


class OpenStreams:
    """Callers that hold streams open, in this process."""

    def __init__(self, port, key, count):
        self.port, self.key, self.count = port, key, count

    async def hold(self, measure):
        body = json.dumps(chat(OPEN, stream=True)).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: {LOOPBACK}\r\nauthorization: Bearer {self.key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n").encode()
        gate = asyncio.Semaphore(100)
        writers, readers = [], []

        async def one():
            async with gate:
                reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
                writer.write(head + body)
                if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
                    raise LabError("a stream was refused")
            writers.append(writer)
            readers.append(asyncio.ensure_future(self.swallow(reader)))
        await asyncio.gather(*(one() for _ in range(self.count)))
        await asyncio.sleep(5)
        found = measure()
        for reader in readers:
            reader.cancel()
        for writer in writers:
            writer.transport.abort()
        return found

    @staticmethod
    async def swallow(reader):
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass


def all_limits(options):
    """The same request with nobody limited, and with five levels of limits and three budgets that it counts in. Two whole labs in turn, their
    control planes at work: what budgets may spend comes from there."""
    arguments = {"models": [PLAIN], "simulator": ["--ledger", "off"], "data_plane": ["--loops", "2", "--log-level", "warning"]}
    with Lab("bench-free") as free, Lab("bench-limited") as limited:
        free.up(**arguments)
        limited.up(**arguments)
        plane = limited.data_planes[0]

        def known(make, *more):
            before = plane.health()[1]["directory"]["version"]
            made = limited.admin.post(*more, make)
            wait_for("the data plane to hear of it", lambda: plane.health()[1]["directory"]["version"] > before)
            return made
        for level, measure in [("global", "requests"), ("tenant", "tokens"), ("project", "requests"), ("key", "concurrent"), ("ip", "requests")]:
            known({"name": level, "level": level, "measure": measure, "amount": 10**9, "window_seconds": 60}, "/limits")
        for level in ({}, {"project_id": limited.project_id}, {"key_id": limited.key_id}):
            known({"tenant_id": limited.tenant_id, "name": f"budget {len(level) and list(level)[0]}", "limit": "1000000", "period": "monthly",
                   **level}, "/budgets")
        benches = [Bench(limited, options), Bench(free, options)]
        for bench in benches:
            bench.wrk(bench.lab.data_planes[0].port, PLAIN, options.warm)
        pairs = []
        for _ in range(options.rounds):
            pair = []
            for bench in benches:
                bench.settle()
                one = bench.lab.data_planes[0]
                pair.append(bench.measured([one.pid], one.port, PLAIN, options.seconds))
            pairs.append(pair)
        rate = statistics.median(limit[0] / none[0] for limit, none in pairs)
        rates, costs = (" / ".join(text(pairs, side) for side in (0, 1)) for text in (
            lambda pairs, side: f"{statistics.median(pair[side][0] for pair in pairs):,.0f}",
            lambda pairs, side: " + ".join(f"{statistics.median(pair[side][3][part] for pair in pairs):.1f}" for part in (0, 1))))
        benches[0].row("limits of five levels and three budgets: requests/s, with / without", f"{rate:.2f} ({rates})", ">= 0.90", rate >= 0.9)
        cost = statistics.median(sum(none[3]) / sum(limit[3]) for limit, none in pairs)
        benches[0].row("  processor time, without / with (with, without: loops + rest)", f"{cost:.2f} ({costs} µs)")
        for lab in (free, limited):
            for line in lab.traps():
                raise LabError(line)
        return benches[0].rows


def directory_size(options):
    """The same request with few and with very many keys in the directory, each request with another key. Two whole labs, measured in
    turn: a machine drifts by more than the difference that is looked for."""
    arguments = {"models": [PLAIN], "simulator": ["--ledger", "off"], "data_plane": ["--loops", "2", "--log-level", "warning"]}
    with Lab("bench-few") as small, Lab("bench-many") as large:
        small.up(**arguments)
        few = [small.create_key()["key"] for _ in range(99)] + [small.key]
        wait_for_keys(small, small.data_planes[0], 100, 60)
        large.up(**arguments)
        few_bench, many_bench = Bench(small, options), Bench(large, options)
        dids = options.keys // 10
        progress(f"writing {options.keys - 1:,} keys and {dids:,} DIDs")
        kept = add_keys(large, options.keys - 1, dids_too=dids)
        begun = time.monotonic()
        wait_for_keys(large, large.data_planes[0], options.keys, 900)
        many_bench.row(f"{options.keys:,} keys reached the data plane after", f"{time.monotonic() - begun:.1f} s")
        # As many different keys as in the small directory, so that wrk and the caches do the same; then many more of them.
        some = random.Random(options.seed).sample(kept, min(100, len(kept)))
        for bench, keys in ((few_bench, few), (many_bench, some)):
            bench.wrk(bench.lab.data_planes[0].port, PLAIN, options.warm, keys=keys)
        costs = []
        for _ in range(options.rounds):
            costs.append((few_bench.cost_per_request(few), many_bench.cost_per_request(some), many_bench.cost_per_request(kept)))
        ratio = statistics.median(many / cheap for cheap, many, _ in costs)
        spread = statistics.median(cold / cheap for cheap, _, cold in costs)
        many_bench.row("CPU a request with 100 keys", f"{statistics.median(c[0] for c in costs):.1f} µs")
        many_bench.row(f"CPU a request with {options.keys:,} keys / with 100", f"{ratio:.2f}", "0.90 to 1.10", ratio <= 1.1)
        many_bench.row(f"  the same, {len(kept):,} keys in turn (cold caches)", f"{spread:.2f}")
        many_bench.row(f"memory with {options.keys:,} keys and {dids:,} DIDs", f"{many_bench.memory():.0f} MB")
        for how, took in boots(large, kept[0], 3):
            many_bench.row(f"boot from disk with {options.keys:,} keys and {dids:,} DIDs, control plane away, {how}", f"{took:.2f} s", "<= 3 s", took <= 3)
        return many_bench.rows


def boots(lab, key, rounds):
    """Seconds from the start of a data plane's process to its first answer to a caller, after it had stopped and after it was killed."""
    plane = lab.data_planes[0]
    lab.control.stop()
    for how, end in (("stopped", plane.stop), ("killed", plane.kill9)):
        times = []
        for _ in range(rounds):
            end()
            begun = time.monotonic()
            plane.start()
            lab.wait_serving(PLAIN, key=key)
            times.append(time.monotonic() - begun)
        yield how, statistics.median(times)


def memory_figures(options):
    """In a lab of its own: memory that earlier load had grown would count."""
    with Lab("bench-memory") as lab:
        lab.up(models=[PLAIN, OPEN], simulator=["--ledger", "off"], data_plane=["--loops", "2", "--log-level", "warning"])
        bench = Bench(lab, options)
        time.sleep(3)
        idle = bench.memory()
        bench.row("memory idle", f"{idle:.0f} MB", "<= 60 MB", idle <= 60)
        count = 100_000 if not options.quick else 2000
        add_keys(lab, count - 1)
        wait_for_keys(lab, lab.data_planes[0], count, 300)
        streams = 1000 if not options.quick else 50
        used = asyncio.run(OpenStreams(lab.data_planes[0].port, lab.key, streams).hold(bench.memory))
        bench.row(f"memory with {count:,} keys and {streams:,} open streams", f"{used:.0f} MB", "<= 120 MB", used <= 120)
        return bench.rows


def print_table(rows, options):
    heads = ("figure", "measured", "target", "verdict")
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(4)]
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    other = options.against or "nginx"
    print(f"\nWeir beside {other}: {os.cpu_count()} × {cpu}, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s"
          + (", quick: proves nothing" if options.quick else "") + "\n")
    for row in [heads, tuple("-" * width for width in widths), *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    missed = sum(1 for row in rows if row[3] == "MISSED")
    print(f"\n{sum(1 for row in rows if row[3] == 'met')} targets met, {missed} missed", flush=True)
    return missed


def main():
    parser = argparse.ArgumentParser(prog="ops/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; missed targets are no failure")
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=1_000_000, help="in the large directory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["plain", "streams", "rate", "translations", "proofs", "limits", "http2", "keys", "memory"], help="one group of figures")
    parser.add_argument("--against", metavar="REVISION", help="this revision beside another one, which is built first, and nothing else")
    options = parser.parse_args()
    options.against_programs, options.against_drills = os.environ.get("WEIR_AGAINST_BIN"), os.environ.get("WEIR_AGAINST_DRILLS")
    options.warm, options.proofs = 3, 30_000
    if options.quick:
        options.seconds, options.rounds, options.warm, options.keys = 1, 1, 1, min(options.keys, 2000)
        options.proofs = 2000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def wants(group):
        return options.only in (None, group)
    rows = []
    if options.against:
        sys.exit(1 if print_table(against(options), options) and not options.quick else 0)
    if wants("memory"):
        rows += memory_figures(options)
    if wants("proofs"):
        with Lab("bench-proofs") as lab:
            lab.up(models=[PLAIN], simulator=["--ledger", "off"], data_plane=["--loops", "2", "--log-level", "warning"])
            bench = Bench(lab, options)
            bench.proofs()
            rows += bench.rows
    if wants("limits"):
        rows += all_limits(options)
    if wants("http2"):
        rows += benchhttp2.figures(options, lambda lab: Bench(lab, options), Meter, [
            ("non-streaming", PLAIN, False), ("64-chunk streams", STREAM, True), ("64 chunks in one piece", STREAM_WHOLE, True)])
    if options.only not in ("memory", "keys", "proofs", "limits", "http2"):
        with Lab("bench") as lab:
            lab.up(models=[PLAIN, STREAM, STREAM_WHOLE], simulator=["--ledger", "off"], data_plane=["--loops", "2", "--log-level", "warning"])
            bench = Bench(lab, options)
            try:
                bench.start_nginx()
                if options.only != "translations":
                    bench.comparisons([group for group in ("plain", "streams", "rate") if wants(group)])
                if wants("translations"):
                    bench.translations()
            finally:
                bench.stop_nginx()
            rows = bench.rows + rows
            for process in lab.traps():
                raise LabError(process)
    if wants("keys"):
        rows += directory_size(options)
    missed = print_table(rows, options)
    sys.exit(1 if missed and not options.quick else 0)


if __name__ == "__main__":
    main()
