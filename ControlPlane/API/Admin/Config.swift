import Domain
import HTTPTypes
import Primitives

/// The draft as a whole and the versions published from it.
package struct ConfigRoutes: RouteGroup {
    let drafts: Drafts
    let versions: ConfigVersions

    package func addRoutes(to table: inout RouteTable) {
        addDraft(to: &table)
        addVersions(to: &table)
    }

    private func addDraft(to table: inout RouteTable) {
        table.get("/admin/api/config/draft", .admin(.read)) { request in
            try request.query.allow([])
            return .json(try await drafts.view().json)
        }
        table.post("/admin/api/config/draft/validate", .admin(.read)) { request in
            try request.expectNoFields()
            let problems = try await drafts.problems()
            let list = problems.map { problem -> JSONValue in
                ["path": .string(problem.field), "message": .string(problem.message), "remedy": .string(problem.remedy)]
            }
            return .json(["valid": .bool(problems.isEmpty), "problems": .array(list)])
        }
        table.post("/admin/api/config/draft/reset", .admin(.operate)) { request in
            let version = try request.fields { $0.integer("version", in: 1...Int64.max) }
            return .json(try await drafts.reset(to: version, actor: request.actor).json)
        }
    }

    private func addVersions(to table: inout RouteTable) {
        table.get("/admin/api/config/versions", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor"])
            return .list(try await versions.versions(request.page(of: ConfigVersions.list))) { $0.json }
        }
        table.post("/admin/api/config/versions", .admin(.operate)) { request in
            let (note, restore) = try request.fields { fields in
                (fields.string("note", or: ""), fields.integer("restore", in: 1...Int64.max, or: 0))
            }
            let version = try await versions.publish(note: note, restore: restore == 0 ? nil : restore, actor: request.actor)
            return .json(version.json, status: .created, revision: version.version)
        }
        table.get("/admin/api/config/versions/{id}", .admin(.read)) { request in
            let text = request.parameters["id"] ?? ""
            guard let number = Int64(text), number > 0 else {
                throw DomainError.notFound(kind: "configuration version", id: String(text.prefix(64)))
            }
            let (version, content) = try await versions.version(number)
            guard case .object(var object) = version.json else { return .json(version.json) }
            object["config"] = .object(content)
            return .json(.object(object), revision: version.version)
        }
        table.get("/admin/api/config/diff", .admin(.read)) { request in
            try request.query.allow(["from", "to"])
            let (from, to) = (try Self.reference(request, "from"), try Self.reference(request, "to"))
            var answer: JSONObject = ["from": .string(from.text), "to": .string(to.text)]
            for member in try await versions.diff(from: from, to: to).json.objectValue?.members ?? [] { answer[member.name] = member.value }
            return .json(.object(answer))
        }
    }

    private static func reference(_ request: APIRequest, _ name: String) throws(DomainError) -> ConfigVersions.Reference {
        let text = request.query[name]
        if text == "draft" { return .draft }
        guard let version = text.flatMap({ Int64($0) }), version > 0 else {
            throw .invalid(
                name, text == nil ? "is missing" : "is neither a version nor draft", remedy: "Pass a version's number, or the word draft.")
        }
        return .version(version)
    }
}
