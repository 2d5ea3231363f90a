import Crypto
import Foundation
import Primitives

/// The parts of a request that a proof by signature covers. `docs/signing.md` says the same to clients.
package struct SignedRequest: Sendable {
    package let method: [UInt8]
    /// As in Host.
    package let host: [UInt8]
    /// The target up to `?`, as sent.
    package let path: [UInt8]
    /// What follows the first `?`; empty without one.
    package let query: [UInt8]

    package init(method: [UInt8], host: [UInt8], path: [UInt8], query: [UInt8]) {
        self.method = method
        self.host = host
        self.path = path
        self.query = query
    }

    /// Weir's own scheme: who is named in it, and how the bytes are signed.
    package enum Scheme: Sendable {
        case hmac, did

        package var text: StaticString {
            switch self {
            case .hmac: "weir-hmac-sha256-v1"
            case .did: "weir-did-v1"
            }
        }
    }

    /// What was signed, the digest of the body included: `CanonicalRequest`, for who has the parts and no message.
    package func canonicalBytes(_ scheme: Scheme, identity: String, timestamp: String, nonce: String, bodyDigest: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        func place(_ part: some Sequence<UInt8>) -> Range<Int> {
            let start = text.count
            text += part
            return start..<text.count
        }
        let parts = CanonicalRequest.Parts(
            method: place(method), host: place(host), path: place(path), query: place(query), identity: place(identity.utf8),
            timestamp: place(timestamp.utf8), nonce: place(nonce.utf8))
        let request = text.withUnsafeBytes { CanonicalRequest(scheme, parts, of: $0) }
        return bodyDigest.withUnsafeBytes { request.bytes(digest: $0) }
    }
}

/// What a request of Weir's own scheme has signed, made of its head: the digest of the body joins it when that is whole.
///
/// Nine lines, parted by a line feed (0x0A), none after the last. No part can hold one: HTTP allows it in no method, target or header.
///
/// scheme · method · host in lower case · path · query sorted · key id or DID · timestamp · nonce · SHA-256 of the body in lower-case
/// hexadecimal.
package struct CanonicalRequest: Sendable {
    /// Where its parts stand in the message.
    package struct Parts {
        let method, host, path, query, identity, timestamp, nonce: Range<Int>

        package init(
            method: Range<Int>, host: Range<Int>, path: Range<Int>, query: Range<Int>, identity: Range<Int>, timestamp: Range<Int>,
            nonce: Range<Int>
        ) {
            self.method = method
            self.host = host
            self.path = path
            self.query = query
            self.identity = identity
            self.timestamp = timestamp
            self.nonce = nonce
        }
    }

    /// Up to the last line feed.
    private let lines: [UInt8]
    private let hostRange: Range<Int>

    /// - Parameter message: holds the parts.
    package init(_ scheme: SignedRequest.Scheme, _ parts: Parts, of message: UnsafeRawBufferPointer) {
        var out: [UInt8] = []
        out.reserveCapacity(
            scheme.text.utf8CodeUnitCount + parts.method.count + parts.host.count + parts.path.count + parts.query.count
                + parts.identity.count + parts.timestamp.count + parts.nonce.count + 8)
        func line(_ range: Range<Int>) {
            out.append(contentsOf: UnsafeRawBufferPointer(rebasing: message[range]))
            out.append(10)
        }
        out.append(contentsOf: UnsafeRawBufferPointer(start: scheme.text.utf8Start, count: scheme.text.utf8CodeUnitCount))
        out.append(10)
        line(parts.method)
        let host = out.count
        for index in parts.host {
            let byte = message[index]
            out.append(byte >= 65 && byte <= 90 ? byte | 32 : byte)
        }
        hostRange = host..<out.count
        out.append(10)
        line(parts.path)
        if UnsafeRawBufferPointer(rebasing: message[parts.query]).contains(UInt8(ascii: "&")) {
            out += Self.sorted(query: message[parts.query])
            out.append(10)
        } else {
            line(parts.query)
        }
        line(parts.identity)
        line(parts.timestamp)
        line(parts.nonce)
        lines = out
    }

    /// The host as it was signed, in lower case.
    package var host: String { String(decoding: lines[hostRange], as: UTF8.self) }

    package func bytes(body: UnsafeRawBufferPointer) -> [UInt8] { SHA256Digest.of(body) { bytes(digest: $0) } }

    func bytes(digest: UnsafeRawBufferPointer) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(lines.count + 2 * digest.count)
        out += lines
        Hex.append(digest, to: &out)
        return out
    }

    /// The parameters between `&`, as sent and percent-encoded as they are, in the order of their bytes.
    private static func sorted(query: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        let parameters = query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false)
        return Array(parameters.sorted { $0.lexicographicallyPrecedes($1) }.joined(separator: [UInt8(ascii: "&")]))
    }
}

