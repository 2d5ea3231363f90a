import ArgumentParser
import Nouns
import Primitives

/// A kind of thing of the admin API. What a noun says about itself here is all that its list, get, create, update and delete
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
    /// Of its fields, as far as they are declared: which words stand for null and 0.
    static var shown: [FieldShape] { get }
}

extension Resource {
    static var command: String { name }
    static var thing: String { name }
    static var shown: [FieldShape] { [] }
    static var plural: String { thing + "s" }
    static var one: String { ("aeio".contains(thing.prefix(1)) ? "an " : "a ") + thing }
}

/// A noun that can be created and changed.
protocol EditableResource: Resource {
    /// What it is made of, and what of that can be changed.
    associatedtype NewFields: BodyFields
    associatedtype Fields: BodyFields
    /// The options of the examples, without the command itself.
    static var createExample: String { get }
    static var updateExample: String { get }
}

/// What an object is made of, as options. They are all optional to the parser, since an update names only what it changes.
protocol BodyFields: ParsableArguments {
    /// Members without which `create` is refused before anything is sent, and their options.
    static var required: [(member: String, option: String)] { get }
    /// What `--clear` sends for a member.
    static func cleared(_ member: String) throws -> JSONValue
    /// Of the fields, to find what may be named instead of identified.
    static var shapes: [FieldShape] { get }
    /// The options without which `create` is refused, as its usage shows them.
    static var requiredUsage: String { get }
    func body() throws -> Body
}

extension BodyFields {
    static func cleared(_ member: String) throws -> JSONValue { .null }
    static var shapes: [FieldShape] { [] }
    static var requiredUsage: String { "" }
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
        [
            ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, CreateCommand<Self>.self, UpdateCommand<Self>.self,
            DeleteCommand<Self>.self,
        ]
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
    @OptionGroup var watching: WatchOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.list(N.path, columns: N.columns, filters: filters, page: page, watching: watching)
    }
}

struct GetCommand<N: Resource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "get", abstract: "Get \(N.one).", discussion: example("\(N.command) get \(N.exampleID)"))
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        try await connection.show(try await client.send("GET", try await client.path(N.self, id)), of: N.shown)
    }
}

/// What `get` was called in the first release: goes with the next.
struct ShowCommand<N: Resource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "show", abstract: "The same as get.", discussion: example("\(N.command) show \(N.exampleID)"),
            shouldDisplay: false)
    }

    @OptionGroup var get: GetCommand<N>

    func run() async throws { try await get.run() }
}

struct CreateCommand<N: EditableResource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "create", abstract: "Create \(N.one).", usage: creationUsage(N.self),
            discussion: example("\(N.command) create \(N.createExample)"))
    }

    @OptionGroup var fields: N.NewFields
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let body = try fields.body()
        try requireMembers(body, of: N.self)
        let client = try connection.client()
        let resolved = try await client.resolved(body, N.NewFields.shapes)
        try await connection.show(try await client.send("POST", N.path, body: resolved.json), of: N.shown)
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
        try await connection.show(try await connection.update(N.self, id, body, N.Fields.shapes, revision: revision), of: N.shown)
    }
}

struct DeleteCommand<N: Resource>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "delete", abstract: "Delete \(N.one).", discussion: example("\(N.command) delete \(N.exampleID)"))
    }

    @Argument(help: "Its id, or its name where names are unique.")
    var id: String

    @OptionGroup var revision: RevisionOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let path = try await client.path(N.self, id)
        // What is shown is what is deleted: a change in between is refused.
        let present = try await client.send("GET", path)
        try confirmation.ask("Delete the \(N.thing) \(present.title(id))?")
        let answer = try await client.send("DELETE", path, ifMatch: revision.header ?? present.etag)
        try connection.done("Deleted \(id).", answer)
    }
}

/// A verb of one object: `weir key revoke key_…` posts to `keys/key_…/revoke`.
protocol ItemAction {
    associatedtype Target: Resource
    static var verb: String { get }
    static var abstract: String { get }
    /// What is asked before it is done, given what it is done to; nil: nothing.
    static func question(_ title: String) -> String?
}

extension ItemAction {
    static func question(_ title: String) -> String? { nil }
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
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        if confirmation.isAsked, Action.question(id) != nil {
            let client = try connection.client()
            let present = try await client.send("GET", try await client.path(Action.Target.self, id))
            if let question = Action.question(present.title(id)) { try confirmation.ask(question) }
        }
        try await connection.show(
            try await connection.act(Action.Target.self, id, Action.verb, revision: revision), of: Action.Target.shown)
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
    let missing = N.NewFields.required.filter { body.object[$0.member] == nil }
    guard missing.isEmpty else {
        let options = missing.map { "--\($0.option)" }.joined(separator: ", ")
        throw Failure.usage("a new \(N.thing) needs \(options); see `weir \(N.command) create --help`")
    }
}

/// How `create` is called: what has to be given, and that there is more.
func creationUsage<N: EditableResource>(_ noun: N.Type) -> String {
    "weir \(N.command) create \(N.NewFields.requiredUsage)[<options>]"
}

extension Answer {
    /// What people call an object, and its id.
    func title(_ id: String) -> String {
        guard let name = json.string("name") else { return id }
        return "\(name.visible) (\(json.string("id") ?? id))"
    }
}
