"""A whole Weir in a temporary folder, for drills, benchmarks and the SDK's tests.

    with Lab("name") as lab:
        lab.up(models=["sim-ok"])        # simulator, control plane, data plane, a tenant with a key, the models published
        print(lab.key, lab.data_planes[0].port)
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from weirplanes import (  # noqa: F401 (what drills use is reached through here)
    LOOPBACK, ROOT, Admin, ControlPlane, DataPlane, LabError, Postgres, Process, Simulator, binaries, free_port, http,
    status_of, wait_for)

# USD per million tokens. Odd on purpose: rounding shows.
PRICE = {"input": "2.503", "output": "10.007", "cached_input": "1.251", "per_request": "0"}


class Lab:
    def __init__(self, name, database="sqlite"):
        self.bin = binaries()
        self.folder = tempfile.mkdtemp(prefix=f"weir-{name}-")
        os.chmod(self.folder, 0o755)
        self.database_kind = database
        self.postgres = None
        self.simulator = None
        self.control = None
        self.data_planes = []
        self.others = []
        self.admin = None
        self.tenant_id = self.project_id = self.key = self.key_id = ""
        self.provider_id = self.credential_id = self.endpoint_id = ""
        self.models = {}

    def __enter__(self):
        # Whoever ends a drill from outside must not leave its programs behind.
        # pytest takes SystemExit for one failed test, and goes on.
        def end(*_):
            raise KeyboardInterrupt if "pytest" in sys.modules else SystemExit(143)
        signal.signal(signal.SIGTERM, end)
        return self

    def __exit__(self, kind, problem, trace):
        if kind is not None and issubclass(kind, Exception):
            for process in self.processes:
                print(f"--- the end of {process.log}\n{process.tail()}", file=sys.stderr)
        self.stop()
        if os.environ.get("WEIR_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def processes(self):
        return [process for process in (*self.data_planes, self.control, self.simulator, *self.others) if process]

    def stop(self):
        for process in self.processes:
            process.stop()
        if self.postgres:
            self.postgres.stop()
            self.postgres = None

    def traps(self):
        return [f"{process.name}: {line}" for process in self.processes for line in process.traps()]

    # Starting

    def start_simulator(self, *arguments):
        self.simulator = Simulator(self, *arguments).up()
        return self.simulator

    def start_another_simulator(self, name, *arguments):
        self.others.append(Simulator(self, *arguments, name=name).up())
        return self.others[-1]

    def start_tls_simulator(self):
        """A second provider, over TLS with a certificate that no system trusts. (port, PEM of the certificate)"""
        certificate, key = f"{self.folder}/provider.pem", f"{self.folder}/provider.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        self.others.append(Simulator(self, "--tls-cert", certificate, "--tls-key", key, name="tls-simulator").start())
        with open(certificate) as file:
            return self.others[-1].port, file.read()

    def start_control(self, environment=None, prefix=(), folder=None):
        if self.database_kind == "postgres":
            self.postgres = Postgres(f"{self.folder}/postgres").create()
            address = self.postgres.uri
        else:
            address = f"sqlite://{folder or self.folder + '/control'}/weir.db"
        self.control = ControlPlane(self, address, folder)
        self.control.environment.update(environment or {})
        self.control.prefix = list(prefix)
        self.control.create_admin()
        self.control.start()
        self.control.wait_ready()
        self.admin = Admin(self.control.base, self.control.token())
        return self.control

    def start_data_plane(self, *arguments, name=None, region="eu", prefix=(), environment=None, folder=None):
        name = name or f"proxy-{len(self.data_planes) + 1}"
        token = self.admin.post("/enrollment-tokens", {"name": name, "region": region, "ttl_seconds": 3600})["token"]
        plane = DataPlane(self, name, *arguments, prefix=prefix, folder=folder,
                          environment={"WEIR_ENROLL": token, **(environment or {})})
        self.data_planes.append(plane)
        plane.start()
        return plane

    def up(self, models=("sim-ok",), simulator=(), data_plane=(), timeouts=None, control=None, plane=None):
        """Everything, ready to serve the models. `control` and `plane` are passed on to start_control and start_data_plane."""
        self.start_simulator(*simulator)
        self.start_control(**(control or {}))
        self.create_tenant()
        self.create_provider(timeouts=timeouts)
        for model in models:
            self.create_model(model)
        self.roll_out()
        self.start_data_plane(*data_plane, **(plane or {}))
        self.wait_serving(models[0])
        return self

    # What the admin API is told

    # Providers are on this machine. A release that does not know the choice leads anywhere.
    inside = {"private_addresses": True}

    def create_tenant(self, name="Drill"):
        self.tenant_id = self.admin.post("/tenants", {"name": name})["id"]
        self.project_id = self.admin.post("/projects", {"tenant_id": self.tenant_id, "name": "Main"})["id"]
        made = self.create_key()
        self.key, self.key_id = made["key"], made["id"]

    def create_key(self, **more):
        return self.admin.post("/keys", {"project_id": self.project_id, "name": "drill", **more})

    def create_provider(self, base_url=None, secret="sim-provider-key", timeouts=None):
        base_url = base_url or f"http://{LOOPBACK}:{self.simulator.port}/v1"
        provider = {"name": "Simulator", "kind": "openai", "base_url": base_url, "auth": {"scheme": "bearer"}}
        if timeouts:
            provider["timeouts"] = timeouts
        self.provider_id = self.admin.post("/providers", provider)["id"]
        self.credential_id = self.admin.post(
            "/credentials", {"provider_id": self.provider_id, "name": "main", "secret": secret})["id"]
        self.endpoint_id = self.create_endpoint("main")
        return self.provider_id

    def create_endpoint_of(self, name, secret="sim-provider-key", **provider):
        """An endpoint at a provider of its own, both of one name; without a secret it has no credential."""
        made = self.admin.post("/providers", {"name": name, **provider})["id"]
        more = {}
        if secret:
            more["credential_ids"] = [self.admin.post("/credentials", {"provider_id": made, "name": name, "secret": secret})["id"]]
        return self.admin.post("/endpoints", {"provider_id": made, "name": name, **self.inside, **more})["id"]

    def create_endpoint(self, name, **more):
        return self.admin.post("/endpoints", {
            "provider_id": self.provider_id, "name": name, "credential_ids": [self.credential_id], **self.inside, **more})["id"]

    def create_model(self, name, upstream=None, endpoints=None, price=None, capabilities=("chat", "completions", "embeddings"), **more):
        """A model, its one route and its price (False: none). `endpoints`: (endpoint, upstream model, weight) each."""
        model = self.admin.post("/models", {"name": name, "capabilities": list(capabilities), **more})["id"]
        targets = endpoints or [(self.endpoint_id, upstream or name, 1)]
        self.admin.post("/routes", {
            "model_id": model, "name": name,
            "targets": [{"endpoint_id": e, "upstream_model": u, "weight": w} for e, u, w in targets]})
        if price is not False:
            self.admin.post("/prices", {"model_id": model, **(price or PRICE)})
        self.models[name] = model
        return model

    def roll_out(self, note="drill"):
        """Publishes the draft and brings it into force everywhere."""
        version = self.admin.send("POST", "/config/versions", {"note": note}, {"If-Match": "*"})[0]["version"]
        rollout = self.admin.post("/rollouts", {"version": version})["id"]
        self.admin.post(f"/rollouts/{rollout}/promote")
        return version

    def wait_serving(self, model, plane=None, key=None, seconds=60):
        plane = plane or self.data_planes[-1]
        plane.wait_ready(seconds)

        def serves():
            # On connections of their own: each of the data plane's loops learns of it by itself.
            for _ in range(8):
                status, _, body = http("GET", f"http://{LOOPBACK}:{plane.port}/v1/models/{model}",
                                       headers={"Authorization": f"Bearer {key or self.key}"}, timeout=5)
                if status != 200:
                    raise LabError(f"{status} {body[:300]}")
            return True
        wait_for(f"{plane.name} to know {model}", serves, seconds)

    # What came of it

    def outbox_empty(self, plane):
        """True when a data plane has shipped everything it recorded."""
        metrics = plane.metrics()
        unfolded = metrics["weir_proxy_usage_completions_total"] - metrics["weir_proxy_usage_folded_records_total"]
        waiting = metrics["weir_proxy_usage_outbox_batches"] + metrics["weir_proxy_usage_pending"] + metrics["weir_proxy_active_requests"]
        return waiting == 0 and unfolded <= 0

    def wait_usage(self, count=None, seconds=120):
        """Every record that the control plane holds, once all data planes have shipped theirs and the number stands still."""
        for plane in self.data_planes:
            if plane.running:
                wait_for(f"{plane.name} to ship its usage", lambda plane=plane: self.outbox_empty(plane), seconds, every=0.2)
        end = time.monotonic() + seconds
        records, still = [], 0
        while time.monotonic() < end:
            # From the begin: without a window the last month is listed, and a drill sets clocks back by more.
            found = self.admin.all("/usage/records?from=2000-01-01T00:00:00Z")
            still = still + 1 if len(found) == len(records) else 0
            records = found
            if still >= 3 and (count is None or len(records) >= count):
                return records
            time.sleep(0.3)
        if count is not None and len(records) < count:
            raise LabError(f"{len(records)} usage records arrived, expected {count}")
        return records


class Report:
    """A drill's result: lines of (what, measured, wanted, verdict), and whether all of them held."""

    def __init__(self, title):
        self.title = title
        self.rows = []
        self.started = time.monotonic()

    def check(self, what, value, holds, wanted=""):
        self.rows.append((what, str(value), str(wanted), "ok" if holds else "FAILED"))
        return holds

    def note(self, what, value):
        self.rows.append((what, str(value), "", ""))

    @property
    def failed(self):
        return sum(1 for row in self.rows if row[3] == "FAILED")

    def finish(self):
        """Prints the table and exits, with 1 when anything failed."""
        heads = ("what", "measured", "wanted", "")
        widths = [max(len(row[i]) for row in [heads, *self.rows]) for i in range(4)]

        def line(row):
            return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        print(f"\n{self.title} ({time.monotonic() - self.started:.0f} s)\n")
        print(line(heads))
        print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
        for row in self.rows:
            print(line(row))
        verdict = "all held" if not self.failed else f"{self.failed} FAILED"
        print(f"\n{self.title}: {verdict}", flush=True)
        sys.exit(1 if self.failed else 0)


def progress(text):
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
