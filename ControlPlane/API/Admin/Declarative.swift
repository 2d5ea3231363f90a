import Domain
import HTTPTypes
import Nouns
import Primitives

/// The whole configuration as a document: to take away, and to put in force.
package struct DeclarativeRoutes: RouteGroup {
    /// Some ten thousand things.
    static let bodyLimitBytes = 4 << 20

    let declarative: DeclarativeService

    package func addRoutes(to table: inout RouteTable) {
        let export = RouteDocs("Get what is configured as a document: by name, without secrets. Tokens and data planes are not in it.") {
            $0.query = [
                FieldShape(
                    "nouns", .text(maximum: 512), "Only these lists, separated by commas: \(Self.paths.joined(separator: ", ")).")
            ]
            $0.answer = .partial(DocumentShapes.document)
            $0.hasRevision = true
        }
        table.report("/admin/api/export", .admin(.read), export) { request in
            try request.query.allow(["nouns"])
            let wanted = request.query["nouns"].map { Set($0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)) }
            if let unknown = wanted?.subtracting(Self.paths).sorted().first {
                throw DomainError.invalid(
                    "nouns", "\"\(unknown.prefix(64))\" is no list of a document",
                    remedy: "Name some of \(Self.paths.joined(separator: ", ")), separated by commas.")
            }
            let (document, revision) = try await declarative.export(wanted, as: request.actor.scope)
            return .json(.object(document), revision: revision)
        }

        let apply = RouteDocs(
            "Make what there is as a document says, in one transaction. An object says the whole thing: what it leaves out is as in a new one, but for a secret, which stays."
        ) {
            $0.body = .form([
                FieldShape("document", .object(DocumentShapes.document), "What is to be.") { $0.isRequired = true },
                FieldShape("dry_run", .flag, "Only say what would be changed.") { $0.standard = false },
                FieldShape(
                    "prune", .flag,
                    "Delete what the document does not name, of each noun that has a list in it. What belongs to another (a project, a key, a price) only where the document names that other; a tenant never."
                ) { $0.standard = false },
            ])
            $0.answer = .object(DocumentShapes.applied)
            $0.ifMatch = .optional
            $0.hasRevision = true
        }
        table.post("/admin/api/apply", .admin(.operate), apply, upTo: Self.bodyLimitBytes) { request in
            let (document, isDryRun, prunes) = try request.fields { fields in
                (fields.raw("document"), fields.bool("dry_run", or: false), fields.bool("prune", or: false))
            }
            guard case .object(let object)? = document else {
                throw DomainError.invalid(
                    "document", document.map { "is \($0.typeName)" } ?? "is missing",
                    remedy: "Give an object, as GET /admin/api/export does.")
            }
            let applied = try await declarative.apply(
                object, isDryRun: isDryRun, prunes: prunes, revisions: request.ifMatch?.named, by: request.actor)
            return .json(applied.json, revision: applied.revision)
        }
    }

    private static let paths = DeclarativeService.nouns.map { $0.words.path }
}

/// What documents look like, by the declarations of what is in them.
enum DocumentShapes {
    private static let format = FieldShape("format", .word([DeclarativeService.format]), "The version of the document's form.") {
        $0.isRequired = true
    }

    private static let lists: [FieldShape] = DeclarativeService.nouns.map { noun in
        FieldShape(
            noun.words.path, .objects(item(noun.idPrefix, noun.shapes), maximum: DeclarativeService.maximumThings), noun.words.about)
    }

    static let document: [FieldShape] = [format] + lists

    private static func item(_ prefix: String, _ shapes: [FieldShape]) -> [FieldShape] {
        [FieldShape("id", .id(prefix), "Only where several have one name, or to give another name: which one it is.")] + declared(shapes)
    }

    private static func declared(_ shapes: [FieldShape]) -> [FieldShape] {
        shapes.filter(\.isDeclared).map { shape in
            var shape = shape
            let isReference = shape.declaredName != shape.name
            if isReference { shape.about += " By name, or by an object of what tells it from others of that name." }
            // Of a thing that is there the secret stays.
            if shape.use == .secret { shape.isRequired = false }
            shape.name = shape.declaredName
            shape.kind = declared(shape.kind)
            shape.use = .given
            return shape
        }
    }

    private static func declared(_ kind: FieldKind) -> FieldKind {
        switch kind {
        case .id: .anything
        case .list(let element, let bounds): .list(declared(element), bounds)
        case .scope(let element): .scope(declared(element))
        case .object(let shapes): .object(declared(shapes))
        case .objects(let shapes, let maximum): .objects(declared(shapes), maximum: maximum)
        default: kind
        }
    }

    private static let field: [FieldShape] = [
        .told("path", Shapes.words, "Which field."), .told("from", .anything, "What it was."), .told("to", .anything, "What it is."),
    ]

    private static let change: [FieldShape] = [
        .told("noun", Shapes.words, "What it is."), .told("list", Shapes.words, "The document's list for it."),
        .told("id", Shapes.words, "Its identifier; null for what a dry run would make.", nullable: true),
        .told("name", Shapes.words, "What it is called, within what it belongs to."),
        .told("change", .word(AppliedChange.Change.allCases.map(\.rawValue)), "What becomes of it."),
        .told(
            "secret", .word(AppliedChange.SecretChange.allCases.map(\.rawValue)), "What becomes of its secret; null where it has none.",
            nullable: true),
        .told("shown_once", .text(maximum: 4096), "The secret that a new one was given, shown this once.", nullable: true),
        .told("fields", .objects(field, maximum: 1000), "What differs."),
    ]

    private static let counts: [FieldShape] = AppliedChange.Change.allCases.map { change in
        FieldShape.told(change.rawValue, .number, "How many things are \(change.rawValue).")
    }

    private static let heads: [FieldShape] = [
        .told("dry_run", .flag, "Whether nothing was changed, only compared."),
        .told("revision", .number, "Of what the document is about: the ETag. Of a dry run, what it was compared with: for If-Match."),
    ]

    private static let changes = FieldShape.told(
        "changes", .objects(change, maximum: DeclarativeService.maximumThings), "Everything that the document names, and what was pruned.")

    static let applied: [FieldShape] = heads + counts + [changes]
}

extension AppliedDocument {
    var json: JSONValue {
        var object: JSONObject = ["dry_run": .bool(isDryRun), "revision": .int(revision)]
        for change in AppliedChange.Change.allCases { object[change.rawValue] = .int(Int64(count(change))) }
        object["changes"] = .array(changes.map(\.json))
        return .object(object)
    }
}

extension AppliedChange {
    fileprivate var json: JSONValue {
        [
            "noun": .string(noun), "list": .string(path), "id": id.map { .string($0) } ?? .null, "name": .string(name),
            "change": .string(change.rawValue),
            "secret": secret.map { .string($0.rawValue) } ?? .null, "shown_once": issued.map { .string($0.reveal()) } ?? .null,
            "fields": .array(fields.map { ["path": .string($0.path), "from": $0.from ?? .null, "to": $0.to] }),
        ]
    }
}
