import ArgumentParser
import Foundation
import Nouns
import Primitives

/// What a command prints, in the form the caller chose.
extension ConnectionOptions {
    /// One object.
    /// - Parameter shapes: Of its fields, as far as they are declared.
    func show(_ answer: Answer, of shapes: [FieldShape] = []) async throws {
        guard field == nil, format == .table else { return try emit(answer) { "" } }
        let rendering = await (try client()).rendering(of: [answer.json])
        let once = ["key", "token", "secret"].first { answer.json.string($0) != nil }
        print(
            Table.details(answer.json, words: Column.words(shapes), rendering)
                + (once.map { "\n\nKeep the \($0) now: it is not shown again." } ?? ""))
    }

    /// A sentence for people; nothing but the API's JSON, if there is any, with `--json`.
    func done(_ sentence: String, _ answer: Answer) throws {
        if format != .table, answer.text.isEmpty { return }
        try emit(answer) { sentence }
    }

    func list(
        _ path: String, columns: [Column], filters: some ListFilters = NoFilters(), page: PageOptions,
        watching: WatchOptions? = nil
    ) async throws {
        let client = try client()
        let query = try await client.resolved(filters) + page.query()
        if let watching, watching.watch {
            return try await watching.run(format) {
                let answer = try await client.list(path, query: query, all: page.all)
                let rendering = await client.rendering(of: answer.json.list("items"))
                return Look(columns, answer.json.list("items"), rendering)
            }
        }
        let answer = try await client.list(path, query: query, all: page.all)
        try await show(answer, in: columns, client)
    }

    /// A list.
    func show(_ answer: Answer, in columns: [Column], _ client: AdminClient) async throws {
        let items = answer.json.list("items")
        guard field == nil, format == .table, !items.isEmpty else { return try emit(answer) { "Nothing there." } }
        let more = answer.json.string("next_cursor").map { "\nThere is more: --cursor \($0), or --all." } ?? ""
        let since = answer.json.string("sorted_since").map { "\nOnly those since \($0) are sorted: a shorter time is sorted whole." } ?? ""
        print(Table.render(columns, items, await client.rendering(of: items)) + since + more)
    }

    /// Prints the API's JSON, one member of it, or what `human` makes of it.
    func emit(_ answer: Answer, human: () throws -> String) throws {
        if let field {
            guard let value = answer.json.at(field) else { throw Failure.usage("the answer has no member \"\(field)\"") }
            print(value.raw)
        } else {
            print(try answer.printed(as: format, human: human))
        }
    }
}

/// How an answer that came from no control plane is printed.
struct FormatOptions: ParsableArguments {
    @Flag(help: "Print JSON: as -o json.")
    var json = false

    @Option(name: [.customShort("o"), .customLong("format")], help: "How to print it: table, json, yaml, or name.")
    var output = OutputFormat.table

    var format: OutputFormat { json ? .json : output }
}

extension Answer {
    init(_ json: JSONValue) { self.init(text: json.text, json: json, etag: nil) }

    func printed(as format: OutputFormat, human: () throws -> String) rethrows -> String {
        switch format {
        case .json: text.trimmingSuffix("\n")
        case .yaml: json.yaml
        case .name: names.joined(separator: "\n")
        case .table: try human()
        }
    }

    /// The identifiers of a list's items or of the object.
    var names: [String] {
        (json["items"]?.arrayValue ?? [json]).compactMap { $0.string("id") ?? $0.at("version")?.plain ?? $0.string("name") }
    }
}

extension Column {
    /// The words for null and 0, by field; those of an object inside by dotted name.
    static func words(_ shapes: [FieldShape], below parent: String = "") -> [String: Column] {
        var words: [String: Column] = [:]
        for shape in shapes {
            let name = parent + shape.name
            if case .object(let inner) = shape.kind {
                words.merge(self.words(inner, below: name + ".")) { first, _ in first }
            } else if shape.nullWord != nil || shape.zeroWord != nil {
                words[name] = Column(name, name, null: shape.nullWord ?? "-", zero: shape.zeroWord)
            }
        }
        return words
    }
}
