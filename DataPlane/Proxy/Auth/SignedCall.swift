import Primitives
import Trust
import Wire

/// A proof by signature as it stands in a request's head, before anything of it is judged. `docs/signing.md` says the same to clients.
final class SignedCall {
    enum Signer {
        /// `key_…`, with the key's signing secret.
        case key(IDBits?)
        case did(CallingDID)
    }

    /// What was signed, apart from the body.
    enum Form {
        /// Weir's own canonical bytes, whose last line is the body's digest.
        case canonical(CanonicalRequest)
        /// RFC 9421: the signature base, and Content-Digest as it stands; nil where it is not covered.
        case message(base: [UInt8], contentDigest: String?, host: String)
    }

    let signer: Signer
    let signature: [UInt8]
    /// Of the signer's nonce (`NonceMemory.name`).
    let nonce: RequestID
    let form: Form
    /// What a did:web's `keyid` names after #, and the algorithm that the signature claims: which of its keys it may be.
    let method: String?
    let algorithm: String?

    private init(
        _ signer: Signer, signature: [UInt8], nonce: RequestID, form: Form, method: String? = nil, algorithm: String? = nil
    ) {
        self.signer = signer
        self.signature = signature
        self.nonce = nonce
        self.form = form
        self.method = method
        self.algorithm = algorithm
    }

    /// The key that signed.
    var keyID: IDBits? { if case .key(let id) = signer { id } else { nil } }

    /// Host, in lower case, as it is signed.
    var host: String {
        switch form {
        case .canonical(let request): request.host
        case .message(_, _, let host): host
        }
    }

    static let scheme: StaticString = "weir-hmac-sha256 "

    /// Whether a value of Authorization is an HMAC of this scheme.
    static func isHMAC(_ authorization: UnsafeRawBufferPointer) -> Bool { ByteScan.beginsIgnoringCase(authorization, with: scheme) }

    /// The request's proof by signature; nil where it has none.
    /// - Parameter dids: of the loop.
    /// - Throws: for one that is malformed, or whose time is not now: what can be said before the body is here.
    static func read<Head: RequestHead & ~Copyable>(
        _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, dids: DIDMemory, nowMilliseconds: Int64, skewSeconds: Int64
    ) throws(Rejection) -> SignedCall? {
        do throws(ProofProblem) {
            if let value = head.first(.authorization)?.value, isHMAC(UnsafeRawBufferPointer(rebasing: bytes[value])) {
                return try hmac(value, head, bytes, nowMilliseconds, skewSeconds)
            }
            let fields = DIDFields(head, bytes)
            if let did = fields.did { return try self.did(did, fields, head, bytes, dids, nowMilliseconds, skewSeconds) }
            if let input = head.text("signature-input", bytes) {
                return try message(input, head, bytes, dids, nowMilliseconds, skewSeconds)
            }
            return nil
        } catch {
            throw .invalidSignature(error.message)
        }
    }

    /// The canonical bytes of a request; what its proof states about itself stands in its head as well.
    private static func canonical<Head: RequestHead & ~Copyable>(
        _ scheme: SignedRequest.Scheme, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, identity: Range<Int>,
        timestamp: Range<Int>, nonce: Range<Int>
    ) -> CanonicalRequest {
        CanonicalRequest(
            scheme,
            CanonicalRequest.Parts(
                method: head.methodRange, host: head.first(.host)?.value ?? 0..<0, path: head.path, query: head.query, identity: identity,
                timestamp: timestamp, nonce: nonce), of: bytes)
    }

    private static func checkTime(_ text: UnsafeRawBufferPointer, _ now: Int64, _ skew: Int64) throws(ProofProblem) {
        try SignatureTime.check(String(decoding: text, as: UTF8.self), nowMilliseconds: now, skewSeconds: skew)
    }

