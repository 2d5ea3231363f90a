"""Alerts as docs/alerts.md has them: a real control plane, its command line, and Standard Webhooks' own library at the other end.

Run by ops/test on SQLite and Postgres (WEIR_SDK_DATABASE); by hand: pytest Tests/Clients/webhooks_test.py after a build.
"""

import http.server
import os
import subprocess
import sys
import threading

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab  # noqa: E402


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what arrives, and answers what it is told to."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.received.append((dict(self.headers.items()), body))
            status = self.server.statuses.pop(0) if self.server.statuses else 204
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def place():
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Receiver)
    server.lock, server.received, server.statuses = threading.Lock(), [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Lab("webhooks", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_control(environment={"WEIR_OUTBOUND_NETWORKS": "127.0.0.0/8"})
        lab.hook, lab.url = server, f"http://{LOOPBACK}:{server.server_port}/weir"
        yield lab
        log = open(f"{lab.folder}/control.log").read()
        assert "whsec_" not in log
    server.shutdown()


def weir(lab, *arguments, code=0):
    environment = dict(os.environ, WEIR_URL=lab.control.base, WEIR_TOKEN=lab.admin.token)
    done = subprocess.run([f"{lab.bin}/weir", *arguments], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def verifier():
    names = {}
    exec(block("alerts", "python", "verify"), names)
    return names["verified"]


def test_the_page_s_commands(place):
    environment = dict(os.environ, WEIR_URL=place.control.base, WEIR_TOKEN=place.admin.token, HOOK_URL=place.url,
                       PATH=f"{place.bin}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("alerts", "sh", "create")], env=environment, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "delivered" in done.stdout and "whsec_" in done.stdout, done.stdout
    assert len(place.hook.received) == 1


def test_a_message_is_what_the_library_verifies_and_is_sent_again_under_its_identifier(place):
    made = place.admin.post("/webhooks", {"name": "second", "url": place.url})
    place.hook.received.clear()
    place.hook.statuses[:] = [500]
    assert "it answered 500" in weir(place, "webhook", "test", "second", code=1)
    delivery = place.admin.get(f"/webhooks/{made['id']}/deliveries")["items"][0]
    weir(place, "webhook", "redeliver", "second", delivery["id"])
    assert len(place.hook.received) == 2
    verified = verifier()
    for headers, body in place.hook.received:
        event = verified(made["secret"], body, {name.lower(): value for name, value in headers.items()})
        assert event["type"] == "test" and event["data"]["id"] == delivery["event_id"]
    headers, body = place.hook.received[-1]
    lower = {name.lower(): value for name, value in headers.items()}
    assert [h["Webhook-Id"] if "Webhook-Id" in h else h["webhook-id"] for h, _ in place.hook.received] == [delivery["event_id"]] * 2
    with pytest.raises(WebhookVerificationError):
        verified(made["secret"], body.replace(b"test", b"tent"), lower)
    rotated = place.admin.post(f"/webhooks/{made['id']}/rotate", {"grace_seconds": 60})
    weir(place, "webhook", "test", "second")
    headers, body = place.hook.received[-1]
    lower = {name.lower(): value for name, value in headers.items()}
    assert Webhook(made["secret"]).verify(body, lower) == Webhook(rotated["secret"]).verify(body, lower)
