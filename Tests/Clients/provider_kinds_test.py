"""OpenAI's own SDK on providers that are not OpenAI: Azure, OpenRouter, and OpenAI's Responses; and what docs/providers.md says to type."""

import os
import subprocess
import sys

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))
sys.path.insert(0, os.path.dirname(__file__))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, PRICE, Lab  # noqa: E402

MESSAGES = [{"role": "user", "content": "Say hello."}]
TEXT = "alpha bravo delta gamma kappa omega sigma theta "
SECRET = "sim-provider-key-0123456789"

# model: (provider, what the simulator is asked for)
MODELS = {
    "deployed": ("deployments", "sim-in120-out8-azure"),
    "versionless": ("azure-v1", "sim-in120-out8-azure"),
    "router": ("openrouter", "sim-in120-out8-openrouter-cost300"),
    "router-fails": ("openrouter", "sim-chunks8-errormid3-openrouter"),
    "responses": ("openai", "sim-in120-out8-cached20-reasoning3"),
    "calls": ("openai", "sim-in30-out8-call2"),
    "fails": ("openai", "sim-chunks8-errormid3"),
    "dies": ("openai", "sim-chunks8-die3"),
    "truncated": ("openai", "sim-chunks8-nodone"),
    "chat-only": ("embedder", "sim-in5-dim16"),
    "keeps": ("keeper", "sim-kept-in120-out8"),
}


@pytest.fixture(scope="module")
def lab():
    with Lab("kinds", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", SECRET)
        lab.start_control()
        lab.create_tenant("Kinds")
        base = f"http://{LOOPBACK}:{lab.simulator.port}"
        api_key = {"scheme": "header", "header": "api-key"}
        endpoints = {}
        for name, more in {
            "deployments": {"kind": "azure", "base_url": base, "api_version": "2024-10-21", "auth": api_key},
            "azure-v1": {"kind": "azure", "base_url": f"{base}/openai/v1"},
            "openrouter": {"kind": "openrouter", "base_url": f"{base}/v1"},
            "openai": {"kind": "openai", "base_url": f"{base}/v1"},
            "embedder": {"kind": "openai", "base_url": f"{base}/v1", "apis": ["chat"]},
        }.items():
            endpoints[name] = lab.create_endpoint_of(f"tried {name}", SECRET, **more)
        endpoints["keeper"] = lab.create_endpoint_of("tried keeper", SECRET, kind="openai", base_url=f"{base}/v1")
        lab.admin.patch(f"/endpoints/{endpoints['keeper']}", {"keeps_responses": True})
        for name, (endpoint, upstream) in MODELS.items():
            price = {**PRICE, "provider_cost": True} if endpoint == "openrouter" else PRICE
            lab.create_model(name, endpoints=[(endpoints[endpoint], upstream, 1)], price=price)
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("deployed")
        yield lab
        assert lab.traps() == []


@pytest.mark.parametrize("model", ["deployed", "versionless", "router"])
def test_chat_answers_and_streams_on_each_kind(client, model):
    answer = client.chat.completions.create(model=model, messages=MESSAGES)
    assert (answer.choices[0].message.content, answer.usage.prompt_tokens) == (TEXT, 120)
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert all(chunk.usage is None for chunk in chunks)
    last = list(client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}))[-1]
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (120, 8)


def test_results_of_azure_s_filters_pass(client):
    chunks = list(client.chat.completions.create(model="deployed", messages=MESSAGES, stream=True))
    assert chunks[0].choices == [] and chunks[0].model_extra["prompt_filter_results"]
    assert chunks[2].choices[0].model_extra["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}


def test_embeddings_are_found_below_a_deployment(client):
    assert client.embeddings.create(model="deployed", input="x").usage.prompt_tokens == 120


def test_an_error_of_openrouter_s_in_mid_stream_is_raised(client):
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="router-fails", messages=MESSAGES, stream=True))


# OpenAI's Responses


def test_a_response_has_text_and_usage(client):
    answer = client.responses.create(model="responses", input="Say hello.")
    assert (answer.output_text, answer.status, answer._request_id[:4]) == (TEXT, "completed", "req_")
    usage = answer.usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens) == (120, 20, 8)


