import ArgumentParser
import Nouns
import Primitives

/// A kind of thing of the admin API. What a noun says about itself here is all that its list, show, create, update and delete
/// commands need.
protocol Resource {
    associatedtype Filters: ListFilters = NoFilters

    /// The command's name: "tenant".
    static var name: String { get }
    static var abstract: String { get }
    /// How it is reached: "tenant", "fleet token".
    static var command: String { get }
    /// What it is in a sentence: "tenant", "enrolment token".
    static var thing: String { get }
    /// Below /admin/api/: "tenants".
    static var path: String { get }
    static var columns: [Column] { get }
    /// An id as it appears in the examples of the help.
    static var exampleID: String { get }
    static var subcommands: [any ParsableCommand.Type] { get }
}

extension Resource {
    static var command: String { name }
    static var thing: String { name }
    static var plural: String { thing + "s" }
    static var one: String { ("aeiou".contains(thing.prefix(1)) ? "an " : "a ") + thing }
}

/// A noun that can be created and changed.
protocol EditableResource: Resource {
    associatedtype Fields: BodyFields
    /// The options of the examples, without the command itself.
    static var createExample: String { get }
    static var updateExample: String { get }
}

/// What an object is made of, as options. They are all optional to the parser, since an update names only what it changes.
protocol BodyFields: ParsableArguments {
    /// Members without which `create` is refused before anything is sent.
    static var required: [String] { get }
    /// What `--clear` sends for a member.
    static func cleared(_ member: String) throws -> JSONValue
    /// Of the fields, to find what may be named instead of identified.
    static var shapes: [FieldShape] { get }
    func body() throws -> Body
}

extension BodyFields {
    static func cleared(_ member: String) throws -> JSONValue { .null }
    static var shapes: [FieldShape] { [] }
}

/// Filters of a list, as options.
protocol ListFilters: ParsableArguments {
    func query() throws -> [(String, String)]
    static var shapes: [FieldShape] { get }
}

extension ListFilters {
    static var shapes: [FieldShape] { [] }
}

struct NoFilters: ListFilters {
    func query() -> [(String, String)] { [] }
}

/// The command of a noun itself: `weir tenant`.
struct NounCommand<N: Resource>: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: N.name, abstract: N.abstract, discussion: example("\(N.command) list"), subcommands: N.subcommands)
    }
}

extension EditableResource {
    /// The five commands that most nouns have.
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands }
    static var standardSubcommands: [any ParsableCommand.Type] {
        [ListCommand<Self>.self, ShowCommand<Self>.self, CreateCommand<Self>.self, UpdateCommand<Self>.self, DeleteCommand<Self>.self]
    }
}

/// The examples of a command's help; "weir" is put before each.
func example(_ lines: String...) -> String {
    "Example:\n" + lines.map { "  weir \($0)" }.joined(separator: "\n")
}

/// How much of a list is wanted.
struct PageOptions: ParsableArguments {
    @Option(help: "At most so many on a page (1 to 200).")
    var limit: Int?

    @Option(help: "Where to go on: next_cursor of the page before.")
    var cursor: String?

    @Flag(help: "Every page.")
    var all = false

    func query() -> [(String, String)] {
        let size = limit ?? (all ? 200 : nil)
        return (size.map { [("limit", String($0))] } ?? []) + (cursor.map { [("cursor", $0)] } ?? [])
    }
}

struct ListCommand<N: Resource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "list", abstract: "List \(N.plural).", discussion: example("\(N.command) list --all"))
    }

    @OptionGroup var filters: N.Filters
    @OptionGroup var page: PageOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.list(N.path, columns: N.columns, filters: filters, page: page)
    }
}

struct ShowCommand<N: Resource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "show", abstract: "Show \(N.one).", discussion: example("\(N.command) show \(N.exampleID)"))
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try connection.show(try await client.send("GET", try await client.path(N.self, id)))
    }
}

