import Nouns
import Primitives
import Storage

/// One noun's part of a document, within one transaction.
protocol AnyDocumentSection: AnyObject {
    var noun: any Administered.Type { get }
    var hasChanges: Bool { get }
    var hasDeletions: Bool { get }

    /// Reads what there is, and notes what it is called.
    func load(_ session: DocumentSession) throws
    /// Everything there is, as a document has it.
    func exported(_ session: DocumentSession) -> JSONValue
    /// Compares what the document says with what there is.
    func plan(_ items: [JSONValue], _ session: DocumentSession)
    /// Adds the deletion of what the document does not name. What belongs to another, by the first field of its identity, goes only where the
    /// document names that other, or it goes, too.
    func prune(_ session: DocumentSession)
    func write(_ session: DocumentSession) throws
    func delete(_ session: DocumentSession) throws
    /// Once all is written: whether each stands rightly beside the others.
    func check(_ session: DocumentSession) throws
    func changes(_ session: DocumentSession) -> [AppliedChange]
}

final class DocumentSection<Content: Administered>: AnyDocumentSection {
    private struct Planned {
        let place: String
        let id: ID<Content.Kind>
        let content: Content
        let old: Entity<Content>?
        let bringsSecret: Bool
        let change: AppliedChange.Change
        /// Shown this once.
        var issued: Secret?
    }

    private let service: NounService<Content>
    private let shapes = Content.shapes
    private let identifying = Content.identity.compactMap { name in Content.fields.first { $0.shape.name == name } }
    private let inputs = Content.fields.filter { $0.shape.isDeclared && $0.shape.use != .secret }
    private var present: [Entity<Content>] = []
    private var planned: [Planned] = []

    init(_ service: NounService<Content>) {
        self.service = service
    }

    private var words: NounWords { Content.words }
    private var secret: FieldShape? { shapes.first { $0.use == .secret } }

    var noun: any Administered.Type { Content.self }
    var hasChanges: Bool { planned.contains { $0.change != .unchanged } }
    var hasDeletions: Bool { planned.contains { $0.change == .deleted } }

    func load(_ session: DocumentSession) throws {
        let maximum = DeclarativeService.maximumThings
        present = try Content.table.list(session.connection, condition: Content.holding, limit: maximum + 1).map {
            try Entity<Content>($0).seen(at: session.now)
        }
        guard present.count <= maximum else {
            throw DomainError.conflict(
                words.path, "are more than \(maximum), which is as many as a document holds",
                remedy: "Leave them out, and use \(words.path) of the API for them.")
        }
        session.names.add(Content.self)
        for item in present { session.names.note(item.id.rawValue, Content.idPrefix, identity: identity(of: item.content)) }
    }

    private func identity(of content: Content) -> [JSONValue] { identifying.map { $0.json(content) } }

    /// What is declared of one, but for a secret, as the API has it.
    private func input(_ content: Content) -> JSONObject {
        JSONObject(members: inputs.map { .init(name: $0.shape.name, value: $0.json(content)) })
    }

    private func declared(_ content: Content, _ session: DocumentSession, isSparse: Bool) -> JSONObject {
        session.names.declared(input(content), shapes, isSparse: isSparse)
    }

    func exported(_ session: DocumentSession) -> JSONValue {
        let items = present.map { item -> (title: String, object: JSONObject) in
            let id = item.id.rawValue
            var object = declared(item.content, session, isSparse: true)
            // Two that no member tells apart are told by their identifiers.
            if sharers(identity(of: item.content)) > 1 {
                object = JSONObject(members: [.init(name: "id", value: .string(id))] + object.members)
            }
            return (session.names.title(id, Content.idPrefix), object)
        }
        return .array(items.sorted { $0.title < $1.title }.map { .object($0.object) })
    }

    private lazy var shares = Dictionary(present.map { (identity(of: $0.content), 1) }, uniquingKeysWith: +)
    /// How many there are of an identity: of some nouns two may have one name.
    private func sharers(_ identity: [JSONValue]) -> Int { shares[identity, default: 0] }

    // MARK: Planning

    func plan(_ items: [JSONValue], _ session: DocumentSession) {
        let byID = Dictionary(present.map { ($0.id.rawValue, $0) }, uniquingKeysWith: { first, _ in first })
        var places: [String: String] = [:]
        for (index, item) in items.enumerated() {
            let place = "\(words.path)[\(index)]"
            guard case .object(let object) = item else {
                session.problems.append(FieldProblem(place, "is \(item.typeName)", remedy: "Give an object: \(words.oneOfIt)."))
                continue
            }
            plan(object, at: place, byID, &places, session)
        }
    }

