"""docs/routing.md against both real planes: its commands as they stand there, and what callers then see.

Run by ops/test on Postgres (WEIR_SDK_DATABASE); by hand: pytest Tests/Clients/routing_test.py after a build.
"""

import ipaddress
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, LabError, http, wait_for  # noqa: E402
from weirload import chat  # noqa: E402

MONEY = {"input": "2.50", "output": "10.00"}


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
    slow = lab.create_model("slow", endpoints=[(main, "sim-delay60s", 1), (spare, "sim-in12-out8", 0)], price=MONEY)
    stuck = lab.create_model("stuck", endpoints=[(main, "sim-stall", 1), (spare, "sim-stall", 0)], price=MONEY)
    routes = {route["model_id"]: route for route in lab.admin.all("/routes")}
    for model in (slow, stuck):
        run("hedge", ROUTE=routes[model]["id"])
    made = next(route for route in lab.admin.all("/routes") if route["model_id"] == other)
    assert made["strategy"] == "least_latency" and [target["priority"] for target in made["targets"]] == [0, 1]
    assert lab.admin.get(f"/routes/{routes[slow]['id']}")["hedge_after_ms"] == 1500 and made["hedge_after_ms"] == 0
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


def test_the_second_of_two_serves_while_the_first_is_silent(lab):
    """After the page's commands: its `hedge`, and endpoints that answer after a minute, at once, or never."""
    before = len(lab.wait_usage())
    status, headers, answer = ask(lab, "slow", lab.key)
    assert status == 200 and answer["usage"]["prompt_tokens"] == 12
    assert headers["x-weir-attempt"] == "2" and headers["x-weir-hedge"] == "won"
    record = next(record for record in lab.wait_usage(before + 1) if record["model"] == "slow")
    whole = lab.admin.get(f"/usage/records/{record['request_id']}")
    first, second = whole["attempt_list"]
    assert first["error_code"] == "overtaken" and not first["hedge"] and second["error_code"] is None and second["hedge"]
    # Its end was not seen: its input may well be charged.
    assert first["input_tokens"] == whole["estimated_input_tokens"] and second["input_tokens"] == 12
    assert whole["cost_nano"] == first["cost_nano"] + second["cost_nano"] == whole["rerated_cost_nano"]
    assert lab.data_planes[0].metrics()["weir_proxy_hedges_won_total"] == 1


def test_a_kill_in_the_middle_of_both_counts_both(lab):
    plane = lab.data_planes[0]
    project = lab.admin.post("/projects", {"tenant_id": lab.tenant_id, "name": "both"})["id"]
    budget = lab.admin.post("/budgets", {
        "tenant_id": lab.tenant_id, "project_id": project, "name": "both", "limit": "1.00", "period": "never", "kind": "hard"})["id"]
    # After its budget, so that nobody knows the one without the other.
    key = lab.create_key(project_id=project)["key"]
    lab.wait_serving("stuck", plane, key=key)
    before = len(lab.wait_usage())

    def send():
        status = 503  # while nothing is lent of the budget
        try:
            while status == 503:
                status = http("POST", f"http://{LOOPBACK}:{plane.port}/v1/chat/completions", dict(chat("stuck"), max_tokens=64),
                              {"Authorization": f"Bearer {key}"}, timeout=120)[0]
        except OSError:
            pass

    sent = plane.metrics()["weir_proxy_hedges_total"]
    sender = threading.Thread(target=send)
    sender.start()
    # The journal is written in the turn of the loop that sends it.
    wait_for("the second to be sent", lambda: plane.metrics()["weir_proxy_hedges_total"] > sent, seconds=100)
    plane.kill9()
    sender.join()
    plane.start()
    plane.wait_ready()
    record = next(record for record in lab.wait_usage(before + 1) if record["model"] == "stuck")
    assert record["status"] == "failed" and record["error_code"] == "interrupted" and record["attempts"] == 2
    whole = lab.admin.get(f"/usage/records/{record['request_id']}")
    assert whole["input_tokens"] == 2 * whole["estimated_input_tokens"] and "interrupted" in whole["flags"]
    # A token has a byte at least; output as asked for; and that for each of the two.
    worst = 2 * (whole["request_bytes"] * 2500 + 64 * 10_000)
    used = []

    def counts():
        state = lab.admin.get(f"/budgets/{budget}/state")
        used.append(sum(round(float(state[word]) * 1e9) for word in ("settled", "unknown")))
        return used[-1] == worst

    try:
        wait_for("both to count", counts, seconds=60, every=0.5)
    except LabError:
        assert used[-1] == worst