def test_a_response_streams_event_by_event(client):
    with client.responses.stream(model="responses", input="Say hello.") as stream:
        events = list(stream)
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == sorted(
        event.sequence_number for event in events if hasattr(event, "sequence_number"))
    assert events[-1].type == "response.completed" and events[-1].response.output_text == TEXT
    short = list(client.responses.create(model="responses", input="Say hello.", max_output_tokens=3, stream=True))
    assert short[-1].type == "response.incomplete" and short[-1].response.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_calls_tools(client, stream):
    tools = [{"type": "function", "name": "count", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    answer = client.responses.create(model="calls", input="Count.", tools=tools, stream=stream)
    response = list(answer)[-1].response if stream else answer
    assert [item.arguments for item in response.output if item.type == "function_call"] == ['{"number":0}', '{"number":1}']


@pytest.mark.parametrize("model", ["fails", "dies", "truncated"])
def test_a_response_that_breaks_off_never_looks_finished(client, model):
    events = []
    try:
        events = list(client.responses.create(model=model, input="Say hello.", stream=True))
    except openai.APIError:
        return
    assert events[-1].type == "error" and events[-1].message


def test_what_a_provider_would_have_to_keep_is_refused(client):
    for more in ({"previous_response_id": "resp_1"}, {"background": True}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="responses", input="x", **more)
        assert caught.value.param == next(iter(more))
    for call in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            call("resp_1")


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_is_kept_is_its_tenant_s(lab, client, stream):
    def ask(**more):
        made = client.responses.create(model="keeps", input="Say hello.", stream=stream, **more)
        if not stream:
            return made
        events = list(made)
        named = {event.response.id for event in events if hasattr(event, "response")}
        assert len(named) == 1
        return events[-1].response

    first = ask()
    second = ask(previous_response_id=first.id)
    assert first.id.startswith("resp_w1-") and second.previous_response_id == first.id and second.usage.input_tokens == 120 + 8 + 120
    kept = client.responses.retrieve(second.id)
    assert (kept.id, kept.previous_response_id, kept.output_text.split()[0]) == (second.id, first.id, "alpha")
    assert client.responses.input_items.list(second.id).data[0].content[0].text == "Say hello."

    tenant = lab.admin.post("/tenants", {"name": f"Neighbour {stream}"})["id"]
    project = lab.admin.post("/projects", {"tenant_id": tenant, "name": "p"})["id"]
    key = lab.admin.post("/keys", {"project_id": project, "name": "k"})["key"]
    lab.wait_serving("keeps", key=key)
    with openai.OpenAI(base_url=client.base_url, api_key=key, max_retries=0) as neighbour:
        for call in (neighbour.responses.retrieve, neighbour.responses.delete, neighbour.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                call(second.id)
        with pytest.raises(openai.BadRequestError) as caught:
            neighbour.responses.create(model="keeps", input="x", previous_response_id=second.id)
        assert caught.value.code == "previous_response_not_found" and caught.value.param == "previous_response_id"

    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_a_member_that_the_provider_does_not_know_is_told_in_its_words(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body={"model": "responses", "input": "x", "nonsense": 1}, cast_to=object)
    assert "nonsense" in str(caught.value)


# What became of it


def test_usage_and_cost_are_what_the_providers_served(lab):
    by_id = {}
    for entry in lab.simulator.ledger():
        by_id.setdefault(entry["request_id"], []).append(entry)
    records = {record["request_id"]: record for record in lab.wait_usage(count=len(by_id))}
    exact = 0
    for identifier, entries in by_id.items():
        record, entry = records[identifier], entries[-1]
        if entry["outcome"] != "complete" or not entry["usage"]:
            continue
        exact += 1
        assert [record[name] for name in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")] == [
            entry["usage"][name] for name in ("input", "output", "cached", "reasoning")], record
        if record["model"] == "router":
            assert record["cost_nano"] == 300_000 and record["flags"] == ["provider_stated_cost"]
        assert (record["dialect"] or "") == ("responses" if entry["operation"] == "responses" else "")
    assert exact > 12


def test_the_page_s_commands_make_a_provider(lab):
    secrets = {f"{name}_API_KEY": "sk-0123456789" for name in ("ANTHROPIC", "OPENAI", "AZURE_OPENAI", "OPENROUTER")}
    env = {**os.environ, **secrets, "WEIR_URL": lab.control.base, "WEIR_TOKEN": lab.admin.token, "PATH": f"{lab.bin}:{os.environ['PATH']}"}
    for name in ("OpenAI", "anthropic", "Azure", "OpenRouter", "a local server"):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("providers", "sh", name)], env=env, cwd=lab.folder,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert lab.admin.post("/config/draft/validate")["problems"] == []
    made = next(item for item in lab.admin.get("/providers")["items"] if item["name"] == "Anthropic")
    assert (made["kind"], made["auth"], made["apis"], made["api_version"]) == (
        "anthropic", {"scheme": "header", "header": "x-api-key"}, [], None)
