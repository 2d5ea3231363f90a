package import Nouns
package import Primitives
package import Storage

/// Where a noun belongs, which decides over its counter, whom a change wakes, and what a deletion leaves.
package struct NounScope: Sendable {
    /// Taken by every change, which orders changes and keeps what was checked true until the commit.
    package let counters: [ChangeCounter]
    let topics: Set<ChangeSignal.Topic>
    /// Where the rows keep the number of their last change, for those who have yet to hear of it. Such rows stay when they are deleted.
    let changeColumn: String?
    var keepsDeleted: Bool
    /// Whether its things are in an export and made by an application of a document: what an operator decides, but for who may decide.
    package let isDeclared: Bool

    init(
        counters: [ChangeCounter], topics: Set<ChangeSignal.Topic>, changeColumn: String?, keepsDeleted: Bool? = nil,
        isDeclared: Bool = true
    ) {
        self.isDeclared = isDeclared
        self.counters = counters
        self.topics = topics
        self.changeColumn = changeColumn
        self.keepsDeleted = keepsDeleted ?? (changeColumn != nil)
    }

    /// The next configuration: it reaches data planes by publishing and rolling out only.
    package static let draft = NounScope(counters: [.draft], topics: [], changeColumn: nil)
    /// In force on connected data planes at once.
    package static let directory = NounScope(counters: [.directory], topics: [.directory], changeColumn: "directory_revision")
    /// The same for what others make and hand in, one by one: the identifiers of who proves itself by a key of its own.
    package static let registered = NounScope(
        counters: [.directory], topics: [.directory], changeColumn: "directory_revision", isDeclared: false)
    /// Provider secrets: of the draft, and sent to data planes by themselves. The revision is the number of the change among all, so
    /// that a data plane's copy can be told from this one.
    package static let secrets = NounScope(counters: [.credentials, .draft], topics: [.credentials], changeColumn: "revision")
    /// Permissions of data planes: a used one stays on record.
    package static let fleet = NounScope(counters: [], topics: [], changeColumn: nil, keepsDeleted: true, isDeclared: false)
    package static let administration = NounScope(counters: [.administrators], topics: [], changeColumn: nil, isDeclared: false)

    var numbersRevisions: Bool { changeColumn == "revision" }
}

/// What the domain knows of a noun beyond its fields. Most nouns need the scope alone.
package protocol Administered: Noun {
    static var scope: NounScope { get }
    /// Who may change it, and who may see it.
    static var permission: Permission { get }
    static var readPermission: Permission { get }
    static var tableName: String { get }
    /// Says whose one of them is: what is done for a tenant finds that tenant's only. Nil: the installation's.
    static var tenantColumn: String? { get }
    /// What a second one of the same name (or moment) is told.
    static var taken: FieldProblem { get }
    /// Holds for those that keep what they refer to from being deleted; nil: all do.
    static var holding: String? { get }
    /// A column by whose value it is found, too, in paths: what the operator's other systems call it.
    static var alias: String? { get }
    /// Nouns that refer to it and do not keep it: `willDelete` takes them along.
    static var goingAlong: [any Administered.Type] { get }
    /// One of it keeps nothing that it refers to, and is deleted with it.
    static var endsWithItsReferences: Bool { get }
    /// Whether an application of a document may delete those that it does not name.
    static var isPruned: Bool { get }
    /// Counters that a deletion takes beside the scope's: of those who may refer to it.
    static var deletionCounters: [ChangeCounter] { get }

    /// What is wrong with it beyond its fields' kinds. `old` is what it replaces; `now` is Unix milliseconds.
    func problems(replacing old: Self?, now: Int64) -> [FieldProblem]
    /// What is wrong with it beside the others. That what it refers to exists was checked. `old` is what it replaces; it may be written
    /// already.
    func problems(id: ID<Kind>, replacing old: Self?, beside c: any SQLConnection) throws -> [FieldProblem]
    /// Before it is written: what the system adds, and what keeps it from being so.
    mutating func willWrite(_ id: ID<Kind>, replacing old: Self?, _ change: NounChange) throws
    /// After it was written, in the same transaction: what follows from it.
    static func didWrite(_ entity: Entity<Self>, replacing old: Entity<Self>?, _ change: NounChange) throws
    /// Of a deleted one whose row stays: what must not.
    mutating func forget()
    /// Adds what comes with use and stands elsewhere.
    static func observe(_ items: inout [Entity<Self>], _ c: any SQLConnection) throws
    /// Before a deletion, once nothing refers to it.
    static func willDelete(_ entity: Entity<Self>, _ change: NounChange) throws
}

