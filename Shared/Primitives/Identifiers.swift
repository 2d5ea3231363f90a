/// What a kind of identifier looks like: its prefix, as in `ten_`.
package protocol IdentifierKind {
    static var prefix: String { get }
}

extension IdentifierKind {
    /// An identifier of this kind as it stands in examples.
    package static var example: String { prefix + String(repeating: "a", count: 16) }
}

package struct InvalidIdentifier: Error, Hashable {
    package let text: String
    package let expectedPrefix: String
}

/// An identifier of one kind of thing: the kind's prefix and 16 base32 characters (80 random bits).
package struct ID<Kind: IdentifierKind>: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package let rawValue: String

    /// Takes the text as it is; for text from outside use `parse`.
    package init(_ rawValue: String) { self.rawValue = rawValue }

    package init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    /// - Throws: `InvalidIdentifier` when the prefix or the alphabet is not this kind's.
    package static func parse(_ text: String) throws(InvalidIdentifier) -> ID {
        guard text.hasPrefix(Kind.prefix), let bytes = Base32.decode(text.dropFirst(Kind.prefix.count)), bytes.count == 10 else {
            throw InvalidIdentifier(text: String(text.prefix(64)), expectedPrefix: Kind.prefix)
        }
        return ID(text)
    }

    package static func random() -> ID { ID(Kind.prefix + Base32.encode(SecureRandom.bytes(10))) }

    /// The characters after the prefix.
    package var suffix: String { String(rawValue.dropFirst(Kind.prefix.count)) }
    package var description: String { rawValue }
    package static func < (a: ID, b: ID) -> Bool { a.rawValue < b.rawValue }
}

package enum TenantKind: IdentifierKind { package static let prefix = "ten_" }
package enum ProjectKind: IdentifierKind { package static let prefix = "prj_" }
package enum KeyKind: IdentifierKind { package static let prefix = "key_" }
package enum CredentialKind: IdentifierKind { package static let prefix = "cred_" }
package enum ProviderKind: IdentifierKind { package static let prefix = "prov_" }
package enum EndpointKind: IdentifierKind { package static let prefix = "ep_" }
package enum ModelKind: IdentifierKind { package static let prefix = "mdl_" }
package enum RouteKind: IdentifierKind { package static let prefix = "rt_" }
package enum WorkflowKind: IdentifierKind { package static let prefix = "wfl_" }
package enum PriceKind: IdentifierKind { package static let prefix = "price_" }
package enum RolloutKind: IdentifierKind { package static let prefix = "ro_" }
package enum DataPlaneKind: IdentifierKind { package static let prefix = "dp_" }
package enum AdminTokenKind: IdentifierKind { package static let prefix = "tok_" }
package enum PersonKind: IdentifierKind { package static let prefix = "per_" }
package enum GroupRoleKind: IdentifierKind { package static let prefix = "grl_" }
package enum EnrollmentTokenKind: IdentifierKind { package static let prefix = "enr_" }
package enum UserKind: IdentifierKind { package static let prefix = "usr_" }
package enum AppKind: IdentifierKind { package static let prefix = "app_" }
package enum BanKind: IdentifierKind { package static let prefix = "ban_" }
package enum KillSwitchKind: IdentifierKind { package static let prefix = "kil_" }
package enum LimitKind: IdentifierKind { package static let prefix = "lim_" }
package enum DIDKind: IdentifierKind { package static let prefix = "did_" }
package enum RevokedGrantKind: IdentifierKind { package static let prefix = "rvk_" }
package enum SigningSecretKind: IdentifierKind { package static let prefix = "sig_" }
package enum BudgetKind: IdentifierKind { package static let prefix = "bgt_" }
package enum WebhookKind: IdentifierKind { package static let prefix = "whk_" }

package typealias TenantID = ID<TenantKind>
package typealias ProjectID = ID<ProjectKind>
package typealias KeyID = ID<KeyKind>
package typealias CredentialID = ID<CredentialKind>
package typealias ProviderID = ID<ProviderKind>
package typealias EndpointID = ID<EndpointKind>
package typealias ModelID = ID<ModelKind>
package typealias RouteID = ID<RouteKind>
package typealias WorkflowID = ID<WorkflowKind>
package typealias PriceID = ID<PriceKind>
package typealias RolloutID = ID<RolloutKind>
package typealias DataPlaneID = ID<DataPlaneKind>
package typealias AdminTokenID = ID<AdminTokenKind>
package typealias PersonID = ID<PersonKind>
package typealias GroupRoleID = ID<GroupRoleKind>
package typealias EnrollmentTokenID = ID<EnrollmentTokenKind>
package typealias UserID = ID<UserKind>
package typealias AppID = ID<AppKind>
package typealias BanID = ID<BanKind>
package typealias KillSwitchID = ID<KillSwitchKind>
package typealias LimitID = ID<LimitKind>
package typealias DIDEntryID = ID<DIDKind>
package typealias RevokedGrantID = ID<RevokedGrantKind>
package typealias SigningSecretID = ID<SigningSecretKind>
package typealias BudgetID = ID<BudgetKind>
package typealias WebhookID = ID<WebhookKind>

/// One request's identity: 128 random bits; `req_` and 26 base32 characters in headers and APIs.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The high half is mostly time; the low one alone tells requests apart.
    package func hash(into hasher: inout Hasher) { hasher.combine(low) }

    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
        }
        self.init(high: high, low: low)
    }

    package init?(text: String) {
        guard text.hasPrefix("req_"), let bytes = Base32.decode(text.dropFirst(4)) else { return nil }
        self.init(bytes: bytes)
    }

    package static func random(using generator: inout some RandomNumberGenerator) -> RequestID {
        RequestID(high: generator.next(), low: generator.next())
    }

    /// Big-endian, 16 bytes.
    package var bytes: [UInt8] {
        var out = [UInt8]()
        out.reserveCapacity(16)
        for word in [high, low] {
            for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
        }
        return out
    }

    package var text: String { "req_" + Base32.encode(bytes) }
    package var description: String { text }
}
