"""Anthropic's own Python SDK against both real planes: what applications that speak Messages will do, with the client they do it with.

Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients after a build.
"""

import asyncio
import os
import sys
from datetime import datetime

import anthropic
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirexact import nano_dollars  # noqa: E402
from weirlab import LOOPBACK, PRICE, Lab, http, wait_for  # noqa: E402

MESSAGES = [{"role": "user", "content": "Say hello."}]
TEXT = "alpha bravo delta gamma kappa omega sigma theta "
SECRET = "sk-ant-simulator-key-0123456789"
TOOLS = [{"name": "count", "description": "Counts.", "input_schema": {
    "type": "object", "properties": {"number": {"type": "integer"}, "text": {"type": "string"}}, "required": ["number"]}}]

MODELS = {
    # what callers say: what the simulator is asked for (its grammar: Simulator/Core/Script.swift)
    "claude": "sim-in120-out8-cached20-cachewrite30-cachehour10",
    "plain": "sim-in50-out8",
    "long": "sim-in50-out64-chunks64-pace1ms-pings",
    "slow": "sim-in10-out200-chunks200-pace20ms",
    "calls": "sim-in30-out12-call2",
    "thinks": "sim-in30-out12-call1-split",
    "pauses": "sim-in30-out8-pauseturn",
    "refuses": "sim-in30-out8-refusal",
    "errors-400": "sim-status400",
    "errors-401": "sim-status401-leak",
    "errors-402": "sim-status402",
    "errors-403": "sim-status403-moderation",
    "errors-404": "sim-status404",
    "errors-413": "sim-status413",
    "errors-429": "sim-status429-retry7",
    "errors-500": "sim-status500",
    "errors-529": "sim-status529",
    "errors-first": "sim-errorfirst529",
    "errors-mid": "sim-chunks8-errormid3",
    "dies": "sim-chunks8-die3",
    "truncated": "sim-chunks8-nodone",
    "no-usage": "sim-nousage",
    "odd-usage": "sim-usagetext",
}
# Two endpoints: the first overloaded, within a stream that has begun.
RESCUED = ("sim-errorfirst529", "sim-in9-out8")


@pytest.fixture(scope="session")
def lab():
    with Lab("anthropic", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", SECRET)
        lab.start_control()
        lab.create_tenant("Anthropic")
        base = f"http://{LOOPBACK}:{lab.simulator.port}"
        provider = lab.admin.post("/providers", {
            "name": "Anthropic", "kind": "anthropic", "base_url": base, "auth": {"scheme": "header", "header": "x-api-key"}})["id"]
        credential = lab.admin.post("/credentials", {"provider_id": provider, "name": "main", "secret": SECRET})["id"]
        endpoints = [
            lab.admin.post("/endpoints", {"provider_id": provider, "name": name, "credential_ids": [credential], **lab.inside})["id"]
            for name in ("main", "second")]
        lab.endpoint_id = endpoints[0]
        price = {**PRICE, "cache_write": "3.127", "cache_write_hour": "5.003"}
        for name, upstream in MODELS.items():
            lab.create_model(name, upstream=upstream, capabilities=("chat",), price=price)
        lab.create_model("rescued", capabilities=("chat",), price=price, endpoints=[
            (endpoint, upstream, weight) for endpoint, upstream, weight in zip(endpoints, RESCUED, (1_000_000, 0))])
        lab.price = price
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("claude")
        yield lab
        assert lab.traps() == []


def base(lab, path=""):
    return f"http://{LOOPBACK}:{lab.data_planes[0].port}{path}"


@pytest.fixture
def client(lab):
    with anthropic.Anthropic(base_url=base(lab), api_key=lab.key, max_retries=0) as client:
        yield client


def ask(client, model, **more):
    return client.messages.create(**{"model": model, "max_tokens": 2048, "messages": MESSAGES, **more})


# Answers


def test_a_message_has_text_and_usage(client):
    answer = ask(client, "claude")
    assert answer.content[0].text == TEXT
    assert answer.stop_reason == "end_turn"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.output_tokens) == (70, 20, 30, 8)
    assert answer._request_id.startswith("req_")


