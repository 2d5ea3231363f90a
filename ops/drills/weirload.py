"""An HTTP/1.1 client for drills: asyncio streams, nothing but the standard library, one connection a request or kept alive.

It is deliberately literal: it reports exactly how far an answer came, because a drill's question is what a caller saw when
something was killed under it.
"""

import asyncio
import json
import time


class Seen:
    """What a caller saw of one request."""

    __slots__ = ("model", "status", "headers", "body", "whole", "error", "started", "ended", "first_byte")

    def __init__(self, model=""):
        self.model = model
        self.status = 0          # 0: no head arrived
        self.headers = {}
        self.body = b""
        self.whole = False       # the answer arrived to its end, by its own framing
        self.error = ""          # what cut it short
        self.started = time.time()
        self.ended = 0.0
        self.first_byte = 0.0

    @property
    def request_id(self):
        return self.headers.get("x-request-id", "")

    @property
    def seconds(self):
        return self.ended - self.started

    @property
    def events(self):
        return [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]

    def usage(self):
        """The usage the answer states, None without one. Streams: of the last event that has it."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            found = None
            for event in self.events:
                if event != b"[DONE]":
                    found = json.loads(event).get("usage") or found
            return found
        return json.loads(self.body).get("usage")


async def call(port, body, key, path="/v1/chat/completions", host="127.0.0.1", timeout=60.0, headers=(), connection=None):
    """One POST. Never raises: what went wrong is in the answer's `error`."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    seen = Seen(body.get("model", "") if isinstance(body, dict) else "")
    lines = [f"POST {path} HTTP/1.1", f"host: {host}:{port}", f"authorization: Bearer {key}",
             "content-type: application/json", f"content-length: {len(payload)}", "connection: close", *headers]
    writer = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
            await writer.drain()
            await read_answer(reader, seen)
    except TimeoutError:
        seen.error = "timeout"
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as problem:
        seen.error = f"{type(problem).__name__}: {problem}"
    finally:
        seen.ended = time.time()
        if writer:
            writer.close()
    return seen


async def read_answer(reader, seen):
    head = await reader.readuntil(b"\r\n\r\n")
    seen.first_byte = time.time()
    status, *fields = head.decode("latin-1").split("\r\n")
    seen.status = int(status.split(" ")[1])
    for field in fields:
        name, _, value = field.partition(":")
        if name:
            seen.headers[name.lower()] = value.strip()
    pieces = []
    try:
        if seen.headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if size == 0:
                    await reader.readuntil(b"\r\n")
                    break
                pieces.append(await reader.readexactly(size))
                await reader.readexactly(2)
        elif "content-length" in seen.headers:
            wanted = int(seen.headers["content-length"])
            while wanted > 0:
                piece = await reader.read(min(wanted, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", wanted)
                pieces.append(piece)
                wanted -= len(piece)
        else:
            while piece := await reader.read(65536):
                pieces.append(piece)
        seen.whole = True
    finally:
        seen.body = b"".join(pieces)


def chat(model, stream=False, usage=None, text="Say hello.", **more):
    """A chat request; `usage`: whether the caller asks for usage in the stream (None: says nothing about it)."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    if stream:
        body["stream"] = True
        if usage is not None:
            body["stream_options"] = {"include_usage": usage}
    return body


def percentile(values, percent):
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
