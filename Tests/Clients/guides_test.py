"""The guides of docs/: each block that somebody would paste is run here, or by the test that runs its page; and each thing that can be told has
its place in the runbook.

By hand: pytest Tests/Clients/guides_test.py after a build.
"""

import glob
import os
import re
import ssl
import subprocess
import sys
import urllib.request

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, ROOT, Admin, Lab, free_port, http, status_of, wait_for  # noqa: E402
from weirplanes import Postgres, Process  # noqa: E402


def source(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


# Nothing is forgotten


def test_each_block_to_be_pasted_is_run_by_a_test():
    tests = "".join(source(os.path.relpath(path, ROOT)) for path in glob.glob(f"{ROOT}/Tests/Clients/*.py"))
    forgotten = []
    for path in glob.glob(f"{ROOT}/docs/*.md"):
        page = os.path.basename(path)[:-3]
        # Of these all blocks are run, in their order.
        if f'blocks("{page}")' in tests:
            continue
        for language, first in re.findall(r"^```(sh|python|toml|nginx)\n(.*)$", source(f"docs/{page}.md"), re.M):
            names = [name for name in re.findall(r'"([^"\n]{3,})"', tests) if first.startswith(f"# {name}")]
            if not first.startswith("# ") or not names:
                forgotten.append((page, language, first))
    assert forgotten == []


def test_links_lead_somewhere():
    for path in [*glob.glob(f"{ROOT}/docs/*.md"), f"{ROOT}/README.md"]:
        with open(path) as file:
            for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", file.read()):
                assert os.path.exists(os.path.join(os.path.dirname(path), link)), (path, link)


# The runbook is whole


def words_of(path, enumeration):
    """The raw values of a Swift enumeration of texts."""
    body = re.search(rf"enum {enumeration}: String.*?\n {{4,8}}case .*?\n(?= {{0,4}}}})", source(path), re.S).group()
    # A case without a text is called by its own name.
    return {value or name for line in re.findall(r"case (.*)", body)
            for name, value in re.findall(r'(\w+)(?: = "(\w+)")?', line)}


def test_each_finding_and_each_event_has_its_section():
    told = words_of("ControlPlane/Domain/Operation/Finding.swift", "Code") | words_of("Shared/Nouns/Webhooks.swift", "AlertKind") - {"test"}
    assert len(told) > 35
    assert set(re.findall(r"^### (\w+)$", source("docs/runbook.md"), re.M)) == told


# Where what a process says of its health is written: each sentence that such a file holds stands in the runbook, with … for what differs.
SENTENCES = {
    "DataPlane/Proxy/Operator/OperatorStatus.swift": r'(?:problems|warnings)(?:\.append\(| \+= quarantined\.map \{ )"(.*)"\)?',
    "DataPlane/Proxy/Usage/JournalShared.swift": r'(?:refusing|degraded)\("(.*)"\)|waiting = "(.*)"',
    "DataPlane/Proxy/Usage/UsagePipeline.swift": r'problems\.append\("(.*)"\)',
    "DataPlane/Proxy/Limits/Redis/RedisHealth.swift": r'\? nil : "(.*)"',
    "DataPlane/Proxy/Operator/EndpointStates.swift": r'^ +"(endpoint .*|the provider .*)"$',
    "DataPlane/Proxy/Snapshots/SnapshotBoot.swift": r'problems\.append\(BootProblem\([^"]*"(.*)"\)\)',
    "DataPlane/Proxy/Snapshots/SnapshotStore+Apply.swift": r'alarm\(kind, "(.*)"\)',
    "DataPlane/Proxy/Transport/ServerTLS.swift": r'return "(the .*)"',
    "ControlPlane/Domain/Operation/Health.swift": r'totals\.map \{ "(.*)" \}|state = "(\w+)"',
    "ControlPlane/Domain/Fleet/SealedSecrets.swift": r'warn\(id, "(.*)"\)',
    "ControlPlane/Domain/Identities/UpstreamKeys.swift": r'text\.map \{ "(.*)" \}',
}


@pytest.mark.parametrize("path", list(SENTENCES))
def test_each_reason_of_a_process_s_health_is_explained(path):
    page = source("docs/runbook.md")
    found = ["".join(groups) if isinstance(groups, tuple) else groups for groups in re.findall(SENTENCES[path], source(path), re.M)]
    assert found, "no sentence is found in it any more: look where they are now"
    for sentence in found:
        # What stands between the things that differ, the longest piece of it.
        pieces = re.split(r"\\\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", sentence)
        piece = max(pieces, key=len).strip(" :;()")
        assert piece in page, f"docs/runbook.md does not explain: {sentence}"


# The first day and money: one shell that goes through both pages


def test_the_first_day_and_what_it_costs(tmp_path):
    def blocks(page):
        return "\n".join(re.findall(r"```sh\n(.*?)```", source(f"docs/{page}.md"), re.S))
    with Lab("first-day") as lab:
        lab.start_simulator("--require-key", "sk-first-day")
        lab.start_control()
        plane, operator = free_port(), free_port()
        script = ('trap "kill \\$(jobs -p) 2>/dev/null; wait" EXIT\n' + blocks("first-day") + "\n" + blocks("money")
                  # The month is not over: 2.
                  + "\n(" + block("invoices", "sh", "verify a month") + ') || [ $? = 2 ]\n')
        for old, new in {"https://api.openai.com": f"http://{LOOPBACK}:{lab.simulator.port}", "127.0.0.1:8080": f"{LOOPBACK}:{plane}",
                         "127.0.0.1:8081": f"{LOOPBACK}:{operator}", "model=gpt-4o": "model=sim-in1000-out500-cached200",
                         "--name openai --credential-id": "--name openai --private-addresses true --credential-id"}.items():
            assert old in script
            script = script.replace(old, new)
        env = {**os.environ, "PATH": f"{lab.bin}:{os.environ['PATH']}", "HOME": str(tmp_path), "OPENAI_API_KEY": "sk-first-day",
               "WEIR_URL": lab.control.base, "WEIR_TOKEN": lab.admin.token, "WEIR_LOOPS": "1"}
        done = subprocess.run(["timeout", "--kill-after=30", "300", "bash", "-euo", "pipefail", "-c", script], env=env, cwd=tmp_path, capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        costs = {record["cost_nano"] for record in lab.admin.all("/usage/records") if record["status"] == "completed"}
        # As the page's table has it.
        assert costs == {7_250_000} and "$0.00725" in source("docs/money.md"), costs
        assert '"insufficient_quota"' in done.stdout and "small" in done.stdout
        lab.control.stop()
        os.symlink(lab.control.data, tmp_path / "weir-control-data")
        subprocess.run(["bash", "-euc", block("production", "sh", "the embedded database")], cwd=tmp_path, check=True, timeout=60)
        kept = subprocess.run(["tar", "--list", "--file", tmp_path / "weir-control.tar"], capture_output=True, text=True, check=True).stdout
        assert "./weir.db" in kept and "master.key" not in kept, kept
        assert lab.traps() == []


# Production: the page's commands, with other addresses and folders, on a Postgres and an nginx of our own


class Production:
    """Replaces what the page has for examples. Its services are the page's blocks, run as they stand there."""

    def __init__(self, lab):
        self.lab = lab
        self.postgres = lab.postgres = Postgres(f"{lab.folder}/postgres").create()
        os.makedirs(f"{lab.folder}/etc")
        self.http, self.fleet = [free_port(), free_port()], [free_port(), free_port()]
        self.plane, self.operator, self.tls = free_port(), free_port(), free_port()
        self.replaced = {
            "postgresql://weir@db.internal:5432/weir": self.postgres.uri, "/etc/weir": f"{lab.folder}/etc", "/var/lib/weir-proxy": f"{lab.folder}/plane",
            "127.0.0.1:8080": f"{LOOPBACK}:{self.plane}", "127.0.0.1:8081": f"{LOOPBACK}:{self.operator}", "listen 443": f"listen {LOOPBACK}:{self.tls}",
            "weir-1.internal:7443": f"{LOOPBACK}:{self.fleet[0]}", "weir-2.internal:7443": f"{LOOPBACK}:{self.fleet[1]}"}
        self.environment = {"PATH": f"{lab.bin}:{self.postgres.bin}:{os.environ['PATH']}", "WEIR_DATABASE_URL": self.postgres.uri,
                            "WEIR_URL": f"http://{LOOPBACK}:{self.http[1]}"}

    def text(self, language, name, number=0):
        text = block("production", language, name)
        for old, new in {**self.replaced, "0.0.0.0:7080": f"{LOOPBACK}:{self.http[number]}", "0.0.0.0:7443": f"{LOOPBACK}:{self.fleet[number]}"}.items():
            text = text.replace(old, new)
        return text

    def run(self, name):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.text("sh", name)], env={**os.environ, **self.environment},
                              cwd=self.lab.folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name, number=0, **environment):
        title = f"{name} {number + 1}"
        process = Process(title, ["bash", "-euc", self.text("sh", name, number)], f"{self.lab.folder}/{title}.log",
                          environment={**self.environment, **environment})
        self.lab.others.append(process)
        return process.start()

    def replica(self, number, **environment):
        process = self.start("a replica", number, **environment)
        wait_for(f"{process.name} to be ready", lambda: status_of(f"http://{LOOPBACK}:{self.http[number]}/health/ready") == 200, 120)
        return process


