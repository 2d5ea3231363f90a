import ArgumentParser
import Primitives

enum Models: EditableNoun {
    static let name = "model"
    static let abstract = "What callers name in a request. Part of the draft."
    static let path = "models"
    static let columns: [Column] = [
        .id, .name, Column("CAPABILITIES", "capabilities"), Column("CONTEXT", "context_window", .number),
        Column("MAX OUTPUT", "max_output_tokens", .number), Column("TENANTS", "tenant_ids"), .created,
    ]
    static let exampleID = "mdl_aaaaaaaaaaaaaaaa"
    static let createExample = "--name gpt-4o-mini --capability chat --context-window 128000 --max-output-tokens 16384"
    static let updateExample = "--tenant-id \(Tenants.exampleID)"

    struct Fields: BodyFields {
        static let required = ["name", "capabilities"]
        static let empty: [String: JSONValue] = ["tenant_ids": [], "owned_by": ""]

        @Option(help: "What callers put in \"model\".")
        var name: String?

        @Option(name: .customLong("capability"), help: "chat, completions or embeddings; may be repeated.")
        var capabilities: [String] = []

        @Option(help: "Tokens of input and output together.")
        var contextWindow: Int64?

        @Option(help: "Tokens of output.")
        var maxOutputTokens: Int64?

        @Option(name: .customLong("tenant-id"), help: "A tenant that may use it; may be repeated. None: all.")
        var tenantIDs: [String] = []

        @Option(help: "Whom GET /v1/models names as its owner.")
        var ownedBy: String?

        func body() -> Body {
            var body = Body()
            body.set("name", name)
            body.set("capabilities", capabilities)
            body.set("context_window", contextWindow)
            body.set("max_output_tokens", maxOutputTokens)
            body.set("tenant_ids", tenantIDs)
            body.set("owned_by", ownedBy)
            return body
        }
    }
}
