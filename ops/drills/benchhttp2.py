"""The figures of ops/bench for HTTP/2 and TLS: Weir beside nginx, both asked by h2load, both asking the provider by HTTP/1.1."""

import json
import os
import re
import socket
import statistics
import subprocess

from weirlab import LOOPBACK, Lab, LabError, free_port, wait_for
from weirload import chat
from weirnginx import NGINX

CONNECTIONS, STREAMS = 16, 8

SERVERS = """
    ssl_certificate {folder}/tls.crt;
    ssl_certificate_key {folder}/tls.key;
    proxy_buffering {buffering};
    server {{ listen 127.0.0.1:{plain} http2; location / {{ proxy_pass http://provider; }} }}
    server {{ listen 127.0.0.1:{tls} ssl http2; location / {{ proxy_pass http://provider; }} }}
"""


class NGINXServer(NGINX):
    """By HTTP/2 without TLS (h2c), and by TLS with either protocol."""

    def __init__(self, lab, folder, buffering):
        self.ports = {"plain": free_port(), "tls": free_port()}
        super().__init__(
            f"{folder}/nginx-{buffering}", lab.simulator.port, SERVERS.format(folder=folder, buffering=buffering, **self.ports))


def h2load(address, body, key, seconds, protocol):
    """Requests a second, all answered with 200. `protocol`: what ALPN may agree on, or h2c without TLS."""
    streams = STREAMS if protocol != "http/1.1" else 1
    how = ["-p", "h2c"] if protocol == "h2c" else [f"--npn-list={protocol}"]
    done = subprocess.run(
        ["h2load", "-t1", f"-c{CONNECTIONS * STREAMS // streams}", f"-m{streams}", f"-D{seconds}", "--warm-up-time=1", "-d", body, *how,
         "-H", f"authorization: Bearer {key}", "-H", "content-type: application/json", address + "/v1/chat/completions"],
        capture_output=True, text=True, check=False)
    rate = re.search(r"finished in .*?, ([0-9.]+) req/s", done.stdout)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if not rate or not statuses or not failed or any(map(int, [*statuses.groups()[1:], *failed.groups()])) or not int(statuses[1]):
        raise LabError(f"h2load: {done.stdout}{done.stderr}")
    return float(rate[1])


def figures(options, bench_of, meter, models):
    """Rows of the table, in a lab of its own. `bench_of` makes a table for a lab, `meter` meters processes, `models` are (what, model, stream)."""
    with Lab("bench-http2") as lab:
        folder = f"{lab.folder}/http2"
        os.makedirs(folder)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=bench",
             "-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt"],
            check=True, capture_output=True)
        quiet = ["--loops", "2", "--log-level", "warning"]
        lab.up(models=[model for _, model, _ in models], simulator=["--ledger", "off"], data_plane=quiet)
        secure = lab.start_data_plane(*quiet, "--tls-certificate", f"{folder}/tls.crt", "--tls-key", f"{folder}/tls.key")
        secure.wait_ready()
        bench = bench_of(lab)
        clear = lab.data_planes[0]
        servers = {}
        try:
            for buffering in ("on", "off"):
                servers[buffering] = NGINXServer(lab, folder, buffering)
                wait_for("nginx", lambda port=servers[buffering].ports["plain"]: listens(port))
            wait_for("the usage of before", lambda: lab.outbox_empty(clear), 600, every=0.2)
            lab.control.stop()
            for protocol, scheme, plane in (("h2c", "http", clear), ("h2", "https", secure), ("http/1.1", "https", secure)):
                name = {"h2c": "HTTP/2 without TLS", "h2": "HTTP/2 over TLS", "http/1.1": "HTTP/1.1 over TLS"}[protocol]
                for what, model, stream in models:
                    nginx = servers["off" if stream else "on"]
                    body = f"{folder}/body-of-{model}-{stream}"
                    with open(body, "w") as file:
                        json.dump(chat(model, stream), file)
                    port = nginx.ports["plain" if protocol == "h2c" else "tls"]
                    pairs = []
                    for number in range(options.rounds + 1):
                        seconds = options.seconds if number else 1
                        sides = []
                        for address, pids in ((port, nginx.pids), (plane.port, [plane.pid])):
                            counted = meter(*pids)
                            rate = h2load(f"{scheme}://{LOOPBACK}:{address}", body, lab.key, seconds, protocol)
                            # The second of warming up counts among the processor time, and not among the requests.
                            sides.append((rate, counted.per(rate * (seconds + 1))))
                        if number:
                            pairs.append(sides)
                    ratio = statistics.median(weir[0] / other[0] for other, weir in pairs)
                    rates = " / ".join(f"{statistics.median(pair[side][0] for pair in pairs):,.0f}" for side in (1, 0))
                    other = statistics.median(sum(pair[0][1]) for pair in pairs)
                    loops, rest = (statistics.median(pair[1][1][part] for pair in pairs) for part in (0, 1))
                    bench.row(f"{name}, {what}: weir / nginx", f"{ratio:.2f} ({rates}; nginx {other:.1f}, weir {loops:.1f} + {rest:.1f} µs)")
            for line in lab.traps():
                raise LabError(line)
        finally:
            for server in servers.values():
                server.stop()
        return bench.rows


def listens(port):
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True