@pytest.fixture(scope="module")
def production():
    with Lab("production") as lab:
        lab.start_simulator()
        yield Production(lab)
        assert lab.traps() == []


def test_production_as_the_page_has_it(production):
    lab = production.lab
    production.run("once")
    replicas = [production.replica(number) for number in range(2)]
    with open(f"{lab.folder}/etc/admin.token") as file:
        production.environment["WEIR_TOKEN"] = file.read().strip()
    lab.admin = Admin(f"http://{LOOPBACK}:{production.http[1]}", production.environment["WEIR_TOKEN"])
    lab.create_tenant()
    lab.create_provider()
    lab.create_model("sim-in9-out60-chunks60-pace20ms")
    lab.create_model("sim-ok")
    lab.roll_out()
    production.run("a token for one data plane")
    plane = production.start("a data plane")

    def serves(key=None, model="sim-ok"):
        # On connections of their own: each of the data plane's loops learns of it by itself.
        return all(http("POST", f"http://{LOOPBACK}:{production.plane}/v1/chat/completions",
                        {"model": model, "messages": [{"role": "user", "content": "hello"}]},
                        {"Authorization": f"Bearer {key or lab.key}"})[0] == 200 for _ in range(8))
    wait_for("the data plane to serve", serves, 120)
    through_nginx(production)

    # One replica is gone: the data plane hears by the other.
    replicas[0].kill9()
    made = lab.create_key()["key"]
    wait_for("the data plane to hear of a key by the other replica", lambda: serves(made), 120)

    # Restored: the key that was made after the backup is gone, everywhere, once the epoch was raised.
    production.run("back up")
    later = lab.create_key()["key"]
    wait_for("the data plane to hear of a later key", lambda: serves(later), 120)
    replicas[1].stop()
    production.run("restore")
    assert serves(later), "a data plane keeps what it has"
    replicas[1] = production.replica(1)
    production.run("after the first replica has started again")
    wait_for("the later key to be unknown", lambda: not serves(later), 120)
    assert serves(made)

    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("runbook", "sh", "begin here")], env={**os.environ, **production.environment},
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr

    # Another master key, while replicas serve.
    production.run("a new master key")
    old, new = f"{lab.folder}/etc/master.key", f"{lab.folder}/etc/master.key.new"
    replicas[1].stop()
    replicas[1] = production.replica(1, WEIR_SECOND_MASTER_KEY_FILE=new)
    production.run("encrypt everything anew")
    replicas[1].stop()
    production.replaced["WEIR_MASTER_KEY_FILE=" + old] = "WEIR_MASTER_KEY_FILE=" + new
    replicas[1] = production.replica(1, WEIR_SECOND_MASTER_KEY_FILE=old)
    production.environment["WEIR_MASTER_KEY_FILE"] = new
    production.run("encrypt everything anew")
    replicas[1].stop()
    replicas[1] = production.replica(1)
    findings = {finding["code"] for finding in lab.admin.get("/status")["findings"]}
    assert not findings & {"master_key_old", "operator_warning", "credential_refused"}, findings
    assert serves() and plane.running


