"""LangChain's and LiteLLM's clients against both real planes, on a provider of each kind: what the vendors' own SDKs forgive, they may not.

By hand: pytest Tests/Clients/second_opinion_test.py after a build.
"""

import json
import os

os.environ.update({"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True", "LANGSMITH_TRACING": "false"})

import anthropic  # noqa: E402
import litellm  # noqa: E402
import openai  # noqa: E402
import pytest  # noqa: E402
from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

from pages import block  # noqa: E402
from every_kind import CALL_INPUT, KINDS, TEXT, lab  # noqa: E402,F401

litellm.telemetry = False
QUESTION = [SystemMessage("Be brief."), HumanMessage("Say hello.")]


class Count(BaseModel):
    """Counts."""

    number: int = Field(description="How many")
    text: str = CALL_INPUT["text"]


def langchain(lab, dialect, model, **more):
    """A chat model of LangChain's that speaks this dialect."""
    if dialect == "messages":
        return ChatAnthropic(model=model, base_url=lab.base, api_key=lab.key, max_tokens=4000, max_retries=0, **more)
    return ChatOpenAI(model=model, base_url=f"{lab.base}/v1", api_key=lab.key, max_retries=0, use_responses_api=dialect == "responses",
                      stream_usage=True, **more)


EVERY = pytest.mark.parametrize("kind", list(KINDS))
DIALECT = pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])


@EVERY
@DIALECT
def test_langchain_asks_and_streams(lab, kind, dialect):
    model = langchain(lab, dialect, f"{kind}-plain")
    answer = model.invoke(QUESTION)
    assert answer.text == TEXT
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (120, 8)
    assert answer.usage_metadata["input_token_details"]["cache_read"] == 20
    whole = None
    for chunk in model.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole.text == TEXT
    usage = whole.usage_metadata
    # LangChain reads message_delta alone, and where the provider speaks Messages its events pass as they are: the simulator tells input at the begin.
    told = 0 if dialect == "messages" and kind in ("anthropic", "openrouter") else 120
    assert (usage["input_tokens"], usage["output_tokens"]) == (told, 8)


@EVERY
@DIALECT
def test_langchain_calls_tools_in_streams_and_sends_their_results(lab, kind, dialect):
    model = langchain(lab, dialect, f"{kind}-calls").bind_tools([Count])
    messages = list(QUESTION)
    whole = None
    for chunk in model.stream(messages):
        whole = chunk if whole is None else whole + chunk
    assert [call["name"] for call in whole.tool_calls] == ["Count", "Count"] and not whole.invalid_tool_calls
    assert [call["args"]["number"] for call in whole.tool_calls] == [0, 1]
    assert len({call["id"] for call in whole.tool_calls}) == 2
    messages += [whole, *(ToolMessage("1", tool_call_id=call["id"]) for call in whole.tool_calls)]
    assert model.invoke(messages).text == TEXT


@EVERY
@DIALECT
def test_langchain_has_structured_output_by_a_tool(lab, kind, dialect):
    # One that is forced; of two calls LangChain takes the first.
    model = langchain(lab, dialect, f"{kind}-calls").with_structured_output(Count, method="function_calling")
    assert model.invoke(QUESTION) == Count(**CALL_INPUT)


@EVERY
@DIALECT
def test_langchain_asks_for_a_schema(lab, kind, dialect):
    """What the simulator writes is no JSON: what is tried is that each provider takes the request, and that the answer is text and no call."""
    schema = langchain(lab, dialect, f"{kind}-plain").with_structured_output(Count, method="json_schema", include_raw=True)
    try:
        answer = schema.invoke(QUESTION)
        assert answer["raw"].text == TEXT and not answer["raw"].tool_calls
    except ValueError as problem:
        # OpenAI's SDK parses by itself.
        assert "JSON" in str(problem)


@EVERY
@pytest.mark.parametrize("name, of_openai, of_anthropic", [
    ("errors-400", openai.BadRequestError, anthropic.BadRequestError),
    ("errors-429", openai.RateLimitError, anthropic.RateLimitError),
    ("errors-500", openai.InternalServerError, anthropic.InternalServerError)])
def test_langchain_raises_what_the_sdk_raises(lab, kind, name, of_openai, of_anthropic):
    for dialect, error in (("chat", of_openai), ("responses", of_openai), ("messages", of_anthropic)):
        with pytest.raises(error):
            langchain(lab, dialect, f"{kind}-{name}").invoke(QUESTION)


@EVERY
@DIALECT
@pytest.mark.parametrize("name", ["dies", "fails"])
def test_langchain_hears_of_a_stream_that_broke(lab, kind, dialect, name):
    finished = []
    with pytest.raises(Exception) as broken:
        for chunk in langchain(lab, dialect, f"{kind}-{name}").stream(QUESTION):
            finished.append(chunk.response_metadata.get("finish_reason") or chunk.response_metadata.get("stop_reason"))
    assert not isinstance(broken.value, AssertionError)
    assert all(reason in (None, "error") for reason in finished), finished


def asked(lab, provider, model, **more):
    base = lab.base if provider == "anthropic" else f"{lab.base}/v1"
    return litellm.completion(
        model=f"{provider}/{model}", api_base=base, api_key=lab.key, max_tokens=4000, num_retries=0,
        messages=more.pop("messages", [{"role": "user", "content": "Say hello."}]), **more)


TOOLS = [{"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": Count.model_json_schema()}}]


@EVERY
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm_asks_and_streams(lab, kind, provider):
    answer = asked(lab, provider, f"{kind}-plain")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (120, 8)
    chunks = list(asked(lab, provider, f"{kind}-long", stream=True, stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (TEXT * 8, "stop")
    assert whole.usage.completion_tokens == 64


@EVERY
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm_calls_tools(lab, kind, provider):
    messages = [{"role": "user", "content": "Count."}]
    whole = litellm.stream_chunk_builder(list(asked(lab, provider, f"{kind}-calls", messages=messages, tools=TOOLS, stream=True)))
    calls = whole.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["number"] for call in calls] == [0, 1]
    assert whole.choices[0].finish_reason == "tool_calls"
    messages.append(whole.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "1"} for call in calls]
    assert asked(lab, provider, f"{kind}-calls", messages=messages, tools=TOOLS).choices[0].message.content == TEXT


@EVERY
def test_litellm_speaks_responses(lab, kind):
    answer = litellm.responses(model=f"openai/{kind}-plain", api_base=f"{lab.base}/v1", api_key=lab.key, input="Say hello.")
    text = "".join(part.text for item in answer.output if item.type == "message" for part in item.content)
    assert (text, answer.status, answer.usage.output_tokens) == (TEXT, "completed", 8)


@EVERY
@pytest.mark.parametrize("name, error", [
    ("errors-400", litellm.BadRequestError), ("errors-429", litellm.RateLimitError),
    ("errors-500", (litellm.InternalServerError, litellm.BadGatewayError))])
def test_litellm_raises_its_own_classes(lab, kind, name, error):
    for provider in ("openai", "anthropic"):
        with pytest.raises(error):
            asked(lab, provider, f"{kind}-{name}")


@pytest.mark.parametrize("name", ["LangChain", "LiteLLM"])
def test_the_page_s_programs(lab, name, monkeypatch, capsys):
    for variable, value in {"WEIR": lab.base, "WEIR_KEY": lab.key, "MODEL": "anthropic-plain"}.items():
        monkeypatch.setenv(variable, value)
    exec(compile(block("clients", "python", name), name, "exec"), {})
    assert capsys.readouterr().out.count(TEXT) == (3 if name == "LangChain" else 2)
