"""A real model behind both real planes: llama.cpp's server with SmolLM2, and the programs of docs/clients.md as they stand there.

Skipped, with the reason, where the packages of requirements-model.txt are not. By hand: pytest Tests/Clients/model_test.py after a build.
"""

import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

import llama_server  # noqa: E402
from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, free_port, status_of, wait_for  # noqa: E402

pytestmark = pytest.mark.skipif(bool(llama_server.missing()), reason=f"no real model here: {', '.join(llama_server.missing())} not installed")

# model: its provider's APIs. What is not among them is translated: llama.cpp has Responses, too, whose streams lack what OpenAI's SDK reads.
PROVIDERS = {"translated": ["chat"], "native": ["chat", "messages"]}

# What Claude Code and Codex make of their settings.
STANDS_FOR = {
    "claude": """
import os
from anthropic import Anthropic
print(Anthropic(max_retries=0).beta.messages.create(model=os.environ["ANTHROPIC_MODEL"], max_tokens=16, betas=["claude-code-20250219"],
    messages=[{"role": "user", "content": "Say hello."}]).content[0].text)
""",
    "codex": """
import os, tomllib
from openai import OpenAI
settings = tomllib.load(open(os.path.expanduser("~/.codex/config.toml"), "rb"))
provider = settings["model_providers"][settings["model_provider"]]
assert provider["wire_api"] == "responses"
print(OpenAI(base_url=provider["base_url"], api_key=os.environ[provider["env_key"]], max_retries=0).responses.create(
    model=settings["model"], input="Say hello.", store=False, max_output_tokens=16).output_text)
"""}


@pytest.fixture(scope="module")
def lab():
    port = free_port()
    with Lab("model", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        with open(f"{lab.folder}/llama.log", "wb") as log:
            server = subprocess.Popen([sys.executable, llama_server.__file__, str(port)], stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            wait_for("llama.cpp's server", lambda: status_of(f"http://{LOOPBACK}:{port}/health") == 200, 120, every=0.1)
            lab.start_control()
            lab.create_tenant("Real")
            for name, apis in PROVIDERS.items():
                endpoint = lab.create_endpoint_of(
                    name, None, kind="openai", base_url=f"http://{LOOPBACK}:{port}/v1", apis=apis, auth={"scheme": "none"})
                lab.create_model(name, endpoints=[(endpoint, "smollm2", 1)], capabilities=("chat",))
            lab.roll_out()
            lab.start_data_plane()
            lab.wait_serving("native")
            yield lab
            assert lab.traps() == []
        finally:
            server.stdin.close()
            server.terminate()
            server.wait(60)


def variables(lab, model):
    return {"WEIR": f"http://{LOOPBACK}:{lab.data_planes[0].port}", "WEIR_KEY": lab.key, "MODEL": model}


def run(lab, name, model, **more):
    """What a shell's block of docs/clients.md prints."""
    done = subprocess.run(["bash", "-euc", block("clients", "sh", name)], env={**os.environ, **variables(lab, model), **more},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name, model", [
    ("OpenAI's SDK", "native"), ("Responses", "translated"), ("Anthropic's SDK", "translated"), ("Anthropic's SDK", "native")])
def test_a_conversation_with_a_tool(lab, name, model, monkeypatch, capsys):
    """The model calls the tool, is told of snow, and says so."""
    for variable, value in variables(lab, model).items():
        monkeypatch.setenv(variable, value)
    exec(compile(block("clients", "python", name), name, "exec"), {})
    said = capsys.readouterr().out
    assert "snow" in said and "Oslo" in said, said


def test_curl(lab):
    said = run(lab, "curl", "translated")
    assert '"chat.completion"' in said and "event: message_stop" in said and '"native"' in said, said


@pytest.mark.parametrize("name, program", [("Claude Code", "claude"), ("Codex", "codex")])
def test_agents_with_the_page_s_settings(lab, tmp_path, name, program):
    """Programs of ours in their place, which take the same settings and speak with the same SDKs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program).write_text(f"#!{sys.executable}\n{STANDS_FOR[program]}")
    (tmp_path / "bin" / program).chmod(0o755)
    (tmp_path / ".codex").mkdir()
    settings = block("clients", "toml", "~/.codex/config.toml").replace("MODEL", "translated")
    (tmp_path / ".codex" / "config.toml").write_text(settings.replace('"WEIR/', f'"http://{LOOPBACK}:{lab.data_planes[0].port}/'))
    said = run(lab, name, "translated", HOME=str(tmp_path), PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert said.strip()


def test_what_the_model_counts_is_what_is_recorded(lab):
    """Last: of all that was asked above."""
    records = lab.wait_usage(count=12)
    odd = [record for record in records
           if record["status"] != "completed" or not record["input_tokens"] or not record["output_tokens"] or "estimated" in record["flags"]]
    assert odd == [], json.dumps(odd)
