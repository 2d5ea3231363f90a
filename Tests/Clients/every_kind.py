"""A Weir before a provider of each kind, with the same models at each: `KIND-NAME`, such as `azure-calls`.

The simulator refuses what the vendors refuse, so a wrong translation fails there. Its answers to tools are `CALL_INPUT`, whatever the schema.
"""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab  # noqa: E402

TEXT = "alpha bravo delta gamma kappa omega sigma theta "
CALL_INPUT = {"number": 0, "text": 'a "quoted" value'}
SECRET = "sim-provider-key-0123456789"

# name: (its API at the simulator, what is added to models' names there)
KINDS = {"openai": "", "responses": "", "anthropic": "", "azure": "-azure", "openrouter": "-openrouter"}

MODELS = {
    # what callers say: what the simulator is asked for (its grammar: Simulator/Core/Script.swift)
    "plain": "sim-strict-in120-out8-cached20",
    "calls": "sim-in30-out8-call2",
    "split": "sim-in30-out8-call2-split",
    "long": "sim-strict-out64-chunks64",
    "dies": "sim-strict-chunks8-die3",
    "fails": "sim-strict-chunks8-errormid3",
    "errors-400": "sim-status400",
    "errors-429": "sim-status429-retry7",
    "errors-500": "sim-status500",
}


def providers(lab):
    base = f"http://{LOOPBACK}:{lab.simulator.port}"
    return {
        "openai": {"kind": "openai", "base_url": f"{base}/v1", "apis": ["chat"]},
        "responses": {"kind": "openai", "base_url": f"{base}/v1", "apis": ["responses"]},
        "anthropic": {"kind": "anthropic", "base_url": base, "auth": {"scheme": "header", "header": "x-api-key"}},
        "azure": {"kind": "azure", "base_url": base, "api_version": "2024-10-21", "auth": {"scheme": "header", "header": "api-key"}},
        "openrouter": {"kind": "openrouter", "base_url": f"{base}/v1"},
    }


@pytest.fixture(scope="session")
def lab():
    with Lab("kinds", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", SECRET)
        lab.start_control()
        lab.create_tenant("Every kind")
        for kind, more in providers(lab).items():
            endpoint = lab.create_endpoint_of(kind, SECRET, **more)
            for name, upstream in MODELS.items():
                lab.create_model(f"{kind}-{name}", endpoints=[(endpoint, upstream + KINDS[kind], 1)], capabilities=("chat",))
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("openrouter-errors-500")
        lab.base = f"http://{LOOPBACK}:{lab.data_planes[0].port}"
        yield lab
        assert lab.traps() == []
