import ArgumentParser

/// Whether something may be used.
enum Status: String, ExpressibleByArgument, CaseIterable {
    case active, disabled
}

enum Tenants: EditableNoun {
    static let name = "tenant"
    static let abstract = "Customers: each has its own projects, keys and usage."
    static let path = "tenants"
    static let columns: [Column] = [.id, .name, Column("STATUS", "status"), .created]
    static let exampleID = "ten_aaaaaaaaaaaaaaaa"
    static let createExample = "--name Acme"
    static let updateExample = "--status disabled"

    struct Fields: BodyFields {
        static let required = ["name"]

        @Option(help: "What people call it.")
        var name: String?

        @Option(help: "active or disabled; a disabled tenant's keys are refused at once.")
        var status: Status?

        func body() -> Body {
            var body = Body()
            body.set("name", name)
            body.set("status", status)
            return body
        }
    }
}