/// One change under way.
package struct NounChange {
    package let connection: any SQLConnection
    package let actor: Actor
    /// Unix milliseconds.
    package let now: Int64
    /// Of the scope's first counter.
    package let number: Int64
}

extension Administered {
    package static var permission: Permission { .operate }
    package static var readPermission: Permission { .read }
    package static var tableName: String { String(words.path.map { $0 == "-" ? "_" : $0 }) }
    package static var tenantColumn: String? { columns.contains("tenant_id") ? "tenant_id" : nil }
    package static var taken: FieldProblem { FieldProblem("name", "is taken by another \(words.name)", remedy: "Choose another name.") }
    package static var holding: String? { nil }
    package static var alias: String? { nil }
    package static var goingAlong: [any Administered.Type] { [] }
    package static var endsWithItsReferences: Bool { false }
    package static var isPruned: Bool { true }
    package static var deletionCounters: [ChangeCounter] { [] }

    package func problems(replacing old: Self?, now: Int64) -> [FieldProblem] { [] }
    package func problems(id: ID<Kind>, replacing old: Self?, beside c: any SQLConnection) throws -> [FieldProblem] { [] }
    package mutating func willWrite(_ id: ID<Kind>, replacing old: Self?, _ change: NounChange) throws {}
    package static func didWrite(_ entity: Entity<Self>, replacing old: Entity<Self>?, _ change: NounChange) throws {}
    package mutating func forget() {}
    package static func observe(_ items: inout [Entity<Self>], _ c: any SQLConnection) throws {}
    package static func willDelete(_ entity: Entity<Self>, _ change: NounChange) throws {}

    // MARK: Rows

    package static var table: NounTable {
        NounTable(
            tableName, columns: columns, changeColumn: scope.changeColumn, keepsDeleted: scope.keepsDeleted, tenantColumn: tenantColumn)
    }

    package static func find(_ c: any SQLConnection, _ id: String) throws -> Entity<Self>? { try table.find(c, id).map(Entity.init) }
    /// Oldest first.
    package static func all(_ c: any SQLConnection) throws -> [Entity<Self>] { try table.all(c).map(Entity.init) }

    package static func changed(_ c: any SQLConnection, since change: Int64) throws -> [Entity<Self>] {
        try table.changed(c, since: change).map(Entity.init)
    }

    /// The present ones of which a column has this value, oldest first.
    static func listed(_ c: any SQLConnection, where column: String, is value: String) throws -> [Entity<Self>] {
        try listed(c, where: column, is: .text(value))
    }

    static func listed(_ c: any SQLConnection, where column: String, is value: SQLValue) throws -> [Entity<Self>] {
        try table.list(c, matching: [(column, value)], limit: .max).map(Entity.init)
    }

    package static func insert(_ c: any SQLConnection, _ entity: Entity<Self>) throws { try table.insert(c, entity.row) }

    /// - Throws: `DomainError.notFound`.
    static func present(_ c: any SQLConnection, _ id: ID<Kind>) throws -> Entity<Self> {
        guard let entity = try find(c, id.rawValue) else { throw DomainError.notFound(kind: words.name, id: id.rawValue) }
        return entity
    }
}

extension Entity where Content: Administered {
    init(_ row: NounRow) throws {
        guard let content = Content(columns: row.values.map(ColumnValue.init)[...]) else {
            throw DatabaseError.unexpectedValue("\(Content.tableName) holds a row that cannot be read")
        }
        self.init(id: row.id, meta: row.meta, content: content, change: row.change, deletedAt: row.deletedAt)
    }

    var row: NounRow {
        NounRow(id: id.rawValue, values: content.columnValues.map(SQLValue.init), meta: meta, change: change, deletedAt: deletedAt)
    }
}

extension ColumnValue {
    fileprivate init(_ value: SQLValue) {
        switch value {
        case .null: self = .null
        case .int(let value): self = .int(value)
        case .text(let value): self = .text(value)
        case .blob(let value): self = .blob(value)
        // No field is stored as one.
        case .double(let value): self = .text(String(value))
        }
    }
}

extension SQLValue {
    package init(_ value: ColumnValue) {
        switch value {
        case .null: self = .null
        case .int(let value): self = .int(value)
        case .text(let value): self = .text(value)
        case .blob(let value): self = .blob(value)
        }
    }
}