def through_nginx(production):
    """The page's server in an nginx of our own: a certificate that is checked, and a stream that arrives piece by piece."""
    folder = f"{production.lab.folder}/nginx"
    os.makedirs(folder)
    certificate, key = f"{production.lab.folder}/etc/tls.pem", f"{production.lab.folder}/etc/tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    kinds = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(f"{folder}/nginx.conf", "w") as file:
        file.write(f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\nhttp {{ access_log off; {kinds}\n"
                   + production.text("nginx", "/etc/nginx/conf.d/weir.conf") + "}\n")
    nginx = Process("nginx", ["/usr/sbin/nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"], f"{folder}/log")
    production.lab.others.append(nginx)
    nginx.start()
    request = urllib.request.Request(
        f"https://{LOOPBACK}:{production.tls}/v1/chat/completions", headers={
            "Authorization": f"Bearer {production.lab.key}", "Content-Type": "application/json"},
        data=b'{"model": "sim-in9-out60-chunks60-pace20ms", "stream": true, "messages": [{"role": "user", "content": "hello"}]}')
    trust = ssl.create_default_context(cafile=certificate)

    def pieces():
        with urllib.request.urlopen(request, context=trust, timeout=60) as answer:
            return [piece for piece in iter(lambda: answer.read1(65536), b"")]
    found = wait_for("nginx to answer", pieces, 60)
    assert b"".join(found).endswith(b"data: [DONE]\n\n") and len(found) > 5, "it was gathered before it was sent on"
    nginx.stop()
