package import Primitives

/// Whether a tenant or project may send requests. A status that cannot be read shuts out rather than in.
package enum Standing: String, Word {
    case active, disabled

    package static var unknown: Standing? { .disabled }
}

/// What follows from the first good request of a DID that nobody knows.
package enum DIDPolicy: String, Word {
    /// It is refused.
    case off
    /// It becomes one of the tenant's, with a user of its own.
    case on
    /// The same for those that the tenant lists.
    case allowList = "allow_list"

    package static var unknown: DIDPolicy? { .off }
}

/// When what a DID's own key at a provider may spend begins anew, by the provider's calendar.
package enum KeyLimitReset: String, Word {
    case never, daily, weekly, monthly

    package static var unknown: KeyLimitReset? { .never }
}

package struct TenantContent: Noun {
    package typealias Kind = TenantKind

    package var name = ""
    package var status = Standing.active
    package var weight: Int64 = 1
    package var didPolicy = DIDPolicy.off
    package var didPatterns: [String] = []
    package var didHosts: [String] = []
    package var didDailyLimit: Int64 = 1000
    package var didCredentialID: CredentialID?
    package var didKeyLimit: NanoDollars?
    package var didKeyLimitReset = KeyLimitReset.monthly

    package init() {}

    package static let words = NounWords(
        "tenant", path: "tenants", "Customers: each has its own projects, keys and usage.", create: "--name Acme",
        update: "--status disabled")

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field("status", \.status, "active or disabled; a disabled tenant's keys are refused at once.", or: .active).heading("STATUS"),
        Field(
            "weight", \.weight, .integer(1...1000),
            "Its share beside other tenants' where requests wait for an endpoint or a data plane that is full: 2 gets twice what 1 gets.",
            or: 1),
        Field(
            "did_policy", \.didPolicy,
            "What the first good request of a DID that nobody knows leads to: off (refused), on (a user of its own), allow_list (the same "
                + "for those of did_patterns).", or: .off),
        Field(
            "did_patterns", \.didPatterns, .list(.token, 0...200),
            "With allow_list: DIDs, or beginnings of DIDs with * at the end, like did:pkh:eip155:1:*.", or: []
        ).option("did-pattern"),
        Field(
            "did_hosts", \.didHosts, .list(.token, 0...64),
            "Hosts by which a new DID comes to this tenant, as it signs them (api.acme.example). Empty: by any host that no other tenant "
                + "names, where this is the only such tenant that the data plane serves.", or: []
        ).option("did-host"),
        Field(
            "did_daily_limit", \.didDailyLimit, .integer(0...10_000_000), "New DIDs that are taken within 24 hours.", or: 1000),
        Field(
            "did_credential_id", \.didCredentialID,
            "A credential of purpose management: with it each DID gets a key of its own at that provider (OpenRouter), for "
                + "/api/v1/openrouter. null: none does."),
        Field("did_key_limit", \.didKeyLimit, "What such a key may spend there; null: as much as the account."),
        Field("did_key_limit_reset", \.didKeyLimitReset, "When that begins anew, in UTC.", or: .monthly),
    ]

    package var title: String { name }
}
