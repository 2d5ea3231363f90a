"""Images, sound, moderation and files through OpenAI's own Python SDK: what comes through, what it costs, whose it is, and what is refused.

Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients after a build.
"""

import asyncio
import base64
import decimal
import io
import json
import os
import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from json_server import JSONHandler, serve  # noqa: E402
from weirlab import LOOPBACK, Lab, wait_for  # noqa: E402

CHAT = ("chat", "completions", "embeddings")
# What callers say: upstream model, capabilities, price.
MODELS = {
    "painter": ("sim-dalle", ["images"], {"input": "0", "output": "0", "per_image": "0.04"}),
    "gpt-painter": ("sim-tokens-large", ["images"], {"input": "5", "output": "0", "image_input": "10", "image_output": "40"}),
    "speaker": ("sim-tts", ["audio"], {"input": "0", "output": "0", "per_character": "0.000015"}),
    "gpt-speaker": ("sim-tts", ["audio"], {"input": "0.6", "output": "0", "audio_output": "12"}),
    "whisper": ("sim-duration", ["audio"], {"input": "0", "output": "0", "per_second": "0.0001"}),
    "gpt-hearer": ("sim-tokens", ["audio"], {"input": "2.5", "output": "10", "audio_input": "6", "per_second": "0.0001"}),
    "moderator": ("sim-moderation", ["moderations"], {"input": "0", "output": "0"}),
    "chat": ("sim-ok", CHAT, {"input": "1", "output": "2"}),
    # Strict as to what a chat may hold, and in the account that keeps files.
    "reader": ("sim-in5-out5-strict", [*CHAT, "files"], {"input": "1", "output": "2", "per_request": "0.001"}),
}
SOUND = bytes(range(256)) * 100
# What the recorder was sent: its head, the bytes of its body, and the first of them.
RECORDED = []
# The path of each request that it has begun to read.
BEGUN = []


