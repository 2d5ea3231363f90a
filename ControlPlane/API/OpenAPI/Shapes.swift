import Domain
import Nouns
import Primitives

/// What is answered and is no noun with a declaration of its own.
enum Shapes {
    static func told(_ name: String, _ kind: FieldKind, _ about: String, nullable: Bool = false) -> FieldShape {
        .told(name, kind, about, nullable: nullable)
    }

    private static let version = FieldKind.integer(0...Int64.max)
    static let words = FieldKind.text(maximum: 100_000)
    static let standing = FieldKind.word(["active", "disabled"])
    static let problems = FieldKind.objects(
        [told("field", words, "Which one."), told("message", words, "What is wrong."), told("remedy", words, "What to do about it.")],
        maximum: 100_000)

    static let dataPlane: [FieldShape] = [
        told("id", .id(DataPlaneKind.prefix), "Its identifier."), told("name", words, "What people call it."),
        told("region", words, "Its region."), told("tenant_ids", .scope(.id(TenantKind.prefix)), "The tenants it serves."),
        told("version", words, "Of its software."), told("status", .word(["active", "revoked"]), "Whether it may connect."),
        told("state", words, "What is wrong with it, if anything; ok otherwise."), told("connected", .flag, "Whether it is connected."),
        told("replica", words, "The control plane it is connected to.", nullable: true),
        told("connected_at", .time, "Since when.", nullable: true), told("last_seen_at", .time, "When it was heard last.", nullable: true),
        told("documents", .anything, "What it said of the documents it was sent."),
        told("outbox_batches", .anything, "Batches of usage that it has not delivered yet."),
        told("report", .anything, "Its last status report."), told("reported_at", .time, "When it reported last.", nullable: true),
        told("revoked_at", .time, "When it was shut out.", nullable: true), told("created_at", .time, "When it enrolled."),
        told("updated_at", .time, "When it was changed last."),
    ]

    static let endpointState: [FieldShape] = [
        told("data_plane_id", .id(DataPlaneKind.prefix), "Whose report it is."), told("data_plane", words, "What people call it."),
        told("region", words, "Its region."), told("connected", .flag, "Whether it is connected: else the report may be old."),
        told("endpoint_id", words, "The endpoint; null for a credential.", nullable: true),
        told("credential_id", words, "The credential; null for an endpoint.", nullable: true),
        told("provider_id", words, "Whose it is."),
        told("state", .word(EndpointState.State.allCases.map(\.rawValue)), "How it fares; refused is of a credential."),
        told("since", .time, "Since when it has been failing or refused.", nullable: true),
        told("attempts", .anything, "Since the data plane started; null for a credential."),
        told("failures", .anything, "How many of these failed."), told("last", words, "What went wrong last.", nullable: true),
        told("reported_at", .time, "When the data plane said so."),
    ]

    static let signingKey: [FieldShape] = [
        told("id", words, "Its identifier."), told("state", words, "active, retiring or retired."),
        told("created_at", .time, "When it was made."), told("trusted_until", .time, "Until when data planes take it.", nullable: true),
        told("retired_at", .time, "When it ended.", nullable: true), told("public_key", words, "Ed25519, base64."),
        told("updated_at", .time, "When it was changed last."),
    ]

    static let auditEntry: [FieldShape] = [
        told("id", words, "Its identifier."), told("at", .time, "When."), told("actor", .anything, "Who."),
        told("remote_address", words, "From where."), told("request_id", words, "The request it was part of."),
        told("action", words, "What was done: noun and verb."), told("resource_kind", words, "To what kind of thing."),
        told("resource_id", words, "To which one."), told("before", .anything, "What it was."), told("after", .anything, "What it became."),
    ]

    static let window: [FieldShape] = [
        FieldShape("from", .time, "From when on; included."), FieldShape("until", .time, "Until when; not included."),
    ]
}