@pytest.mark.parametrize("path", ["", "/external", "/v1", "/external/v1"])
def test_messages_answer_under_each_path(lab, path):
    # A base URL with /v1 makes the SDK ask below /v1/v1: what other clients write is tried as they write it.
    url = base(lab, f"{path}/messages" if path.endswith("v1") else f"{path}/v1/messages")
    for headers in ({"x-api-key": lab.key}, {"Authorization": f"Bearer {lab.key}"}):
        status, _, _ = http("POST", url, {"model": "plain", "max_tokens": 5, "messages": MESSAGES},
                            headers={"anthropic-version": "2023-06-01", **headers})
        assert status == 200


def test_a_bearer_token_works_as_well(lab):
    with anthropic.Anthropic(base_url=base(lab), api_key=None, auth_token=lab.key, max_retries=0) as client:
        assert ask(client, "plain").content[0].text == TEXT


def test_a_client_that_names_no_version_is_served(lab):
    status, _, _ = http("POST", base(lab, "/v1/messages"), {"model": "plain", "max_tokens": 5, "messages": MESSAGES},
                        headers={"x-api-key": lab.key})
    assert status == 200


def test_a_stream_brings_events_and_ends_with_the_usage(client):
    with client.messages.stream(model="long", max_tokens=2048, messages=MESSAGES) as stream:
        assert "".join(stream.text_stream) == TEXT * 8
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (50, 64, "end_turn")


def test_an_asynchronous_stream_and_many_callers_at_once(lab):
    async def all_of_them():
        async with anthropic.AsyncAnthropic(base_url=base(lab), api_key=lab.key, max_retries=0) as client:
            async def one(number):
                if number % 2:
                    return (await ask(client, "plain")).content[0].text
                async with client.messages.stream(model="plain", max_tokens=64, messages=MESSAGES) as stream:
                    return "".join([text async for text in stream.text_stream])
            return await asyncio.gather(*(one(number) for number in range(60)))
    assert set(asyncio.run(all_of_them())) == {TEXT}


@pytest.mark.parametrize("streams", [False, True])
def test_tools_are_called_in_parallel_and_answered(client, streams):
    def turn(messages):
        if not streams:
            return ask(client, "calls", messages=messages, tools=TOOLS)
        with client.messages.stream(model="calls", max_tokens=2048, messages=messages, tools=TOOLS) as stream:
            return stream.get_final_message()
    first = turn(MESSAGES)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [call.input["number"] for call in calls] == [0, 1]
    assert calls[0].input["text"] == 'a "quoted" value'
    answered = MESSAGES + [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "1"} for call in calls]}]
    assert turn(answered).stop_reason == "end_turn"


