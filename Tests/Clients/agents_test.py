"""What coding agents send, in the shape in which Claude Code and Codex send it, on a provider of each kind: raw HTTP, whole conversations.

The bodies are made here after what these programs send: their headers, members, marks and blocks, with texts of our own.
By hand: pytest Tests/Clients/agents_test.py after a build.
"""

import json

import pytest

from every_kind import KINDS, TEXT, lab  # noqa: F401
from weirlab import http

EVERY = pytest.mark.parametrize("kind", list(KINDS))

# Claude Code

BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14,context-management-2025-06-27"
CLAUDE_CODE = {
    "accept": "application/json", "anthropic-version": "2023-06-01", "anthropic-beta": BETAS, "x-app": "cli",
    "anthropic-dangerous-direct-browser-access": "true", "user-agent": "claude-cli/2.1.0 (external, cli)", "x-stainless-lang": "js",
    "x-stainless-retry-count": "0", "x-stainless-timeout": "600", "content-type": "application/json"}
NAMES = ["Bash", "Read", "Edit", "Write", "Glob", "Grep", "Task", "TodoWrite", "WebFetch", "NotebookEdit", "BashOutput", "KillShell",
         "ExitPlanMode", "Skill", "SlashCommand", "AskUserQuestion", *(f"mcp__files__operation_{number}" for number in range(24))]


def claude_tools():
    return [{
        "name": name, "description": f"{name}: what it does, at length.\n- with \"quotes\" and ünïcode", "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": False,
            "properties": {
                "number": {"type": "integer", "description": "How many", "minimum": 0},
                "text": {"type": "string", "minLength": 1},
                "mode": {"type": "string", "enum": ["content", "files_with_matches"]},
                "edits": {"type": "array", "items": {"type": "object", "properties": {"old": {"type": "string"}}, "required": ["old"]}}},
            "required": ["number"]}} for name in NAMES]


def claude_turn(model, messages, **more):
    return {
        "model": model, "max_tokens": 32000, "temperature": 1, "stream": True, "messages": messages, "tools": claude_tools(),
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cc_entrypoint=cli; cch=00000;"},
            {"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "# Environment\nPlatform: linux", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "metadata": {"user_id": "user_" + "a" * 64 + "_account__session_0b7c0d9e-4d8f-4a57-9a53-2f0d1f3a6c11"},
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, **more}


def begin():
    return [{"role": "user", "content": [
        {"type": "text", "text": "<system-reminder>\nNotes of the project.\n</system-reminder>\n"},
        {"type": "text", "text": "Count the files.", "cache_control": {"type": "ephemeral"}}]}]


def send(lab, path, body, headers):
    """(status, headers, bytes)"""
    return http("POST", lab.base + path, body, headers, timeout=60)


def events(data):
    """(name, data) of each event of a stream."""
    found = []
    for block in data.decode().split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            found.append((fields.get("event"), json.loads(fields["data"])))
    return found


def message_of(found):
    """Puts a stream of Messages together as a strict client does: one block at a time, each started and stopped once."""
    blocks, open_index, usage, stop_reason, kinds = [], None, {}, None, []
    for name, event in found:
        assert name == event["type"], (name, event)
        kinds.append(name)
        if name == "message_start":
            usage.update(event["message"]["usage"])
        elif name == "content_block_start":
            assert open_index is None and event["index"] == len(blocks), event
            open_index, block = event["index"], dict(event["content_block"])
            assert block.get("input", {}) == {}, "what is put together from deltas begins empty"
            blocks.append(block | {"json": ""})
        elif name == "content_block_delta":
            assert event["index"] == open_index
            block, delta = blocks[-1], event["delta"]
            match delta["type"]:
                case "text_delta": block["text"] += delta["text"]
                case "thinking_delta": block["thinking"] += delta["thinking"]
                case "signature_delta": block["signature"] = delta["signature"]
                case "input_json_delta": block["json"] += delta["partial_json"]
        elif name == "content_block_stop":
            assert event["index"] == open_index
            open_index = None
        elif name == "message_delta":
            assert open_index is None and stop_reason is None
            stop_reason = event["delta"]["stop_reason"]
            usage.update({name: count for name, count in event["usage"].items() if count is not None})
    assert (kinds[0], kinds[-1], kinds.count("message_stop"), open_index) == ("message_start", "message_stop", 1, None)
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text or "{}")
    return {"role": "assistant", "content": blocks}, stop_reason, usage


