"""Verifies an invoice of Weir's (docs/invoices.md, "To verify it"), written from that page alone.

    python invoice_verifier.py FILE [KEYS]

Prints what is charged and what is not proved; raises False_ at the first line that is not true."""
import base64, datetime, hashlib, json, sys
from collections import Counter
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TYPE = b"application/vnd.weir.usage-head.v1"
sha = lambda data: hashlib.sha256(data).digest()


class False_(Exception):
    pass


def fields(data):
    """Protobuf's wire format: number -> last value, an int or bytes."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value
    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
            found[tag >> 3] = value - (1 << 64) if value >> 63 else value
        elif tag & 7 == 2:
            size = varint()
            found[tag >> 3], at = data[at:at + size], at + size
        else:
            at += {1: 8, 5: 4}[tag & 7]
    return found


def nano(dollars):
    whole, _, part = dollars.lstrip("-").partition(".")
    return (-1 if dollars.startswith("-") else 1) * (int(whole) * 10**9 + int(part.ljust(9, "0")))


def verify(lines, known=None):
    lines, at = [json.loads(line) for line in lines if line.strip()], 0

    def check(truth, why):
        if not truth:
            raise False_(f"line {at + 1}: {why}")
    check(lines and lines[0]["kind"] == "invoice" and lines[0]["format"] == "weir-invoice/1", "no invoice")
    first, keys, seen, requests = lines[0], {}, set(), set()
    tenant, month = first["tenant_id"], first["month"]
    year, number = map(int, month.split("-"))
    after = datetime.datetime(year + number // 12, number % 12 + 1, 1, tzinfo=datetime.timezone.utc).timestamp() * 1000
    used, proved, usage, open_ = Counter(), Counter(), Counter(), []
    balance = chain = None

    def close():
        if chain:
            check(chain["n"] == chain["last"], "the chain ends too early")
            if chain["signed"] != chain["last"] or chain["at"] < after:
                open_.append(chain["name"])
    for at, line in enumerate(lines):
        kind = line["kind"]
        if kind == "key":
            keys[line["data_plane_id"]] = key = base64.b64decode(line["public_key"])
            check(known is None or known.get(line["data_plane_id"]) == key, "a key that is not known")
        elif kind == "opening":
            balance = nano(line["balance"])
        elif kind in ("usage", "top_up", "adjustment"):
            balance += nano(line["amount"])
            check(balance == nano(line["balance"]), "the balance is wrong")
            if kind == "usage":
                usage += Counter(requests=line["requests"]); usage["nano"] -= nano(line["amount"])
                used[line["day"], "requests"] += line["requests"]; used[line["day"], "nano"] -= nano(line["amount"])
        elif kind == "closing":
            check(balance == nano(line["balance"]), "the lines do not add up")
        elif kind in ("unposted", "unsigned"):
            if kind == "unsigned":
                close(); chain = None
                open_.append(line["day"])
                check(line["requests"] >= 0 and line["charged_nano"] >= 0, "more records than are charged")
            total = used if kind == "unposted" else proved
            total[line["day"], "requests"] += line["requests"]; total[line["day"], "nano"] += line["charged_nano"]
        elif kind == "chain":
            close()
            name = (line["data_plane_id"], line["incarnation"])
            check(name not in seen, "the chain is there twice"); seen.add(name)
            link = sha(b"weir usage chain v1\0" + "\0".join(name + (tenant,)).encode()) if line["first"] == 1 else None
            chain = dict(name=name, n=line["first"] - 1, last=line["last"], link=link, signed=0, at=0)
        elif kind == "head":
            check(chain and (line["data_plane_id"], line["incarnation"]) == chain["name"], "the head of another chain")
            check(line["number"] == chain["n"] and chain["link"] in (None, bytes.fromhex(line["link"])), "signed other records")
            body = "\0".join([*chain["name"], tenant, str(line["number"]), line["link"], str(line["signed_at_ms"])]).encode()
            try:
                Ed25519PublicKey.from_public_bytes(keys[chain["name"][0]]).verify(
                    base64.b64decode(line["signature"]), b"DSSEv1 %d %s %d " % (len(TYPE), TYPE, len(body)) + body)
            except InvalidSignature:
                check(False, "a bad signature")
            chain.update(link=bytes.fromhex(line["link"]), signed=line["number"], at=max(chain["at"], line["signed_at_ms"]))
        elif kind == "record":
            check(chain and line["number"] == chain["n"] + 1 and chain["link"], "a record out of its place")
            bill = base64.b64decode(line["bill"])
            record = fields(bill)
            check(record[2].decode() == tenant, "a record of another tenant")
            chain.update(n=line["number"], link=sha(chain["link"] + sha(bill) + bytes.fromhex(line["rest"])))
            if line["state"] == "charged":
                check(0 <= line["charged_nano"] <= max(0, record.get(31, 0)), "more is charged than was signed")
                day = datetime.datetime.fromtimestamp(record.get(10, 0) // 10**6, datetime.timezone.utc).strftime("%Y-%m-%d")
                check(day == line["day"], "another day than was signed")
                request = (chain["name"][0], record.get(1))
                check(request not in requests, "a request that is charged twice"); requests.add(request)
                if day.startswith(month):
                    proved[day, "requests"] += 1; proved[day, "nano"] += line["charged_nano"]
            else:
                check(line["charged_nano"] == 0, "charged all the same")
        elif kind == "end":
            close()
            check(at == len(lines) - 1 == line["lines"], "lines are missing")
            check(line["records"] == sum(l["kind"] == "record" for l in lines), "records are missing")
            check(first["chains"] == len(seen), "chains are missing")
            check((usage["requests"], usage["nano"]) == (first["requests"], first["usage_nano"]), "the statement is another one")
            check(all(used[k] == proved[k] for k in {*used, *proved}), "the records do not come to the statement")
        else:
            check(kind == "invoice" and at == 0, f"a line of kind {kind}")
    check(lines[-1]["kind"] == "end", "the end is missing")
    return {"requests": sum(n for (_, what), n in proved.items() if what == "requests"),
            "nano": sum(n for (_, what), n in proved.items() if what == "nano"), "open": open_}


if __name__ == "__main__":
    pinned = None
    if len(sys.argv) > 2:
        pinned = {k["data_plane_id"]: base64.b64decode(k["public_key"]) for k in map(json.loads, open(sys.argv[2]))}
    print(json.dumps(verify(open(sys.argv[1]), pinned)))