@pytest.mark.parametrize("streams", [False, True])
def test_signed_thinking_comes_and_goes_back(client, streams):
    thinking = {"type": "enabled", "budget_tokens": 1024}

    def turn(messages):
        if not streams:
            return ask(client, "thinks", messages=messages, tools=TOOLS, thinking=thinking)
        with client.messages.stream(model="thinks", max_tokens=2048, messages=messages, tools=TOOLS, thinking=thinking) as stream:
            return stream.get_final_message()
    first = turn(MESSAGES)
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]
    assert first.content[0].thinking == "Let me think." and first.content[0].signature
    answered = MESSAGES + [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": first.content[2].id, "content": "1"}]}]
    assert turn(answered).stop_reason == "end_turn"


def test_betas_reach_the_provider(client):
    answer = client.beta.messages.create(model="plain", max_tokens=64, messages=MESSAGES, betas=["interleaved-thinking-2025-05-14"])
    assert answer.content[0].text == TEXT


@pytest.mark.parametrize("model, reason", [("pauses", "pause_turn"), ("refuses", "refusal")])
def test_why_an_answer_ended_stays(client, model, reason):
    assert ask(client, model).stop_reason == reason
    with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
        assert stream.get_final_message().stop_reason == reason


def test_the_bound_reaches_the_provider(client):
    answer = ask(client, "plain", max_tokens=3)
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


def test_tokens_are_counted(client):
    assert client.messages.count_tokens(model="plain", messages=MESSAGES).input_tokens == 50


def test_the_caller_may_leave_in_mid_stream(client):
    with client.messages.stream(model="slow", max_tokens=2048, messages=MESSAGES) as stream:
        for number, _ in enumerate(stream.text_stream):
            if number == 3:
                break
    assert ask(client, "plain").content[0].text == TEXT


def test_models_have_anthropic_s_form(client):
    names = [model.id for model in client.models.list(limit=5)]
    assert sorted({*MODELS, "rescued"}) == names, "all pages of the list, in order"
    shown = client.models.retrieve("claude")
    assert (shown.type, shown.id, shown.display_name) == ("model", "claude", "claude")
    assert shown.created_at.year >= 2024
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("no-such-model")


def test_an_overloaded_provider_is_passed_over_before_content_has_come(client):
    with client.messages.stream(model="rescued", max_tokens=64, messages=MESSAGES) as stream:
        assert "".join(stream.text_stream) == TEXT


# Errors


@pytest.mark.parametrize("model, kind, type_", [
    ("errors-400", anthropic.BadRequestError, "invalid_request_error"),
    ("errors-403", anthropic.PermissionDeniedError, "permission_error"),
    ("errors-413", anthropic.RequestTooLargeError, "request_too_large"),
    ("errors-429", anthropic.RateLimitError, "rate_limit_error"),
    ("errors-500", anthropic.InternalServerError, "api_error"),
    ("errors-402", anthropic.InternalServerError, "api_error"),  # the operator's bill is not the caller's
    ("errors-529", anthropic.OverloadedError, "overloaded_error"),
    ("errors-first", anthropic.OverloadedError, "overloaded_error"),
    ("no-such-model", anthropic.NotFoundError, "not_found_error"),
])
@pytest.mark.parametrize("streams", [False, True])
def test_an_error_has_the_right_class_and_type(client, model, kind, type_, streams):
    with pytest.raises(kind) as caught:
        ask(client, model, stream=streams)
    body = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", type_)
    assert body["error"]["details"]["error_code"]
    assert caught.value.request_id == body["request_id"] and body["request_id"].startswith("req_")


def test_a_rate_limit_of_the_provider_says_when_to_come_back(client):
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(client, "errors-429")
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_wrong_key_is_an_authentication_error(lab):
    for key in ("weir_aaaaaaaaaaaaaaaa_" + "a" * 59, "sk-ant-not-ours"):
        with anthropic.Anthropic(base_url=base(lab), api_key=key, max_retries=0) as client, \
                pytest.raises(anthropic.AuthenticationError) as caught:
            ask(client, "plain")
        assert caught.value.body["error"]["type"] == "authentication_error"
        assert key not in str(caught.value)


def test_a_budget_is_reserved_by_max_tokens_and_limits_are_told_in_anthropic_s_fields(lab):
    made = lab.create_key()
    mine = {"tenant_id": lab.tenant_id, "key_id": made["id"]}
    lab.admin.post("/limits", {**mine, "name": "a minute", "level": "key", "measure": "requests", "amount": 600, "window_seconds": 60})
    lab.admin.post("/budgets", {**mine, "name": "small", "limit": "0.01", "period": "never"})
    with anthropic.Anthropic(base_url=base(lab), api_key=made["key"], max_retries=0) as client:
        def refused():
            try:
                ask(client, "claude")
            except anthropic.AuthenticationError:
                return None
            except anthropic.PaymentRequiredError as refusal:
                return refusal
        refusal = wait_for("the budget to refuse", refused, 30)
        assert refusal.body["error"]["type"] == "billing_error" and "small" in refusal.body["error"]["message"]
        # 100 tokens of the answer are a tenth of a cent.
        raw = client.messages.with_raw_response.create(model="claude", max_tokens=100, messages=MESSAGES)
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "600"
    assert int(raw.headers["anthropic-ratelimit-requests-remaining"]) < 600
    assert datetime.fromisoformat(raw.headers["anthropic-ratelimit-requests-reset"].replace("Z", "+00:00")).year >= 2024
    assert raw.headers["request-id"] == raw.headers["x-request-id"]


def test_a_path_that_is_not_there_is_told_in_anthropic_s_form(client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.batches.list()
    assert caught.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("change, words", [
    ({"messages": [{"role": "system", "content": "x"}]}, "role"),
    ({"messages": MESSAGES, "nonsense": True}, "nonsense"),
    ({"messages": MESSAGES + [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "count", "input": {}}]}]}, "tool_use"),
    ({"messages": []}, "messages"),
])
def test_what_the_provider_refuses_is_told_in_its_words(client, change, words):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.post("/v1/messages", body={"model": "plain", "max_tokens": 5, **change}, cast_to=object)
    assert words in caught.value.body["error"]["message"]


