"""docs/workflows.md against both real planes: its commands and its document as they stand there, and what callers then see.

Run by ops/test (WEIR_SDK_DATABASE); by hand: pytest Tests/Clients/workflows_test.py after a build.
"""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, http as ask_http, wait_for  # noqa: E402
from weirload import chat  # noqa: E402


class Plans:
    """The operator's service: says which models a key's plan has, and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.answer = (200, {"name": "gold", "models": ["small", "large"]})
        plans = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                plans.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                status, answer = plans.answer
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"{LOOPBACK}:{self.server.server_address[1]}"


@pytest.fixture(scope="session")
def lab():
    with Lab("workflows", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator()
        lab.start_control()
        lab.create_tenant()
        lab.create_provider()
        yield lab
        assert lab.traps() == []


def test_the_page(lab, tmp_path):
    env = dict(os.environ, PATH=lab.bin + os.pathsep + os.environ["PATH"], WEIR_URL=lab.admin.base, WEIR_TOKEN=lab.admin.token)

    def run(text, fails=False, **values):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=dict(env, **values), capture_output=True, text=True, timeout=60,
                              cwd=tmp_path)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    plans = Plans()
    plan = block("workflows", "sh", "plan")
    assert "the default workflow" in run(plan)
    for name in ("small", "large"):
        lab.create_model(name, upstream="sim-in12-out8", context_window=1000)
    routes = {route["name"]: route["id"] for route in lab.admin.all("/routes")}
    document = block("workflows", "yaml", "workflows.yaml").replace("plans.internal:9300", plans.address)
    # Waiting only has to be bounded: how long a busy machine takes is no matter here.
    document = document.replace("timeout_ms: 300", "timeout_ms: 30000")
    (tmp_path / "workflows.yaml").write_text(document)
    # What is wrong is told before anything is written, with the path.
    (tmp_path / "circle.yaml").write_text(document.replace("    kind: lookup\n", "    kind: lookup\n    after: [in-plan]\n"))
    told = run("weir apply -f circle.yaml --yes", fails=True)
    assert "after" in told and "plan → in-plan → plan" in told, told
    run("weir apply -f workflows.yaml --yes")
    run(block("workflows", "sh", "template"), ROUTE=routes["large"])
    run("weir config validate")
    drawn = run(plan)
    assert drawn.index("├ plan") < drawn.index("├ in-plan") < drawn.index("large: 4 edits") < drawn.index("├ clean"), drawn
    lab.roll_out()
    assert "workflow outside" in run("weir config plan --channel external --version 1")
    assert "the default workflow" in run("weir config plan --channel internal --version 1")
    lab.start_data_plane("--lookup-hosts", plans.address)
    lab.wait_serving("small")

    def ask(model, path="/external/v1/chat/completions", **more):
        body = dict(chat(model), **more)
        status, headers, answer = ask_http("POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}{path}", body,
                                           {"Authorization": f"Bearer {lab.key}", "content-type": "application/json"})
        return status, {name.lower(): value for name, value in headers.items()}, json.loads(answer)

    status, headers, answer = ask("large")
    assert status == 200 and "x-weir-degraded" not in headers, answer
    asked = plans.asked[0]
    assert asked["caller"]["key_id"] == lab.key_id and asked["model"] == "large" and set(asked) == {"caller", "model"}, asked
    plans.answer = (200, {"name": "silver", "models": ["small"]})
    status, _, answer = ask("large")
    assert status == 403 and answer["error"]["message"] == "Your plan does not have this model.", answer
    plans.answer = (500, {})
    status, headers, _ = ask("small")
    assert status == 200 and headers["x-weir-degraded"] == "plan", headers
    assert ask("large")[0] == 403
    count = len(plans.asked)
    # Another channel has a plan of its own.
    assert ask("large", path="/v1/chat/completions")[0] == 200 and len(plans.asked) == count
    long = [{"role": "user", "content": "many words " * 2000}]
    status, _, answer = ask("small", path="/v1/chat/completions", messages=long)
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded", answer
    records = lab.wait_usage(3)
    assert sorted("degraded" in record["flags"] for record in records) == [False, False, True], records
    metrics = lab.data_planes[0].metrics()
    assert metrics["weir_proxy_lookups_total"] == 4 and metrics["weir_proxy_lookup_failures_total"] == 2
    assert metrics["weir_proxy_degraded_total"] == 1
    wait_for("the plans' server to end", lambda: plans.server.shutdown() or True)
