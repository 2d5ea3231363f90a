"""docs/dids.md against both real planes: a DID's first day, with the commands of the page as they stand there.

Run by ops/test on SQLite (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients/did_test.py after a build.
"""

import json
import os
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab  # noqa: E402

MODEL = "sim-in30-out4-cost1250"


@pytest.fixture(scope="session")
def lab():
    with Lab("dids", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key", "--management-key", "sk-mgmt")
        lab.start_control()
        lab.create_tenant("First day")
        lab.create_provider()
        lab.create_model("chat", upstream="sim-in12-out8")
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("chat")
        yield lab
        assert lab.traps() == []


def test_a_dids_first_day(lab, tmp_path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "did.pem"], cwd=tmp_path, check=True)
    provider = lab.admin.get("/providers")["items"][0]["id"]
    env = dict(os.environ, PATH=lab.bin + os.pathsep + os.environ["PATH"], WEIR_URL=lab.admin.base, WEIR_TOKEN=lab.admin.token,
               TENANT=lab.tenant_id, PROVIDER=provider, OPENROUTER_MANAGEMENT_KEY="sk-mgmt", MODEL=MODEL,
               WEIR_DATA_PLANE=f"http://{LOOPBACK}:{lab.data_planes[0].port}")

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask():
        return json.loads(run(sys.executable, "-c", block("dids", "python", "openrouter")))

    # Before: nobody knows it, and nobody takes it.
    assert [status for status, _ in ask()] == [403] * 7
    run("bash", "-euo", "pipefail", "-c", block("dids", "sh", "policy"))
    run("bash", "-euo", "pipefail", "-c", block("dids", "sh", "management"))
    end = time.monotonic() + 30
    while (answers := ask())[0][0] != 200:
        assert time.monotonic() < end, answers
        time.sleep(0.2)
    (_, chat), (models_status, _), (usage_status, usage), (limits_status, limits), (audit_status, _), (_, health), (root_status, _) = answers
    assert chat["usage"]["cost"] == 0.00125 and models_status == usage_status == limits_status == audit_status == root_status == 200
    assert limits["budgets"] == []
    assert health["upstream_key"] is True and health["control_plane"] == "ok"
    assert usage["group_by"] == ["model"]
    did = lab.admin.get("/dids")["items"][0]
    assert did["upstream_key"] == "active" and did["provisioned_by"].startswith("dp")
    assert lab.admin.get("/users")["items"][0]["oid"] == did["did"]
    end = time.monotonic() + 20
    while not (usage := ask()[2][1])["totals"]["requests"]:
        assert time.monotonic() < end, usage
        time.sleep(0.2)
    assert float(usage["totals"]["cost"]) > 0
    # What is left to it, and what it did and was done to it; nothing of anybody else's.
    admin = lab.admin
    bounded = {"tenant_id": lab.tenant_id, "limit": "5.00", "period": "monthly"}
    for name, subject in (("its own", {"did_id": did["id"]}), ("all", {}), ("another's", {"key_id": admin.get("/keys")["items"][0]["id"]})):
        admin.post("/budgets", {"name": name, **subject, **bounded})
    _, _, _, (_, limits), (_, audit), _, _ = ask()
    assert {budget["name"]: budget["limit"] for budget in limits["budgets"]} == {"its own": "5.00", "all": None}, limits
    # Of what was asked for above some is in the trail, which records bring it to.
    assert audit["items"] and {item["actor"]["id"] for item in audit["items"]} <= {did["id"], "operator"}, audit
    # The operator sees the same, by payer, who is the DID's own user.
    report = lab.admin.get("/usage?group_by=owner")
    assert any(item["owner_id"] == did["user_id"] for item in report["items"]), report
