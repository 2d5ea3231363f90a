package import Primitives

/// Whether what was paid for a user covers the present day.
package enum PaymentStatus: String, Word {
    case active, expired

    package static var unknown: PaymentStatus? { .expired }
}

/// A person on whose behalf apps and keys ask.
package struct UserContent: Noun {
    package typealias Kind = UserKind

    package var tenantID = TenantID("")
    /// What callers know the user by; unique in the tenant.
    package var oid = ""
    package var email: String?
    package var status = Standing.active
    /// A moment (Unix milliseconds) of the last day, in UTC, that is paid for; nil: no end.
    package var paymentValidUntil: Int64?
    /// The payment's status when it was synchronised last; what is shown is that of the moment.
    package var syncedStatus = PaymentStatus.active
    /// When it is looked at.
    private var now: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "user", path: "users", "People on whose behalf apps and keys ask, and who pay for their apps.",
        create: "--oid ada --email ada@example.org --payment-valid-until 2027-01-31", update: "--payment-valid-until 2027-02-28")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant it belongs to.").or(as: "the only tenant there is") { _ in }.fixed.filter
            .heading("TENANT"),
        Field("oid", \.oid, .token, "What X-User-Oid names; unique in the tenant.").fixed.filter.heading("OID"),
        Field("email", \.email, .text(maximum: 254), "Where the person is reached.").heading("EMAIL"),
        Field("status", \.status, "active or disabled; nothing is served for a disabled user.", or: .active).heading("STATUS"),
        Field(
            "payment_valid_until", \.paymentValidUntil, .time,
            "A moment of the last day (UTC) that is paid for: from the day after on nothing is served. null: no end."
        ).heading("PAID UNTIL"),
        Field(computed: "payment_status", .word(PaymentStatus.allCases.map(\.rawValue)), "Whether today is paid for.") {
            .string($0.paymentStatus(at: $0.now).rawValue)
        }.heading("PAYMENT"),
        Field("synced_status", \.syncedStatus, "The payment's status when it was synchronised last.", or: .active).hidden,
    ]

    package static let identity = ["tenant_id", "oid"]
    package var title: String { oid }
    package mutating func seen(at now: Int64) { self.now = now }

    private static let day: Int64 = 86_400_000

    /// The first millisecond (Unix) that is not paid for: the beginning of the day after, in UTC. Nil: no end.
    package var paidUntil: Int64? {
        paymentValidUntil.map { until in
            let days = until >= 0 ? until / Self.day : -((Self.day - 1 - until) / Self.day)
            return (days + 1) * Self.day
        }
    }

    package func paymentStatus(at now: Int64) -> PaymentStatus { paidUntil.map { $0 <= now } == true ? .expired : .active }
}
