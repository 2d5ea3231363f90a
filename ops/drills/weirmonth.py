"""A month of use, made by real data planes in some minutes: their clock is set back by a month and comes forward step by step.

Only the data planes' clock is another (libfaketime); to the control plane their records are late, as after a long outage. Each step sends
requests that are known one by one, so what each tenant has to pay is known without Weir: by the prices, and by what the simulator served.
"""

import glob
import json
import os
import random
import subprocess
import threading
import time
from collections import Counter, namedtuple

from weirexact import nano_dollars
from weirlab import LOOPBACK, PRICE, LabError, http, progress, wait_for

Tenant = namedtuple("Tenant", "id project key_id key")

# What is asked for: (weight, model at the simulator, streams, tokens that its answer states).
MODELS = [
    (6, "sim-in1201-out83", False, {"input": 1201, "output": 83, "cached": 0, "cache_write": 0}),
    (2, "sim-in57-out48-cached17", False, {"input": 57, "output": 48, "cached": 17, "cache_write": 0}),
    (1, "sim-in307-out12-chunks4", True, {"input": 307, "output": 12, "cached": 0, "cache_write": 0}),
]
PLANES = 2
DAYS = 31
# Seconds until a data plane has surely seen that its clock was set: it looks once a second.
SETTLING = 1.2
# Times of a day, UTC: a second before midnight in Newfoundland (in summer an hour after it), in Nepal and in UTC.
STEPS = ["03:29:59", "18:14:59", "23:59:59"]


class Month:
    def __init__(self, lab, tenants):
        library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
        if not library:
            raise LabError("no libfaketime here: apt-get install faketime")
        self.lab = lab
        self.clock = f"{lab.folder}/clock"
        self.set_clock(0)
        lab.start_simulator()
        lab.start_control()
        lab.create_tenant()
        lab.create_provider()
        for _, model, _, _ in MODELS:
            lab.create_model(model)
        lab.roll_out()
        for _ in range(PLANES):
            # Monotonic time is left alone: only what is written down is another. To look at the file each time would cost more than a request.
            lab.start_data_plane(environment={
                "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": self.clock, "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                # Else a wait with a deadline by the monotonic clock ends at once, again and again.
                "FAKETIME_FORCE_MONOTONIC_FIX": "0"})
        self.all = self.tenants(lab, tenants)
        for plane in lab.data_planes:
            for _, model, _, _ in MODELS:
                lab.wait_serving(model, plane, key=self.all[-1].key)

    @staticmethod
    def tenants(lab, count):
        """So many, each with a project and a key."""
        made = []
        for number in range(count):
            tenant = lab.admin.post("/tenants", {"name": f"Tenant {number}"})["id"]
            project = lab.admin.post("/projects", {"tenant_id": tenant, "name": "Main"})["id"]
            key = lab.admin.post("/keys", {"project_id": project, "name": f"key-{number}"})
            made.append(Tenant(tenant, project, key["id"], key["key"]))
        return made

    def set_clock(self, seconds):
        with open(self.clock + ".new", "w") as file:
            file.write(f"{int(seconds):+d}")
        os.rename(self.clock + ".new", self.clock)

    def make(self, count, start_us):
        """`count` requests from `start_us` (the beginning of a day, UTC) until now. What each tenant pays for them, nano-dollars, by id."""
        now = time.time()
        begin = start_us // 1_000_000
        times = []
        for day in range(DAYS):
            for text in STEPS:
                hours, minutes, seconds = map(int, text.split(":"))
                times.append(begin + day * 86_400 + hours * 3600 + minutes * 60 + seconds)
        # The last of them is over before the clock is right again: nothing is from the future.
        times = [at for at in times if at < now - 60]
        choice, sent, truth = random.Random(12), Counter(), Counter()
        prices = {model: nano_dollars(PRICE, usage) for _, model, _, usage in MODELS}
        kinds = [(tenant, entry, self.request(tenant, entry)) for tenant in self.all for entry in MODELS]
        weights = [entry[0] * (1 + number // len(MODELS) % 5) for number, (_, entry, _) in enumerate(kinds)]
        began, done = time.monotonic(), 0
        for number, at in enumerate(times):
            upto = count * (number + 1) // len(times)
            chosen = choice.choices(kinds, weights, k=upto - done)
            for tenant, (_, model, _, _), _ in chosen:
                sent[model] += 1
                truth[tenant.id] += prices[model]
            self.set_clock(at - time.time() - SETTLING)
            time.sleep(SETTLING)
            self.send([request for _, _, request in chosen])
            done = upto
            if number % 10 == 9:
                rate = done / (time.monotonic() - began)
                progress(f"{done:,} requests, at {time.strftime('%Y-%m-%d %H:%M', time.gmtime(at))}, {rate:,.0f} a second")
        self.set_clock(0)
        time.sleep(SETTLING)
        self.compare(sent)
        for plane in self.lab.data_planes:
            wait_for(f"{plane.name} to ship its usage", lambda plane=plane: self.lab.outbox_empty(plane), 1800, every=0.5)
        progress(f"{done:,} requests, served and stored in {time.monotonic() - began:.0f} s")
        return dict(truth)

    @staticmethod
    def request(tenant, entry):
        _, model, stream, _ = entry
        body = {"model": model, "messages": [{"role": "user", "content": "How much is it?"}]}
        if stream:
            body["stream"] = True
        body = json.dumps(body)
        text = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {tenant.key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()
        return len(text).to_bytes(4, "big") + text

    def send(self, requests):
        """Each once, divided among the data planes; all are answered with 200."""
        problems = []

        def load(number, plane):
            part = requests[number::PLANES]
            if not part:
                return
            path = f"{self.lab.folder}/requests-{number}"
            with open(path, "wb") as file:
                file.write(b"".join(part))
            done = subprocess.run(
                [f"{self.lab.bin}/weir-simulator", "load", "--url", f"http://{LOOPBACK}:{plane.port}/", "--requests", path, "--json",
                 "--connections", "32", "--warmup", "0", "--seconds", "3600"], capture_output=True, text=True, check=False)
            found = json.loads(done.stdout) if done.returncode == 0 else {}
            if found.get("statuses") != {"200": len(part)}:
                problems.append(f"{len(part)} requests to {plane.name}: {done.stdout}{done.stderr}")
        loads = [threading.Thread(target=load, args=(number, plane)) for number, plane in enumerate(self.lab.data_planes)]
        for thread in loads:
            thread.start()
        for thread in loads:
            thread.join()
        if problems:
            raise LabError("; ".join(problems))

    def compare(self, sent):
        """That the provider served what was sent, and stated what the prices were applied to."""
        sums = json.loads(http("GET", f"{self.lab.simulator.control}/ledger/sums")[2])["models"]
        for _, model, _, usage in MODELS:
            found, wanted = sums.get(model, {}), sent[model]
            told = (found.get("complete", 0), found.get("input", 0), found.get("output", 0), found.get("cached", 0))
            if told != (wanted, wanted * usage["input"], wanted * usage["output"], wanted * usage["cached"]):
                raise LabError(f"{wanted} requests of {model} were sent, and the provider says {found}")
