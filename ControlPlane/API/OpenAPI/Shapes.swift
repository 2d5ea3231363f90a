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

    static let endpointState: [FieldShape] = [
        told("data_plane_id", .id(DataPlaneKind.prefix), "Whose report it is."), told("data_plane", words, "What people call it."),
        told("region", words, "Its region."), told("connected", .flag, "Whether it is connected: else the report may be old."),
        told("endpoint_id", words, "The endpoint; null for a credential.", nullable: true),
        told("credential_id", words, "The credential; null for an endpoint.", nullable: true),
        told("provider_id", words, "Whose it is."),
        told("status", .word(EndpointState.Status.allCases.map(\.rawValue)), "How it fares; refused is of a credential."),
        told("since", .time, "Since when it has been failing or refused.", nullable: true),
        told("attempts", .anything, "Since the data plane started; null for a credential."),
        told("failures", .anything, "How many of these failed."), told("last", words, "What went wrong last.", nullable: true),
        told("breaker", words, "Whether it is asked like the others (closed), left alone (open) or probed (half_open).", nullable: true),
        told("reported_at", .time, "When the data plane said so."),
    ]

    static let signingKey: [FieldShape] = [
        told("id", words, "Its identifier."), told("status", words, "active, retiring or retired."),
        told("created_at", .time, "When it was made."), told("trusted_until", .time, "Until when data planes take it.", nullable: true),
        told("retired_at", .time, "When it ended.", nullable: true), told("public_key", words, "Ed25519, base64."),
        told("updated_at", .time, "When it was changed last."),
    ]

    static let auditEntry: [FieldShape] = [
        told("id", words, "Its identifier."), told("sequence", .number, "Orders entries of one moment."), told("at", .time, "When."),
        told("tenant_id", words, "Whose the thing is; null: the installation's.", nullable: true),
        told(
            "actor",
            .object([
                told("id", words, "Of the administrator, key, app, user or DID."), told("name", words, "What people call it."),
                told("role", words, "What an administrator may do; of a caller key, app, user, did or anonymous."),
            ]), "Who."),
        told("remote_address", words, "From where."), told("request_id", words, "The request it was part of."),
        told("action", words, "What was done: noun and verb."), told("resource_kind", words, "To what kind of thing."),
        told("resource_id", words, "To which one."), told("source", words, "administration, requests or refusals."),
        told("status", words, "done or refused; of a request pending, completed, failed or refused."),
        told("error_code", words, "Why it was refused or failed.", nullable: true),
        told("key_id", words, "The key that it was done to, or with.", nullable: true),
        told("model", words, "That was asked for.", nullable: true), told("before", .anything, "What it was; null: not there."),
        told("after", .anything, "What it became; null: it is gone. Of a request: its record."),
    ]

    static let window: [FieldShape] = [
        FieldShape("from", .time, "From when on; included."), FieldShape("until", .time, "Until when; not included."),
    ]
}
