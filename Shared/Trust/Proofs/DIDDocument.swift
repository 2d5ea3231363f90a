import Primitives

/// The document of a did:web (W3C DID Core 1.0 §5): the keys with which its subject authenticates.
package struct DIDDocument: Sendable, Hashable {
    /// A verification method of its relation `authentication`.
    package struct Method: Sendable, Hashable {
        /// What follows # in its URL.
        package let fragment: String
        package let key: VerificationKey

        package init(fragment: String, key: VerificationKey) {
            self.fragment = fragment
            self.key = key
        }
    }

    /// The most that one document may have for authentication: each is tried where a request does not name one.
    package static let maximumMethods = 8
    package static let maximumBytes = 1 << 16

    package let methods: [Method]
    /// Methods for authentication that are none of ours, and why.
    package let passedOver: [String]

    /// - Throws: for what is no document, or is another DID's.
    package init(_ bytes: [UInt8], of did: DID, nowMilliseconds: Int64) throws(ProofProblem) {
        guard bytes.count <= Self.maximumBytes, let json = try? JSONValue(parsing: bytes, maximumDepth: 16), case .object = json else {
            throw ProofProblem("the document is no JSON object of up to \(Self.maximumBytes) bytes")
        }
        guard let id = json["id"]?.stringValue else { throw ProofProblem("the document has no \"id\"") }
        guard id == did.text else { throw ProofProblem("the document is the one of \(id.prefix(200)), not of \(did.text)") }
        guard let relation = json["authentication"]?.arrayValue ?? (json["authentication"] == nil ? [] : nil) else {
            throw ProofProblem("the document's \"authentication\" is no list")
        }
        guard relation.count <= Self.maximumMethods else {
            throw ProofProblem("the document has more than \(Self.maximumMethods) keys for authentication")
        }
        let all = json["verificationMethod"]?.arrayValue ?? []
        var methods: [Method] = []
        var passedOver: [String] = []
        for entry in relation {
            // A method stands there itself, or its URL does.
            let method: JSONValue?
            if let name = entry.stringValue {
                let fragment = Self.fragment(name, did)
                method = fragment == nil ? nil : all.first { $0["id"]?.stringValue.flatMap { Self.fragment($0, did) } == fragment }
            } else {
                method = entry
            }
            let name = (entry.stringValue ?? entry["id"]?.stringValue).map { String($0.prefix(100)) } ?? "a method without an id"
            guard let method else {
                passedOver.append("\(name) is no method of this document")
                continue
            }
            do throws(ProofProblem) {
                let read = try Self.method(method, did, nowMilliseconds)
                if !methods.contains(where: { $0.fragment == read.fragment }) { methods.append(read) }
            } catch {
                passedOver.append("\(name): \(error.message)")
            }
        }
        self.methods = methods
        self.passedOver = passedOver
    }

    private static func method(_ json: JSONValue, _ did: DID, _ now: Int64) throws(ProofProblem) -> Method {
        guard let id = json["id"]?.stringValue, let fragment = fragment(id, did) else { throw ProofProblem("Its id is none of this DID.") }
        guard json["controller"]?.stringValue == did.text else { throw ProofProblem("Its controller is another.") }
        for end in ["revoked", "expires"] {
            guard let value = json[end] else { continue }
            guard let time = value.stringValue.flatMap(RFC3339.milliseconds), time > now else { throw ProofProblem("It is \(end).") }
        }
        switch (json["publicKeyJwk"], json["publicKeyMultibase"]?.stringValue) {
        case (let jwk?, nil): return Method(fragment: fragment, key: try VerificationKey(jwk: jwk))
        case (nil, let text?): return Method(fragment: fragment, key: try DID.multikey(text[...]))
        case (nil, nil): throw ProofProblem("It has no publicKeyJwk or publicKeyMultibase.")
        default: throw ProofProblem("It has two keys.")
        }
    }

    /// Of an absolute URL of the DID, or of one relative to it. Nil: another's, or none.
    private static func fragment(_ url: String, _ did: DID) -> String? {
        guard let hash = url.firstIndex(of: "#"), url[..<hash].isEmpty || url[..<hash] == did.text else { return nil }
        let fragment = url[url.index(after: hash)...]
        return (1...128).contains(fragment.utf8.count) && fragment.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? String(fragment) : nil
    }
}
