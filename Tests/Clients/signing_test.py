"""docs/signing.md against both real planes: its commands as they stand there, and that what they prove is proved.

Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients/signing_test.py after a build.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, wait_for  # noqa: E402

MODEL = "chat"


@pytest.fixture(scope="session")
def lab():
    with Lab("signing", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key")
        lab.start_control()
        lab.create_tenant("Signing")
        lab.create_provider()
        lab.create_model(MODEL, upstream="sim-in12-out8")
        lab.roll_out()
        lab.start_data_plane()
        lab.wait_serving(MODEL)
        yield lab
        assert lab.traps() == []


@pytest.fixture(scope="session")
def signer(lab):
    """A key with a signing secret that the data plane knows."""
    made = lab.admin.post("/signing-secrets", {"key_id": lab.key_id})
    assert made["secret"].startswith("wsig_")
    shown = lab.admin.get(f"/signing-secrets/{made['id']}")
    assert "secret" not in shown and "ciphertext" not in shown
    found = {"key_id": lab.key_id, "secret": made["secret"], "id": made["id"]}
    wait_for("the signing secret", lambda: all(send(lab, **found)[0] == 200 for _ in range(8)), 60)
    return found


@pytest.fixture(scope="session")
def environment(lab, signer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signing")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "did.pem"], cwd=folder, check=True)
    der = subprocess.run(["openssl", "pkey", "-in", "did.pem", "-pubout", "-outform", "DER"], cwd=folder, check=True, capture_output=True).stdout
    # Registered as a did:key: what the examples write as a did:jwk is the same key.
    lab.admin.post("/dids", {"tenant_id": lab.tenant_id, "did": "did:key:z" + base58(b"\xed\x01" + der[-32:])})
    env = dict(os.environ, WEIR_KEY_ID=signer["key_id"], WEIR_SIGNING_SECRET=signer["secret"], WEIR_DATA_PLANE=base(lab), MODEL=MODEL)

    def run(*command):
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    run.sh = lambda name: run("bash", "-euo", "pipefail", "-c", block("signing", "sh", name))
    run.python = lambda name: run(sys.executable, "-c", block("signing", "python", name))
    wait_for("the DID", lambda: "choices" in run.sh("did"), 60)
    return run


def base(lab):
    return f"http://{LOOPBACK}:{lab.data_planes[0].port}"


def base58(data):
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return text


def send(lab, key_id, secret, id=None, body=None, path="/v1/chat/completions", query="", sent_query=None, timestamp=None, nonce=None, signed_body=None):
    body = body or json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}).encode()
    timestamp, nonce = timestamp or str(int(time.time())), nonce or secrets.token_hex(16)
    lines = ["weir-hmac-sha256-v1", "POST", base(lab).split("://")[1], path, "&".join(sorted(query.split("&"))), key_id, timestamp, nonce,
             hashlib.sha256(signed_body or body).hexdigest()]
    tag = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    sent = query if sent_query is None else sent_query
    request = urllib.request.Request(base(lab) + path + ("?" + sent if sent else ""), body, {
        "Content-Type": "application/json",
        "Authorization": f"WEIR-HMAC-SHA256 key_id={key_id}, timestamp={timestamp}, nonce={nonce}, signature={tag}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]


@pytest.mark.parametrize("language, name", [("sh", "hmac"), ("python", "hmac"), ("sh", "did"), ("python", "message-signature")])
def test_the_documented_clients_are_answered(environment, language, name):
    answer = getattr(environment, language)(name)
    assert answer["choices"][0]["message"]["content"], answer


def test_a_request_counts_once_also_after_a_restart(lab, signer):
    nonce, now = secrets.token_hex(16), str(int(time.time()))
    assert send(lab, **signer, nonce=nonce, timestamp=now)[0] == 200
    status, error = send(lab, **signer, nonce=nonce, timestamp=now)
    assert status == 401 and error["code"] == "nonce_reused"
    lab.data_planes[0].kill9()
    lab.data_planes[0].start()
    lab.wait_serving(MODEL)
    wait_for("signed requests after the restart", lambda: all(send(lab, **signer)[0] == 200 for _ in range(8)), 60)
    status, error = send(lab, **signer, nonce=nonce, timestamp=now)
    assert status == 401 and error["code"] == "nonce_reused"


def test_says_what_is_wrong(lab, signer):
    status, error = send(lab, **signer, timestamp=str(int(time.time()) - 612))
    assert status == 401 and "612 s behind this server's clock" in error["message"] or "613 s" in error["message"]
    for wrong in [dict(timestamp=str(time.time())), dict(timestamp=str(int(time.time() * 1000))), dict(nonce="short"), dict(signed_body=b"other"),
                  dict(query="a=1", sent_query="a=2")]:
        status, error = send(lab, **signer, **wrong)
        assert status == 401 and error["code"] == "invalid_signature", (wrong, error)
    assert send(lab, **signer, query="b=2&a=1")[0] == 200
    stranger = send(lab, key_id="key_aaaaaaaaaaaaaaaa", secret="wsig_x")
    wrong = send(lab, key_id=signer["key_id"], secret="wsig_x")
    # Whether a key exists is nobody's to learn.
    assert stranger[0] == wrong[0] == 401 and stranger[1]["code"] == wrong[1]["code"]
    assert re.sub("[0-9a-f]{64}", "", stranger[1]["message"]) == re.sub("[0-9a-f]{64}", "", wrong[1]["message"])


def test_a_rotated_secret_works_until_its_grace_is_over(lab, signer):
    new = lab.admin.post(f"/signing-secrets/{signer['id']}/rotate", {"grace_seconds": 3600})["secret"]
    wait_for("the new secret", lambda: all(send(lab, key_id=signer["key_id"], secret=new)[0] == 200 for _ in range(8)), 60)
    assert send(lab, **signer)[0] == 200
    newest = lab.admin.post(f"/signing-secrets/{signer['id']}/rotate", {"grace_seconds": 0, "force": True})["secret"]
    wait_for("the newest secret", lambda: all(send(lab, key_id=signer["key_id"], secret=newest)[0] == 200 for _ in range(8)), 60)
    assert send(lab, key_id=signer["key_id"], secret=new)[0] == 401
    signer["secret"] = newest


def test_a_grant_lets_a_key_ask_in_the_dids_name_until_it_is_revoked(lab, signer, environment):
    grant = environment.python("grant")

    def ask(model=MODEL):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
        request = urllib.request.Request(base(lab) + "/v1/chat/completions", body, {
            "Content-Type": "application/json", "Authorization": f"Bearer {lab.key}", "x-weir-grant": grant})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["error"]

    assert ask()[0] == 200
    assert ask("other")[0] == 404
    claims = json.loads(base64.urlsafe_b64decode(grant.split(".")[1] + "=="))
    did = lab.admin.get("/dids")["items"][0]["id"]
    lab.admin.post("/revoked-grants", {"did_id": did, "grant_id": claims["jti"]})
    wait_for("the revocation", lambda: ask()[0] == 403, 60)
    assert ask()[1]["code"] == "grant_revoked"