struct CreateCommand<N: EditableResource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "create", abstract: "Create \(N.one).", discussion: example("\(N.command) create \(N.createExample)"))
    }

    @OptionGroup var fields: N.Fields
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let body = try await client.resolved(try fields.body(), N.Fields.shapes)
        try requireMembers(body, of: N.self)
        try connection.show(try await client.send("POST", N.path, body: body.json))
    }
}

struct UpdateCommand<N: EditableResource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "update", abstract: "Change some members of \(N.one); the others stay.",
            discussion: example("\(N.command) update \(N.exampleID) \(N.updateExample)"))
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @Option(help: ArgumentHelp("Empty this member of the object, named as in the JSON. May be repeated.", valueName: "member"))
    var clear: [String] = []

    @OptionGroup var fields: N.Fields
    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        var body = try fields.body()
        for member in clear { body.set(member, json: try N.Fields.cleared(member)) }
        try connection.show(try await connection.update(N.self, id, body, N.Fields.shapes, revision: revision))
    }
}

struct DeleteCommand<N: Resource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "delete", abstract: "Delete \(N.one).", discussion: example("\(N.command) delete \(N.exampleID)"))
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let answer = try await client.change("DELETE", try await client.path(N.self, id), ifMatch: revision.header)
        try connection.done("Deleted \(id).", answer)
    }
}

/// A verb of one object: `weir key revoke key_…` posts to `keys/key_…/revoke`.
protocol ItemAction {
    associatedtype Target: Resource
    static var verb: String { get }
    static var abstract: String { get }
}

struct ActionCommand<Action: ItemAction>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: Action.verb, abstract: Action.abstract,
            discussion: example("\(Action.Target.command) \(Action.verb) \(Action.Target.exampleID)"))
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try connection.show(try await connection.act(Action.Target.self, id, Action.verb, revision: revision))
    }
}

extension ConnectionOptions {
    /// Changes the members that `body` holds.
    func update<N: Resource>(
        _ noun: N.Type, _ id: String, _ body: Body, _ shapes: [FieldShape] = [], revision: RevisionOptions
    ) async throws -> Answer {
        guard !body.isEmpty else { throw Failure.usage("nothing to change was named; see `weir \(N.command) update --help`") }
        let client = try client()
        let body = try await client.resolved(body, shapes)
        return try await client.change("PATCH", try await client.path(N.self, id), body: body.json, ifMatch: revision.header)
    }

    /// Posts a verb of one object. Without `--if-match` it is done whatever the object's revision.
    func act<N: Resource>(
        _ noun: N.Type, _ id: String, _ verb: String, body: JSONValue? = nil, revision: RevisionOptions
    ) async throws -> Answer {
        let client = try client()
        return try await client.send("POST", "\(try await client.path(N.self, id))/\(verb)", body: body, ifMatch: revision.header)
    }
}

struct RevisionOptions: ParsableArguments {
    @Option(help: "Only if the object is still at this revision (its ETag). Without it the present one is read first.")
    var ifMatch: String?

    /// The header's value.
    var header: String? { ifMatch.map { $0.hasPrefix("\"") || $0 == "*" ? $0 : "\"\($0)\"" } }
}

extension AdminClient {
    /// Where one of them is, by its id or name.
    func path<N: Resource>(_ noun: N.Type, _ text: String) async throws -> String {
        let prefix = String(N.exampleID.prefix { $0 != "_" }) + "_"
        return "\(N.path)/\(try Self.segment(try await id(text, prefix: prefix)))"
    }
}

/// Refuses a creation that cannot succeed before anything is sent.
func requireMembers<N: EditableResource>(_ body: Body, of noun: N.Type) throws {
    let missing = N.Fields.required.filter { body.object[$0] == nil }
    guard missing.isEmpty else {
        throw Failure.usage("a new \(N.name) needs \(missing.joined(separator: ", ")); see `weir \(N.command) create --help`")
    }
}
