package import Primitives

/// A decentralised identifier whose holder signs requests.
package struct DIDContent: Noun {
    package typealias Kind = DIDKind

    package var tenantID = TenantID("")
    /// As its holder writes it.
    package var did = ""
    /// Whose it is; nil: nobody's in particular.
    package var userID: UserID?
    package var status = Standing.active
    /// SHA-256 of the key or account it stands for: another spelling of the same has the same.
    package var fingerprint = StoredBytes()
    /// The data plane at which it made its first request; nil: it was registered by an administrator.
    package var provisionedBy: DataPlaneID?
    /// How its own key at the provider fares; nil: it has none.
    package var upstreamKey: String?
    /// Of a did:web; nil: it has no document, or nobody has looked.
    package var document: Document?

    /// How a did:web's document was found, when it was read last.
    package struct Document: Sendable, Hashable {
        package enum Status: String, Sendable, CaseIterable {
            /// It was not read yet.
            case pending
            case current
            /// It cannot be read any more: the keys that it had hold for a while.
            case stale
            /// There is no key by which anybody could sign.
            case unusable
        }

        package let status: Status
        package let keys: [String]
        package let failure: String?
        /// Unix milliseconds.
        package let readAt: Int64?
        package let nextAt: Int64

        package init(status: Status, keys: [String], failure: String?, readAt: Int64?, nextAt: Int64) {
            self.status = status
            self.keys = keys
            self.failure = failure
            self.readAt = readAt
            self.nextAt = nextAt
        }
    }

    package init() {}

    package static let words = NounWords(
        "did", path: "dids", "Decentralised identifiers that may sign requests: did:key, did:jwk, did:pkh (eip155), did:web.",
        create: "--tenant-id \(TenantKind.example) --did did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH",
        update: "--status disabled")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant it belongs to.").fixed.filter.heading("TENANT"),
        Field("did", \.did, .checked(format: nil), "The identifier; unique in the deployment, by the key or account it stands for.").fixed
            .filter
            .heading("DID"),
        Field("user_id", \.userID, "The user it belongs to."),
        Field("status", \.status, "active or disabled; a disabled DID is refused at once.", or: .active).heading("STATUS"),
        Field("provisioned_by", \.provisionedBy, "The data plane where its first request made it; null: an administrator did.").shown,
        Field(
            computed: "upstream_key", .text(maximum: 1000), "Its own key at the provider: active, disabled, wanted, or why there is none."
        ) {
            $0.upstreamKey.map { .string($0) } ?? .null
        }.observed.nullable,
        Field("fingerprint", \.fingerprint, "What it stands for.").hidden,
        observed("document_status", .word(Document.Status.allCases.map(\.rawValue)), "Of a did:web: how its document was found.") {
            .string($0.status.rawValue)
        }.heading("DOCUMENT"),
        observed(
            "document_keys", .list(.text(maximum: 200), 0...8), "The document's keys for authentication: fragment, algorithm, fingerprint."
        ) {
            .strings($0.keys)
        },
        observed("document_failure", .text(maximum: 300), "Why the document could not be read, or has no such key.") {
            $0.failure.map(JSONValue.string) ?? .null
        },
        observed("document_read_at", .time, "When the document was read last.") { $0.readAt.json(as: .time) },
        observed("document_next_at", .time, "When it is read next.") { $0.nextAt.json(as: .time) },
    ]

    private static func observed(
        _ name: String, _ kind: FieldKind, _ about: String, _ value: @escaping @Sendable (Document) -> JSONValue
    ) -> Field<Self> {
        Field(computed: name, kind, about) { $0.document.map(value) ?? .null }.with {
            $0.isNullable = true
            $0.isObserved = true
        }
    }

    package static let identity = ["did"]
    package var title: String { did }
}
