"""docs/routing.md against both real planes: its commands as they stand there, and what callers then see.

Run by ops/test on Postgres (WEIR_SDK_DATABASE); by hand: pytest Tests/Clients/routing_test.py after a build.
"""

import ipaddress
import json
import os
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, http  # noqa: E402
from weirload import chat  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    with Lab("routing", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator()
        lab.start_control()
        lab.create_tenant()
        lab.create_provider()
        yield lab
        assert lab.traps() == []


def ask(lab, model, key, *fields):
    headers = {"Authorization": f"Bearer {key}", "content-type": "application/json", **dict(fields)}
    body = chat(model)
    if not model:
        del body["model"]
    status, received, body = http("POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1/chat/completions", body, headers)
    return status, {name.lower(): value for name, value in received.items()}, json.loads(body)


def test_the_page(lab):
    env = dict(os.environ, PATH=lab.bin + os.pathsep + os.environ["PATH"], WEIR_URL=lab.admin.base, WEIR_TOKEN=lab.admin.token)

    def run(name, **values):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("routing", "sh", name)], env=dict(env, **values), capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    main, spare = lab.create_endpoint("eu"), lab.create_endpoint("us")
    failing = lab.create_model("failing", upstream="sim-status503")
    other = lab.create_model("sim-in12-out8")
    routes = {route["model_id"]: route for route in lab.admin.all("/routes")}
    lab.admin.delete(f"/routes/{routes[other]['id']}")
    run("routing", MODEL=other, MAIN=main, SPARE=spare)
    run("fallback", ROUTE=routes[failing]["id"], OTHER=other)
    run("rights", KEY=lab.key_id)
    made = next(route for route in lab.admin.all("/routes") if route["model_id"] == other)
    assert made["strategy"] == "least_latency" and [target["priority"] for target in made["targets"]] == [0, 1]
    lab.admin.patch(f"/routes/{made['id']}", {"serves_unnamed": True})
    # A circle is found before it is published.
    lab.admin.patch(f"/routes/{made['id']}", {"fallback_model_ids": [failing]})
    problems = lab.admin.post("/config/draft/validate")
    assert any("lead back" in problem["message"] for problem in problems["problems"]), problems
    lab.admin.patch(f"/routes/{made['id']}", {"fallback_model_ids": []})
    lab.roll_out()
    lab.start_data_plane()
    lab.wait_serving("failing")

    status, headers, _ = ask(lab, "failing", lab.key)
    assert status == 200 and headers["x-weir-model"] == "sim-in12-out8"
    assert headers["x-weir-endpoint"] == main and headers["x-weir-attempt"] == "2"
    status, headers, _ = ask(lab, "sim-in12-out8", lab.key, ("x-weir-endpoint", "us"), ("x-weir-strategy", "lowest_cost"))
    assert status == 200 and headers["x-weir-endpoint"] == spare and headers["x-weir-attempt"] == "1"
    assert ask(lab, "", lab.key)[0] == 200
    plain = lab.create_key()["key"]
    lab.wait_serving("failing", key=plain)
    assert ask(lab, "sim-in12-out8", plain)[0] == 200
    status, headers, _ = ask(lab, "failing", plain)
    assert status == 200 and not any(name.startswith("x-weir-") and name != "x-weir-config-version" for name in headers), headers
    assert ask(lab, "sim-in12-out8", plain, ("x-weir-endpoint", "us"))[0] == 403
    records = lab.wait_usage(5)
    assert {record["model"] for record in records} == {"sim-in12-out8"}
    assert sorted(record["attempts"] for record in records) == [1, 1, 1, 2, 2] and all(float(record["cost"]) > 0 for record in records)
    shown = subprocess.run([f"{lab.bin}/weir", "fleet", "endpoints", "-o", "json"], env=env, capture_output=True, text=True, check=True)
    assert all(item["breaker"] in ("closed", "open", "half_open", None) for item in json.loads(shown.stdout)["items"]), shown.stdout


def test_endpoints_lead_where_they_may(lab):
    """A data plane whose operator names other hosts; and where the machine has a name of its own, an endpoint that may not lead inside."""
    env = dict(os.environ, PATH=lab.bin + os.pathsep + os.environ["PATH"], WEIR_URL=lab.admin.base, WEIR_TOKEN=lab.admin.token)
    refused = subprocess.run([f"{lab.bin}/weir", "endpoint", "create", "--provider-id", lab.provider_id, "--name", "unsaid"], env=env,
                             capture_output=True, text=True)
    assert refused.returncode != 0 and "--private-addresses true" in refused.stderr, refused.stdout + refused.stderr
    lab.create_model("said", upstream="sim-in12-out8")
    named = inside_name()
    if named:
        endpoint = lab.create_endpoint("by name", base_url=f"http://{named}:{lab.simulator.port}/v1", private_addresses=False)
        lab.create_model("inside", endpoints=[(endpoint, "sim-in12-out8", 1)])
        lab.create_model("beside", endpoints=[(endpoint, "sim-in12-out8", 1_000_000), (lab.endpoint_id, "sim-in12-out8", 1)])
    lab.roll_out()
    if not lab.data_planes:
        lab.start_data_plane()
    lab.wait_serving("said", lab.data_planes[0])
    assert ask(lab, "said", lab.key)[0] == 200
    if named:
        status, _, body = ask(lab, "inside", lab.key)
        assert (status, body["error"]["code"]) == (502, "endpoint_not_allowed"), body
        assert ask(lab, "beside", lab.key)[0] == 200
        attempts = f'weir_proxy_attempts_total{{model="inside",endpoint="{endpoint}"'
        assert any(name.startswith(attempts) and 'status="not_allowed"' in name for name in lab.data_planes[0].metrics())
    plane = lab.start_data_plane("--provider-hosts", f"api.example.com,*.example.org,{LOOPBACK}:1")
    lab.wait_serving("said", plane)
    status, _, body = http("POST", f"http://{LOOPBACK}:{plane.port}/v1/chat/completions", chat("said"),
                           {"Authorization": f"Bearer {lab.key}", "content-type": "application/json"})
    assert (status, json.loads(body)["error"]["code"]) == (502, "endpoint_not_allowed"), body
    assert "--provider-hosts" in plane.tail(200)


def inside_name():
    """A name that leads to addresses of the inside alone, and says nothing of that; None: there is none here."""
    for name in (socket.gethostname(), "ip6-localhost", "ip6-loopback"):
        try:
            found = {ipaddress.ip_address(entry[4][0].partition("%")[0]) for entry in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)}
        except OSError:
            continue
        if name != "localhost" and all(address.is_loopback or address.is_private for address in found):
            return name
    return None
