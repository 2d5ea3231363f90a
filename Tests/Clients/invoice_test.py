"""docs/invoices.md against both real planes: what two data planes signed, through a kill -9, is proved by `weir invoice verify` and by a verifier
that was written from that page alone; whatever is changed in the file both of them find.

Run by ops/test for each database (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients/invoice_test.py after a build.
"""

import base64
import copy
import json
import os
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

import invoice_verifier  # noqa: E402
from weirlab import LOOPBACK, Lab  # noqa: E402
from weirplanes import http  # noqa: E402

MODEL = "chat"
MONTH = time.strftime("%Y-%m", time.gmtime())


def ask(plane, key):
    status, _, answer = http("POST", f"http://{LOOPBACK}:{plane.port}/v1/chat/completions",
                             {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}, {"Authorization": f"Bearer {key}"})
    assert status == 200, answer[:300]


def weir(lab, *arguments, code=0):
    done = subprocess.run([f"{lab.bin}/weir", *arguments], capture_output=True, text=True, timeout=60, env=dict(
        os.environ, WEIR_URL=lab.control.base, WEIR_TOKEN=lab.control.token(), HOME=lab.folder))
    assert done.returncode == code, (done.returncode, done.stdout + done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def files():
    with Lab("invoice", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_simulator("--require-key", "sim-provider-key")
        lab.start_control()
        lab.create_tenant("Signed")
        # A neighbour whose records travel in the same batches.
        other = lab.admin.post("/tenants", {"name": "Neighbour"})["id"]
        project = lab.admin.post("/projects", {"tenant_id": other, "name": "Main"})["id"]
        theirs = lab.admin.post("/keys", {"project_id": project, "name": "drill"})["key"]
        lab.create_provider()
        lab.create_model(MODEL, upstream="sim-in12-out8")
        lab.roll_out()
        first, second = lab.start_data_plane(), lab.start_data_plane()
        for plane in (first, second):
            lab.wait_serving(MODEL, plane)
            lab.wait_serving(MODEL, plane, theirs)
        for _ in range(5):
            ask(first, lab.key)
            ask(first, theirs)
        first.kill9()
        first.start()
        lab.wait_serving(MODEL, first)
        for _ in range(3):
            ask(first, lab.key)
            ask(second, lab.key)
        lab.wait_usage(16)
        for plane in (first, second):
            plane.stop()
        lab.admin.post("/billing/top-ups", {"tenant_id": lab.tenant_id, "amount": "5.00", "reference": "pay-1"})
        file, keys = f"{lab.folder}/{MONTH}.jsonl", f"{lab.folder}/keys.json"
        weir(lab, "invoice", "fetch", MONTH, "--tenant-id", "Signed", "--file", file)
        with open(keys, "w") as out:
            out.write(weir(lab, "invoice", "keys", "--tenant-id", "Signed"))
        yield lab, file, keys, other
        assert lab.traps() == []


def known(keys):
    return {key["data_plane_id"]: base64.b64decode(key["public_key"]) for key in map(json.loads, open(keys))}


def test_both_verifiers_prove_it(files):
    lab, file, keys, other = files
    said = json.loads(weir(lab, "invoice", "verify", file, "--keys", keys, "--json", code=2))
    found = invoice_verifier.verify(open(file), known(keys))
    assert (said["charged_requests"], said["charged_nano"]) == (found["requests"], found["nano"]) == (11, found["nano"])
    assert found["nano"] > 0 and said["records"] == 11 and said["chains"] == 2 and said["unsigned_requests"] == 0
    # Nothing is open but the month itself.
    assert len(said["open"]) == len(found["open"]) == 2 and all("not yet after the month" in line for line in said["open"]), said
    usage = lab.admin.get(f"/billing?month={MONTH}&tenant_id={lab.tenant_id}")
    assert round(float(usage["total_cost"]) * 1e9) == found["nano"]
    text = open(file).read()
    assert other not in text and lab.provider_id not in text and lab.credential_id not in text
    bills = b"".join(base64.b64decode(line["bill"]) for line in map(json.loads, text.splitlines()) if line["kind"] == "record")
    assert lab.provider_id.encode() not in bills and other.encode() not in bills
    assert "trust on first use" in weir(lab, "invoice", "verify", file, code=2)
    assert f"{list(known(keys))[0]}/" in weir(lab, "billing", "statement", MONTH, "--tenant-id", "Signed", "--csv")


def broken(lines):
    """By what was done: the lines with one thing changed."""
    records = [at for at, line in enumerate(lines) if line["kind"] == "record"]
    heads = [at for at, line in enumerate(lines) if line["kind"] == "head"]
    chains = [at for at, line in enumerate(lines) if line["kind"] == "chain"]

    def with_(at, **members):
        made = copy.deepcopy(lines)
        made[at].update(members)
        return made
    yield "dropped first", lines[:records[0]] + lines[records[0] + 1:]
    yield "dropped middle", lines[:records[3]] + lines[records[3] + 1:]
    yield "dropped last", lines[:records[-1]] + lines[records[-1] + 1:]
    yield "doubled", lines[:records[2]] + [lines[records[2]]] + lines[records[2]:]
    yield "added", lines[:records[2]] + [dict(lines[records[2]], number=lines[records[2]]["number"] + 1)] + lines[records[2]:]
    swapped = list(lines)
    swapped[records[1]], swapped[records[2]] = swapped[records[2]], swapped[records[1]]
    yield "reordered", swapped
    digit = bytearray(base64.b64decode(lines[records[1]]["bill"]))
    digit[-1] ^= 1
    yield "a digit", with_(records[1], bill=base64.b64encode(bytes(digit)).decode())
    yield "charged more", with_(records[1], charged_nano=lines[records[1]]["charged_nano"] + 1)
    yield "another tenant", with_(0, tenant_id="ten_aaaaaaaaaaaaaaaa")
    yield "an earlier head", with_(heads[0], number=lines[heads[0]]["number"] - 1)
    yield "another data plane", with_(chains[0], data_plane_id=lines[chains[1]]["data_plane_id"])
    yield "cut off", lines[:-1]


def test_both_verifiers_find_what_was_changed(files, tmp_path):
    lab, file, keys, _ = files
    lines = [json.loads(line) for line in open(file)]
    for what, changed in broken(lines):
        text = [json.dumps(line) for line in changed]
        with pytest.raises(invoice_verifier.False_):
            invoice_verifier.verify(text, known(keys))
            print(what)
        path = tmp_path / "changed.jsonl"
        path.write_text("\n".join(text) + "\n")
        assert "FALSE: " in weir(lab, "invoice", "verify", str(path), "--keys", keys, code=1), what
