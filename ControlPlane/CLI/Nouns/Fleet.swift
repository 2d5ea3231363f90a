import ArgumentParser
import Primitives

/// `weir fleet`: the data planes and what they trust.
enum Fleet: Noun {
    static let name = "fleet"
    static let abstract = "The data planes: what they hold, how they are enrolled, which keys sign for them."
    static let path = "data-planes"
    static let columns: [Column] = [
        .id, .name, Column("REGION", "region"), Column("VERSION", "version"), Column("STATE", "state"), Column("CONNECTED", "connected"),
        Column("LAST SEEN", "last_seen", .id),
    ]
    static let exampleID = "dp_aaaaaaaaaaaaaaaa"
    static var subcommands: [any ParsableCommand.Type] {
        [
            ListCommand<Self>.self, ShowCommand<Self>.self, UpdateDataPlane.self, RevokeDataPlane.self, NounCommand<EnrollmentTokens>.self,
            SigningKeys.self, RotateSigningKey.self,
        ]
    }
}

struct UpdateDataPlane: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Rename a data plane, or change which tenants it serves.",
        discussion: example("fleet update \(Fleet.exampleID) --tenant-id \(Tenants.exampleID)"))

    @Argument(help: "Its id.")
    var id: String

    @Option(help: "What people call it.")
    var name: String?

    @Option(name: .customLong("tenant-id"), help: "A tenant it serves; may be repeated.")
    var tenantIDs: [String] = []

    @Flag(help: "Let it serve all tenants.")
    var allTenants = false

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = Body()
        body.set("name", name)
        body.set("tenant_ids", tenantIDs)
        if allTenants { body.set("tenant_ids", json: []) }
        guard !body.isEmpty else { throw Failure.usage("nothing to change was named; see `weir fleet update --help`") }
        let path = try "\(Fleet.path)/\(AdminClient.segment(id))"
        try connection.show(try await connection.client().change("PATCH", path, body: body.json, ifMatch: revision.header))
    }
}

struct RevokeDataPlane: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Shut a data plane out for good.", discussion: example("fleet revoke \(Fleet.exampleID)"))

    @Argument(help: "Its id.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try connection.show(try await connection.client().send("POST", "\(Fleet.path)/\(AdminClient.segment(id))/revoke"))
    }
}

/// `weir fleet token`: what a new data plane enrols with, once.
enum EnrollmentTokens: EditableNoun {
    static let name = "token"
    static let abstract = "Enrolment tokens: a new data plane presents one, once."
    static let path = "enrollment-tokens"
    static let columns: [Column] = [
        .id, .name, Column("REGION", "region"), Column("EXPIRES", "expires_at", .id), Column("USED", "used_at", .id),
        Column("DATA PLANE", "data_plane_id", .id),
    ]
    static let exampleID = "enr_aaaaaaaaaaaaaaaa"
    static let createExample = "--name eu-1 --region eu --ttl-seconds 3600"
    static let updateExample = ""
    static let command = "fleet token"
    static var subcommands: [any ParsableCommand.Type] {
        [ListCommand<Self>.self, CreateCommand<Self>.self, DeleteCommand<Self>.self]
    }

    struct Fields: BodyFields {
        static let required = ["name", "region"]
        static let lists: Set<String> = ["tenant_ids"]

        @Option(help: "What people will call the data plane.")
        var name: String?

        @Option(help: "The data plane's region.")
        var region: String?

        @Option(name: .customLong("tenant-id"), help: "A tenant it serves; may be repeated. None: all.")
        var tenantIDs: [String] = []

        @Option(help: "For how long the token can be used.")
        var ttlSeconds: Int64?

        func body() -> Body {
            var body = Body()
            body.set("name", name)
            body.set("region", region)
            body.set("tenant_ids", tenantIDs)
            body.set("ttl_seconds", ttlSeconds)
            return body
        }
    }
}

struct SigningKeys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "signing-keys", abstract: "List the keys that documents are signed with.", discussion: example("fleet signing-keys"))

    static let columns = [Column.id, Column("STATE", "state"), .created, Column("RETIRED", "retired_at", .id)]

    @OptionGroup var page: PageOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.list("signing-keys", columns: Self.columns, page: page)
    }
}

struct RotateSigningKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate-signing-key", abstract: "Sign with a new key from now on; data planes learn it from the old one.",
        discussion: example("fleet rotate-signing-key"))

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try connection.show(try await connection.client().send("POST", "signing-keys/rotate"))
    }
}
