import ArgumentParser

enum Projects: EditableNoun {
    static let name = "project"
    static let abstract = "Parts of a tenant that hold virtual keys and are billed apart."
    static let path = "projects"
    static let columns: [Column] = [.id, .name, Column("TENANT", "tenant_id", .id), Column("STATUS", "status"), .created]
    static let exampleID = "prj_aaaaaaaaaaaaaaaa"
    static let createExample = "--tenant-id \(Tenants.exampleID) --name production"
    static let updateExample = "--name staging"

    struct Fields: BodyFields {
        static let required = ["tenant_id", "name"]

        @Option(help: "The tenant it belongs to; only when it is created.")
        var tenantID: String?

        @Option(help: "What people call it.")
        var name: String?

        @Option(help: "active or disabled; a disabled project's keys are refused at once.")
        var status: Status?

        func body() -> Body {
            var body = Body()
            body.set("tenant_id", tenantID)
            body.set("name", name)
            body.set("status", status)
            return body
        }
    }

    struct Filters: ListFilters {
        @Option(help: "Only this tenant's.")
        var tenantID: String?

        func query() -> [(String, String)] { pairs(("tenant_id", tenantID)) }
    }
}
