"""OpenAI's and Anthropic's own Python SDKs against both real planes, each on models whose provider speaks another dialect.

The simulator refuses what the vendors refuse (members, order of results, ids), so a wrong translation fails there.
"""

import json
import os
import sys

import anthropic
import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab  # noqa: E402

TEXT = "alpha bravo delta gamma kappa omega sigma theta "
HELLO = [{"role": "user", "content": "Say hello."}]
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"], "additionalProperties": False}
CHAT_TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}]
MESSAGES_TOOLS = [{"name": "weather", "description": "The weather", "input_schema": SCHEMA}]
RESPONSES_TOOLS = [{"type": "function", "name": "weather", "description": "The weather", "parameters": SCHEMA, "strict": False}]
CALL_INPUT = {"number": 0, "text": 'a "quoted" value'}

MODELS = {
    "plain": "sim-strict-in120-out8-cached20-cachewrite10",
    "calls": "sim-call2",
    "split": "sim-strict-split",
    "long": "sim-strict-out64-chunks64",
    "dies": "sim-strict-chunks8-die3",
    "errors-mid": "sim-strict-chunks8-errormid3",
    "errors-400": "sim-status400",
    "errors-429": "sim-status429-retry7",
    "errors-500": "sim-status500",
}


@pytest.fixture(scope="module")
def lab():
    with Lab("crosswise", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key")
        lab.start_control()
        lab.create_tenant("SDK")
        base = f"http://{LOOPBACK}:{lab.simulator.port}"
        header = {"scheme": "header", "header": "x-api-key"}
        for prefix, provider in {
                "claude": {"kind": "anthropic", "base_url": base, "auth": header},
                "gpt": {"kind": "openai", "base_url": base + "/v1", "apis": ["chat"]},
                "codex": {"kind": "openai", "base_url": base + "/v1", "apis": ["responses"]}}.items():
            endpoint = lab.create_endpoint_of(prefix, **provider)
            for name, upstream in MODELS.items():
                lab.create_model(f"{prefix}-{name}", endpoints=[(endpoint, upstream, 1)], capabilities=("chat",))
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("gpt-split")
        yield lab
        assert lab.traps() == []


@pytest.fixture(scope="module")
def gpt(lab):
    with openai.OpenAI(base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1", api_key=lab.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(lab):
    with anthropic.Anthropic(base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}", auth_token=lab.key, max_retries=0) as client:
        yield client


# Chat completions on Claude


@pytest.mark.parametrize("name", ["plain", "split"])
def test_chat_on_claude(gpt, name):
    answer = gpt.chat.completions.create(model="claude-" + name, messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    if name == "plain":
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (120, 8)
        assert answer.usage.prompt_tokens_details.cached_tokens == 20


@pytest.mark.parametrize("name", ["plain", "split", "long"])
def test_chat_stream_on_claude(gpt, name):
    chunks = list(gpt.chat.completions.create(
        model="claude-" + name, messages=HELLO, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == TEXT * (8 if name == "long" else 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == (64 if name == "long" else 8)


def test_chat_with_tools_and_thinking_on_claude(gpt):
    """Two rounds, streamed: the signed thinking goes back with the calls' results."""
    messages = list(HELLO)
    with gpt.chat.completions.stream(
            model="claude-calls", messages=messages, tools=CHAT_TOOLS, max_completion_tokens=4000, reasoning_effort="high") as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0]
    assert message.finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments)["number"] for call in message.message.tool_calls] == [0, 1]
    assert message.message.tool_calls[0].id != message.message.tool_calls[1].id
    details = message.message.model_extra["reasoning_details"]
    assert [detail["signature"] for detail in details] == ["EqQBCgIYAhIM-simulator"]
    assert message.message.model_extra["reasoning_content"] == "Let me think."
    messages.append(message.message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.message.tool_calls]
    messages.append({"role": "user", "content": "And?"})
    answer = gpt.chat.completions.create(
        model="claude-calls", messages=messages, tools=CHAT_TOOLS, max_completion_tokens=4000, reasoning_effort="high")
    assert answer.choices[0].message.content == TEXT


def test_schema_on_claude(gpt):
    answer = gpt.chat.completions.create(model="claude-plain", messages=HELLO, response_format={
        "type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}})
    assert answer.choices[0].message.tool_calls is None


def test_what_cannot_be_carried_is_named(gpt, claude):
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.chat.completions.create(model="claude-plain", messages=HELLO, logprobs=True)
    assert refused.value.param == "logprobs"
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude.messages.create(
            model="gpt-plain", max_tokens=10, messages=HELLO, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert "tools[0].type" in str(refused.value)


@pytest.mark.parametrize("name,error", [
    ("errors-400", openai.BadRequestError), ("errors-429", openai.RateLimitError), ("errors-500", openai.InternalServerError)])
def test_chat_errors_on_claude(gpt, name, error):
    with pytest.raises(error):
        gpt.chat.completions.create(model="claude-" + name, messages=HELLO)


@pytest.mark.parametrize("name", ["dies", "errors-mid"])
def test_chat_stream_that_breaks_on_claude(gpt, name):
    seen = []
    with pytest.raises((openai.APIError, openai.APIConnectionError)):
        for chunk in gpt.chat.completions.create(model="claude-" + name, messages=HELLO, stream=True):
            seen += [choice.finish_reason for choice in chunk.choices]
    assert seen and all(reason is None for reason in seen)


# Messages on chat completions


@pytest.mark.parametrize("name", ["plain", "split"])
def test_messages_on_gpt(claude, name):
    answer = claude.messages.create(model="gpt-" + name, max_tokens=1000, system="Be brief.", messages=HELLO)
    assert answer.content[0].text == TEXT
    assert answer.stop_reason == "end_turn"
    if name == "plain":
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (90, 8)
        assert (answer.usage.cache_read_input_tokens, answer.usage.cache_creation_input_tokens) == (20, 10)


@pytest.mark.parametrize("name", ["plain", "split", "long"])
def test_messages_stream_on_gpt(claude, name):
    with claude.messages.stream(model="gpt-" + name, max_tokens=1000, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == TEXT * (8 if name == "long" else 1)
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == (64 if name == "long" else 8)


def test_messages_with_tools_on_gpt(claude):
    """What Claude Code does: many blocks, parallel calls, their results ahead of the text, marks for the cache."""
    messages = [{"role": "user", "content": [
        {"type": "text", "text": "Where?"}, {"type": "text", "text": "Now.", "cache_control": {"type": "ephemeral"}}]}]
    settings = {"model": "gpt-calls", "max_tokens": 4000, "tools": MESSAGES_TOOLS, "metadata": {"user_id": "u" * 200},
                "thinking": {"type": "enabled", "budget_tokens": 2000}}
    with claude.messages.stream(messages=messages, **settings) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.input["number"] for call in calls] == [0, 1]
    assert calls[0].input == CALL_INPUT
    messages.append({"role": "assistant", "content": message.content})
    messages.append({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": "sunny"}]},
        {"type": "tool_result", "tool_use_id": calls[1].id, "content": "no such place", "is_error": True},
        {"type": "text", "text": "Go on."}]})
    answer = claude.messages.create(messages=messages, **settings)
    assert answer.content[0].text == TEXT


@pytest.mark.parametrize("name,error", [
    ("errors-400", anthropic.BadRequestError), ("errors-429", anthropic.RateLimitError), ("errors-500", anthropic.APIStatusError)])
def test_messages_errors_on_gpt(claude, name, error):
    with pytest.raises(error):
        claude.messages.create(model="gpt-" + name, max_tokens=10, messages=HELLO)


@pytest.mark.parametrize("name", ["dies", "errors-mid"])
def test_messages_stream_that_breaks_on_gpt(claude, name):
    kinds = []
    with pytest.raises((anthropic.APIError, anthropic.APIConnectionError)):
        for event in claude.messages.create(model="gpt-" + name, max_tokens=100, messages=HELLO, stream=True):
            kinds.append(event.type)
    assert "message_start" in kinds and "message_stop" not in kinds and "message_delta" not in kinds


# Chat completions and Messages on a provider of Responses only


def test_chat_on_responses(gpt):
    answer = gpt.chat.completions.create(model="codex-plain", messages=HELLO)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    with gpt.chat.completions.stream(model="codex-calls", messages=HELLO, tools=CHAT_TOOLS) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls" and len(choice.message.tool_calls) == 2


def test_messages_on_responses(claude):
    answer = claude.messages.create(model="codex-plain", max_tokens=100, messages=HELLO)
    assert (answer.content[0].text, answer.stop_reason) == (TEXT, "end_turn")
    with claude.messages.stream(model="codex-calls", max_tokens=100, messages=HELLO, tools=MESSAGES_TOOLS) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use" and len([block for block in message.content if block.type == "tool_use"]) == 2


# Responses on the others: what Codex does


@pytest.mark.parametrize("provider", ["claude", "gpt"])
def test_responses_with_tools(gpt, provider):
    items = [{"role": "user", "content": "Where?"}]
    settings = {"model": provider + "-calls", "tools": RESPONSES_TOOLS, "instructions": "Be brief.", "store": False,
                "max_output_tokens": 4000, "reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]}
    numbers, kinds = [], []
    with gpt.responses.stream(input=items, **settings) as stream:
        for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
        response = stream.get_final_response()
    assert numbers == list(range(len(numbers)))
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    reasoning = ["reasoning"] if provider == "claude" else []
    assert [item.type for item in response.output] == reasoning + ["message", "function_call", "function_call"]
    calls = response.output[-2:]
    assert [json.loads(item.arguments)["number"] for item in calls] == [0, 1]
    items += [item.model_dump(exclude_none=True) for item in response.output]
    items += [{"type": "function_call_output", "call_id": item.call_id, "output": "sunny"} for item in calls]
    answer = gpt.responses.create(input=items, **settings)
    assert answer.output_text == TEXT
    assert answer.usage.output_tokens == 8


def test_responses_that_were_stored_are_refused(gpt):
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.responses.create(model="claude-plain", input="Hi", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


def test_usage_is_metered_as_the_provider_states_it(lab, gpt, claude):
    """One record a request, in the provider's counts, whichever dialect asked."""
    gpt.chat.completions.create(model="claude-plain", messages=HELLO)
    claude.messages.create(model="gpt-plain", max_tokens=100, messages=HELLO)
    records = lab.wait_usage()
    for model in ("claude-plain", "gpt-plain"):
        record = [record for record in records if record["model"] == model][-1]
        assert (record["input_tokens"], record["output_tokens"], record["cached_input_tokens"]) == (120, 8, 20)
