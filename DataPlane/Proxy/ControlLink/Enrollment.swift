import Foundation
package import Primitives
package import Trust

/// The text an operator is given to let a data plane in: where the control plane is, how to know it, and a one-time secret.
package struct EnrollmentTokenText: Sendable, CustomStringConvertible, CustomReflectable {
    /// `host:port` each: every replica, or what stands in front of them.
    package let addresses: [String]
    /// PEM of the listener's certificate authority; empty: plaintext.
    package let authorityPEM: String
    /// The whole text, which is what the control plane is shown.
    let text: String

    static let prefix = "wenr_"

    /// - Throws: `EnrollmentError.token`.
    package init(parsing text: String) throws(EnrollmentError) {
        struct Content: Decodable {
            let a: String
            let `as`: [String]?
            let t: String
            let ca: String
        }
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard trimmed.hasPrefix(Self.prefix), trimmed.utf8.count <= 65_536,
            let bytes = Base64URL.decode(trimmed.dropFirst(Self.prefix.count)),
            let content = try? JSONDecoder().decode(Content.self, from: Data(bytes)), !content.t.isEmpty
        else { throw .token("it is not an enrolment token: copy the whole text, which begins with \(Self.prefix)") }
        addresses = content.as ?? [content.a]
        guard !addresses.isEmpty, addresses.count <= FleetAddress.maximumCount, addresses.allSatisfy({ FleetAddress($0) != nil }) else {
            throw .token("it names no address of the form host:port")
        }
        self.text = trimmed
        authorityPEM = content.ca
    }

    package var description: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

package enum EnrollmentError: Error, Hashable, CustomStringConvertible {
    case token(String)
    case files(path: String, detail: String)
    /// The control plane said no; trying again does not help.
    case refused(String)
    /// The control plane could not be reached, or was not itself; trying again may help.
    case unreachable(String)

    package var description: String {
        switch self {
        case .token(let detail): "the enrolment token cannot be used: \(detail)"
        case .files(let path, let detail): "\(path): \(detail)"
        case .refused(let detail): "the control plane refused the enrolment: \(detail)"
        case .unreachable(let detail): "the control plane cannot be reached: \(detail)"
        }
    }
}

/// The two private keys of a data plane: who it is, and what credentials are sealed to. Made before the token is used, so that a crash
/// between the control plane's yes and our writing it down can be repaired by asking again with the same keys.
package struct DataPlaneKeys: Sendable {
    package let identity: IdentityKey
    package let sealing: SealingKey

    /// Reads both from the data directory, making those that are missing.
    /// - Throws: `EnrollmentError.files`. A damaged key is never replaced: the control plane knows the old one.
    package static func loadOrCreate(directory: String) throws(EnrollmentError) -> DataPlaneKeys {
        let identity = try load("\(directory)/identity.key") { IdentityKey().raw }
        let sealing = try load("\(directory)/sealing.key") { SealingKey().raw }
        guard let identityKey = IdentityKey(raw: identity) else { throw .files(path: "\(directory)/identity.key", detail: "holds no key") }
        guard let sealingKey = SealingKey(raw: sealing) else { throw .files(path: "\(directory)/sealing.key", detail: "holds no key") }
        return DataPlaneKeys(identity: identityKey, sealing: sealingKey)
    }

    private static func load(_ path: String, _ make: () -> [UInt8]) throws(EnrollmentError) -> [UInt8] {
        if let text = try PrivateFile.read(path) {
            guard let raw = Hex.decode(String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)),
                raw.count == 32
            else { throw .files(path: path, detail: "is damaged: restore it, or enrol again in an empty data directory") }
            return raw
        }
        let raw = make()
        try PrivateFile.write(path, Array((Hex.encode(raw) + "\n").utf8))
        return raw
    }
}

/// What the control plane answered when this data plane was let in. Lives in a file of its own beside the database, so that a damaged
/// database does not cost the enrolment.
package struct Enrollment: Sendable, Codable, Hashable {
    package let deployment: String
    package let dataPlaneID: DataPlaneID
    package let region: String
    package let address: String
    /// Beside `address`, which comes first; absent where there are none.
    package var otherAddresses: [String]?
    package let authorityPEM: String
    /// Key id → hex of the public key: trusted until a keyring says otherwise.
    package let trustedKeys: [String: String]

    static let fileName = "enrollment.json"

    package var addresses: [String] { [address] + (otherAddresses ?? []) }

    package var trust: TrustStore { TrustStore(trustedKeys.compactMapValues { Hex.decode($0) }) }

    /// Nil when this data directory was never enrolled.
    package static func load(directory: String) throws(EnrollmentError) -> Enrollment? {
        let path = "\(directory)/\(fileName)"
        guard let bytes = try PrivateFile.read(path) else { return nil }
        guard let enrollment = try? JSONDecoder().decode(Enrollment.self, from: Data(bytes)), !enrollment.trust.keys.isEmpty else {
            throw .files(path: path, detail: "is damaged: restore it, or enrol again in an empty data directory")
        }
        return enrollment
    }

    func save(directory: String) throws(EnrollmentError) {
        let path = "\(directory)/\(Self.fileName)"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let bytes = try? encoder.encode(self) else { throw .files(path: path, detail: "cannot be encoded") }
        try PrivateFile.write(path, Array(bytes))
    }
}

/// Where the fleet listener is.
package struct FleetAddress: Hashable, Sendable, CustomStringConvertible {
    package let host: String
    package let port: Int
    package let isIPv4: Bool
    package let isIPv6: Bool

    /// Takes `host:port`, `1.2.3.4:port` and `[::1]:port`.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (1...65_535).contains(port) else {
            return nil
        }
        var host = String(text[..<colon])
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = String(host.dropFirst().dropLast()) }
        var four = in_addr()
        var six = in6_addr()
        isIPv4 = inet_pton(AF_INET, host, &four) == 1
        isIPv6 = inet_pton(AF_INET6, host, &six) == 1
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }), isIPv6 == isBracketed else {
            return nil
        }
        self.host = host
        self.port = port
    }

    /// Addresses of one control plane at most.
    package static let maximumCount = 16

    /// Several, separated by commas; nil when there is none or one of them is no address.
    package static func list(_ text: String) -> [FleetAddress]? {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
        let addresses = parts.compactMap { FleetAddress($0) }
        return addresses.isEmpty || addresses.count != parts.count || parts.count > maximumCount ? nil : addresses
    }

    package var description: String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
