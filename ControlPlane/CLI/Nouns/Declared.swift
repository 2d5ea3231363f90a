import ArgumentParser
import Nouns
import Primitives

/// A resource whose noun is declared: everything its commands need comes from the declaration.
protocol DeclaredResource: EditableResource
where NewFields == RecordOptions<Content, Creation>, Fields == RecordOptions<Content, Change>, Filters == FilterOptions<Content> {
    associatedtype Content: Noun
}

extension DeclaredResource {
    static var name: String { thing.replacing(" ", with: "-") }
    static var thing: String { Content.words.name }
    static var abstract: String { Content.words.about }
    static var path: String { Content.words.path }
    static var columns: [Column] { [.id] + Content.shapes.compactMap(Column.init) + [.created] }
    static var shown: [FieldShape] { Content.shapes }
    static var exampleID: String { Content.Kind.example }
    static var createExample: String { Content.words.createExample }
    static var updateExample: String { Content.words.updateExample }
}

/// A declared noun with the usual commands only.
enum Declared<Content: Noun>: DeclaredResource {}

extension Column {
    /// Nil for a field that lists do not show.
    init?(_ shape: FieldShape) {
        guard let heading = shape.heading else { return nil }
        defer {
            nullWord = shape.nullWord ?? nullWord
            zeroWord = shape.zeroWord
        }
        switch shape.kind {
        case .id, .list(.id, _), .scope(.id): self.init(heading, shape.name, .reference)
        case .time: self.init(heading, shape.name, .time)
        case .integer, .dollars, .percentage: self.init(heading, shape.name, .number)
        case .object(let shapes): self.init(heading, [shape.name, shapes.first?.name ?? ""].joined(separator: "."))
        case .objects(let shapes, _):
            let first = shapes.first?.name ?? ""
            self.init(heading, shape.name, .derived { $0.list(shape.name).compactMap { $0.string(first) }.joined(separator: ", ") })
        default: self.init(heading, shape.name)
        }
    }
}

/// What the options of a record are for.
protocol OptionPurpose: Sendable {
    static func takes(_ shape: FieldShape) -> Bool
    /// What is said of a field besides what it is.
    static func words(_ shape: FieldShape) -> String
}

/// Everything that is given, with what it is when it is left out.
enum Creation: OptionPurpose {
    static func takes(_ shape: FieldShape) -> Bool { shape.isInput }

    static func words(_ shape: FieldShape) -> String {
        if shape.isRequired { return " Required." }
        if let standard = shape.standard, standard != .null, standard != "", standard != [], standard != [:] {
            let isZero = standard == 0 || standard == "1970-01-01T00:00:00Z"
            return " (default: \(isZero ? shape.zeroWord ?? standard.raw : standard.raw))"
        }
        return (shape.standardWords ?? (shape.standard == .null ? shape.nullWord : nil)).map { " (default: \($0))" } ?? ""
    }
}

/// What can be changed. What is left out stays as it is.
enum Change: OptionPurpose {
    static func takes(_ shape: FieldShape) -> Bool { shape.use == .given }
    static func words(_ shape: FieldShape) -> String { "" }
}

/// The options of a record's fields. The parser finds a type's options by its mirror and reads them by coding key: this type's
/// come from a declaration, and each is decoded under its own name.
struct RecordOptions<Content: Record, Purpose: OptionPurpose>: BodyFields, CustomReflectable {
    private var given: [String: [String]] = [:]

