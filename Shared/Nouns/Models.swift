package import Primitives

package struct ModelContent: Noun {
    package typealias Kind = ModelKind

    package var name = ""
    package var capabilities: [String] = []
    package var contextWindow: Int64 = 0
    package var maxOutputTokens: Int64 = 0
    /// Who sees it.
    package var tenantIDs = Scope<TenantID>.all
    package var ownedBy = ""

    package init() {}

    package static let words = NounWords(
        "model", path: "models", "What callers name in a request. Part of the draft.",
        create: "--name gpt-4o-mini --capability chat --context-window 128000 --max-output-tokens 16384",
        update: "--tenant-id \(TenantKind.example)")

    /// Far above every model there is, and far from where sums would overflow.
    private static let tokens = FieldKind.integer(0...1_000_000_000)

    package static let fields: [Field<Self>] = [
        Field("name", \.name, .token, "What callers put in \"model\".").filter.heading("NAME"),
        Field("capabilities", \.capabilities, .list(.word(Vocabulary.capabilities), 1...16), "What it can do.").option("capability")
            .heading("CAPABILITIES"),
        Field("context_window", \.contextWindow, tokens, "Input and output together.", or: 0).unit("tokens, 0: not known").reading(
            zero: "unknown"
        )
        .heading("CONTEXT"),
        Field("max_output_tokens", \.maxOutputTokens, tokens, "Output of one answer.", or: 0).unit("tokens, 0: not known").reading(
            zero: "unknown"
        )
        .heading("MAX OUTPUT"),
        Field("tenant_ids", \.tenantIDs, "The tenants that may use it.", or: .all).option("tenant-id").heading("TENANTS"),
        Field("owned_by", \.ownedBy, .text(maximum: 128), "Whom GET /v1/models names as its owner.", or: ""),
    ]

    package var title: String { name }
}