@EVERY
@pytest.mark.parametrize("by, name", [("x-api-key", "calls"), ("bearer", "split")])
def test_claude_code_works_a_turn_of_calls_and_goes_on(lab, kind, by, name):
    headers = {**CLAUDE_CODE, **({"x-api-key": lab.key} if by == "x-api-key" else {"authorization": f"Bearer {lab.key}"})}
    model, messages = f"{kind}-{name}", begin()
    for turn in range(2):
        status, received, data = send(lab, "/v1/messages?beta=true", claude_turn(model, messages), headers)
        assert status == 200 and received["content-type"].startswith("text/event-stream"), data
        assert received["request-id"] == received["x-request-id"]
        answer, stop_reason, usage = message_of(events(data))
        calls = [block for block in answer["content"] if block["type"] == "tool_use"]
        assert stop_reason == "tool_use" and [call["input"]["number"] for call in calls] == [0, 1]
        assert {call["name"] for call in calls} <= set(NAMES) and usage["output_tokens"] == 8
        thinking = [block for block in answer["content"] if block["type"] in ("thinking", "redacted_thinking")]
        # Signed by whom it goes back to, or not there at all: another vendor's would be refused.
        assert bool(thinking) == (kind in ("anthropic", "openrouter"))
        messages += [answer, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": calls[0]["id"], "content": [{"type": "text", "text": "42 files"}]},
            {"type": "tool_result", "tool_use_id": calls[1]["id"], "content": "<tool_use_error>no such file</tool_use_error>", "is_error": True}]}]
        if turn:
            messages[-1]["content"].append({"type": "text", "text": "<system-reminder>\nThe list is empty.\n</system-reminder>"})
        status, _, data = send(lab, "/v1/messages?beta=true", claude_turn(model, messages), headers)
        assert status == 200, data
        answer, stop_reason, _ = message_of(events(data))
        assert "".join(block.get("text", "") for block in answer["content"]) == TEXT
        # To a chat model the reminder is the last word, and the simulator calls again.
        assert stop_reason == "end_turn" or turn
        messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        messages += [answer, {"role": "user", "content": "And now?"}]


@EVERY
def test_claude_code_probes_before_it_begins(lab, kind):
    """A request of one token, whole, as it looks whether there is quota left; a title; tokens counted with all tools."""
    headers = {**CLAUDE_CODE, "x-api-key": lab.key}
    quota = {"model": f"{kind}-plain", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}],
             "metadata": {"user_id": "user_" + "b" * 64}}
    status, _, data = send(lab, "/v1/messages?beta=true", quota, headers)
    assert status == 200 and json.loads(data)["stop_reason"] in ("max_tokens", "end_turn"), data
    title = claude_turn(f"{kind}-plain", begin(), max_tokens=512, temperature=0)
    del title["thinking"], title["tools"], title["context_management"]
    status, _, data = send(lab, "/v1/messages?beta=true", title, headers)
    assert status == 200 and message_of(events(data))[1] == "end_turn", data
    counted = {name: value for name, value in claude_turn(f"{kind}-plain", begin()).items()
               if name in ("model", "messages", "tools", "system", "thinking")}
    status, received, data = send(lab, "/v1/messages/count_tokens?beta=true", counted, headers)
    assert status == 200, data
    if received.get("x-weir-estimated"):
        # No provider counts: about a token for each four bytes, and it grows with what is said.
        size = len(json.dumps(counted))
        assert size / 8 < json.loads(data)["input_tokens"] < size / 2.5
        longer = {**counted, "messages": counted["messages"] + [{"role": "user", "content": "more words " * 100}]}
        status, _, more = send(lab, "/v1/messages/count_tokens?beta=true", longer, headers)
        assert status == 200 and 150 < json.loads(more)["input_tokens"] - json.loads(data)["input_tokens"] < 300
    else:
        assert kind in ("anthropic", "openrouter") and json.loads(data)["input_tokens"] == 120, data