    init() {}

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: OptionKey.self)
        for option in Self.options {
            let key = OptionKey(stringValue: option.key)
            given[option.key] =
                option.repeats
                ? try container.decodeIfPresent([String].self, forKey: key)
                : try container.decodeIfPresent(String.self, forKey: key).map { [$0] }
        }
    }

    var customMirror: Mirror { Mirror(self, children: Self.options.map { ($0.key, $0.definition(Purpose.words)) }) }

    private static var options: [FieldOption] { FieldOption.all(Content.shapes.filter(Purpose.takes)) }

    static var shapes: [FieldShape] { Content.shapes }

    private static var needed: [FieldShape] { Content.shapes.filter { $0.isRequired && $0.isInput && $0.kind != .secret } }

    static var required: [(member: String, option: String)] { needed.map { ($0.name, FieldOption.name($0)) } }

    static var requiredUsage: String { needed.map { "--\(FieldOption.name($0)) <\($0.kind.valueName)> " }.joined() }

    static func cleared(_ member: String) throws -> JSONValue {
        guard let shape = Content.shapes.first(where: { $0.name == member }) else { return .null }
        if case .scope = shape.kind { throw Failure.usage("say --\(FieldOption.name(shape)) all, or name those it is for") }
        return shape.standard ?? .null
    }

    func body() throws -> Body { try body(of: Content.shapes, below: "") }

    private func body(of shapes: [FieldShape], below parent: String) throws -> Body {
        var body = Body()
        for shape in shapes where shape.isInput && shape.kind != .secret {
            if case .object(let inner) = shape.kind {
                body.set(shape.name, try self.body(of: inner, below: shape.name + "."))
            } else if let texts = given[parent + shape.name], !texts.isEmpty {
                body.set(shape.name, json: try shape.json(of: texts))
            }
        }
        return body
    }
}

/// The filters of a noun's list.
struct FilterOptions<Content: Noun>: ListFilters, CustomReflectable {
    private var given: [(String, String)] = []

    init() {}

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: OptionKey.self)
        for shape in Self.shapes + [Self.sort] {
            if let text = try container.decodeIfPresent(String.self, forKey: OptionKey(stringValue: shape.name)) {
                given.append((shape.name, text))
            }
        }
    }

    static var shapes: [FieldShape] { Content.shapes.filter(\.isFilter) }
    private static var sort: FieldShape { FieldShape("sort", .token, "Sort by created_at or name; a minus turns it round: -created_at.") }

    var customMirror: Mirror {
        Mirror(
            self,
            children: Self.shapes.map { shape in
                (shape.name, FieldOption(key: shape.name, shape: shape).filter("Only those with this: \(shape.about)"))
            } + [(Self.sort.name, FieldOption(key: Self.sort.name, shape: Self.sort).filter(Self.sort.about))])
    }

    func query() -> [(String, String)] { given }
}

struct OptionKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// A field as the option that gives it.
struct FieldOption {
    /// The field's path: `timeouts.idle_ms`.
    let key: String
    let shape: FieldShape

    /// Those of the fields that are given; of an object inside, those of its fields.
    static func all(_ shapes: [FieldShape], below parent: String = "") -> [FieldOption] {
        shapes.filter { $0.isInput && $0.kind != .secret }.flatMap { shape in
            if case .object(let inner) = shape.kind { return all(inner, below: shape.name + ".") }
            return [FieldOption(key: parent + shape.name, shape: shape)]
        }
    }

    static func name(_ shape: FieldShape) -> String { shape.option ?? String(shape.name.map { $0 == "_" ? "-" : $0 }) }

    var repeats: Bool {
        switch shape.kind {
        case .list, .scope, .labels, .objects: true
        default: false
        }
    }

    /// What the parser is told of it.
    func definition(_ more: (FieldShape) -> String) -> Any {
        let name = NameSpecification.customLong(Self.name(shape))
        let help = ArgumentHelp(text + more(shape), valueName: shape.kind.valueName)
        let completion = shape.kind.completion
        return repeats
            ? Option<[String]>(wrappedValue: [], name: name, help: help, completion: completion) as Any
            : Option<String?>(name: name, help: help, completion: completion) as Any
    }

    func filter(_ about: String) -> Option<String?> {
        // Whatever follows is the value, also where it begins with a minus: `--sort -name`.
        Option<String?>(
            name: .customLong(Self.name(shape)), parsing: .unconditional, help: ArgumentHelp(about, valueName: shape.kind.valueName),
            completion: shape.kind.completion)
    }

    private var text: String {
        var text = shape.about
        if let unit = shape.unit { text += " In \(unit.spelled(shape))." }
        text = text.spelled(shape)
        if case .scope = shape.kind { text += " \"all\" is everything." }
        for word in [shape.nullWord, shape.zeroWord].compactMap(\.self) where !text.contains("\"\(word)\"") {
            text += " May be \"\(word)\"."
        }
        if repeats { text += " May be repeated." }
        return text
    }
}

