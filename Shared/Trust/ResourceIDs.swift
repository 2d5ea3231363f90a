import Crypto
import Primitives

/// Names of what a provider keeps for a tenant (files, responses), made so that only that tenant's requests reach it: the provider's account is
/// one for all tenants, and there whoever knows an id may read and delete what it names. The name holds where the thing is and a tag over that,
/// the tenant and the kind (HMAC-SHA256, RFC 2104, of which 128 bits), so that no data plane has to remember it.
///
/// `file-w1-` or `resp_w1-` ‖ base64url(tag (16) ‖ endpoint (8) ‖ credential (8) ‖ the provider's id), where endpoint and credential are the
/// first bytes of the SHA-256 of their identifiers.
package struct ResourceIDs: Sendable {
    /// What is named. A name of one kind is none of another.
    package enum Kind: Sendable {
        case file
        case response

        /// What all names of the kind begin with.
        package var prefix: StaticString {
            switch self {
            case .file: "file-w1-"
            case .response: "resp_w1-"
            }
        }

        fileprivate var word: StaticString {
            switch self {
            case .file: "weir file 1"
            case .response: "weir response 1"
            }
        }
    }

    package struct Place: Hashable, Sendable {
        package let endpoint: [UInt8]
        package let credential: [UInt8]
        /// The provider's.
        package let id: [UInt8]

        package init(endpointID: String, credentialID: String, id: [UInt8]) {
            endpoint = Self.short(endpointID)
            credential = Self.short(credentialID)
            self.id = id
        }

        fileprivate init(_ bytes: ArraySlice<UInt8>) {
            endpoint = Array(bytes.prefix(8))
            credential = Array(bytes.dropFirst(8).prefix(8))
            id = Array(bytes.dropFirst(16))
        }

        private init(_ place: Place, id: [UInt8]) {
            endpoint = place.endpoint
            credential = place.credential
            self.id = id
        }

        /// Another thing in the same account at the same endpoint.
        package func beside(id: [UInt8]) -> Place { Place(self, id: id) }

        package func isAt(endpointID: String) -> Bool { endpoint == Self.short(endpointID) }
        package func isOf(credentialID: String) -> Bool { credential == Self.short(credentialID) }

        private static func short(_ id: String) -> [UInt8] { Array(SHA256.hash(data: Array(id.utf8)).prefix(8)) }
    }

    /// A provider's id is no longer; nor is it empty, or anything but letters, digits and `-_`.
    package static let longestID = 128
    /// No name is longer.
    package static let longestName = 256

    private let key: SymmetricKey

    package init(secret: [UInt8]) { key = SymmetricKey(data: secret) }

    /// Nil for an id that no path can hold.
    package func name(of place: Place, _ kind: Kind, tenant: [UInt8]) -> String? {
        guard Self.isSound(place.id) else { return nil }
        return "\(kind.prefix)" + Base64URL.encode(tag(place, kind, tenant) + place.endpoint + place.credential + place.id)
    }

    /// Nil for what is no such name, and for that of another tenant's.
    package func place(named name: [UInt8], _ kind: Kind, tenant: [UInt8]) -> Place? {
        let prefix = "\(kind.prefix)"
        guard name.count > prefix.utf8.count, name.count <= Self.longestName, name.starts(with: prefix.utf8) else { return nil }
        let text = String(decoding: name.dropFirst(prefix.utf8.count), as: UTF8.self)
        guard let bytes = Base64URL.decode(text), bytes.count > 32 else { return nil }
        let place = Place(bytes[16...])
        guard Self.isSound(place.id), Self.isEqual(tag(place, kind, tenant), bytes[..<16]),
            // One thing has one name.
            self.name(of: place, kind, tenant: tenant)?.utf8.elementsEqual(name) == true
        else { return nil }
        return place
    }

    private func tag(_ place: Place, _ kind: Kind, _ tenant: [UInt8]) -> [UInt8] {
        let message = Array("\(kind.word)".utf8) + [0] + tenant + [0] + place.endpoint + place.credential + place.id
        return Array(HMAC<SHA256>.authenticationCode(for: message, using: key).prefix(16))
    }

    /// In a time that does not tell where they differ.
    private static func isEqual(_ a: [UInt8], _ b: ArraySlice<UInt8>) -> Bool {
        a.count == b.count && zip(a, b).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static func isSound(_ id: [UInt8]) -> Bool {
        (1...longestID).contains(id.count)
            && id.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "-_".utf8.contains(byte)
            }
    }
}
