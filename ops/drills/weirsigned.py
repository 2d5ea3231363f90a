"""Requests that prove their caller, made ahead for a load generator: `weir-simulator load --requests FILE` sends each once.

The forms are those of docs/signing.md, whose own clients are in shell and Python; here it is libcrypto through ctypes, for a hundred thousand at once.
"""

import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import secrets
import struct
import time


class Ed25519:
    """A new key pair that signs, in libcrypto (EVP_PKEY_ED25519)."""

    KIND = 1087

    def __init__(self):
        self.crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for name in ("EVP_PKEY_new_raw_private_key", "EVP_MD_CTX_new"):
            getattr(self.crypto, name).restype = ctypes.c_void_p
        self.key = ctypes.c_void_p(self.crypto.EVP_PKEY_new_raw_private_key(self.KIND, None, secrets.token_bytes(32), ctypes.c_size_t(32)))
        public, length = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
        assert self.crypto.EVP_PKEY_get_raw_public_key(self.key, public, ctypes.byref(length)) == 1
        self.did = "did:key:z" + base58(b"\xed\x01" + public.raw)

    def sign(self, message):
        context = ctypes.c_void_p(self.crypto.EVP_MD_CTX_new())
        out, length = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        assert self.crypto.EVP_DigestSignInit(context, None, None, None, self.key) == 1
        assert self.crypto.EVP_DigestSign(context, out, ctypes.byref(length), message, ctypes.c_size_t(len(message))) == 1
        self.crypto.EVP_MD_CTX_free(context)
        return out.raw


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def canonical(scheme, host, path, identity, timestamp, nonce, digest):
    return "\n".join([scheme, "POST", host, path, "", identity, timestamp, nonce, digest]).encode()


class Requests:
    """Whole requests with one body, by the way in which they prove their caller. Each is new."""

    def __init__(self, host, body, path="/v1/chat/completions"):
        self.host, self.body, self.path = host, body, path
        self.digest = hashlib.sha256(body)

    def request(self, fields, path=None):
        lines = [f"POST {path or self.path} HTTP/1.1", f"host: {self.host}", "content-type: application/json",
                 f"content-length: {len(self.body)}", *fields]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    def key(self, text):
        return lambda: self.request([f"authorization: Bearer {text}"])

    def app(self, app_id, secret, user):
        return lambda: self.request([f"x-gateway-secret: {secret}", f"x-app-id: {app_id}", f"x-user-oid: {user}"], "/internal" + self.path)

    def hmac(self, key_id, secret):
        def make():
            timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
            signed = canonical("weir-hmac-sha256-v1", self.host, self.path, key_id, timestamp, nonce, self.digest.hexdigest())
            tag = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
            return self.request([f"authorization: WEIR-HMAC-SHA256 key_id={key_id}, timestamp={timestamp}, nonce={nonce}, signature={tag}"])
        return make

    def did(self, signer):
        def make():
            timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
            signed = canonical("weir-did-v1", self.host, self.path, signer.did, timestamp, nonce, self.digest.hexdigest())
            return self.request([f"x-did: {signer.did}", f"x-did-timestamp: {timestamp}", f"x-did-nonce: {nonce}",
                                 f"x-did-signature: {signer.sign(signed).hex()}"])
        return make

    def message(self, signer):
        """RFC 9421, with the content's digest of RFC 9530."""
        content = "sha-256=:" + base64.b64encode(self.digest.digest()).decode() + ":"

        def make():
            parameters = (f'("@method" "@authority" "@path" "content-digest");created={int(time.time())};keyid="{signer.did}"'
                          f';nonce="{secrets.token_hex(16)}"')
            base = (f'"@method": POST\n"@authority": {self.host}\n"@path": {self.path}\n"content-digest": {content}\n'
                    f'"@signature-params": {parameters}')
            signature = base64.b64encode(signer.sign(base.encode())).decode()
            return self.request([f"content-digest: {content}", f"signature-input: sig={parameters}", f"signature: sig=:{signature}:"])
        return make


def write(path, make, count):
    with open(path, "wb") as file:
        for _ in range(count):
            request = make()
            file.write(struct.pack(">I", len(request)) + request)