@EVERY
def test_claude_code_is_told_in_its_own_words(lab, kind):
    headers = {**CLAUDE_CODE, "x-api-key": lab.key}
    status, received, data = send(lab, "/v1/messages?beta=true", claude_turn(f"{kind}-errors-429", begin()), headers)
    assert status == 429 and json.loads(data)["error"]["type"] == "rate_limit_error" and received["retry-after"] == "7"
    for name in ("dies", "fails"):
        _, _, data = send(lab, "/v1/messages?beta=true", claude_turn(f"{kind}-{name}", begin()), headers)
        kinds = [name for name, _ in events(data)]
        assert kinds[-1] == "error" and "message_stop" not in kinds and "message_delta" not in kinds, kinds


# Codex

CODEX = {
    "accept": "text/event-stream", "content-type": "application/json", "originator": "codex_cli_rs",
    "user-agent": "codex_cli_rs/0.60.1 (Debian 12.0.0; x86_64) unknown", "version": "0.60.1", "openai-beta": "responses=experimental",
    "session_id": "0199a7c0-9f2e-7a40-b8d1-5d5f0a3c1e11", "conversation_id": "0199a7c0-9f2e-7a40-b8d1-5d5f0a3c1e11"}
PATCH_GRAMMAR = 'start: begin_patch hunk+ end_patch\nbegin_patch: "*** Begin Patch" LF\nend_patch: "*** End Patch" LF?\n'


def codex_tools():
    return [
        {"type": "function", "name": "shell", "description": "Runs a command", "strict": False, "parameters": {
            "type": "object", "additionalProperties": False, "required": ["command"], "properties": {
                "command": {"type": "array", "items": {"type": "string"}}, "workdir": {"type": "string"}, "timeout_ms": {"type": "number"}}}},
        {"type": "function", "name": "update_plan", "description": "The plan", "strict": False, "parameters": {
            "type": "object", "additionalProperties": False, "required": ["plan"], "properties": {
                "explanation": {"type": "string"}, "plan": {"type": "array", "items": {"type": "object", "additionalProperties": False,
                    "required": ["step", "status"], "properties": {"step": {"type": "string"}, "status": {"type": "string"}}}}}}},
        {"type": "custom", "name": "apply_patch", "description": "Edits files",
         "format": {"type": "grammar", "syntax": "lark", "definition": PATCH_GRAMMAR}},
        {"type": "function", "name": "view_image", "description": "Shows an image", "strict": False, "parameters": {
            "type": "object", "additionalProperties": False, "required": ["path"], "properties": {"path": {"type": "string"}}}},
        *({"type": "function", "name": f"mcp__files__operation_{number}", "description": "", "strict": False, "parameters": {
            "type": "object", "properties": {}}} for number in range(24))]


def codex_turn(model, items):
    return {
        "model": model, "instructions": "You are a coding agent.", "input": items, "tools": codex_tools(), "tool_choice": "auto",
        "parallel_tool_calls": True, "reasoning": {"effort": "high", "summary": "auto"}, "store": False, "stream": True,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "0199a7c0-9f2e-7a40-b8d1-5d5f0a3c1e11",
        "text": {"verbosity": "medium"}, "client_metadata": {"x-codex-installation-id": "00000000-0000-4000-8000-000000000000"}}


