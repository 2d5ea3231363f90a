import Crypto
import Foundation
import Primitives

/// What a message signature (RFC 9421) is computed over.
package struct SignableMessage {
    package let method: String
    /// Host, in lower case, without the port that is its scheme's own.
    package let authority: String
    package let path: String
    /// What follows the first `?`; nil without one.
    package let query: String?
    /// Of a response.
    package let status: Int?
    /// The lines of a field by its lower-case name, in order, without white space around them.
    package let field: (String) -> [String]

    package init(method: String, authority: String, path: String, query: String?, status: Int? = nil, field: @escaping (String) -> [String])
    {
        self.method = method
        self.authority = authority
        self.path = path
        self.query = query
        self.status = status
        self.field = field
    }
}

/// One signature of `Signature-Input` and `Signature` (RFC 9421 §4), not yet verified.
package struct MessageSignature {
    package let label: String
    package let signature: [UInt8]
    package let keyID: String?
    /// Seconds since 1970.
    package let created: Int64?
    package let expires: Int64?
    package let nonce: String?
    package let algorithm: String?
    let components: [StructuredItem]
    let parameters: [StructuredParameter]

    /// All signatures of a message.
    /// - Parameters: the fields' values, several lines joined with ", ".
    package static func parse(input: String, signature: String) throws(ProofProblem) -> [MessageSignature] {
        guard let inputs = StructuredDictionary(input) else {
            throw ProofProblem("Signature-Input is malformed (RFC 9421 §4.1, RFC 8941).")
        }
        guard let signatures = StructuredDictionary(signature) else {
            throw ProofProblem("Signature is malformed (RFC 9421 §4.2, RFC 8941).")
        }
        var out: [MessageSignature] = []
        for (label, member) in inputs.members {
            guard case .list(let components) = member.content else {
                throw ProofProblem("Signature-Input's \(label.prefix(40)) is no list of components.")
            }
            guard case .item(.bytes(let bytes))? = signatures[label]?.content else {
                throw ProofProblem("Signature has no bytes for \(label.prefix(40)), which Signature-Input describes.")
            }
            out.append(try MessageSignature(label: label, signature: bytes, components: components, parameters: member.parameters))
        }
        return out
    }

    private init(
        label: String, signature: [UInt8], components: [StructuredItem], parameters: [StructuredParameter]
    ) throws(ProofProblem) {
        func value(_ name: String) -> StructuredValue? { parameters.first { $0.name == name }?.value }
        func integer(_ name: String) throws(ProofProblem) -> Int64? {
            guard let value = value(name) else { return nil }
            guard case .integer(let number) = value else {
                throw ProofProblem("The signature's \(name) is no whole number of seconds since 1970.")
            }
            return number
        }
        func string(_ name: String) throws(ProofProblem) -> String? {
            guard let value = value(name) else { return nil }
            guard case .string(let text) = value else { throw ProofProblem("The signature's \(name) is no quoted string.") }
            return text
        }
        self.label = label
        self.signature = signature
        self.components = components
        self.parameters = parameters
        keyID = try string("keyid")
        created = try integer("created")
        expires = try integer("expires")
        nonce = try string("nonce")
        algorithm = try string("alg")
    }

    /// Whether the signature covers a component.
    package func covers(_ name: String) -> Bool { components.contains { $0.value == .string(name) && $0.parameters.isEmpty } }

    /// The fields that the signature covers, by their lower-case names.
    package var coveredFields: [String] {
        components.compactMap { component in
            guard case .string(let name) = component.value, name.utf8.first != UInt8(ascii: "@") else { return nil }
            return name
        }
    }

    /// The signature base (§2.5).
    /// - Throws: for a component that the message has not, or that is of a kind that is not known here.
    package func base(over message: SignableMessage) throws(ProofProblem) -> [UInt8] {
        var out = ""
        var seen: Set<StructuredItem> = []
        for component in components {
            guard case .string(let name) = component.value else { throw ProofProblem("A component's name is a quoted string.") }
            guard seen.insert(component).inserted else {
                throw ProofProblem("The component \(component.serialized.prefix(80)) is covered twice.")
            }
            out += component.serialized + ": " + (try Self.value(of: name, component, message)) + "\n"
        }
        out +=
            "\"@signature-params\": (" + components.map(\.serialized).joined(separator: " ") + ")" + parameters.map(\.serialized).joined()
        return Array(out.utf8)
    }

    private static func value(of name: String, _ component: StructuredItem, _ message: SignableMessage) throws(ProofProblem) -> String {
        if name == "@query-param" { return try parameter(component, message) }
        guard component.parameters.isEmpty else {
            throw ProofProblem(
                "The component \(component.serialized.prefix(80)) has parameters, which are not known here. Cover it without them.")
        }
        switch name {
        case "@method": return message.method
        case "@authority": return message.authority
        case "@path": return message.path.isEmpty ? "/" : message.path
        case "@query": return "?" + (message.query ?? "")
        case "@request-target": return message.path + (message.query.map { "?" + $0 } ?? "")
        case "@status":
            guard let status = message.status else { throw ProofProblem("A request has no @status.") }
            return String(status)
        case "@target-uri", "@scheme":
            throw ProofProblem(
                "\(name) cannot be checked where TLS ends in front of this server. Cover @authority, @path and @query in its place.")
        default:
            guard !name.hasPrefix("@"), name == name.lowercased() else {
                throw ProofProblem("The component \(name.prefix(80)) is not known.")
            }
            let lines = message.field(name)
            guard !lines.isEmpty else { throw ProofProblem("The signature covers \(name.prefix(80)), and the request has no such header.") }
            return lines.joined(separator: ", ")
        }
    }

    /// §2.2.8
    private static func parameter(_ component: StructuredItem, _ message: SignableMessage) throws(ProofProblem) -> String {
        guard component.parameters.count == 1, component.parameters[0].name == "name",
            case .string(let wanted) = component.parameters[0].value
        else { throw ProofProblem("@query-param has the one parameter \"name\".") }
        var found: [Substring] = []
        for pair in (message.query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if let name = parts.first, FormEncoding.respelled(name) == wanted { found.append(parts.count > 1 ? parts[1] : "") }
        }
        guard found.count == 1 else {
            throw ProofProblem(
                "The signature covers the query's \(wanted.prefix(80)), which the request has \(found.isEmpty ? "not" : "several times").")
        }
        return FormEncoding.respelled(found[0])
    }
}

