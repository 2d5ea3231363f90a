package import Primitives

/// How a provider wants to be told who calls.
package enum AuthScheme: String, Word {
    case bearer, header, basic, none
}

package struct ProviderAuth: Record {
    package var scheme = AuthScheme.bearer
    /// For the scheme `header`: its name.
    package var header: String?

    package init() {}

    package static let fields: [Field<Self>] = [
        Field("scheme", \.scheme, "How its credentials are sent: bearer, header, basic or none.", or: .bearer).column("auth_scheme")
            .option("auth"),
        Field("header", \.header, .checked(format: nil), "The header's name for the scheme header, such as api-key.")
            .column("auth_header").emptyForNull.option("auth-header"),
    ]

    /// A header's name that was for another scheme is not carried over.
    package mutating func settle(given: Set<String>) {
        if scheme != .header, !given.contains("header") { header = nil }
    }
}

/// Milliseconds; 0 leaves it to the data plane's own setting.
package struct Timeouts: Record {
    package var connectMS: Int64 = 0
    package var firstByteMS: Int64 = 0
    package var idleMS: Int64 = 0
    package var totalMS: Int64 = 0

    package init() {}

    private static let range = FieldKind.integer(0...3_600_000)

    package static let fields: [Field<Self>] = [
        Field("connect_ms", \.connectMS, range, "To connect.", or: 0),
        Field("first_byte_ms", \.firstByteMS, range, "From the request to the answer's first byte.", or: 0),
        Field("idle_ms", \.idleMS, range, "Between two pieces of an answer.", or: 0),
        Field("total_ms", \.totalMS, range, "For the whole exchange.", or: 0),
    ].map { field in
        field.unit("milliseconds, 0: the data plane's own setting").option(String(field.shape.name.map { $0 == "_" ? "-" : $0 }))
            .reading(zero: "default")
    }
}

package struct ProviderContent: Noun {
    package typealias Kind = ProviderKind

    package var name = ""
    package var kind = "openai"
    package var baseURL = ""
    package var auth = ProviderAuth()
    /// Extra trust roots in PEM.
    package var caPEM: String?
    package var timeouts = Timeouts()
    /// Azure's, and Anthropic's where a caller names none.
    package var apiVersion: String?
    /// In which it is asked; none: those of its kind.
    package var apis: [String] = []

    package init() {}

    package static let words = NounWords(
        "provider", path: "providers", "Whom requests are forwarded to. Part of the draft: publish and roll out for it to take effect.",
        create: "--name OpenAI --base-url https://api.openai.com/v1 --auth bearer", update: "--first-byte-ms 30000")

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field(
            "kind", \.kind, .word(Vocabulary.providerKinds),
            "Whose API it speaks: openai (and everything compatible), anthropic, azure, openrouter.", or: "openai"
        )
        .heading("KIND"),
        Field("base_url", \.baseURL, .checked(format: "uri"), "Where its API is, with the version: https://api.openai.com/v1.")
            .heading("BASE URL"),
        Field(object: "auth", \.auth, "How it is told who calls.").heading("AUTH"),
        Field("ca_pem", \.caPEM, .checked(format: "pem"), "Trust this certificate authority for it, too.").emptyForNull.option("ca-file"),
        Field(object: "timeouts", \.timeouts, "Limits of one exchange with it."),
        Field(
            "api_version", \.apiVersion, .token,
            "Azure: the api-version of its deployments; without one its base URL ends in /openai/v1. Anthropic: where a caller names none."
        )
        .emptyForNull,
        Field(
            "apis", \.apis, .list(.word(Vocabulary.providerAPIs), 0...3),
            "In which APIs it can be asked, where that is not what its kind says: chat, responses, messages.", or: []
        )
        .option("api"),
    ]

    package var title: String { name }
}
