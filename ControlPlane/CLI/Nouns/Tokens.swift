import ArgumentParser

enum Tokens: EditableNoun {
    static let name = "token"
    static let abstract = "Administrators' tokens."
    static let path = "tokens"
    static let columns: [Column] = [.id, .name, Column("ROLE", "role"), Column("EXPIRES", "expires_at"), .created]
    static let exampleID = "tok_aaaaaaaaaaaaaaaa"
    static let createExample = "--name ci --role operator --expires-at 2027-01-31"
    static let updateExample = "--role viewer"

    enum Role: String, ExpressibleByArgument, CaseIterable {
        case owner, `operator`, billing, auditor, viewer
    }

    struct Fields: BodyFields {
        static let required = ["name", "role"]

        @Option(help: "What people call it.")
        var name: String?

        @Option(help: "owner, operator, billing, auditor or viewer.")
        var role: Role?

        @Option(help: "When it ends: 2027-01-31 or 2027-01-31T12:00:00Z.")
        var expiresAt: Moment?

        func body() -> Body {
            var body = Body()
            body.set("name", name)
            body.set("role", role)
            body.set("expires_at", expiresAt?.text)
            return body
        }
    }
}
