"""Limits as docs/limits.md has them: real data planes that count together in a real Redis, and go on without it.

Run by ops/test on SQLite; by hand: pytest Tests/Clients/limits_test.py after a build, with redis-server installed (or WEIR_TEST_REDIS).
"""

import concurrent.futures
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, free_port, http, wait_for  # noqa: E402

MODEL, PASSWORD = "sim-ok", "a-password-of-the-test"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    program = os.environ.get("WEIR_TEST_REDIS") or shutil.which("redis-server")
    assert program, "there is no redis-server: apt-get install redis-server"
    port = free_port()
    redis = subprocess.Popen(
        [program, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no", "--requirepass", PASSWORD,
         "--dir", str(tmp_path_factory.mktemp("redis"))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens():
        with socket.create_connection((LOOPBACK, port), 2):
            return True
    try:
        wait_for("redis-server", listens, 30, every=0.1)
        # A loaded machine is no slow Redis.
        with_redis = {"WEIR_REDIS_URL": f"redis://:{PASSWORD}@{LOOPBACK}:{port}/2", "WEIR_REDIS_TIMEOUT": "1000"}
        with Lab("limits") as lab:
            lab.redis = redis
            lab.up(plane={"environment": with_redis})
            for _ in range(2):
                lab.wait_serving(MODEL, lab.start_data_plane(environment=with_redis))
            for plane in lab.data_planes:
                wait_for(f"{plane.name} to use Redis", lambda: plane.metrics()["weir_proxy_redis_up"] == 1, 60)
            yield lab
            logs = "".join(open(plane.log).read() for plane in lab.data_planes)
            assert PASSWORD not in logs and "limits are counted in Redis" in logs
    finally:
        redis.send_signal(signal.SIGCONT)
        redis.kill()
        redis.wait(20)


def ask(lab, plane):
    return http("POST", f"http://{LOOPBACK}:{plane.port}/v1/chat/completions",
                {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}, {"Authorization": f"Bearer {lab.key}"}, timeout=60)[0]


def served(lab, count):
    """How many of so many are let in, sent to all data planes in turn, several at a time."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda index: ask(lab, lab.data_planes[index % len(lab.data_planes)]), range(count)))
    assert set(statuses) <= {200, 429}, statuses
    return statuses.count(200)


def test_what_three_data_planes_let_through_is_the_limit(place):
    versions = [plane.health()[1]["directory"]["version"] for plane in place.data_planes]
    place.admin.post("/limits", {"name": "all", "level": "global", "measure": "requests", "amount": 100, "window_seconds": 3600})
    for plane, version in zip(place.data_planes, versions):
        wait_for("the limit", lambda: plane.health()[1]["directory"]["version"] > version, 30, every=0.05)
    assert served(place, 150) == 100
    assert all(plane.metrics()['weir_proxy_redis_limited_requests_total{counted="locally"}'] == 0 for plane in place.data_planes)


def test_they_go_on_without_it_and_come_back_to_it(place):
    place.redis.send_signal(signal.SIGSTOP)
    assert served(place, 30) < 30, "their own shares are nearly used up as well"
    for plane in place.data_planes:
        wait_for("Redis to be given up", lambda: plane.metrics()["weir_proxy_redis_up"] == 0, 30)
        status, health = plane.health()
        assert status == 200 and any("Redis" in warning for warning in health["warnings"]), health
    limits = place.admin.all("/limits")
    place.admin.patch(f"/limits/{limits[0]['id']}", {"amount": 100_000})
    wait_for("requests to be served by shares", lambda: all(ask(place, plane) == 200 for plane in place.data_planes), 30)
    place.redis.send_signal(signal.SIGCONT)
    for plane in place.data_planes:
        wait_for("Redis to be used again", lambda: plane.metrics()["weir_proxy_redis_up"] == 1, 60)
    assert served(place, 6) == 6


def test_the_page_s_commands(place):
    environment = dict(os.environ, WEIR_URL=place.control.base, WEIR_TOKEN=place.admin.token, PATH=f"{place.bin}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("limits", "sh", "create")], env=environment, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(place.admin.all("/limits")) == 6
