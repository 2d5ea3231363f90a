import Nouns
package import Primitives
import Storage

/// One thing of a document, beside what there is.
package struct AppliedChange: Sendable {
    package enum Change: String, Sendable, CaseIterable {
        case created, updated, deleted, unchanged
    }

    /// A secret itself is never told.
    package enum SecretChange: String, Sendable, CaseIterable {
        case set, unchanged
    }

    package struct Field: Sendable {
        package let path: String
        /// Nil: there was nothing.
        package let from: JSONValue?
        package let to: JSONValue
    }

    package let noun: String
    /// The noun's list in a document.
    package let path: String
    /// Nil for what a dry run would make.
    package let id: String?
    package let name: String
    package let change: Change
    package let fields: [Field]
    package let secret: SecretChange?
    /// A new one's own secret, shown this once.
    package let issued: Secret?
}

package struct AppliedDocument: Sendable {
    package let isDryRun: Bool
    /// Of what the document is about, after the changes; of a dry run, before them.
    package let revision: Int64
    package let changes: [AppliedChange]
    let topics: Set<ChangeSignal.Topic>

    package func count(_ change: AppliedChange.Change) -> Int { changes.count(where: { $0.change == change }) }
}

/// The whole configuration as a document: what operators decide, by name, with no secret. Made of the nouns' declarations: each whose
/// scope is declared has a list in it, by its path.
package struct DeclarativeService: Sendable {
    package static let format = "weir/1"
    /// Things of one noun that a document, or what it is compared with, may hold.
    package static let maximumThings = 50_000

    private let domain: DomainContext
    /// By the prefix of the noun's identifiers: those that do more to a new one than to write it.
    private let services: [String: any AnyNounService]

    init(_ domain: DomainContext, services: [any AnyNounService]) {
        self.domain = domain
        self.services = Dictionary(services.map { ($0.prefix, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The nouns of a document, what is referred to before what refers.
    package static let nouns: [any Administered.Type] = {
        var waiting = AdministeredNouns.all.filter { $0.scope.isDeclared }
        var ordered: [any Administered.Type] = []
        while !waiting.isEmpty {
            let prefixes = Set(waiting.map { $0.idPrefix })
            // In a circle nobody is free: then the order of the declarations decides.
            let index = waiting.firstIndex { noun in references(noun).subtracting([noun.idPrefix]).isDisjoint(with: prefixes) } ?? 0
            ordered.append(waiting.remove(at: index))
        }
        return ordered
    }()

    private static func references(_ noun: any Administered.Type) -> Set<String> {
        noun.shapes.filter(\.isDeclared).reduce(into: []) { $0.formUnion($1.kind.references) }
    }

    /// - Parameter wanted: The lists that are wanted, by their paths; nil: all.
    /// - Returns: The document, and the revision of what is in it.
    /// - Throws: `DomainError.conflict` when there is more of a noun than a document holds.
    package func export(_ wanted: Set<String>?, as scope: TenantScope) async throws -> (document: JSONObject, revision: Int64) {
        let now = domain.clock.nowMilliseconds()
        return try await domain.report(as: scope) { c in
            let session = DocumentSession(c, actor: .system("export"), now: now)
            let sections = sections { wanted?.contains($0.words.path) ?? true }
            for section in sections.known { try section.load(session) }
            var document: JSONObject = ["format": .string(Self.format)]
            for section in sections.named {
                let items = section.exported(session)
                if items != [] { document[section.noun.words.path] = items }
            }
            let counters = Self.counters(of: sections.named.map(\.noun))
            return (document, try counters.reduce(0) { try $0 &+ CountersTable.current(c, $1.rawValue) })
        }
    }

    /// Makes what there is as the document says, in one transaction. An object of it says the whole thing: what it leaves out is as in a new
    /// one, but for a secret, which stays.
    /// - Parameters:
    ///   - revisions: What the caller has seen of it is one of these; nil: whatever there is.
    ///   - prunes: Deletes what the document does not name, of the nouns that have a list in it.
    /// - Throws: `DomainError.invalid` with each problem's path into the document, `.conflict`, `.preconditionFailed`: nothing was changed.
    package func apply(
        _ document: JSONObject, isDryRun: Bool, prunes: Bool, revisions: [Int64]?, by actor: Actor
    ) async throws -> AppliedDocument {
        let lists = try Self.lists(document)
        let now = domain.clock.nowMilliseconds()
        let result: AppliedDocument
        do {
            result = try await domain.write(as: actor.scope, waking: [], taken: nil) { c in
                let session = DocumentSession(c, actor: actor, now: now, isDryRun: isDryRun)
                let result = try apply(lists, isDryRun: isDryRun, prunes: prunes, revisions: revisions, session)
                // It was tried in earnest; nothing of it stays.
                if isDryRun { throw Rehearsed(result: result) }
                return result
            }
        } catch let rehearsed as Rehearsed {
            return rehearsed.result
        }
        for topic in result.topics { domain.signal.raise(topic) }
        return result
    }

    private struct Rehearsed: Error {
        let result: AppliedDocument
    }

    private func apply(
        _ lists: [String: [JSONValue]], isDryRun: Bool, prunes: Bool, revisions: [Int64]?, _ session: DocumentSession
    ) throws -> AppliedDocument {
        let c = session.connection
        let sections = sections { lists[$0.words.path] != nil }
        let counters = Self.counters(of: sections.named.map(\.noun))
        // Held before anything is read: what is compared stays as it is until the commit.
        var held: [ChangeCounter: Int64] = [:]
        for counter in counters { held[counter] = try CountersTable.hold(c, counter.rawValue) }
        let revision = held.values.reduce(0, &+)
        if let revisions, !revisions.contains(revision) { throw DomainError.preconditionFailed(current: revision) }

        for section in sections.known { try section.load(session) }
        for section in sections.named { section.plan(lists[section.noun.words.path] ?? [], session) }
        try session.throwIfAny()
        if prunes { for section in sections.named { section.prune(session) } }

        let changed = sections.named.filter(\.hasChanges)
        for section in changed where !session.actor.may(section.noun.permission) {
            throw DomainError.forbidden(detail: "The role \(session.actor.role.rawValue) may not change \(section.noun.words.path).")
        }
        let taken = Set(changed.flatMap { $0.noun.scope.counters + ($0.hasDeletions ? $0.noun.deletionCounters : []) })
        for counter in ChangeCounter.allCases where taken.contains(counter) { session.numbers[counter] = try counter.next(c) }
        for section in changed { try section.write(session) }
        // What was not written would be missing to others.
        try session.throwIfAny()
        for section in changed.reversed() { try section.delete(session) }
        for section in changed { try section.check(session) }
        try session.throwIfAny()

        let after = try counters.reduce(0) { try $0 &+ CountersTable.current(c, $1.rawValue) }
        return AppliedDocument(
            isDryRun: isDryRun, revision: isDryRun ? revision : after, changes: sections.named.flatMap { $0.changes(session) },
            topics: changed.reduce(into: []) { $0.formUnion($1.noun.scope.topics) })
    }

    /// The lists of a document by their paths.
    private static func lists(_ document: JSONObject) throws(DomainError) -> [String: [JSONValue]] {
        var problems: [FieldProblem] = []
        switch document["format"] {
        case .string(format): break
        case nil: problems.append(FieldProblem("format", "is missing", remedy: "Begin the document with format: \(format)."))
        default: problems.append(FieldProblem("format", "is not known to this version", remedy: "Write format: \(format)."))
        }
        let paths = nouns.map { $0.words.path }
        var lists: [String: [JSONValue]] = [:]
        for member in document.members where member.name != "format" {
            guard paths.contains(member.name) else {
                problems.append(.unknownMember(String(member.name.prefix(64)), ["format"] + paths))
                continue
            }
            guard let items = member.value == .null ? [] : member.value.arrayValue else {
                problems.append(FieldProblem(member.name, "is \(member.value.typeName)", remedy: "Give a list of \(member.name)."))
                continue
            }
            if items.count > maximumThings {
                problems.append(FieldProblem(member.name, "holds more than \(maximumThings) entries", remedy: "Apply them in parts."))
            }
            lists[member.name] = items
        }
        if !problems.isEmpty { throw .invalid(problems) }
        return lists
    }

    /// Those whose numbers tell whether any of these nouns was changed, in the order in which they are taken.
    private static func counters(of nouns: [any Administered.Type]) -> [ChangeCounter] {
        let used = Set(nouns.flatMap { $0.scope.counters })
        return ChangeCounter.allCases.filter(used.contains)
    }

    /// - Returns: The sections that are wanted, and these with all that they refer to, each in the order of the nouns.
    private func sections(
        _ isWanted: (any Administered.Type) -> Bool
    ) -> (named: [any AnyDocumentSection], known: [any AnyDocumentSection]) {
        var prefixes: Set<String> = []
        // What refers comes after what it refers to.
        for noun in Self.nouns.reversed() where prefixes.contains(noun.idPrefix) || isWanted(noun) {
            prefixes.formUnion(Self.references(noun).union([noun.idPrefix]))
        }
        let known = Self.nouns.filter { prefixes.contains($0.idPrefix) }.map { section($0) }
        return (known.filter { isWanted($0.noun) }, known)
    }

    private func section<Content: Administered>(_ noun: Content.Type) -> any AnyDocumentSection {
        DocumentSection(services[Content.idPrefix] as? NounService<Content> ?? NounService(domain))
    }
}

/// A noun's service, whichever noun's.
package protocol AnyNounService: Sendable {
    var prefix: String { get }
}

extension NounService: AnyNounService {
    package var prefix: String { Content.idPrefix }
}
