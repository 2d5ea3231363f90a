import Primitives
import Trust
import Wire

/// A proof by signature as it stands in a request's head, before anything of it is judged. `docs/signing.md` says the same to clients.
struct SignedCall {
    enum Signer {
        /// `key_…`, with the key's signing secret.
        case key(IDBits?)
        case did(DID)
    }

    /// What was signed, apart from the body.
    enum Form {
        /// Weir's own canonical bytes, whose last line is the body's digest.
        case canonical(SignedRequest, SignedRequest.Scheme, timestamp: String)
        /// RFC 9421: the signature base, and Content-Digest as it stands; nil where it is not covered.
        case message(base: [UInt8], contentDigest: String?)
    }

    let signer: Signer
    /// The signer as the request names it.
    let identity: String
    let signature: [UInt8]
    let nonce: String
    let form: Form
    /// Host, as it is signed.
    let host: String
    /// What a did:web's `keyid` names after #, and the algorithm that the signature claims: which of its keys it may be.
    var method: String?
    var algorithm: String?

    /// The key that signed.
    var keyID: IDBits? { if case .key(let id) = signer { id } else { nil } }

    static let scheme: StaticString = "weir-hmac-sha256 "

    /// Whether a value of Authorization is an HMAC of this scheme.
    static func isHMAC(_ authorization: UnsafeRawBufferPointer) -> Bool { ByteScan.beginsIgnoringCase(authorization, with: scheme) }

    /// The request's proof by signature; nil where it has none.
    /// - Throws: for one that is malformed, or whose time is not now: what can be said before the body is here.
    static func read<Head: RequestHead & ~Copyable>(
        _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, nowMilliseconds: Int64, skewSeconds: Int64
    ) throws(Rejection) -> SignedCall? {
        do throws(ProofProblem) {
            if let authorization = head.first(.authorization).map({ UnsafeRawBufferPointer(rebasing: bytes[$0.value]) }),
                isHMAC(authorization)
            {
                return try hmac(authorization, head, bytes, nowMilliseconds, skewSeconds)
            }
            if let did = head.text("x-did", bytes) { return try self.did(did, head, bytes, nowMilliseconds, skewSeconds) }
            if let input = head.text("signature-input", bytes) { return try message(input, head, bytes, nowMilliseconds, skewSeconds) }
            return nil
        } catch {
            throw .invalidSignature(error.message)
        }
    }

