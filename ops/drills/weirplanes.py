"""The processes a drill starts, kills and asks: simulator, control plane, data plane, Postgres; and the admin API.

Nothing here sleeps to be lucky: every wait polls a condition and ends with what it last saw when time runs out.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LOOPBACK = "127.0.0.1"


class LabError(Exception):
    pass


def binaries():
    """The folder of our programs: WEIR_BIN, else a release build, else a debug build."""
    named = os.environ.get("WEIR_BIN")
    candidates = [named] if named else [os.path.join(ROOT, ".build", kind) for kind in ("release", "debug")]
    for folder in candidates:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("weir-control", "weir-proxy", "weir-simulator")):
            return folder
    raise LabError(f"no weir-control, weir-proxy and weir-simulator in {' or '.join(candidates)}: build first (ops/run or ops/test)")


GIVEN = set()


def free_port():
    """A free port that no connection takes for its own end meanwhile, and that nobody here was given before. Kept for good by a process that
    is killed and started again, hence not 0."""
    while True:
        # Below those that the kernel gives to connections.
        port = random.SystemRandom().randint(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def wait_for(what, condition, seconds=30.0, every=0.02):
    """Polls until the condition is true and returns its value; `what` is the complaint when it never is."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, LabError, ValueError, KeyError) as problem:
            last = problem
        time.sleep(every)
    raise LabError(f"waited {seconds:.0f} s for {what}; last: {last!r}")