    private func plan(
        _ given: JSONObject, at place: String, _ byID: [String: Entity<Content>], _ places: inout [String: String],
        _ session: DocumentSession
    ) {
        let count = session.problems.count
        var members = given
        let id = members["id"]
        members["id"] = nil
        let object = session.names.object(members, shapes, at: place, &session.problems)
        var found: [FieldProblem] = []
        var content = Content.declared(object, problems: &found)
        // What a single creation would add by itself: here it would leave open which thing is meant.
        for field in inputs where field.json(content) == "" {
            if case .id(let prefix) = field.shape.kind, !found.contains(where: { $0.field == field.shape.name }) {
                let noun = DeclaredNouns.noun(prefix: prefix)?.words.oneOfIt ?? "one"
                found.append(FieldProblem(field.shape.name, "is missing", remedy: "Give the name of \(noun)."))
            }
        }
        session.problems += found.map { $0.inside(place, shapes) }

        let called = identity(of: content)
        let key: String
        if let id {
            guard let text = id.stringValue, byID[text] != nil else {
                session.problems.append(
                    FieldProblem(
                        "\(place).id", "is no \(words.name)'s",
                        remedy: "Leave it out for \(words.oneOfIt) that is to be made; give it a name that no other has."))
                return
            }
            key = text
        } else if sharers(called) > 1 {
            session.problems.append(
                FieldProblem(
                    place, "is the name of \(sharers(called)) \(words.name)s", remedy: "Say which one it is by its id, as an export does."
                ))
            return
        } else {
            key = session.names.id(Content.idPrefix, identity: called) ?? ID<Content.Kind>.random().rawValue
        }
        if let other = places[key] {
            session.problems.append(
                FieldProblem(place, "is the same \(words.name) as \(other)", remedy: "Say each once, under a name of its own."))
            return
        }
        places[key] = place
        session.named.insert(key)
        session.names.note(key, Content.idPrefix, identity: called)
        let old = byID[key]
        let bringsSecret = secret.map { object[$0.name] != nil } ?? false
        if let secret, old == nil, !bringsSecret {
            session.problems.append(
                FieldProblem(
                    "\(place).\(secret.name)", "is missing",
                    remedy: "A new \(words.name) needs it. In a file: \(secret.name), \(secret.name)_env or \(secret.name)_file."))
        }
        guard session.problems.count == count else { return }

        if let old { content.keep(of: old.content) }
        let wrong = content.fieldProblems(replacing: old?.content ?? content).filter { $0.field != secret?.name }
        session.problems += (wrong + content.problems(replacing: old?.content, now: session.now)).map { $0.inside(place, shapes) }
        let change: AppliedChange.Change
        let isNewSecret = bringsSecret && old.map { !(service.holds?($0, content) ?? false) } ?? true
        if let old {
            change = input(old.content) == input(content) && !isNewSecret ? .unchanged : .updated
        } else {
            change = .created
        }
        planned.append(
            Planned(place: place, id: ID(key), content: content, old: old, bringsSecret: isNewSecret, change: change))
    }

    func prune(_ session: DocumentSession) {
        guard Content.isPruned else { return }
        let missing = present.filter { !session.named.contains($0.id.rawValue) }
            .map { (item: $0, title: session.names.title($0.id.rawValue, Content.idPrefix)) }
        for (item, title) in missing.sorted(by: { $0.title < $1.title }) {
            let owner = identifying.first.flatMap { field -> String? in
                guard case .id = field.shape.kind else { return nil }
                return field.json(item.content).stringValue
            }
            let isCovered = owner.map { session.named.contains($0) || session.pruned.contains($0) } ?? true
            guard isCovered else { continue }
            session.pruned.insert(item.id.rawValue)
            planned.append(
                Planned(
                    place: "\(words.path)[\"\(title)\"]", id: item.id,
                    content: item.content,
                    old: item, bringsSecret: false, change: .deleted))
        }
    }

    // MARK: Writing

    func write(_ session: DocumentSession) throws {
        let change = session.change(under: Content.scope)
        for index in planned.indices {
            let item = planned[index]
            try session.attempt(Content.self, at: item.place) {
                var content = item.content
                switch (item.change, item.old) {
                case (.created, _):
                    planned[index].issued = service.issue?(&content, item.id)
                    _ = try service.add(content, id: item.id, change)
                case (.updated, let old?):
                    if item.bringsSecret { try service.complete(&content, item.id, change.connection) }
                    try NounService.put(content, over: old, item.bringsSecret ? "rotate" : "update", change)
                default: break
                }
            }
        }
    }

    func delete(_ session: DocumentSession) throws {
        let change = session.change(under: Content.scope)
        for item in planned where item.change == .deleted {
            guard let old = item.old else { continue }
            try session.attempt(Content.self, at: item.place) { try NounService.delete(old, change) }
        }
    }

    func check(_ session: DocumentSession) throws {
        for item in planned where item.change == .created || item.change == .updated {
            try session.attempt(Content.self, at: item.place) {
                try NounService<Content>.check(
                    item.content.problems(id: item.id, replacing: item.old?.content, beside: session.connection))
            }
        }
    }

    // MARK: Telling

    func changes(_ session: DocumentSession) -> [AppliedChange] {
        planned.map { item in
            let fields: [AppliedChange.Field]
            switch (item.change, item.old) {
            case (.created, _):
                fields = flattened(declared(item.content, session, isSparse: true)).map { .init(path: $0, from: nil, to: $1) }
            case (.updated, let old?):
                let before = flattened(declared(old.content, session, isSparse: false))
                let after = flattened(declared(item.content, session, isSparse: false))
                fields = zip(before, after).filter { $0.1 != $1.1 }.map { .init(path: $0.0, from: $0.1, to: $1.1) }
            default: fields = []
            }
            return AppliedChange(
                noun: words.name, path: words.path, id: isImagined(item, session) ? nil : item.id.rawValue,
                name: session.names.title(item.id.rawValue, Content.idPrefix),
                change: item.change,
                fields: fields, secret: secret == nil || item.change == .deleted ? nil : item.bringsSecret ? .set : .unchanged,
                issued: isImagined(item, session) ? nil : item.issued)
        }
    }

    /// Whether it was made for a comparison only: nobody shall keep its identifier or secret.
    private func isImagined(_ item: Planned, _ session: DocumentSession) -> Bool { session.isDryRun && item.change == .created }

    /// Every value by its path; of a list, the whole.
    private func flattened(_ object: JSONObject) -> [(String, JSONValue)] {
        object.members.flatMap { member -> [(String, JSONValue)] in
            guard case .object(let inner) = member.value, let shape = shapes.first(where: { $0.declaredName == member.name }),
                case .object = shape.kind
            else { return [(member.name, member.value)] }
            return flattened(inner).map { ("\(member.name).\($0)", $1) }
        }
    }
}