class Recorder(JSONHandler):
    """A provider of transcriptions that holds nothing of them: a second for each million bytes."""

    def do_POST(self):
        BEGUN.append(self.path)
        left, begin = int(self.headers["content-length"]), b""
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                return
            begin = begin or piece[:1000]
            left -= len(piece)
        length = int(self.headers["content-length"])
        RECORDED.append((self.headers, length, begin))
        self.answer(200, {"text": "charlie", "usage": {"type": "duration", "seconds": length // 10**6}})


PICTURE = base64.b64decode("iVBORw0KGgo=") + bytes(5000)


@pytest.fixture(scope="session")
def lab():
    recorder = serve(Recorder, LOOPBACK)
    with Lab("media", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key")
        lab.start_control()
        lab.create_tenant("Media")
        lab.create_provider()
        for name, (upstream, capabilities, price) in MODELS.items():
            model = lab.create_model(name, upstream=upstream, capabilities=capabilities, price=False)
            lab.admin.post("/prices", {"model_id": model, **price})
        endpoint = lab.create_endpoint_of("recorder", None, kind="openai", base_url=f"http://{LOOPBACK}:{recorder.server_port}/v1", auth={"scheme": "none"})
        for name, price in [("dictaphone", {"input": "0", "output": "0", "per_second": "0.0001"}), ("gpt-dictaphone", {"input": "5", "output": "5", "per_request": "1"})]:
            model = lab.create_model(name, endpoints=[(endpoint, "recorder-large-v2", 1)], capabilities=["audio"], price=False)
            lab.admin.post("/prices", {"model_id": model, **price})
        lab.talker = lab.create_key(capabilities=["chat"])["key"]
        other = lab.admin.post("/tenants", {"name": "Other"})["id"]
        project = lab.admin.post("/projects", {"tenant_id": other, "name": "Main"})["id"]
        lab.stranger = lab.admin.post("/keys", {"project_id": project, "name": "drill"})["key"]
        lab.roll_out()
        lab.start_data_plane()
        lab.start_data_plane(name="second")
        for plane in lab.data_planes:
            for key in [lab.key, lab.stranger, lab.talker]:
                lab.wait_serving("chat", plane, key)
        yield lab
        assert lab.traps() == []
    recorder.shutdown()


@pytest.fixture
def charged(lab):
    """The records of what a test did."""
    before = {record["request_id"] for record in lab.wait_usage()}
    return lambda: [record for record in lab.wait_usage() if record["request_id"] not in before]


def dollars(record):
    return decimal.Decimal(record["cost_nano"]) / 10**9


def test_images_are_paid_by_the_image(client, charged):
    answer = client.images.generate(model="painter", prompt="A sheep", n=2)
    assert len(answer.data) == 2 and answer.data[0].b64_json
    [record] = charged()
    assert record["capability"] == "images" and record["status"] == "completed" and record["flags"] == []
    assert record["token_kinds"] == {"images": 2} and dollars(record) == decimal.Decimal("0.08")


def test_images_are_paid_by_their_tokens(client, charged):
    answer = client.images.generate(model="gpt-painter", prompt="A sheep in the snow")
    assert len(answer.data[0].b64_json) == 2_400_000 and answer.usage.output_tokens == 272
    edited = client.images.edit(model="gpt-painter", image=[("a.png", PICTURE), ("b.png", PICTURE)], prompt="Make it night")
    assert edited.usage.input_tokens_details.image_tokens == 2 * 323
    varied = client.images.create_variation(model="gpt-painter", image=("a.png", PICTURE), n=3)
    assert len(varied.data) == 3
    events = list(client.images.generate(model="gpt-painter", prompt="A sheep", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    made = sorted(charged(), key=lambda record: record["admitted_at"])
    assert [record["output_tokens"] for record in made] == [272, 272, 3 * 272, 272]
    assert [record["token_kinds"]["image_output"] for record in made] == [272, 272, 3 * 272, 272]
    assert made[1]["token_kinds"]["image_input"] == 646
    assert dollars(made[0]) == decimal.Decimal(made[0]["input_tokens"] * 5 + 272 * 40) / 10**6
    assert all(record["flags"] == [] for record in made)


def test_speech_comes_byte_for_byte(client, charged):
    answer = client.audio.speech.create(model="speaker", voice="alloy", input="Zwölf Boxkämpfer")
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert answer.content == b"ID3" + bytes((index * 31 & 0xFF) | 0x80 for index in range(1600))
    with client.audio.speech.with_streaming_response.create(model="gpt-speaker", voice="alloy", input="Hello", stream_format="sse") as stream:
        assert b"speech.audio.done" in stream.read()
    by_character, by_token = sorted(charged(), key=lambda record: record["admitted_at"])
    assert by_character["token_kinds"] == {"characters": 16} and dollars(by_character) == decimal.Decimal("0.00024")
    assert by_token["token_kinds"]["audio_output"] == 25 and dollars(by_token) == decimal.Decimal("0.000303")
    assert by_character["flags"] == by_token["flags"] == []


def test_sound_is_paid_by_its_length_or_its_tokens(client, charged):
    for model in ["whisper", "gpt-hearer"]:
        assert client.audio.transcriptions.create(model=model, file=("a.mp3", SOUND)).text == "alpha bravo"
    assert client.audio.translations.create(model="whisper", file=("a.mp3", SOUND)).text == "alpha bravo"
    events = list(client.audio.transcriptions.create(model="gpt-hearer", file=("a.mp3", SOUND), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert client.audio.transcriptions.create(model="whisper", file=("a.mp3", SOUND), response_format="text") == "alpha bravo\n"
    records = sorted(charged(), key=lambda record: record["admitted_at"])
    assert [record["model"] for record in records] == ["whisper", "gpt-hearer", "whisper", "gpt-hearer", "whisper"]
    for index in [0, 2]:
        assert records[index]["token_kinds"] == {"media_milliseconds": 25_000} and dollars(records[index]) == decimal.Decimal("0.0025")
    for index in [1, 3]:
        assert records[index]["token_kinds"] == {"audio_input": 250}
        assert dollars(records[index]) == decimal.Decimal(250 * 6 + 7 * 10) / 10**6
    # A text says nothing of its length: by the bytes that were sent, and the record says that it is an estimate.
    assert records[4]["flags"] == ["estimated", "usage_absent"] and records[4]["token_kinds"] == {"media_milliseconds": 3200}


def test_moderation_is_free_and_recorded(client, charged):
    answer = client.moderations.create(model="moderator", input=["one", "two"])
    assert len(answer.results) == 2 and not answer.results[0].flagged
    [record] = charged()
    assert record["capability"] == "moderations" and record["cost_nano"] == 0


def test_many_at_once_and_without_the_version(lab):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}", api_key=lab.key, max_retries=0) as client:
            return await asyncio.gather(*(client.audio.transcriptions.create(model="whisper", file=("a.mp3", SOUND)) for _ in range(16)))

    assert [answer.text for answer in asyncio.run(ask())] == ["alpha bravo"] * 16


def test_what_is_refused(lab, client):
    def refused(kind, call):
        with pytest.raises(kind) as refusal:
            call()
        return refusal.value

    assert refused(openai.NotFoundError, lambda: client.images.generate(model="nothing", prompt="x")).code == "model_not_found"
    assert refused(openai.BadRequestError, lambda: client.images.generate(model="chat", prompt="x")).code == "unsupported_capability"
    assert refused(openai.BadRequestError, lambda: client.chat.completions.create(model="painter", messages=[])).code == "unsupported_capability"
    # The provider's own words for what only it knows.
    assert "between 1 and 10" in refused(openai.BadRequestError, lambda: client.images.generate(model="painter", prompt="x", n=11)).message
    with openai.OpenAI(base_url=str(client.base_url), api_key=lab.talker, max_retries=0) as talker:
        assert refused(openai.PermissionDeniedError, lambda: talker.images.generate(model="painter", prompt="x")).code == "capability_not_allowed"
    sound = io.BytesIO(SOUND)
    twice = refused(
        openai.BadRequestError,
        lambda: client.audio.transcriptions.create(model="whisper", file=sound, extra_body={"Model": "gpt-hearer"}))
    assert twice.code == "invalid_form"


def another(lab, key, plane=0):
    return openai.OpenAI(base_url=f"http://{LOOPBACK}:{lab.data_planes[plane].port}/v1", api_key=key, max_retries=0)


def ask(client, *files):
    content = [{"type": "text", "text": "Read."}, *({"type": "file", "file": {"file_id": file}} for file in files)]
    return client.chat.completions.create(model="reader", messages=[{"role": "user", "content": content}])


def test_files_are_their_tenants(lab, client, charged):
    content = bytes(range(256)) * 40
    made = client.files.create(file=("a.pdf", content), purpose="user_data")
    assert made.id.startswith("file-w1-") and "sim" not in made.id and made.bytes == len(content) and made.filename == "a.pdf"
    assert ask(client, made.id).usage.prompt_tokens == 5
    # The same at another data plane, which has never heard of it.
    second = another(lab, lab.key, 1)
    assert second.files.retrieve(made.id).id == made.id and second.files.content(made.id).content == content
    assert ask(second, made.id, made.id).usage.prompt_tokens == 5
    # Another tenant knows the name, and even the provider's: it reads, uses and deletes nothing.
    stranger = another(lab, lab.stranger)
    for call in [stranger.files.retrieve, stranger.files.content, stranger.files.delete, lambda name: ask(stranger, name)]:
        for name in [made.id, "file-sim1"]:
            with pytest.raises(openai.NotFoundError) as refusal:
                call(name)
            assert refusal.value.code == "file_not_found"
    for name in ["file-sim1", made.id[:-1], made.id + "A", "file-w1-"]:
        for call in [client.files.retrieve, client.files.delete, lambda name: ask(client, name)]:
            with pytest.raises(openai.NotFoundError):
                call(name)
    with pytest.raises(openai.PermissionDeniedError):
        another(lab, lab.talker).files.retrieve(made.id)
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("a.pdf", content), purpose="nothing")
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.list()
    assert refusal.value.code == "files_not_listed"
    # A model that is served from elsewhere, or keeps no files.
    for named in [{"extra_headers": {"x-weir-model": "chat"}}, {"extra_query": {"model": "chat"}}, {"extra_body": {"model": "chat"}}]:
        with pytest.raises(openai.BadRequestError) as refusal:
            client.files.create(file=("a.pdf", content), purpose="user_data", **named)
        assert refusal.value.code == "unsupported_capability"
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as refusal:
        client.files.retrieve(made.id)
    # Not by the name that the provider has for it, when that refuses.
    assert made.id in refusal.value.message and "sim" not in refusal.value.message
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, made.id)
    assert made.id in refusal.value.message and "sim" not in refusal.value.message
    records = charged()
    files = [record for record in records if record["capability"] == "files"]
    # Uploaded, and refused; looked at, read; deleted, and looked for once more: what no provider was asked is in no record.
    assert sorted(record["cost_nano"] for record in files) == [0, 0, 1_000_000, 1_000_000, 1_000_000, 1_000_000]
    assert all(record["input_tokens"] == 0 for record in files)
    assert len([record for record in records if record["capability"] == "chat"]) == 3


def test_files_by_the_model_that_is_to_read_them(lab):
    channel = openai.OpenAI(base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}/external/v1", api_key=lab.key, max_retries=0)
    for named in [{"extra_headers": {"x-weir-model": "reader"}}, {"extra_query": {"model": "reader"}}, {"extra_body": {"model": "reader"}}]:
        # The provider knows no such field, and would refuse it.
        made = channel.files.create(file=("a.txt", b"text"), purpose="user_data", **named)
        assert channel.files.content(made.id).content == b"text"


def test_files_that_are_larger_than_what_is_held(lab, client, tmp_path):
    content = random.Random(7).randbytes(3_000_000)
    made = client.files.create(file=("a.bin", content), purpose="user_data")
    assert client.files.content(made.id).content == content
    # The same over HTTP/2, its fields behind the file.
    path = tmp_path / "b.bin"
    path.write_bytes(content)
    url = f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1/files"
    command = ["curl", "-sS", "--http2-prior-knowledge", "-H", f"authorization: Bearer {lab.key}", "-F", f"file=@{path}", "-F", "purpose=user_data", url]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
    assert answer["bytes"] == len(content) and client.files.content(answer["id"]).content == content
    # What has no length before its end is held, and comes through all the same.
    answer = json.loads(subprocess.run([*command, "-H", "transfer-encoding: chunked", "--http1.1"], check=True, capture_output=True, timeout=120).stdout)
    assert client.files.content(answer["id"]).content == content
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(file=("a.bin", content), purpose="nothing")
    assert refusal.value.param is None or "purpose" in refusal.value.message


def test_recordings_that_are_larger_than_what_may_be_held(lab, client, charged, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(random.Random(7).randbytes(10**6) * 60)
    plane = lab.data_planes[0]

    def transcribe(_):
        with path.open("rb") as file:
            return client.audio.transcriptions.create(model="dictaphone", file=file).text

    before = most = plane.resident_megabytes()
    with ThreadPoolExecutor(3) as threads:
        # The SDK puts the model before the file.
        calls = [threads.submit(transcribe, index) for index in range(3)]
        while not all(call.done() for call in calls):
            most = max(most, plane.resident_megabytes())
            time.sleep(0.02)
    assert [call.result() for call in calls] == ["charlie"] * 3
    print(f"three of 60 MB at once: {before:.0f} MB resident before, {most:.0f} MB at most")
    assert most - before < 20
    assert all(b"recorder-large-v2" in begin and length > 60_000_000 for _, length, begin in RECORDED)
    url = f"http://{LOOPBACK}:{plane.port}/v1/audio/transcriptions"

    def curl(*arguments):
        command = ["curl", "-sS", "-H", f"authorization: Bearer {lab.key}", *arguments, url]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)

    fields = ["-F", "model=dictaphone", "-F", f"file=@{path}", "-F", "language=en"]
    assert curl("--http2-prior-knowledge", *fields)["text"] == "charlie"
    # As vendors' examples have it: held, as far as that goes.
    small = tmp_path / "b.mp3"
    small.write_bytes(bytes(3_000_000))
    assert curl("-F", f"file=@{small}", "-F", "model=dictaphone")["text"] == "charlie"
    error = curl("-F", f"file=@{path}", "-F", "model=dictaphone")["error"]
    assert error["code"] == "request_too_large" and "model before the file" in error["message"]
    # A second model behind the file: nobody is asked by the one and charged by the other.
    assert curl(*fields, "-F", "model=whisper")["error"]["code"] == "invalid_form"
    assert len(RECORDED) == 5
    records = charged()
    assert sorted(dollars(record) for record in records) == [decimal.Decimal(cost) for cost in ["0", "0.0003", *["0.006"] * 4]]
    assert [record["error_code"] for record in records if record["status"] == "failed"] == ["invalid_form"]


def test_files_outlive_the_data_plane(lab):
    made = another(lab, lab.key).files.create(file=("a.txt", b"kept"), purpose="user_data")
    lab.data_planes[0].stop()
    lab.data_planes[0].start()
    lab.wait_serving("chat", lab.data_planes[0])
    assert another(lab, lab.key).files.content(made.id).content == b"kept"


def test_uploads_cost_nothing_where_their_data_plane_dies(lab, charged):
    plane = lab.data_planes[1]
    before = len(BEGUN)
    begin = (part("model", "gpt-dictaphone") + part("file", "x" * 200_000, '; filename="a.mp3"')[:-2]).encode()
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {lab.key}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 60000000\r\n\r\n"
    with socket.create_connection((LOOPBACK, plane.port), timeout=60) as connection:
        connection.sendall(head.encode() + begin)
        wait_for("the provider to be told", lambda: len(BEGUN) > before, 60)
        plane.kill9()
    plane.start()
    lab.wait_serving("chat", plane)
    [record] = charged()
    assert record["error_code"] == "interrupted" and record["cost_nano"] == 0 and record["input_tokens"] == 0 and record["flags"] == ["interrupted"]


def raw(lab, path, body, content_type, key=None):
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key or lab.key}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    with socket.create_connection((LOOPBACK, lab.data_planes[0].port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer


def part(name, value, more=""):
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'


def test_what_stands_behind_a_file_counts_in_budgets(lab, charged):
    made = lab.create_key()
    lab.admin.post("/budgets", {"tenant_id": lab.tenant_id, "key_id": made["id"], "name": "few", "limit": "0.38", "period": "never"})
    with another(lab, made["key"]) as mine:
        def refused():
            try:
                mine.images.generate(model="painter", prompt="x", n=11)
            except openai.APIStatusError as refusal:
                return refusal.status_code == 402
        wait_for("the budget to refuse", refused, 60)

    def edit(count):
        image = part("image", "x" * 200_000, '; filename="a.png"')
        form = part("model", "painter") + image + part("prompt", "Night") + part("n", count) + "--b--\r\n"
        return raw(lab, "/v1/images/edits", form.encode(), "multipart/form-data; boundary=b", made["key"])

    # Ten images are more than the budget has; one was reserved.
    status, answer = edit(10)
    assert status == 402 and b"before the file" in answer, answer
    status, answer = edit(2)
    assert status == 200, answer
    assert sum(dollars(record) for record in charged()) == decimal.Decimal("0.08")


def test_forms_that_two_readers_could_read_as_two_requests(lab):
    file = part("file", "sound", '; filename="a.mp3"')
    form = 'multipart/form-data; boundary="b"'
    good = (part("model", "whisper") + file + "--b--\r\n").encode()
    assert raw(lab, "/v1/audio/transcriptions", good, form)[0] == 200
    # The model may stand behind the file; a boundary within the file is none without its line.
    late = (part("file", "so--bund\r\n--c", '; filename="a.mp3"') + part("model", "whisper") + "--b--").encode()
    assert raw(lab, "/v1/audio/transcriptions", late, form)[0] == 200
    bad = [
        part("model", "whisper") + part("model", "gpt-hearer") + file + "--b--\r\n",
        part("model", "whisper", '; filename="x"') + file + "--b--\r\n",
        part("MODEL", "whisper") + file + "--b--\r\n",
        part("model", "whisper") + file,
        "preamble\r\n" + part("model", "whisper") + file + "--b--\r\n",
        part("model", "whisper") + file + "--b--\r\nepilogue",
        part("model", "whis per") + file + "--b--\r\n",
        part('mo\\"del', "whisper") + file + "--b--\r\n",
        "--b\r\n\r\nwhisper\r\n--b--\r\n",
        "",
    ]
    for text in bad:
        status, answer = raw(lab, "/v1/audio/transcriptions", text.encode(), form)
        assert status == 400, (text, answer)
    for kind in ["application/json", "multipart/form-data", "multipart/form-data; boundary=b; boundary=c", "text/plain"]:
        assert raw(lab, "/v1/audio/transcriptions", good, kind)[0] == 415