/// A name or value of a query as RFC 9421 §2.2.8 spells it: decoded as a form, then percent-encoded.
private enum FormEncoding {
    static func respelled(_ text: Substring) -> String {
        var decoded: [UInt8] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let byte = Hex.decode(String(decoding: bytes[index + 1...index + 2], as: UTF8.self))
            {
                decoded += byte
                index += 3
            } else {
                decoded.append(bytes[index] == UInt8(ascii: "+") ? 32 : bytes[index])
                index += 1
            }
        }
        var out: [UInt8] = []
        for byte in decoded {
            switch byte {
            case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "*"):
                out.append(byte)
            default: out += ("%" + Hex.encode([byte]).uppercased()).utf8
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// `Content-Digest` (RFC 9530 §2).
package enum ContentDigest {
    /// - Throws: unless the field has a SHA-256 or SHA-512 of the body, and each of these that it has is right.
    package static func check(_ field: String, body: UnsafeRawBufferPointer) throws(ProofProblem) {
        guard let digests = StructuredDictionary(field) else { throw ProofProblem("Content-Digest is malformed (RFC 9530 §2).") }
        var known = 0
        for (name, member) in digests.members where name == "sha-256" || name == "sha-512" {
            guard case .item(.bytes(let stated)) = member.content else {
                throw ProofProblem("Content-Digest's \(name) is no byte sequence.")
            }
            known += 1
            guard stated == (name == "sha-256" ? digest(SHA256.self, body) : digest(SHA512.self, body)) else {
                throw ProofProblem("Content-Digest's \(name) is not the body's. Compute it over the bytes that you send.")
            }
        }
        guard known > 0 else { throw ProofProblem("Content-Digest needs a sha-256 or a sha-512 of the body.") }
    }

    private static func digest<Hash: HashFunction>(_: Hash.Type, _ body: UnsafeRawBufferPointer) -> [UInt8] {
        var hash = Hash()
        hash.update(bufferPointer: body)
        return Array(hash.finalize())
    }
}
