"""HTTP/2 and TLS with applications, by clients that others wrote: curl, nghttp, h2load, httpx and OpenAI's SDK on it; and a certificate that is
renewed while the data plane serves.

Run by ops/test on SQLite; by hand: pytest Tests/Clients/http2_test.py after a build.
"""

import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from openai import OpenAI

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK, Lab, wait_for  # noqa: E402
from weirload import chat  # noqa: E402


def write_pair(folder, name, days=30):
    """A certificate for loopback that is its own authority, and its key, each put in place whole."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    put(folder / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM))
    put(folder / "tls.key", key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def put(path, content):
    path.with_suffix(".new").write_bytes(content)
    os.replace(path.with_suffix(".new"), path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    write_pair(folder, "first")
    return folder


@pytest.fixture(scope="session")
def lab(folder):
    with Lab("http2", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.up(models=("sim-in12-out8", "sim-chunks50-pace5ms"))
        lab.secure = lab.start_data_plane("--tls-certificate", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key"), "--max-streams", "20")
        lab.address = f"https://{LOOPBACK}:{lab.secure.port}"
        lab.clear = f"http://{LOOPBACK}:{lab.data_planes[0].port}"
        wait_for("the data plane with TLS", lambda: all(
            curl(lab, folder, "--http2", lab.address + "/v1/models")[0] == "2 200" for _ in range(8)), 120)
        yield lab
        assert lab.traps() == []


def curl(lab, folder, *arguments):
    """The version of HTTP and the status, and the body."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "--cacert", str(folder / "tls.crt"), "-H", f"authorization: Bearer {lab.key}",
         "-w", "\n%{http_version} %{http_code}", *arguments], capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return status, body + done.stderr


def metric(plane, name):
    return plane.metrics().get(name, 0)


def test_curl(lab, folder):
    body = json.dumps(chat("sim-in12-out8"))
    for option, base in (("--http2", lab.address), ("--http2-prior-knowledge", lab.clear)):
        status, answer = curl(lab, folder, option, base + "/v1/chat/completions", "-d", body)
        assert status == "2 200" and json.loads(answer)["usage"]["prompt_tokens"] == 12, answer
        status, answer = curl(lab, folder, option, base + "/v1/chat/completions", "-N", "-d", json.dumps({**chat("sim-chunks50-pace5ms"), "stream": True}))
        assert status == "2 200" and answer.rstrip().endswith("data: [DONE]"), answer
        # A body that is sent when the gateway says so, and one that takes many windows.
        status, answer = curl(lab, folder, option, base + "/v1/chat/completions", "-H", "Expect: 100-continue", "-d", body)
        assert status == "2 200", answer
        large = folder / "large.json"
        large.write_text(json.dumps({**chat("sim-in12-out8"), "user": "u" * 5_000_000}))
        status, answer = curl(lab, folder, option, base + "/v1/chat/completions", "-d", f"@{large}")
        assert status == "2 200", answer[:500]
    for option in ("--http1.1", "--http1.0"):
        status, answer = curl(lab, folder, option, lab.address + "/v1/models")
        assert status.endswith(" 200") and not status.startswith("2"), status


