"""A Weir with something of everything in it, for the console's tests and for the pictures in docs/console.md."""

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab, free_port, http, wait_for  # noqa: E402,F401

ROLES = ("owner", "operator", "billing", "auditor", "viewer")


class World:
    """What there is, by name."""

    def __init__(self, database="sqlite"):
        self.lab = Lab("console", database=database)
        self.tokens = {}
        self.trials = 0

    def __enter__(self):
        self.lab.__enter__()
        try:
            self.build()
        except BaseException:
            self.lab.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *what):
        return self.lab.__exit__(*what)

    @property
    def base(self):
        return self.lab.control.base

    def build(self):
        lab = self.lab
        lab.start_simulator()
        lab.start_control()
        admin = lab.admin
        lab.create_tenant("Acme Robotics")
        self.acme = lab.tenant_id
        self.globex = admin.post("/tenants", {"name": "Globex"})["id"]
        self.users = {oid: admin.post("/users", {
            "tenant_id": self.acme, "oid": oid, "email": f"{oid}@acme.example", "payment_valid_until": until})["id"]
            for oid, until in (("ada", "2035-12-31T00:00:00Z"), ("bob", "2035-12-31T00:00:00Z"), ("cy", "2026-01-31T00:00:00Z"))}
        self.app = admin.post("/apps", {"app_id": "support", "name": "Support assistant", "owner_id": self.users["ada"]})["id"]
        search = admin.post("/projects", {"tenant_id": self.acme, "name": "Search"})["id"]
        globex = admin.post("/projects", {"tenant_id": self.globex, "name": "Website"})["id"]
        self.keys = {
            "search-prod": admin.post("/keys", {"project_id": search, "name": "search-prod", "user_id": self.users["ada"],
                                                "tags": {"team": "search", "env": "prod"}}),
            "website": admin.post("/keys", {"project_id": globex, "name": "website"}),
        }
        lab.create_provider()
        lab.create_model("gpt-small", upstream="sim-in412-out96")
        lab.create_model("gpt-large", upstream="sim-in1830-out540")
        lab.create_model("flaky", upstream="sim-status503")
        admin.post("/budgets", {"tenant_id": self.acme, "name": "Acme, monthly", "limit": "250.00", "period": "monthly"})
        admin.post("/limits", {"name": "keys, a minute", "level": "key", "measure": "requests", "amount": 600, "window_seconds": 60})
        admin.post("/dids", {"tenant_id": self.acme, "did": "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"})
        admin.post("/webhooks", {"name": "ops", "url": "https://hooks.example.org/weir", "events": ["budget_exhausted"]})
        admin.post("/billing/top-ups", {"tenant_id": self.acme, "amount": "500", "reference": "pay-4711"})
        self.baseline = lab.roll_out("the first prices")
        lab.start_data_plane(name="eu-1")
        lab.wait_serving("gpt-small")
        for role in ROLES:
            self.tokens[role] = admin.post("/tokens", {"name": role, "role": role})["token"]
        self.tokens["tenant"] = admin.post("/tokens", {"name": "tenant", "role": "owner", "tenant_id": self.acme})["token"]
        self.traffic()
        self.candidate()

    def ask(self, key, model, stream=False):
        body = {"model": model, "messages": [{"role": "user", "content": "Which of our robots can climb stairs?"}], "stream": stream}
        return http("POST", f"http://{LOOPBACK}:{self.lab.data_planes[0].port}/v1/chat/completions", body,
                    {"Authorization": f"Bearer {key}"})[0]

    def traffic(self, count=12, before=0):
        for number in range(count):
            self.ask(self.keys["search-prod"]["key"], "gpt-small" if number % 3 else "gpt-large", stream=number % 2 == 0)
            self.ask(self.keys["website"]["key"], "gpt-small")
        for _ in range(2):
            self.ask(self.lab.key, "flaky")
        self.lab.wait_usage(count=before + 2 * count + 2)

    def candidate(self):
        """A cheaper version, on trial for half of the keys."""
        lab = self.lab
        self.trials += 1
        price = lab.admin.get(f"/prices?model_id={lab.models['gpt-large']}")["items"][0]["id"]
        lab.admin.patch(f"/prices/{price}", {"output": f"8.{self.trials:02d}"})
        version = lab.admin.send("POST", "/config/versions", {"note": "large is cheaper"}, {"If-Match": "*"})[0]["version"]
        self.rollout = lab.admin.post("/rollouts", {"version": version, "percentage": 50})["id"]
        before = len(lab.wait_usage())
        self.traffic(1, before)