def http(method, url, body=None, headers=None, timeout=30.0):
    """(status, headers, bytes). Raises OSError when nothing answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, dict((k.lower(), v) for k, v in answer.headers.items()), answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, dict((k.lower(), v) for k, v in refusal.headers.items()), refusal.read()


def status_of(url):
    """0 when nothing answers."""
    try:
        return http("GET", url, timeout=2)[0]
    except OSError:
        return 0


class Process:
    """A program of ours that can be killed and started again with the same arguments."""

    def __init__(self, name, arguments, log, environment=None, prefix=()):
        self.name = name
        self.arguments = arguments
        self.log = log
        self.environment = environment or {}
        self.prefix = list(prefix)
        self.child = None
        self.starts = 0

    def start(self):
        with open(self.log, "ab") as log:
            environment = {**os.environ, **self.environment}
            self.child = subprocess.Popen(self.prefix + self.arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                          env=environment, start_new_session=True)
        self.starts += 1
        return self

    @property
    def pid(self):
        return self.child.pid if self.child else 0

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def kill9(self):
        if self.running:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def stop(self, seconds=20):
        if not self.running:
            return
        self.child.terminate()
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill9()

    def pause(self):
        os.kill(self.child.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.child.pid, signal.SIGCONT)

    def resident_megabytes(self):
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def tail(self, lines=30):
        try:
            with open(self.log, errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        except OSError:
            return ""

    def traps(self):
        """Lines of the log that a Swift trap or a sanitizer leaves."""
        signs = ("Fatal error", "Illegal instruction", "Trace/breakpoint", "stack dump", "AddressSanitizer", "*** Program crashed")
        with open(self.log, errors="replace") as log:
            return [line.strip() for line in log if any(sign in line for sign in signs)]


class Admin:
    """The admin API with a token."""

    def __init__(self, base, token):
        self.base = base
        self.token = token

    def send(self, method, path, body=None, headers=None):
        url = self.base + "/admin/api" + path
        status, received, data = http(method, url, body, {"Authorization": f"Bearer {self.token}", **(headers or {})})
        value = json.loads(data) if data else None
        if status >= 300:
            raise LabError(f"{method} {path}: {status} {data.decode(errors='replace')[:2000]}")
        return value, received

    def get(self, path):
        return self.send("GET", path)[0]

    def post(self, path, body=None):
        return self.send("POST", path, {} if body is None else body)[0]

    def patch(self, path, body):
        etag = self.send("GET", path)[1].get("etag", "*")
        return self.send("PATCH", path, body, {"If-Match": etag})[0]

    def delete(self, path):
        etag = self.send("GET", path)[1].get("etag", "*")
        return self.send("DELETE", path, headers={"If-Match": etag})[0]

    def all(self, path):
        """Every item of a list, page by page."""
        items, cursor = [], None
        while True:
            query = ("&" if "?" in path else "?") + "limit=200" + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else "")
            page = self.get(path + query)
            items += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return items


class Postgres:
    """A cluster of our own on loopback, without fsync: nothing of it outlives the lab."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        versions = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []
        if not versions:
            raise LabError("no Postgres here: apt-get install postgresql")
        self.bin = f"/usr/lib/postgresql/{versions[-1]}/bin"

    def as_owner(self, *command):
        # Postgres refuses to run as root.
        prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(prefix + list(command), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def create(self):
        os.makedirs(self.folder)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.as_owner(f"{self.bin}/initdb", "-D", f"{self.folder}/db", "-U", "weir", "--auth=trust", "-E", "UTF8", "--no-sync")
        self.start()
        return self

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={LOOPBACK} -c fsync=off -c max_connections=200"
        self.as_owner(f"{self.bin}/pg_ctl", "-D", f"{self.folder}/db", "-w", "-o", options, "-l", f"{self.folder}/log", "start")

    def stop(self, mode="immediate"):
        self.as_owner(f"{self.bin}/pg_ctl", "-D", f"{self.folder}/db", "-w", "-m", mode, "stop")

    @property
    def uri(self):
        return f"postgresql://weir@{LOOPBACK}:{self.port}/postgres"


class Simulator(Process):
    def __init__(self, lab, *more, name="simulator"):
        self.port = free_port()
        super().__init__(name, [f"{lab.bin}/weir-simulator", "--port", str(self.port), *more], f"{lab.folder}/{name}.log")

    @property
    def control(self):
        return f"http://{LOOPBACK}:{self.port}/_sim"

    def up(self):
        self.start()
        wait_for("the simulator", lambda: status_of(self.control + "/health") == 200)
        return self

    def ledger(self):
        entries = []
        while True:
            page = json.loads(http("GET", f"{self.control}/ledger?after={len(entries)}")[2])
            entries += page["entries"]
            if len(entries) >= page["total"]:
                return entries

    def reset(self):
        http("POST", self.control + "/reset", {})

    def stats(self):
        return json.loads(http("GET", self.control + "/stats")[2])


class ControlPlane(Process):
    def __init__(self, lab, database, folder=None):
        self.port = free_port()
        self.fleet_port = free_port()
        self.data = folder or f"{lab.folder}/control"
        os.makedirs(self.data, exist_ok=True)
        self.database = database
        self.token_file = f"{self.data}/admin-token"
        self.options = [
            "--http-listen", f"{LOOPBACK}:{self.port}", "--fleet-listen", f"{LOOPBACK}:{self.fleet_port}",
            "--database-url", database, "--data-directory", self.data, "--create-master-key",
        ]
        super().__init__("control plane", [f"{lab.bin}/weir-control", "serve", *self.options], f"{lab.folder}/control.log")

    def create_admin(self):
        """The first administrator; before the control plane starts, since an embedded database has one user."""
        command = [self.arguments[0], "bootstrap-admin", "--name", "drill", "--if-none", "--token-file", self.token_file, *self.options]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise LabError(f"bootstrap-admin: {made.stderr}{made.stdout}")

    @property
    def base(self):
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ready(self):
        return status_of(self.base + "/health/ready") == 200

    def wait_ready(self, seconds=60):
        def ready():
            if not self.running:
                raise LabError(f"the control plane ended with {self.child.returncode}:\n{self.tail()}")
            return self.ready
        wait_for("the control plane to be ready", ready, seconds)
        return self

    def token(self):
        with open(self.token_file) as file:
            return file.read().strip()


class DataPlane(Process):
    def __init__(self, lab, name, *more, prefix=(), environment=None, folder=None):
        self.port = free_port()
        self.operator_port = free_port()
        self.data = folder or f"{lab.folder}/{name}"
        os.makedirs(self.data, exist_ok=True)
        # Twice, as flags and as their twins: under libfaketime a Swift program does not see its arguments.
        environment = {
            "WEIR_LISTEN": f"{LOOPBACK}:{self.port}", "WEIR_OPERATOR_LISTEN": f"{LOOPBACK}:{self.operator_port}",
            "WEIR_DATA_DIRECTORY": self.data, "WEIR_NAME": name, **(environment or {})}
        super().__init__(name, [
            f"{lab.bin}/weir-proxy",
            "--listen", f"{LOOPBACK}:{self.port}", "--operator-listen", f"{LOOPBACK}:{self.operator_port}",
            "--data-directory", self.data, "--name", name, *more,
        ], f"{lab.folder}/{name}.log", prefix=prefix, environment=environment)

    @property
    def operator(self):
        return f"http://{LOOPBACK}:{self.operator_port}"

    @property
    def ready(self):
        return status_of(self.operator + "/health/ready") == 200

    def wait_ready(self, seconds=60):
        def ready():
            if not self.running:
                raise LabError(f"{self.name} ended with {self.child.returncode}:\n{self.tail()}")
            return self.ready
        wait_for(f"{self.name} to be ready", ready, seconds)
        return self

    def health(self):
        status, _, body = http("GET", self.operator + "/health/ready", timeout=5)
        return status, json.loads(body) if body else {}

    def metrics(self):
        """name{labels} → value."""
        text = http("GET", self.operator + "/metrics", timeout=5)[2].decode()
        found = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found