def test_nghttp(lab, folder):
    done = subprocess.run(
        ["nghttp", "-v", "-m", "5", "-H", f"authorization: Bearer {lab.key}", lab.clear + "/v1/models"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count(":status: 200") == 5, done.stdout + done.stderr
    assert "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):128" in done.stdout


def test_h2load(lab, folder, tmp_path):
    body = tmp_path / "body.json"
    body.write_text(json.dumps(chat("sim-in12-out8")))
    for base in (lab.address, lab.clear):
        done = subprocess.run(
            ["h2load", "-n", "600", "-c", "4", "-m", "10", "-d", str(body), "-H", f"authorization: Bearer {lab.key}",
             "-H", "content-type: application/json", base + "/v1/chat/completions"], capture_output=True, text=True, timeout=120)
        assert "600 succeeded, 0 failed, 0 errored" in done.stdout and "status codes: 600 2xx" in done.stdout, done.stdout + done.stderr


def test_sdk(lab, folder):
    trust = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    with httpx.Client(http2=True, verify=trust) as transport:
        client = OpenAI(api_key=lab.key, base_url=lab.address + "/v1", http_client=transport, max_retries=0)
        assert transport.get(lab.address + "/health/live").http_version == "HTTP/2"
        answer = client.chat.completions.create(model="sim-in12-out8", messages=[{"role": "user", "content": "hello"}])
        assert answer.usage.prompt_tokens == 12
        chunks = list(client.chat.completions.create(model="sim-chunks50-pace5ms", messages=[{"role": "user", "content": "hello"}], stream=True))
        assert sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content) == 50
        # httpx leaves a stream without a word; its connection serves on.
        with client.chat.completions.create(model="sim-chunks50-pace5ms", messages=[], stream=True) as stream:
            next(iter(stream))
        assert client.models.list().data


def test_provider(lab, folder):
    """The data plane with TLS is the other one's provider: by HTTP/2, many requests at a time on few connections."""
    provider = lab.admin.post("/providers", {
        "name": "Chained", "kind": "openai", "base_url": lab.address + "/v1", "auth": {"scheme": "bearer"},
        "ca_pem": (folder / "tls.crt").read_text()})["id"]
    credential = lab.admin.post("/credentials", {"provider_id": provider, "name": "chained", "secret": lab.key})["id"]
    endpoints = {
        name: lab.admin.post("/endpoints", {
            "provider_id": provider, "name": name, "credential_ids": [credential], "http1_only": name == "one", **lab.inside})["id"]
        for name in ("one", "two")}
    for name, endpoint in endpoints.items():
        lab.create_model(f"chained-{name}", endpoints=[(endpoint, "sim-chunks50-pace5ms", 1)])
    lab.roll_out()
    lab.wait_serving("chained-one", lab.data_planes[0])

    def ask(model):
        status, answer = curl(lab, folder, lab.clear + "/v1/chat/completions", "-N", "-d", json.dumps({**chat(model), "stream": True}))
        assert status == "1.1 200" and answer.rstrip().endswith("data: [DONE]"), answer

    def opened(model):
        """Connections to the provider, and those of HTTP/2 among them, that twelve requests at a time open."""
        before = metric(lab.data_planes[0], "weir_proxy_upstream_connections_total"), metric(lab.secure, "weir_proxy_http2_connections_total")
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(ask, [model] * 12))
        return (metric(lab.data_planes[0], "weir_proxy_upstream_connections_total") - before[0],
                metric(lab.secure, "weir_proxy_http2_connections_total") - before[1])

    both, by_http2 = opened("chained-two")
    assert 0 < by_http2 == both, (both, by_http2)
    # Until it is known that a provider speaks HTTP/2, each request may have opened one; then all are carried by those that there are.
    opened("chained-two")
    assert opened("chained-two") == (0, 0)
    both, by_http2 = opened("chained-one")
    assert both > 0 and by_http2 == 0, (both, by_http2)


def test_renewed_certificate(lab, folder):
    def served():
        with socket.create_connection((LOOPBACK, lab.secure.port), timeout=30) as raw:
            with ssl._create_unverified_context().wrap_socket(raw) as secure:
                return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True)).subject.rfc4514_string()

    assert served() == "CN=first"
    trust = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    with httpx.Client(http2=True, verify=trust, limits=httpx.Limits(keepalive_expiry=600)) as kept:
        assert kept.get(lab.address + "/health/live").status_code == 200
        write_pair(folder, "second")
        wait_for("the renewed certificate", lambda: served() == "CN=second")
        # What cannot be used is refused, and said.
        put(folder / "tls.key", b"no key")
        wait_for("the refusal", lambda: metric(lab.secure, 'weir_proxy_tls_reloads_total{outcome="refused"}') >= 1)
        assert served() == "CN=second"
        assert any("is not served" in warning for warning in lab.secure.health()[1]["warnings"])
        write_pair(folder, "third")
        lab.secure.child.send_signal(signal.SIGHUP)
        wait_for("the third certificate", lambda: served() == "CN=third")
        assert kept.get(lab.address + "/health/live").status_code == 200
    assert lab.secure.running
