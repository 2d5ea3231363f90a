"""What reaches a provider, byte for byte: headers, thinking, ids. The provider here keeps what it is sent and always answers the same.

The simulator says whether a request is taken; this says what was made of it, for models whose names decide something (Claude 4.5 thinks by budgets).
By hand: pytest Tests/Clients/upstream_bytes_test.py after a build.
"""

import json
import re
import urllib.request

import pytest

from every_kind import Lab  # noqa: F401 (and the path to the drills)
from json_server import JSONHandler, serve
from weirlab import LOOPBACK, http

ANSWERS = {
    "/v1/messages": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1}},
    "/v1/chat/completions": {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}}
SENT = []
# Of conversations of so many messages, as OpenAI and Anthropic say it.
TOO_LONG = {
    ("gpt-5", 7): (400, {"error": {"message": "This model's maximum context length is 8 tokens.", "type": "invalid_request_error",
                                   "param": "messages", "code": "context_length_exceeded"}}),
    ("claude-sonnet-4-5", 9): (400, {"type": "error", "error": {
        "type": "invalid_request_error", "message": "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens"}}),
    ("claude-sonnet-4-5", 7): (400, {"type": "error", "error": {
        "type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}})}
# What models of that name refuse, and in which words.
PICKY = {
    "reasoning_effort": (400, {"error": {"message": "Unrecognized request argument supplied: reasoning_effort", "type": "invalid_request_error"}}),
    "user": (422, {"object": "error", "message": {"detail": [
        {"type": "extra_forbidden", "loc": ["body", "user"], "msg": "Extra inputs are not permitted", "input": "u"}]}}),
    "temperature": (400, {"error": {"message": "Unsupported value: 'temperature' does not support 0.2 with this model.",
                                    "param": "temperature", "code": "unsupported_value"}})}


class Provider(JSONHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        SENT.append(({name.lower(): value for name, value in self.headers.items()}, body))
        asked = json.loads(body)
        status, answer = next((PICKY[name] for name in PICKY if name in asked and asked["model"] == "picky"),
                              (200, ANSWERS[self.path.partition("?")[0]]))
        status, answer = TOO_LONG.get((asked["model"], len(asked["messages"])), (status, answer))
        self.answer(status, answer)


@pytest.fixture(scope="module")
def lab():
    server = serve(Provider, LOOPBACK)
    base = f"http://{LOOPBACK}:{server.server_port}"
    with Lab("bytes") as lab:
        lab.start_control()
        lab.create_tenant()
        for name, upstream, more in (
                ("claude", "claude-sonnet-4-5", {"kind": "anthropic", "base_url": base, "auth": {"scheme": "none"}}),
                ("gpt", "gpt-5", {"kind": "openai", "base_url": f"{base}/v1", "apis": ["chat"], "auth": {"scheme": "none"}}),
                ("picky", "picky", {"kind": "openai", "base_url": f"{base}/v1", "apis": ["chat"], "auth": {"scheme": "none"}})):
            endpoint = lab.create_endpoint_of(name, None, **more)
            lab.create_model(name, endpoints=[(endpoint, upstream, 1)], capabilities=("chat",))
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("gpt")
        yield lab
        assert lab.traps() == []
    server.shutdown()


def sent(lab, path, body, **headers):
    """What the provider was sent: its headers and its bytes."""
    status, _, answer = http("POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}{path}", body,
                             {"Authorization": f"Bearer {lab.key}", **{name.replace("_", "-"): value for name, value in headers.items()}})
    assert status == 200, answer
    return SENT[-1]


def chat(**more):
    return {"model": "claude", "messages": [{"role": "user", "content": "Hi"}], **more}


def messages(model):
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}


CALLER = {"anthropic_version": "2023-01-01", "anthropic_beta": "some-beta-2025-01-01"}


def test_the_caller_s_version_and_betas_go_along_in_its_own_dialect(lab):
    headers, _ = sent(lab, "/v1/messages", messages("claude"), **CALLER)
    assert (headers["anthropic-version"], headers["anthropic-beta"]) == ("2023-01-01", "some-beta-2025-01-01")


def test_a_translation_has_a_version_of_its_own(lab):
    headers, _ = sent(lab, "/v1/chat/completions", chat(), **CALLER)
    assert headers["anthropic-version"] == "2023-06-01" and "anthropic-beta" not in headers
    headers, _ = sent(lab, "/v1/messages", messages("gpt"), **CALLER)
    assert not any(name.startswith("anthropic") for name in headers), headers


def thinking(lab, **more):
    return json.loads(sent(lab, "/v1/chat/completions", chat(reasoning_effort="high", **more))[1])


TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object", "properties": {}}}}


def test_a_budget_of_thinking_has_room_and_nothing_that_contradicts_it(lab):
    asked = thinking(lab, max_tokens=8000, temperature=0.2, top_p=0.5)
    assert asked["thinking"]["type"] == "enabled" and 1024 <= asked["thinking"]["budget_tokens"] < asked["max_tokens"] == 8000
    assert "temperature" not in asked and "top_p" not in asked
    assert "thinking" not in thinking(lab, max_tokens=1000)
    assert "thinking" not in thinking(lab, max_tokens=8000, tools=[TOOL], tool_choice="required")


def calls(identifier, **more):
    return {"role": "assistant", "content": None, "tool_calls": [
        {"id": identifier, "type": "function", "function": {"name": "count", "arguments": "{}"}}], **more}


def answered(identifier, **more):
    return [{"role": "user", "content": "Count."}, calls(identifier, **more), {"role": "tool", "tool_call_id": identifier, "content": "1"}]


def test_a_turn_that_lost_its_thinking_is_not_asked_to_think(lab):
    assert "thinking" not in thinking(lab, max_tokens=8000, tools=[TOOL], messages=answered("call_1"))
    signed = [{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}]
    asked = thinking(lab, max_tokens=8000, tools=[TOOL], messages=answered("call_1", reasoning_details=signed))
    assert asked["thinking"]["type"] == "enabled"
    assert asked["messages"][1]["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


@pytest.mark.parametrize("identifier", ["call|with.what:others/issue", "c" * 200, "ünïcode"])
def test_ids_that_would_be_refused_are_replaced_alike_and_the_same_each_time(lab, identifier):
    bodies = [sent(lab, "/v1/chat/completions", chat(messages=answered(identifier), tools=[TOOL]))[1] for _ in range(2)]
    assert bodies[0] == bodies[1], "a prompt cache would miss"
    turn, result = json.loads(bodies[0])["messages"][1:]
    call = next(block for block in turn["content"] if block["type"] == "tool_use")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["id"]) and result["content"][0]["tool_use_id"] == call["id"]


def test_numbers_keep_their_digits_and_members_their_order(lab):
    schema = '{"z":1.50,"a":1e3,"m":12345678901234567890}'
    body = ('{"model":"claude","messages":[{"role":"user","content":"Hi"}],"temperature":0.70,"tools":[{"type":"function","function":'
            '{"name":"count","parameters":{"type":"object","properties":{},"x-order":%s}}}]}' % schema)
    request = urllib.request.Request(f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1/chat/completions", body.encode(), {
        "Authorization": f"Bearer {lab.key}", "Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()
    assert b'"temperature":0.70' in SENT[-1][1] and schema.encode() in SENT[-1][1], SENT[-1][1]


def test_what_a_model_does_not_take_is_left_out_and_the_next_request_goes_without(lab):
    """Claude Code's thinking and user for a model that neither reasons nor asks who it is."""
    body = {"model": "picky", "max_tokens": 3000, "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.2,
            "thinking": {"type": "enabled", "budget_tokens": 2000}, "metadata": {"user_id": "u"}}
    for requests in (4, 1):
        before = len(SENT)
        last = json.loads(sent(lab, "/v1/messages", body)[1])
        assert len(SENT) - before == requests and not set(PICKY) & set(last), [body for _, body in SENT[before:]]
    # The caller's own words in its own dialect are not changed.
    status, _, answer = http("POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1/chat/completions",
                             {"model": "picky", "messages": body["messages"], "reasoning_effort": "high"},
                             {"Authorization": f"Bearer {lab.key}"})
    assert status == 400 and b"reasoning_effort" in (answer if isinstance(answer, bytes) else json.dumps(answer).encode())


def test_a_conversation_that_is_too_long_is_told_in_the_words_that_agents_look_for(lab):
    def asked(path, model, **more):
        body = {"model": model, "messages": [{"role": ("user", "assistant")[turn % 2], "content": "x"} for turn in range(7)], **more}
        status, _, answer = http("POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}{path}", body, {"Authorization": f"Bearer {lab.key}"})
        assert status == 400, answer
        return (answer if isinstance(answer, dict) else json.loads(answer))["error"]

    for model in ("gpt", "claude"):
        assert asked("/v1/messages", model, max_tokens=9)["message"].startswith("prompt is too long: ")
        assert asked("/v1/chat/completions", model)["code"] == "context_length_exceeded"


def test_a_bound_that_a_provider_refuses_is_told_and_not_asked_for_again(lab):
    before = len(SENT)
    body = {"model": "claude", "max_tokens": 99999, "messages": [{"role": ("user", "assistant")[turn % 2], "content": "x"} for turn in range(9)]}
    status, _, answer = http("POST", f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1/chat/completions", body,
                             {"Authorization": f"Bearer {lab.key}"})
    assert status == 400 and "max_tokens" in json.dumps(answer if isinstance(answer, dict) else answer.decode())
    assert len(SENT) - before == 1
