"""OpenAI's own Python SDK against both real planes: what applications will do, with the client they do it with.

Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients after a build.
"""

import asyncio
import os
import sys

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab  # noqa: E402

MESSAGES = [{"role": "user", "content": "Say hello."}]
TEXT = "alpha bravo delta gamma kappa omega sigma theta "

MODELS = {
    # what callers say: what the simulator is asked for (its grammar: Simulator/Core/Script.swift)
    "chat": "sim-in120-out8-cached20",
    "long": "sim-in50-out64-chunks64-pace1ms",
    "slow": "sim-in10-out200-chunks200-pace20ms",
    "errors-400": "sim-status400",
    "errors-401": "sim-status401",
    "errors-403": "sim-status403",
    "errors-404": "sim-status404",
    "errors-429": "sim-status429-retry7",
    "errors-500": "sim-status500",
    "errors-503": "sim-status503",
    "errors-mid": "sim-chunks8-errormid3",
    "dies": "sim-chunks8-die3",
    "no-usage": "sim-nousage",
    "odd-usage": "sim-usagetext",
    "split": "sim-in11-out8-split",
    "embedding": "sim-in5-dim16",
}


@pytest.fixture(scope="session")
def lab():
    with Lab("sdk", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key")
        lab.start_control()
        lab.create_tenant("SDK")
        lab.create_provider()
        for name, upstream in MODELS.items():
            lab.create_model(name, upstream=upstream)
        port, authority = lab.start_tls_simulator()
        for name, trust in [("secure", {"ca_pem": authority}), ("stranger", {})]:
            endpoint = lab.create_endpoint_of(
                name, None, kind="openai", base_url=f"https://localhost:{port}/v1", auth={"scheme": "none"}, **trust)
            lab.create_model(name, endpoints=[(endpoint, "sim-in120-out8-chunks8", 1)])
        lab.create_model("private", upstream="sim-ok", tenant_ids=[lab.admin.post("/tenants", {"name": "Other"})["id"]])
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving("chat")
        yield lab
        assert lab.traps() == []


def another(lab, key, path="/v1"):
    return openai.OpenAI(base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}{path}", api_key=key, max_retries=0)


# Answers


def test_chat_answers_with_text_and_usage(client):
    answer = client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (120, 8, 128)
    assert answer.usage.prompt_tokens_details.cached_tokens == 20


@pytest.mark.parametrize("path", ["/v1", "/external/v1", ""])
def test_chat_answers_under_each_path(lab, path):
    with another(lab, lab.key, path) as client:
        assert client.chat.completions.create(model="chat", messages=MESSAGES).choices[0].message.content == TEXT


def test_a_stream_brings_all_text_and_no_usage_that_was_not_asked_for(client):
    chunks = list(client.chat.completions.create(model="long", messages=MESSAGES, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == TEXT * 8
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_ends_with_usage_when_it_was_asked_for(client):
    chunks = list(client.chat.completions.create(model="long", messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (50, 64)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_that_arrives_byte_by_byte_is_the_same(client):
    chunks = list(client.chat.completions.create(model="split", messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT


def test_the_caller_may_leave_in_mid_stream(client):
    stream = client.chat.completions.create(model="slow", messages=MESSAGES, stream=True)
    for number, _ in enumerate(stream):
        if number == 3:
            break
    stream.close()
    assert client.chat.completions.create(model="chat", messages=MESSAGES).usage.total_tokens == 128


def test_max_tokens_reaches_the_provider(client):
    answer = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_completions_answer_and_stream(client):
    assert client.completions.create(model="chat", prompt="Say hello.").choices[0].text == TEXT
    chunks = list(client.completions.create(model="chat", prompt="Say hello.", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == TEXT


@pytest.mark.parametrize("encoding", ["float", "base64", openai.NOT_GIVEN])
def test_embeddings_come_in_each_encoding(client, encoding):
    answer = client.embeddings.create(model="embedding", input=["one", "two"], encoding_format=encoding)
    assert len(answer.data) == 2
    assert answer.usage.prompt_tokens == 5
    if encoding != "base64":
        assert answer.data[1].embedding[:2] == [-0.5, -0.4375]


def test_a_usage_that_the_provider_garbles_does_not_reach_the_caller_as_an_error(client):
    assert client.chat.completions.create(model="no-usage", messages=MESSAGES).choices[0].message.content == TEXT
    assert client.chat.completions.create(model="odd-usage", messages=MESSAGES).choices[0].message.content == TEXT


def test_models_are_those_the_tenant_may_use(client):
    names = {model.id for model in client.models.list()}
    assert {*MODELS, "secure", "stranger"} == names
    assert client.models.retrieve("chat").id == "chat"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("private")


def test_a_provider_over_tls_with_a_private_authority(client):
    assert client.chat.completions.create(model="secure", messages=MESSAGES).choices[0].message.content == TEXT
    chunks = list(client.chat.completions.create(model="secure", messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT


def test_a_provider_whose_certificate_nobody_vouches_for_is_not_used(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="stranger", messages=MESSAGES)
    assert caught.value.status_code in (502, 503)


def test_many_callers_at_once(lab):
    async def all_of_them():
        async with openai.AsyncOpenAI(
                base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1", api_key=lab.key, max_retries=0) as client:
            async def one(number):
                if number % 2:
                    answer = await client.chat.completions.create(model="chat", messages=MESSAGES)
                    return answer.choices[0].message.content
                stream = await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            return await asyncio.gather(*(one(number) for number in range(100)))
    assert set(asyncio.run(all_of_them())) == {TEXT}


def test_headers_say_which_request_and_which_configuration(client):
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES)
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["x-weir-config-version"]) >= 1
    assert raw.parse().choices[0].message.content == TEXT
    assert raw.parse()._request_id == raw.headers["x-request-id"]


# Errors


def test_a_wrong_key_is_an_authentication_error(lab):
    for key in ("weir_aaaaaaaaaaaaaaaa_" + "a" * 59, "sk-not-ours", "weir_short"):
        with another(lab, key) as client, pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="chat", messages=MESSAGES)
        assert caught.value.code == "invalid_api_key"
        assert key not in str(caught.value)


def test_a_revoked_key_is_an_authentication_error_at_once(lab):
    made = lab.create_key()
    with another(lab, made["key"]) as client:
        from weirlab import wait_for

        def works():
            try:
                return client.chat.completions.create(model="chat", messages=MESSAGES)
            except openai.AuthenticationError:
                return None
        wait_for("the new key to work", works, 15)
        lab.admin.post(f"/keys/{made['id']}/revoke")
        wait_for("the revoked key to be refused", lambda: works() is None, 15)


def test_a_model_outside_the_key_s_scope_is_refused(lab):
    from weirlab import wait_for
    made = lab.create_key(models=["chat"])
    with another(lab, made["key"]) as client:
        def works():
            try:
                return client.chat.completions.create(model="chat", messages=MESSAGES)
            except openai.AuthenticationError:
                return None
        wait_for("the new key to work", works, 15)
        with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError)):
            client.chat.completions.create(model="long", messages=MESSAGES)


def test_a_capability_outside_the_key_s_scope_is_a_permission_error(lab):
    from weirlab import wait_for
    made = lab.create_key(capabilities=["embeddings"])
    with another(lab, made["key"]) as client:
        def works():
            try:
                return client.embeddings.create(model="embedding", input="one")
            except openai.AuthenticationError:
                return None
        wait_for("the new key to work", works, 15)
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="chat", messages=MESSAGES)


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


def test_a_body_without_a_model_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", body={"messages": MESSAGES}, cast_to=object)


@pytest.mark.parametrize("model, kind", [
    ("errors-400", openai.BadRequestError),
    ("errors-429", openai.RateLimitError),
    ("errors-500", openai.InternalServerError),
    ("errors-503", openai.InternalServerError),
])
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_provider_has_the_right_class(client, model, kind, stream):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    assert caught.value.response.headers["x-request-id"].startswith("req_")


def test_a_rate_limit_of_the_provider_says_when_to_come_back(client):
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="errors-429", messages=MESSAGES)
    assert caught.value.response.headers["retry-after"] == "7"


def test_an_error_in_mid_stream_is_raised(client):
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="errors-mid", messages=MESSAGES, stream=True))


def test_a_provider_that_dies_in_mid_stream_is_no_quiet_end(client):
    with pytest.raises(Exception):  # an error event (openai.APIError) or a cut connection (httpx.RemoteProtocolError)
        list(client.chat.completions.create(model="dies", messages=MESSAGES, stream=True))


# What became of it. Last, since what it counts is what the tests above did.


def test_usage_is_what_the_provider_served(lab, client):
    # A refused credential is taken out of rotation, so it comes after everything else that needs it.
    served = [entry for entry in lab.simulator.ledger()]
    assert all(entry["request_id"].startswith("req_") for entry in served)
    by_id = {}
    for entry in served:
        by_id.setdefault(entry["request_id"], []).append(entry)
    records = lab.wait_usage(count=len(by_id))
    recorded = [record for record in records if record["request_id"] in by_id]
    assert len(recorded) == len(by_id)
    assert len({record["request_id"] for record in records}) == len(records)
    exact = 0
    for record in recorded:
        entry = by_id[record["request_id"]][-1]
        if entry["outcome"] == "complete" and entry["usage"] and not record["flags"]:
            exact += 1
            stated = entry["usage"]
            assert (record["input_tokens"], record["output_tokens"], record["cached_input_tokens"]) == (
                stated["input"], stated["output"], stated["cached"]), record
    assert exact > 100
    totals = lab.admin.get(f"/usage?group_by=tenant&tenant_id={lab.tenant_id}")["items"][0]
    assert totals["requests"] == len(records)
    assert totals["input_tokens"] == sum(record["input_tokens"] for record in records)
    assert totals["output_tokens"] == sum(record["output_tokens"] for record in records)
    assert totals["cost_nano"] == sum(record["cost_nano"] for record in records)


def test_a_refused_credential_is_our_fault_and_tells_nothing(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="errors-401", messages=MESSAGES)
    assert caught.value.status_code in (502, 503)
    for secret in ("sim-provider-key", "sk-sim", "internal-host"):
        assert secret not in caught.value.response.text
