import Foundation
import Nouns
import Primitives

/// What a command prints, in the form the caller chose.
extension ConnectionOptions {
    /// One object.
    func show(_ answer: Answer) throws {
        try emit(answer) {
            let once = ["key", "token"].first { answer.json.string($0) != nil }
            return Table.details(answer.json) + (once.map { "\n\nKeep the \($0) now: it is not shown again." } ?? "")
        }
    }

    /// A sentence for people; nothing but the API's JSON, if there is any, with `--json`.
    func done(_ sentence: String, _ answer: Answer) throws {
        if json || output != .table, answer.text.isEmpty { return }
        try emit(answer) { sentence }
    }

    func list(_ path: String, columns: [Column], filters: some ListFilters = NoFilters(), page: PageOptions) async throws {
        let client = try client()
        var query = try filters.query()
        for (index, (name, text)) in query.enumerated() {
            guard case .id(let prefix)? = type(of: filters).shapes.first(where: { $0.name == name })?.kind else { continue }
            query[index].1 = try await client.id(text, prefix: prefix)
        }
        let answer = try await client.list(path, query: query + page.query(), all: page.all)
        try emit(answer) {
            let items = answer.json.list("items")
            guard !items.isEmpty else { return "Nothing there." }
            let more = answer.json.string("next_cursor").map { "\nThere is more: --cursor \($0), or --all." } ?? ""
            return Table.render(columns, items) + more
        }
    }

    /// Prints the API's JSON, one member of it, or what `human` makes of it.
    func emit(_ answer: Answer, human: () throws -> String) throws {
        if let field {
            guard let value = answer.json.at(field) else { throw Failure.usage("the answer has no member \"\(field)\"") }
            print(value.raw)
        } else {
            switch json ? .json : output {
            case .json: print(answer.text.trimmingSuffix("\n"))
            case .yaml: print(answer.json.yaml)
            case .name: print(answer.names.joined(separator: "\n"))
            case .table: print(try human())
            }
        }
    }
}