extension String {
    /// Where the API's words are "null: any" or "0: all", the command line has a word of its own.
    fileprivate func spelled(_ shape: FieldShape) -> String {
        var text = self
        for (value, word) in [("null", shape.nullWord), ("0", shape.zeroWord)] {
            if let word { text = text.replacing("\(value): ", with: "\(word): ") }
        }
        return text
    }
}

extension FieldKind {
    fileprivate var completion: CompletionKind? {
        switch self {
        case .word(let words): .list(words)
        case .flag: .list(["true", "false"])
        case .list(let element, _), .scope(let element): element.completion
        case .checked(format: "pem"): .file()
        default: nil
        }
    }

    /// In the help, for what stands after the option.
    fileprivate var valueName: String {
        switch self {
        case .word(let words): words.joined(separator: "|")
        case .flag: "true|false"
        case .integer: "number"
        case .dollars: "dollars"
        case .percentage: "percent"
        case .time: "time"
        case .id: "id"
        case .list(let element, _), .scope(let element): element.valueName
        case .labels: "name=value"
        case .objects(let shapes, _):
            shapes.dropFirst().reduce(shapes.first?.name ?? "") { "\($0)[,\(FieldOption.name($1))=…]" }
        case .checked(format: "pem"): "pem-file"
        default: "text"
        }
    }
}

extension FieldShape {
    /// The value that was typed, as JSON.
    fileprivate func json(of texts: [String]) throws -> JSONValue {
        if let text = texts.last, texts.count == 1 {
            if text == nullWord { return .null }
            if text == zeroWord { return kind == .time ? "1970-01-01T00:00:00Z" : 0 }
        }
        switch kind {
        case .list(let element, _): return .array(try texts.map { try json($0, as: element) })
        case .scope(let element): return texts == ["all"] ? "all" : .array(try texts.map { try json($0, as: element) })
        case .labels:
            return .object(
                JSONObject(
                    members: try texts.map { text in
                        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                        guard parts.count == 2, !parts[0].isEmpty else { throw unfit(text, "name=value") }
                        return .init(name: String(parts[0]), value: .string(String(parts[1])))
                    }))
        case .objects(let shapes, _): return .array(try texts.map { try object($0, shapes) })
        default: return try json(texts.last ?? "", as: kind)
        }
    }

    private func json(_ text: String, as kind: FieldKind) throws -> JSONValue {
        switch kind {
        case .flag:
            guard let value = Bool(text) else { throw unfit(text, "true or false") }
            return .bool(value)
        case .integer:
            guard let value = Int64(text) else { throw unfit(text, "a whole number") }
            return .int(value)
        case .time:
            guard let moment = Moment(argument: text) else { throw unfit(text, "2027-01-31 or 2027-01-31T12:00:00Z") }
            return .string(moment.text)
        case .word(let words):
            guard words.contains(text) else { throw unfit(text, kind.words) }
            return .string(text)
        case .checked(format: "pem"): return .string(try readFile(text))
        default: return .string(text)
        }
    }

    /// The first field's value, then `name=value` for others.
    private func object(_ text: String, _ shapes: [FieldShape]) throws -> JSONValue {
        // What holds commas is written as JSON.
        if text.hasPrefix("{") {
            guard let json = try? JSONValue(parsing: text), case .object = json else { throw unfit(text, "a JSON object") }
            return json
        }
        var object = JSONObject()
        for (index, part) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            if index == 0, let first = shapes.first, !part.isEmpty, !part.contains("=") {
                object[first.name] = .string(String(part))
                continue
            }
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let shape = shapes.dropFirst().first(where: { FieldOption.name($0) == pair[0] }) else {
                throw unfit(text, kind.valueName)
            }
            object[shape.name] = try shape.json(of: [String(pair[1])])
        }
        return .object(object)
    }

    private func unfit(_ text: String, _ words: String) -> Failure {
        .usage("--\(FieldOption.name(self)): \"\(text)\" is not \(words)")
    }
}