/// HMAC-SHA256 (RFC 2104) with a key's signing secret.
package enum RequestMAC {
    package static let byteCount = 32

    package static func of(_ message: [UInt8], secret: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: secret)))
    }

    package static func isValid(_ tag: [UInt8], over message: [UInt8], secret: [UInt8]) -> Bool { Key(secret).isValid(tag, over: message) }

    /// A secret that many messages are judged with: the half of the work that is the same for each is done once (RFC 2104 §4).
    package struct Key: Sendable {
        private let inner: SHA256
        private let outer: SHA256

        package init(_ secret: [UInt8]) {
            // B of RFC 2104 §2.
            let block = 64
            var key = secret.count > block ? SHA256Digest.of(secret) : secret
            key += [UInt8](repeating: 0, count: block - key.count)
            func begun(_ pad: UInt8) -> SHA256 {
                var hash = SHA256()
                hash.update(data: key.map { $0 ^ pad })
                return hash
            }
            inner = begun(0x36)
            outer = begun(0x5C)
        }

        /// In a time that says nothing about where the two differ.
        package func isValid(_ tag: [UInt8], over message: [UInt8]) -> Bool {
            guard tag.count == RequestMAC.byteCount else { return false }
            var (inner, outer) = (inner, outer)
            message.withUnsafeBytes { inner.update(bufferPointer: $0) }
            inner.finalize().withUnsafeBytes { outer.update(bufferPointer: $0) }
            return outer.finalize().withUnsafeBytes { code in
                var difference: UInt8 = 0
                for index in 0..<RequestMAC.byteCount { difference |= code[index] ^ tag[index] }
                return difference == 0
            }
        }
    }
}

/// The time that a signature states: whole seconds since 1970 in decimal digits.
package enum SignatureTime {
    /// - Throws: for what is no such number, or further from `now` than `skew`; the text tells the difference.
    package static func check(_ text: String, nowMilliseconds: Int64, skewSeconds: Int64) throws(ProofProblem) {
        guard !text.isEmpty, text.utf8.count <= 19, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), text.utf8.first != 48,
            let seconds = Int64(text)
        else {
            throw ProofProblem(
                "The timestamp \"\(text.prefix(30))\" is no whole number of seconds since 1970, such as \(nowMilliseconds / 1000).")
        }
        try check(seconds: seconds, nowMilliseconds: nowMilliseconds, skewSeconds: skewSeconds)
    }

    package static func check(seconds: Int64, nowMilliseconds: Int64, skewSeconds: Int64) throws(ProofProblem) {
        guard seconds >= 0 else { throw ProofProblem("The timestamp is a time before 1970: send whole seconds since then.") }
        guard seconds < 100_000_000_000 else {
            throw ProofProblem("The timestamp \(seconds) seems to be in milliseconds: send whole seconds since 1970.")
        }
        let now = nowMilliseconds / 1000
        let difference = seconds - now
        guard abs(difference) <= skewSeconds else {
            throw ProofProblem(
                "The timestamp is \(abs(difference)) s \(difference < 0 ? "behind" : "ahead of") this server's clock (\(now)); \(skewSeconds) s are allowed. "
                    + "Set your clock, and sign each request when you send it.")
        }
    }
}

/// What makes a signed request unique.
package enum SignatureNonce {
    /// - Throws: unless it is 16 to 128 visible ASCII characters.
    package static func check(_ nonce: UnsafeRawBufferPointer) throws(ProofProblem) {
        guard (16...128).contains(nonce.count), nonce.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw ProofProblem("The nonce has to be 16 to 128 visible ASCII characters, new and random for each request.")
        }
    }
}

/// A signature as it stands in a header: base64, base64url, or hexadecimal with or without `0x`.
package enum SignatureText {
    /// - Parameter counts: how many bytes it may have, which tells hexadecimal from base64.
    package static func decode(_ text: UnsafeRawBufferPointer, counts: ClosedRange<Int>) -> [UInt8]? {
        guard text.count <= 512 else { return nil }
        let digits = text.count > 2 && text[0] == UInt8(ascii: "0") && text[1] == UInt8(ascii: "x") ? 2 : 0
        if counts.contains((text.count - digits) / 2),
            let bytes = Hex.decode(utf8: UnsafeRawBufferPointer(rebasing: text[digits...]))
        {
            return bytes
        }
        let base64 = String(decoding: text, as: UTF8.self)
        guard let bytes = Base64URL.decode(base64) ?? Base64.decode(base64), counts.contains(bytes.count) else { return nil }
        return bytes
    }
}
