"""Clients nobody wants: raw sockets that send what HTTP forbids, or too slowly, or never read."""

import asyncio
import json
import random
import socket
import time

from weirload import chat

HOST = "127.0.0.1"


def request(key, body=b'{"model":"sim-in120-out40","messages":[]}', line="POST /v1/chat/completions HTTP/1.1", *fields):
    fields = fields or (f"host: {HOST}", f"authorization: Bearer {key}", "content-type: application/json", f"content-length: {len(body)}")
    return "\r\n".join([line, *fields]).encode() + b"\r\n\r\n" + body


def malformed_requests(key):
    """(name, bytes): each breaks one rule of RFC 9112 or 9110 and nothing else."""
    body = b'{"model":"sim-in120-out40","messages":[]}'
    host, auth, length = f"host: {HOST}", f"authorization: Bearer {key}", f"content-length: {len(body)}"
    good = request(key)

    def fields(*lines):
        return request(key, body, "POST /v1/chat/completions HTTP/1.1", *lines)

    def line(text):
        return request(key, body, text)

    chunked = "transfer-encoding: chunked"

    def chunks(raw, *more):
        return "\r\n".join(["POST /v1/chat/completions HTTP/1.1", host, auth, chunked, *more]).encode() + b"\r\n\r\n" + raw
    piece = f"{len(body):x}".encode()
    whole = piece + b"\r\n" + body + b"\r\n0\r\n\r\n"
    cases = {
        "both framings": fields(host, auth, length, chunked),
        "two lengths": fields(host, auth, length, length),
        "two different lengths": fields(host, auth, length, "content-length: 5"),
        "length with a sign": fields(host, auth, f"content-length: +{len(body)}"),
        "negative length": fields(host, auth, "content-length: -1"),
        "length list": fields(host, auth, f"content-length: {len(body)}, {len(body)}"),
        "length in hexadecimal": fields(host, auth, f"content-length: 0x{len(body):x}"),
        "overflowing length": fields(host, auth, "content-length: 99999999999999999999999"),
        "length with a space inside": fields(host, auth, "content-length: 4 1"),
        "no host": fields(auth, length),
        "two hosts": fields(host, host, auth, length),
        "host with a space": fields("host: a b", auth, length),
        "space before a colon": fields(host, auth, length, "x-a : b"),
        "tab before a colon": fields(host, auth, length, "x-a\t: b"),
        "no colon": fields(host, auth, length, "x-a"),
        "empty field name": fields(host, auth, length, ": b"),
        "folded line": fields(host, auth, length, "x-a: b\r\n c"),
        "first line begins with a space": fields(" " + host, auth, length),
        "NUL in a value": fields(host, auth, length, "x-a: b\0c"),
        "control character in a value": fields(host, auth, length, "x-a: b\x01c"),
        "bare CR in a value": fields(host, auth, length, "x-a: b\rc"),
        "bare LF as line end": good.replace(b"\r\n", b"\n", 3),
        "only LF": good.replace(b"\r\n", b"\n"),
        "name with a slash": fields(host, auth, length, "x/a: b"),
        "name with a byte above 127": good.replace(b"content-type", b"content\xfftype"),
        "HTTP/0.9": b"GET /\r\n\r\n",
        "HTTP/1.2": line("POST /v1/chat/completions HTTP/1.2"),
        "HTTP/2.0": line("POST /v1/chat/completions HTTP/2.0"),
        "lower-case version": line("POST /v1/chat/completions http/1.1"),
        "two spaces": line("POST  /v1/chat/completions HTTP/1.1"),
        "a space in the target": line("POST /v1/chat completions HTTP/1.1"),
        "a tab in the request line": line("POST\t/v1/chat/completions HTTP/1.1"),
        "a fragment in the target": line("POST /v1/chat/completions#a HTTP/1.1"),
        "a byte above 127 in the target": good.replace(b"/v1/chat", b"/v1/ch\xe4t"),
        "broken percent-encoding": line("POST /v1/chat/completions?a=%zz HTTP/1.1"),
        "method with a control character": good.replace(b"POST", b"PO\x00ST"),
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS hello": bytes.fromhex("160301020001000001fc0303") + bytes(500),
        "too long a head": fields(host, auth, length, "x-a: " + "b" * 70_000),
        "too many fields": fields(host, auth, length, *(f"x-{n}: b" for n in range(2000))),
        "too long a target": line("GET /" + "a" * 20_000 + " HTTP/1.1"),
        "unknown transfer coding": fields(host, auth, "transfer-encoding: gzip"),
        "chunked and another": fields(host, auth, "transfer-encoding: chunked, gzip"),
        "chunked twice": fields(host, auth, chunked, chunked),
        "chunked with a trailing x": fields(host, auth, "transfer-encoding: chunkedx"),
        "chunked on HTTP/1.0": "\r\n".join(["POST /v1/chat/completions HTTP/1.0", host, auth, chunked]).encode() + b"\r\n\r\n" + whole,
        "chunk size with a sign": chunks(b"+" + whole),
        "chunk size with 0x": chunks(b"0x" + whole),
        "chunk size with a space": chunks(piece + b" \r\n" + body + b"\r\n0\r\n\r\n"),
        "empty chunk size": chunks(b"\r\n" + body),
        "overflowing chunk size": chunks(b"fffffffffffffffff\r\n" + body),
        "chunk ends in LF": chunks(piece + b"\n" + body + b"\r\n0\r\n\r\n"),
        "chunk without its end": chunks(piece + b"\r\n" + body + b"0\r\n\r\n"),
        "long chunk extension": chunks(piece + b";" + b"a" * 40_000 + b"\r\n" + body + b"\r\n0\r\n\r\n"),
        "length as a trailer": chunks(piece + b"\r\n" + body + b"\r\n0\r\ncontent-length: 1\r\n\r\n"),
        "unknown expectation": fields(host, auth, length, "expect: 200-ok"),
        "CONNECT": line("CONNECT example.com:443 HTTP/1.1"),
        "another host in the target": line("POST http://example.com/v1/chat/completions HTTP/1.1"),
        "nested JSON": request(key, b'{"model":"sim-in120-out40","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "JSON that ends early": request(key, b'{"model":"sim-in120-out40","messages":['),
        "JSON with a NUL": request(key, b'{"model":"sim-in120-out40\0","messages":[]}'),
        "not an object": request(key, b"[]"),
        "an empty body": request(key, b""),
        "invalid UTF-8 in the model": request(key, b'{"model":"sim-\xff\xfe","messages":[]}'),
        "model as a number": request(key, b'{"model":5,"messages":[]}'),
    }
    return list(cases.items())


def exchange(port, data, seconds=3.0, pieces=None):
    """Sends and reads what comes until the other side closes or time is up. Bytes."""
    received = b""
    try:
        with socket.create_connection((HOST, port), timeout=seconds) as sock:
            if pieces:
                for start in range(0, len(data), pieces):
                    sock.sendall(data[start:start + pieces])
            else:
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            end = time.monotonic() + seconds
            while time.monotonic() < end and len(received) < 1 << 20:
                piece = sock.recv(65536)
                if not piece:
                    break
                received += piece
    except OSError:
        pass
    return received


def malformed(port, key):
    """The names of those that were answered with success."""
    accepted = []
    for name, data in malformed_requests(key):
        for pieces in (None, 7) if len(data) < 2000 else (None,):
            answer = exchange(port, data, pieces=pieces)
            if answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
                accepted.append(name)
                break
    return accepted


def mangled(port, key, seed, count):
    """Random damage to a good request: flipped, doubled, cut and inserted bytes."""
    choice = random.Random(seed)
    seeds = [request(key), *(data for _, data in malformed_requests(key) if len(data) < 4000)]
    for _ in range(count):
        data = bytearray(choice.choice(seeds))
        for _ in range(choice.randint(1, 6)):
            at = choice.randrange(len(data)) if data else 0
            match choice.randrange(4):
                case 0 if data:
                    data[at] = choice.randrange(256)
                case 1:
                    data[at:at] = choice.randbytes(choice.randint(1, 8))
                case 2:
                    del data[at:at + choice.randint(1, 20)]
                case _:
                    data[at:at] = data[at:at + choice.randint(1, 40)]
        try:
            with socket.create_connection((HOST, port), timeout=2) as sock:
                sock.sendall(bytes(data))
                sock.settimeout(0.02 if choice.random() < 0.9 else 0.2)
                sock.recv(4096)
        except OSError:
            pass


class Crowd:
    """Many connections at once; counts how many were opened, and how many the other side had closed at the end."""

    def __init__(self, port, key, size):
        self.port = port
        self.key = key
        self.size = size
        self.opened = 0
        self.dropped = 0

    def run(self, seconds):
        asyncio.run(self.all(seconds))
        return self.opened, self.dropped

    async def all(self, seconds):
        end = time.monotonic() + seconds
        gate = asyncio.Semaphore(200)
        await asyncio.gather(*(self.guarded(gate, end) for _ in range(self.size)))

    async def guarded(self, gate, end):
        try:
            async with gate:
                reader, writer = await asyncio.open_connection(HOST, self.port)
            self.opened += 1
        except OSError:
            return
        try:
            if await self.one(reader, writer, end):
                self.dropped += 1
        except OSError:
            self.dropped += 1
        finally:
            writer.transport.abort()

    async def one(self, reader, writer, end):
        raise NotImplementedError

    async def drip(self, reader, writer, data, end):
        """A byte a second; True once the other side closes."""
        gone = asyncio.ensure_future(self.until_closed(reader))
        for byte in data:
            if gone.done() or time.monotonic() >= end:
                break
            writer.write(bytes([byte]))
            await asyncio.wait([gone], timeout=1)
        await asyncio.wait([gone], timeout=max(0.0, end - time.monotonic()))
        closed = gone.done()
        gone.cancel()
        return closed

    @staticmethod
    async def until_closed(reader):
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass


class SlowHeads(Crowd):
    async def one(self, reader, writer, end):
        return await self.drip(reader, writer, request(self.key), end)


class SlowBodies(Crowd):
    async def one(self, reader, writer, end):
        data = request(self.key)
        head = data.index(b"\r\n\r\n") + 4
        writer.write(data[:head])
        return await self.drip(reader, writer, data[head:], end)


class Deaf:
    """Clients that ask for an endless stream and read none of it."""

    def __init__(self, port, key, size, model):
        self.port = port
        self.key = key
        self.size = size
        self.model = model
        self.sockets = []

    def open(self):
        body = json.dumps(chat(self.model, stream=True)).encode()
        for _ in range(self.size):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((HOST, self.port))
            sock.sendall(request(self.key, body))
            self.sockets.append(sock)
        return len(self.sockets)

    def close(self):
        for sock in self.sockets:
            sock.close()


class Pipelines:
    """Connections that send requests which Weir answers by itself, one behind the other, and read none of the answers. They need no key."""

    LINE = b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n" * 400

    def __init__(self, port, size):
        self.port = port
        self.size = size

    def run(self, seconds):
        """Bytes that were taken from all of them together."""
        sockets = []
        for _ in range(self.size):
            sock = socket.create_connection((HOST, self.port), timeout=5)
            sock.setblocking(False)
            sockets.append(sock)
        sent, end = 0, time.monotonic() + seconds
        while time.monotonic() < end and sockets:
            for sock in list(sockets):
                try:
                    sent += sock.send(self.LINE)
                except BlockingIOError:
                    time.sleep(0.001)
                except OSError:
                    sockets.remove(sock)
        for sock in sockets:
            sock.close()
        return sent


class Silent:
    """Connections that never say anything, or nothing but a head that announces a large body."""

    def __init__(self, port, size, first=b""):
        self.sockets = []
        for _ in range(size):
            try:
                sock = socket.create_connection((HOST, port), timeout=2)
                sock.sendall(first)
                self.sockets.append(sock)
            except OSError:
                pass

    def close(self):
        for sock in self.sockets:
            sock.close()


def announcement(key, length=20_971_520):
    return (f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {key}\r\n"
            f"content-length: {length}\r\n\r\n").encode()


async def drain(port, key, model, stream, limit=2 << 30, seconds=90):
    """Reads an answer to wherever it ends; the number of bytes."""
    body = json.dumps(chat(model, stream=stream)).encode()
    reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 20)
    received = 0
    try:
        async with asyncio.timeout(seconds):
            writer.write(request(key, body))
            while received < limit:
                piece = await reader.read(1 << 20)
                if not piece:
                    break
                received += len(piece)
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return received