def response_of(data):
    """Follows a stream of Responses as Codex does: numbered, each item announced before its deltas and done once, with one end."""
    open_items, done, texts = {}, [], {}
    found = events(data)
    assert [event["sequence_number"] for _, event in found] == list(range(len(found)))
    for name, event in found:
        assert name == event["type"]
        if name == "response.output_item.added":
            open_items[event["output_index"]] = event["item"]["id"]
        elif name.endswith(".delta"):
            assert open_items[event["output_index"]] == event["item_id"], event
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
        elif name == "response.output_item.done":
            assert open_items.pop(event["output_index"]) == event["item"]["id"]
            done.append(event["item"])
    assert not open_items and found[0][0] == "response.created"
    end = found[-1]
    if end[0] == "response.completed":
        assert end[1]["response"]["output"] == done
        for item in done:
            if item["type"] == "function_call":
                assert texts[item["id"]] == item["arguments"]
    return end, done


@EVERY
@pytest.mark.parametrize("name", ["calls", "split"])
def test_codex_works_a_turn_of_calls_and_goes_on(lab, kind, name):
    headers = {**CODEX, "authorization": f"Bearer {lab.key}"}
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>read</permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>\n</environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Count the files."}]}]
    for _ in range(2):
        status, _, data = send(lab, "/v1/responses", codex_turn(f"{kind}-{name}", items), headers)
        assert status == 200, data
        end, done = response_of(data)
        assert end[0] == "response.completed" and end[1]["response"]["usage"]["output_tokens"] == 8
        calls = [item for item in done if item["type"] == "function_call"]
        assert [json.loads(call["arguments"])["number"] for call in calls] == [0, 1] and {call["name"] for call in calls} == {"shell"}
        for item in done:
            # Codex sends items back without what the server gave them for itself.
            items.append({name: value for name, value in item.items() if name not in ("id", "status")})
        outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": json.dumps({"output": "42", "metadata": {"exit_code": 0}})}
                   for call in calls]
        status, _, data = send(lab, "/v1/responses", codex_turn(f"{kind}-{name}", items + outputs), headers)
        assert status == 200, data
        end, done = response_of(data)
        assert end[0] == "response.completed" and "".join(part["text"] for item in done if item["type"] == "message" for part in item["content"]) == TEXT
        items += outputs + [{name: value for name, value in item.items() if name not in ("id", "status")} for item in done]
        items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And now?"}]})


@EVERY
def test_codex_sends_back_calls_of_custom_tools(lab, kind):
    """The history of a conversation that another model began: a patch, its output, reasoning without a signature of this provider's."""
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Edit."}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I shall edit."}], "content": None, "encrypted_content": None},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": "*** Begin Patch\n*** End Patch\n"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Success."}]
    status, _, data = send(lab, "/v1/responses", codex_turn(f"{kind}-calls", items), {**CODEX, "authorization": f"Bearer {lab.key}"})
    assert status == 200, data
    assert response_of(data)[0][0] == "response.completed"


@EVERY
def test_codex_hears_of_a_stream_that_broke(lab, kind):
    headers = {**CODEX, "authorization": f"Bearer {lab.key}"}
    items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    for name in ("dies", "fails"):
        _, _, data = send(lab, "/v1/responses", codex_turn(f"{kind}-{name}", items), headers)
        kinds = [name for name, _ in events(data)]
        assert kinds[-1] in ("error", "response.failed") and "response.completed" not in kinds, kinds


def test_each_request_is_one_record_in_the_provider_s_counts(lab):
    """Last: of all that was asked above."""
    served = {}
    for entry in lab.simulator.ledger():
        served[entry["request_id"]] = entry
    records = {record["request_id"]: record for record in lab.wait_usage(count=len(served))}
    assert set(served) <= set(records)
    exact = 0
    for identifier, entry in served.items():
        record = records[identifier]
        if entry["outcome"] == "complete" and entry["usage"] and entry["operation"] != "count_tokens":
            exact += 1
            assert (record["input_tokens"], record["output_tokens"]) == (entry["usage"]["input"], entry["usage"]["output"]), record
    assert exact > 50
