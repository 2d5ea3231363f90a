"""The API held against its own description: what schemathesis makes of it must be answered as described, and never with a 5xx.

Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients/description_test.py after a build.
WEIR_API_SECONDS bounds each document's run, WEIR_API_SEED repeats one.
"""

import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab  # noqa: E402

SECONDS = os.environ.get("WEIR_API_SECONDS", "60")
SEED = os.environ.get("WEIR_API_SEED", "1")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

@pytest.fixture(scope="module")
def lab():
    with Lab("description", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator()
        lab.start_control()
        lab.create_tenant("Described to operators")
        lab.create_provider()
        lab.create_model("sim-ok")
        lab.roll_out()
        yield lab
        assert lab.traps() == []

def run(lab, path, token, *more):
    base = f"http://{LOOPBACK}:{lab.control.port}"
    result = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run", f"{base}{path}", "-H", f"Authorization: Bearer {token}",
         "--checks", CHECKS, "--phases", "fuzzing", "--max-time", SECONDS, "--seed", SEED, "--continue-on-failure",
         "--no-color", "--suppress-health-check", "all", *more],
        cwd=lab.folder, capture_output=True, text=True, timeout=int(SECONDS) * 4 + 120)
    assert result.returncode == 0, result.stdout[-12000:] + result.stderr[-2000:]
    # A run that tried nothing says nothing.
    assert " generated, " in result.stdout and "No test cases" not in result.stdout, result.stdout[-4000:]

def test_the_admin_api_answers_as_it_is_described(lab):
    # What would end the run itself: the token that asks, deleted or changed.
    run(lab, "/admin/api/openapi.json", lab.control.token(), "--exclude-path-regex", "/admin/api/tokens/")

def test_the_tenants_api_answers_as_it_is_described(lab):
    # A tenant of its own: whatever was there before may by now be suspended, or its key revoked, by the run against the admin API.
    lab.create_tenant("Described to tenants")
    run(lab, "/external/v1/openapi.json", lab.key)
