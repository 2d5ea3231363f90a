package import Primitives

/// An enrolled data plane: what was decided about it, and what was heard of it.
package struct DataPlaneContent: Noun {
    package typealias Kind = DataPlaneKind

    package enum Standing: String, Word {
        case active, revoked

        /// What cannot be read shuts out rather than in.
        package static var unknown: Standing? { .revoked }
    }

    /// What it answered to a document.
    package struct DocumentAnswer: Sendable, Hashable {
        /// `config`, `rollout`, `directory` or `keyring`.
        package let kind: String
        package let epoch: Int64
        package let version: Int64
        package let digest: [UInt8]
        package let accepted: Bool
        /// Of a refusal: a stable code, and words for people.
        package let reason: String
        package let detail: String
        /// Unix milliseconds.
        package let answeredAt: Int64

        package init(
            kind: String, epoch: Int64, version: Int64, digest: [UInt8], accepted: Bool, reason: String, detail: String, answeredAt: Int64
        ) {
            self.kind = kind
            self.epoch = epoch
            self.version = version
            self.digest = digest
            self.accepted = accepted
            self.reason = reason
            self.detail = detail
            self.answeredAt = answeredAt
        }
    }

    /// A connected data plane reports every 30 s; one that has been silent for this long is shown as not connected.
    package static let silenceMilliseconds: Int64 = 90_000

    package var name = ""
    package var region = "default"
    package var tenantIDs = Scope<TenantID>.all
    /// Rises with each change of `tenantIDs`: a delta is never built on a directory made for another list.
    package var tenantsRevision: Int64 = 1
    package var identityPublicKey = StoredBytes()
    package var sealingPublicKey = StoredBytes()
    /// Of its software, as it said last.
    package var version = ""
    package var standing = Standing.active
    /// The keyring whose keys it was given when it enrolled.
    package var keyringEpoch: Int64 = 0
    package var keyringVersion: Int64 = 0
    package var revokedAt: Int64?
    package var lastSeenAt: Int64?
    /// The control plane replica that holds its subscription, the subscription, and since when.
    package var holder: String?
    package var connection: String?
    package var heldSince: Int64?
    /// Its last status report.
    package var report: JSONText?
    package var reportedAt: Int64?
    /// Kept in a table of their own.
    package var documents: [DocumentAnswer] = []
    /// Until when the lease of the replica that holds it lasts, by that replica's own row; nil: it has none, and has yet to be upgraded.
    package var holderExpiresAt: Int64?
    /// When it is looked at.
    private var now: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "data plane", path: "data-planes", "The data planes: what they hold, how they are enrolled, which keys sign for them.", create: "",
        update: "--tenant-id \(TenantKind.example)")

    private static let text = FieldKind.text(maximum: 1000)
    private static let answers: [FieldShape] = [
        FieldShape("kind", text, "config, rollout, directory or keyring."), FieldShape("epoch", .number, "Orders before the version."),
        FieldShape("version", .number, "Of the document."), FieldShape("digest", text, "SHA-256 of the document, hexadecimal."),
        FieldShape("accepted", .flag, "Whether it took it."),
        FieldShape("reason", text, "Why not: a code.").with(nullable: true), FieldShape("detail", text, "Why not.").with(nullable: true),
        FieldShape("answered_at", .time, "When it said so."),
    ]
    private static let statusReport: [FieldShape] = [
        FieldShape("requests_total", .number, "Since it started."), FieldShape("active_requests", .number, "Under way."),
        FieldShape("outbox_batches", .number, "Batches of usage that it has not delivered yet."),
        FieldShape("ready", .flag, "Whether it can serve requests."), FieldShape("state", text, "What is wrong with it, if anything."),
        FieldShape("draining", .flag, "Whether it is being stopped."),
        FieldShape(
            "clock_ahead_ms", .integer(Int64.min...Int64.max), "How far its clock is ahead of the control plane's, in milliseconds."),
        FieldShape("usage_lag_ms", .number, "How old its oldest usage is that it has not delivered, in milliseconds."),
    ].map { $0.with(nullable: true) }

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field("region", \.region, .label, "Its region; fixed by the token it enrolled with.").shown.filter.heading("REGION"),
        Field("tenant_ids", \.tenantIDs, "The tenants it serves.", or: .all).option("tenant-id").heading("TENANTS"),
        Field("version", \.version, .text(maximum: 128), "Of its software, as it said last.").observed.heading("VERSION"),
        Field(
            computed: "status", text,
            "revoked, disconnected, refusing documents, or what it says of itself: ok when nothing is wrong."
        ) { .string($0.status) }.observed.heading("STATUS"),
        Field(computed: "connected", .flag, "Whether it is connected.") { .bool($0.isConnected) }.observed.heading("CONNECTED"),
        Field(computed: "replica", text, "The replica of the control plane that serves it.") { plane in
            plane.replica.map { .string($0) } ?? .null
        }.observed.nullable.heading("REPLICA"),
        Field(computed: "connected_at", .time, "Since when it is connected.") { plane in
            plane.isConnected ? plane.heldSince?.json(as: .time) ?? .null : .null
        }.observed.nullable,
        Field("last_seen_at", \.lastSeenAt, .time, "When it was heard last.").observed.heading("LAST SEEN").reading(null: "never"),
        Field(computed: "documents", .objects(answers, maximum: 100_000), "What it said of the documents it was sent.") { plane in
            .array(plane.documents.map(\.json))
        }.observed,
        Field(computed: "outbox_batches", .number, "Batches of usage that it has not delivered yet.") { plane in
            plane.report?.value["outbox_batches"] ?? .null
        }.observed.nullable,
        Field(computed: "report", .object(statusReport), "Its last status report.") { plane in
            // What a data plane of another release does not say is null.
            plane.report.map { report in
                .object(JSONObject(members: statusReport.map { .init(name: $0.name, value: report.value[$0.name] ?? .null) }))
            } ?? .null
        }.observed.nullable,
        Field("reported_at", \.reportedAt, .time, "When it reported last.").observed,
        Field("revoked_at", \.revokedAt, .time, "When it was shut out for good.").shown,
        Field("tenants_revision", \.tenantsRevision, .number, "Rises with each change of its tenants.").hidden,
        Field("identity_public_key", \.identityPublicKey, "Ed25519.").hidden,
        Field("sealing_public_key", \.sealingPublicKey, "X25519.").hidden,
        Field("standing", \.standing, "Whether it may connect.").hidden.column("status"),
        Field("keyring_epoch", \.keyringEpoch, .number, "The keyring it enrolled with.").hidden,
        Field("keyring_version", \.keyringVersion, .number, "The keyring it enrolled with.").hidden,
        Field("holder", \.holder, text, "The replica that holds its subscription.").hidden.column("replica"),
        Field("connection", \.connection, text, "Its subscription.").hidden,
        Field("held_since", \.heldSince, .time, "When its subscription began.").hidden.column("connected_at"),
        Field("said", \.report, "Its last status report.").hidden.column("report"),
    ]

    package var title: String { name }
    package mutating func seen(at now: Int64) { self.now = now }

    package var isConnected: Bool {
        connection != nil && holderExpiresAt.map { $0 > now } ?? true && lastSeenAt.map { now - $0 < Self.silenceMilliseconds } ?? false
    }

    /// The control plane replica that it is connected to.
    package var replica: String? { isConnected ? holder : nil }

    /// What is wrong with it, if anything; "ok" otherwise.
    package var status: String {
        if standing == .revoked { return "revoked" }
        if !isConnected { return "disconnected" }
        if documents.contains(where: { !$0.accepted }) { return "refusing documents" }
        return report?.value["state"]?.stringValue ?? "ok"
    }
}

extension DataPlaneContent.DocumentAnswer {
    fileprivate var json: JSONValue {
        [
            "kind": .string(kind), "epoch": .int(epoch), "version": .int(version), "digest": .string(Hex.encode(digest)),
            "accepted": .bool(accepted), "reason": accepted ? .null : .string(reason), "detail": accepted ? .null : .string(detail),
            "answered_at": .string(RFC3339.string(milliseconds: answeredAt)),
        ]
    }
}

/// A JSON document as it is kept in a column.
package struct JSONText: FieldValue {
    package var value: JSONValue

    package init(_ value: JSONValue) { self.value = value }

    package static func read(_ json: JSONValue, as kind: FieldKind) -> JSONText? { JSONText(json) }
    package func json(as kind: FieldKind) -> JSONValue { value }
    /// What cannot be read is null: it came from outside and is only shown.
    package static func read(_ column: ColumnValue) -> JSONText? {
        String.read(column).map { JSONText((try? JSONValue(parsing: $0)) ?? .null) }
    }

    package var column: ColumnValue { .text(value.text) }
}