def test_a_request_without_a_bound_is_refused(client):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.post("/v1/messages", body={"model": "plain", "messages": MESSAGES}, cast_to=object)
    assert "max_tokens" in caught.value.body["error"]["message"]


@pytest.mark.parametrize("model", ["errors-mid", "dies", "truncated"])
def test_a_stream_that_breaks_is_no_quiet_end(client, model):
    with pytest.raises(anthropic.APIError):
        with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
            list(stream)


def test_a_garbled_usage_reaches_nobody_as_an_error_of_weir(lab):
    for model in ("no-usage", "odd-usage"):
        status, _, _ = http("POST", base(lab, "/v1/messages"), {"model": model, "max_tokens": 64, "messages": MESSAGES},
                            headers={"x-api-key": lab.key})
        assert status == 200


# What became of it. Last, since what it counts is what the tests above did.


def test_usage_and_cost_are_what_the_provider_served(lab):
    by_id = {}
    for entry in lab.simulator.ledger():
        by_id.setdefault(entry["request_id"], []).append(entry)
    records = {record["request_id"]: record for record in lab.wait_usage(count=len(by_id))}
    exact = counted = 0
    for identifier, entries in by_id.items():
        record, entry = records[identifier], entries[-1]
        if entry["operation"] == "count_tokens":
            counted += 1
            assert (record["capability"], record["input_tokens"], record["cost_nano"], record["flags"]) == ("count_tokens", 0, 0, [])
        elif entry["outcome"] == "complete" and entry["usage"] and not record["flags"]:
            exact += 1
            stated = entry["usage"]
            assert record["dialect"] == "messages"
            assert [record[name] for name in ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens")] == [
                stated[name] for name in ("input", "output", "cached", "cache_write")], record
            if not stated["cache_write"]:
                assert record["cost_nano"] == nano_dollars(lab.price, stated), record
    assert exact > 60 and counted == 1
    written = next(record for record in records.values() if record["model"] == "claude")
    # 70 × 2.503 + 20 × 1.251 + 20 × 3.127 + 10 × 5.003 + 8 × 10.007 dollars a million.
    assert written["cost_nano"] == 175_210 + 25_020 + 62_540 + 50_030 + 80_056
    cut = [record for record in records.values() if record["model"] in ("dies", "truncated", "errors-mid")]
    assert len(cut) == 3 and all(record["status"] == "failed" and record["input_tokens"] == 9 for record in cut)
    estimated = [record for record in records.values() if record["model"] in ("no-usage", "odd-usage")]
    assert all("estimated" in record["flags"] and record["output_tokens"] > 0 for record in estimated)


def test_a_refused_credential_is_our_fault_and_tells_nothing(client):
    # It is taken out of rotation, so it comes after everything else that needs it.
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(client, "errors-401")
    for secret in (SECRET, "internal-host", "10.1.2.3"):
        assert secret not in caught.value.response.text