    private static func request<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) -> SignedRequest {
        SignedRequest(
            method: Array(bytes[head.methodRange]), host: head.first(.host).map { Array(bytes[$0.value]) } ?? [],
            path: head.path.isEmpty ? [UInt8(ascii: "/")] : Array(bytes[head.path]), query: Array(bytes[head.query]))
    }

    private static func host<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) -> String {
        head.first(.host).map { String(decoding: bytes[$0.value], as: UTF8.self).lowercased() } ?? ""
    }

    /// `Authorization: WEIR-HMAC-SHA256 key_id=…, timestamp=…, nonce=…, signature=…`
    private static func hmac<Head: RequestHead & ~Copyable>(
        _ authorization: UnsafeRawBufferPointer, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ now: Int64, _ skew: Int64
    ) throws(ProofProblem) -> SignedCall {
        let parameters = try AuthorizationParameters(
            UnsafeRawBufferPointer(rebasing: authorization.dropFirst(scheme.utf8CodeUnitCount)))
        func parameter(_ name: StaticString) throws(ProofProblem) -> String {
            guard let value = parameters[name] else { throw ProofProblem("The Authorization header has no \(name)=….") }
            return value
        }
        let keyID = try parameter("key_id")
        let (timestamp, nonce) = (try parameter("timestamp"), try parameter("nonce"))
        try SignatureTime.check(timestamp, nowMilliseconds: now, skewSeconds: skew)
        try SignatureNonce.check(nonce)
        return SignedCall(
            signer: .key(bits(keyID)), identity: keyID, signature: try signature(parameter("signature"), bytes: [RequestMAC.byteCount]),
            nonce: nonce, form: .canonical(request(head, bytes), .hmac, timestamp: timestamp), host: host(head, bytes))
    }

    private static func did<Head: RequestHead & ~Copyable>(
        _ text: String, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ now: Int64, _ skew: Int64
    ) throws(ProofProblem) -> SignedCall {
        func field(_ name: String) throws(ProofProblem) -> String {
            guard let value = head.text(name, bytes), !value.isEmpty else {
                throw ProofProblem("The request has x-did and no \(name) header.")
            }
            return value
        }
        let did = try DID(text)
        let (timestamp, nonce) = (try field("x-did-timestamp"), try field("x-did-nonce"))
        try SignatureTime.check(timestamp, nowMilliseconds: now, skewSeconds: skew)
        try SignatureNonce.check(nonce)
        return SignedCall(
            signer: .did(did), identity: text, signature: try signature(field("x-did-signature"), bytes: [64, 65]), nonce: nonce,
            form: .canonical(request(head, bytes), .did, timestamp: timestamp), host: host(head, bytes))
    }

    /// RFC 9421: the signature of a key of ours or of a DID; others, such as a proxy's, are passed over. What has to be covered is what Weir's
    /// own form covers.
    private static func message<Head: RequestHead & ~Copyable>(
        _ input: String, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ now: Int64, _ skew: Int64
    ) throws(ProofProblem) -> SignedCall? {
        let signatures = try MessageSignature.parse(input: input, signature: head.text("signature", bytes) ?? "")
        guard
            let found = signatures.first(where: { $0.keyID?.hasPrefix("did:") == true || $0.keyID?.hasPrefix("key_") == true }),
            let keyID = found.keyID
        else { return nil }
        let isKey = keyID.hasPrefix("key_")
        let signer: Signer = isKey ? .key(bits(keyID)) : .did(try DID(keyID: keyID))
        guard let created = found.created, let nonce = found.nonce else {
            throw ProofProblem("The message signature needs the parameters created and nonce.")
        }
        try SignatureTime.check(seconds: created, nowMilliseconds: now, skewSeconds: skew)
        if let expires = found.expires, expires * 1000 <= now {
            throw ProofProblem("The message signature has expired: its expires is over.")
        }
        try SignatureNonce.check(nonce)
        if let algorithm = found.algorithm { try check(algorithm, signer) }
        let query = bytes[head.query]
        var missing: [String] = []
        if !found.covers("@method") { missing.append("@method") }
        if !found.covers("@authority") { missing.append("@authority") }
        if !found.covers("@request-target") {
            if !found.covers("@path") { missing.append("@path") }
            if !query.isEmpty, !found.covers("@query") { missing.append("@query") }
        }
        if head.hasBody, !found.covers("content-digest") { missing.append("content-digest") }
        guard missing.isEmpty else { throw ProofProblem("The message signature has to cover \(missing.joined(separator: ", ")), too.") }
        // Names are compared as they come: the closure below runs within this call.
        var fields: [(name: String, value: String)] = []
        head.forEachField { field in
            fields.append(
                (String(decoding: bytes[field.name], as: UTF8.self).lowercased(), String(decoding: bytes[field.value], as: UTF8.self)))
        }
        let all = fields
        let message = SignableMessage(
            method: String(decoding: bytes[head.methodRange], as: UTF8.self),
            authority: all.first { $0.name == "host" }.map { $0.value.lowercased() } ?? "",
            path: String(decoding: bytes[head.path], as: UTF8.self),
            query: head.hasQuery ? String(decoding: query, as: UTF8.self) : nil
        ) { name in all.filter { $0.name == name }.map(\.value) }
        let digests = found.covers("content-digest") ? message.field("content-digest").joined(separator: ", ") : nil
        return SignedCall(
            signer: signer, identity: keyID, signature: found.signature, nonce: nonce,
            form: .message(base: try found.base(over: message), contentDigest: digests), host: message.authority,
            method: keyID.firstIndex(of: "#").map { String(keyID[keyID.index(after: $0)...]) }, algorithm: found.algorithm)
    }

    private static func check(_ algorithm: String, _ signer: Signer) throws(ProofProblem) {
        let expected: String
        switch signer {
        case .key: expected = "hmac-sha256"
        // Which key it is, the directory knows.
        case .did(let did) where did.proof.isDocument: return
        case .did(let did):
            guard case .key(let key) = did.proof, let name = key.curve.messageAlgorithm else {
                throw ProofProblem("Leave \"alg\" out: the DID says how it signs, and no algorithm of RFC 9421 is its own.")
            }
            expected = name
        }
        guard algorithm == expected else {
            throw ProofProblem("The signature's alg is \"\(algorithm.prefix(40))\"; this signer's is \(expected).")
        }
    }

    private static func bits(_ keyID: String) -> IDBits? {
        var text = keyID
        return text.withUTF8 { IDBits(identifier: UnsafeRawBufferPointer($0), prefix: KeyEntry.idPrefix) }
    }

    private static func signature(_ text: String, bytes counts: [Int]) throws(ProofProblem) -> [UInt8] {
        guard let signature = SignatureText.decode(text, counts: counts) else {
            throw ProofProblem(
                "The signature has to be \(counts.map(String.init).joined(separator: " or ")) bytes in base64 or hexadecimal.")
        }
        return signature
    }

    /// The bytes that were signed, now that the body is here.
    /// - Throws: for a body that is not the one of Content-Digest.
    func signedBytes(_ body: UnsafeRawBufferPointer) throws(ProofProblem) -> [UInt8] {
        switch form {
        case .canonical(let request, let scheme, let timestamp):
            return request.canonicalBytes(
                scheme, identity: identity, timestamp: timestamp, nonce: nonce, bodyDigest: SHA256Digest.of(body))
        case .message(let base, let contentDigest):
            if let contentDigest { try ContentDigest.check(contentDigest, body: body) }
            return base
        }
    }
}