    /// `Authorization: WEIR-HMAC-SHA256 key_id=…, timestamp=…, nonce=…, signature=…`
    private static func hmac<Head: RequestHead & ~Copyable>(
        _ authorization: Range<Int>, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ now: Int64, _ skew: Int64
    ) throws(ProofProblem) -> SignedCall {
        let parameters = try AuthorizationParameters(authorization.dropFirst(scheme.utf8CodeUnitCount), of: bytes)
        func text(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
        let (keyID, timestamp) = (try parameters.value(.keyID), try parameters.value(.timestamp))
        let (nonce, signature) = (try parameters.value(.nonce), try parameters.value(.signature))
        try checkTime(text(timestamp), now, skew)
        try SignatureNonce.check(text(nonce))
        return SignedCall(
            .key(IDBits(identifier: text(keyID), prefix: KeyEntry.idPrefix)),
            signature: try self.signature(text(signature), counts: RequestMAC.byteCount...RequestMAC.byteCount),
            nonce: NonceMemory.name(of: text(keyID), text(nonce)),
            form: .canonical(canonical(.hmac, head, bytes, identity: keyID, timestamp: timestamp, nonce: nonce)))
    }

    private static func did<Head: RequestHead & ~Copyable>(
        _ did: Range<Int>, _ fields: DIDFields, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ dids: DIDMemory, _ now: Int64,
        _ skew: Int64
    ) throws(ProofProblem) -> SignedCall {
        func text(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
        func field(_ range: Range<Int>?, _ name: StaticString) throws(ProofProblem) -> Range<Int> {
            guard let range, !range.isEmpty else { throw ProofProblem("The request has x-did and no \(name) header.") }
            return range
        }
        if fields.isRepeated { throw ProofProblem("A header of the signature (x-did…) was sent twice.") }
        let timestamp = try field(fields.timestamp, "x-did-timestamp")
        let nonce = try field(fields.nonce, "x-did-nonce")
        let signature = try field(fields.signature, "x-did-signature")
        let signer = try dids.did(text(did))
        try checkTime(text(timestamp), now, skew)
        try SignatureNonce.check(text(nonce))
        return SignedCall(
            .did(signer), signature: try self.signature(text(signature), counts: 64...65),
            nonce: signer.fingerprint.withUnsafeBytes { NonceMemory.name(of: $0, text(nonce)) },
            form: .canonical(canonical(.did, head, bytes, identity: did, timestamp: timestamp, nonce: nonce)))
    }

    /// RFC 9421: the signature of a key of ours or of a DID; others, such as a proxy's, are passed over. What has to be covered is what Weir's
    /// own form covers.
    private static func message<Head: RequestHead & ~Copyable>(
        _ input: String, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ dids: DIDMemory, _ now: Int64, _ skew: Int64
    ) throws(ProofProblem) -> SignedCall? {
        let signatures = try MessageSignature.parse(input: input, signature: head.text("signature", bytes) ?? "")
        guard
            let found = signatures.first(where: { $0.keyID?.hasPrefix("did:") == true || $0.keyID?.hasPrefix("key_") == true }),
            var keyID = found.keyID
        else { return nil }
        let signer: Signer
        if keyID.hasPrefix("key_") {
            signer = .key(keyID.withUTF8 { IDBits(identifier: UnsafeRawBufferPointer($0), prefix: KeyEntry.idPrefix) })
        } else {
            signer = .did(try dids.did(keyID: keyID))
        }
        guard let created = found.created, let nonce = found.nonce else {
            throw ProofProblem("The message signature needs the parameters created and nonce.")
        }
        try SignatureTime.check(seconds: created, nowMilliseconds: now, skewSeconds: skew)
        if let expires = found.expires, expires * 1000 <= now {
            throw ProofProblem("The message signature has expired: its expires is over.")
        }
        let name = try nonceName(nonce, of: signer, keyID)
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
        var covered: [(name: String, value: String)] = []
        for name in found.coveredFields {
            if let value = head.text(name, bytes) { covered.append((name, value)) }
        }
        let fields = covered
        let host = head.first(.host).map { String(decoding: bytes[$0.value], as: UTF8.self) } ?? ""
        let message = SignableMessage(
            method: String(decoding: bytes[head.methodRange], as: UTF8.self), authority: host.lowercased(),
            path: String(decoding: bytes[head.path], as: UTF8.self),
            query: head.hasQuery ? String(decoding: query, as: UTF8.self) : nil
        ) { name in fields.filter { $0.name == name }.prefix(1).map(\.value) }
        let digests = found.covers("content-digest") ? message.field("content-digest").joined(separator: ", ") : nil
        return SignedCall(
            signer, signature: found.signature, nonce: name,
            form: .message(base: try found.base(over: message), contentDigest: digests, host: message.authority),
            method: keyID.firstIndex(of: "#").map { String(keyID[keyID.index(after: $0)...]) }, algorithm: found.algorithm)
    }

    private static func nonceName(_ nonce: String, of signer: Signer, _ keyID: String) throws(ProofProblem) -> RequestID {
        let bytes = Array(nonce.utf8)
        let result: Result<RequestID, ProofProblem> = bytes.withUnsafeBytes { bytes in
            do throws(ProofProblem) { try SignatureNonce.check(bytes) } catch { return .failure(error) }
            // Of who signs, not of how it is spelled.
            let identity: [UInt8]
            switch signer {
            case .key: identity = Array(keyID.utf8)
            case .did(let did): identity = did.fingerprint
            }
            return .success(identity.withUnsafeBytes { NonceMemory.name(of: $0, bytes) })
        }
        return try result.get()
    }

    private static func check(_ algorithm: String, _ signer: Signer) throws(ProofProblem) {
        let expected: String
        switch signer {
        case .key: expected = "hmac-sha256"
        // Which key it is, the directory knows.
        case .did(let caller) where caller.did.proof.isDocument: return
        case .did(let caller):
            guard case .key(let key) = caller.did.proof, let name = key.curve.messageAlgorithm else {
                throw ProofProblem("Leave \"alg\" out: the DID says how it signs, and no algorithm of RFC 9421 is its own.")
            }
            expected = name
        }
        guard algorithm == expected else {
            throw ProofProblem("The signature's alg is \"\(algorithm.prefix(40))\"; this signer's is \(expected).")
        }
    }

    private static func signature(_ text: UnsafeRawBufferPointer, counts: ClosedRange<Int>) throws(ProofProblem) -> [UInt8] {
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
        case .canonical(let request): return request.bytes(body: body)
        case .message(let base, let contentDigest, _):
            if let contentDigest { try ContentDigest.check(contentDigest, body: body) }
            return base
        }
    }
}

extension Rejection {
    static func invalidSignature(_ message: String) -> Rejection {
        Rejection(status: 401, fault: .client, kind: .authentication, code: "invalid_signature", message: message)
    }
}