/// `name=value, name="value"`: each name once, a value with or without quotation marks.
private struct AuthorizationParameters {
    private let bytes: UnsafeRawBufferPointer
    private var found: [(name: Range<Int>, value: Range<Int>)] = []

    /// - Parameter bytes: have to outlive it.
    init(_ bytes: UnsafeRawBufferPointer) throws(ProofProblem) {
        self.bytes = bytes
        found.reserveCapacity(4)
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: ",")) ?? bytes.count
            defer { start = end + 1 }
            if start == end { continue }
            let equals = bytes[start..<end].firstIndex(of: UInt8(ascii: "="))
            let name = Self.trimmed(start..<(equals ?? start), of: bytes)
            guard let equals, !name.isEmpty, !found.contains(where: { bytes[$0.name].elementsEqual(bytes[name]) }) else {
                throw ProofProblem("The Authorization header has to be: WEIR-HMAC-SHA256 key_id=…, timestamp=…, nonce=…, signature=…")
            }
            var value = Self.trimmed(equals + 1..<end, of: bytes)
            if value.count >= 2, bytes[value.lowerBound] == UInt8(ascii: "\""), bytes[value.upperBound - 1] == UInt8(ascii: "\"") {
                value = value.lowerBound + 1..<value.upperBound - 1
            }
            found.append((name, value))
        }
    }

    /// Nil for one that is not there, and for an empty one.
    subscript(_ name: StaticString) -> String? {
        guard let base = bytes.baseAddress else { return nil }
        for (known, value) in found where !value.isEmpty && ByteScan.equals(base, known.lowerBound, known.count, name) {
            return String(decoding: bytes[value], as: UTF8.self)
        }
        return nil
    }

    private static func trimmed(_ range: Range<Int>, of bytes: UnsafeRawBufferPointer) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, bytes[start] == UInt8(ascii: " ") { start += 1 }
        while start < end, bytes[end - 1] == UInt8(ascii: " ") { end -= 1 }
        return start..<end
    }
}

extension Rejection {
    static func invalidSignature(_ message: String) -> Rejection {
        Rejection(status: 401, fault: .client, kind: .authentication, code: "invalid_signature", message: message)
    }
}

extension RequestHead where Self: ~Copyable {
    /// The lines of a field by its lower-case name, joined as RFC 9110 §5.3 has it; nil without one.
    func text(_ name: String, _ bytes: UnsafeRawBufferPointer) -> String? {
        var found: String?
        forEachField { field in
            guard field.name.count == name.utf8.count else { return }
            let isSame = zip(bytes[field.name], name.utf8).allSatisfy { ($0 >= 65 && $0 <= 90 ? $0 | 32 : $0) == $1 }
            guard isSame else { return }
            let value = String(decoding: bytes[field.value], as: UTF8.self)
            found = found.map { $0 + ", " + value } ?? value
        }
        return found
    }

    /// Whether it claims to be signed.
    func isSigned(_ bytes: UnsafeRawBufferPointer) -> Bool { text("x-did", bytes) != nil || text("signature-input", bytes) != nil }
}
