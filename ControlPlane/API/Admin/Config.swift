import Domain
import HTTPTypes
import Primitives

/// The draft as a whole and the versions published from it.
package struct ConfigRoutes: RouteGroup {
    let drafts: Drafts
    let versions: ConfigVersions
    let testCalls: TestCalls

    package func addRoutes(to table: inout RouteTable) {
        addDraft(to: &table)
        addVersions(to: &table)
        addPlan(to: &table)
    }

    private func addDraft(to table: inout RouteTable) {
        table.get("/admin/api/config/draft", .admin(.read)) { request in
            try request.query.allow([])
            let draft = try await drafts.view()
            return .json(draft.json, revision: draft.revision)
        }
        table.get("/admin/api/config/draft/changes", .admin(.read)) { request in
            try request.query.allow([])
            let changes = try await drafts.changes()
            return .json(changes.json, revision: changes.revision)
        }
        table.post("/admin/api/config/draft/validate", .admin(.read)) { request in
            try request.expectNoFields()
            let (problems, warnings) = try await drafts.check()
            return .json(["valid": .bool(problems.isEmpty), "problems": Self.list(problems), "warnings": Self.list(warnings)])
        }
        table.post("/admin/api/config/draft/test-calls", .admin(.operate)) { request in
            let endpoints =
                try request.body.isEmpty
                ? nil : request.fields { fields in fields.has("endpoint_ids") ? fields.identifiers("endpoint_ids") as [EndpointID] : nil }
            let results = try await testCalls.run(endpoints, actor: request.actor)
            return .json(["ok": .bool(results.allSatisfy(\.isGood)), "items": .array(results.map(\.json))])
        }
        table.post("/admin/api/config/draft/reset", .admin(.operate)) { request in
            let version = try request.fields { $0.integer("version", in: 1...Int64.max) }
            let revision = try await request.expectedRevision(current: drafts.revision())
            let draft = try await drafts.reset(to: version, expecting: revision, actor: request.actor)
            return .json(draft.json, revision: draft.revision)
        }
    }

    private func addVersions(to table: inout RouteTable) {
        table.get("/admin/api/config/versions", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor"])
            return .list(try await versions.versions(request.page(of: ConfigVersions.list))) { $0.json }
        }
        table.post("/admin/api/config/versions", .admin(.operate)) { request in
            let (note, restore, acknowledgeRollback) = try request.fields { fields in
                (
                    fields.string("note", or: ""), fields.has("restore") ? fields.integer("restore", in: 1...Int64.max) : nil,
                    fields.bool("acknowledge_rollback", or: false)
                )
            }
            // The draft is everybody's: it is published as the caller has seen it. A version never changes.
            let expecting = restore == nil ? try await request.expectedRevision(current: drafts.revision()) : nil
            let publication = try await versions.publish(
                note: note, restore: restore, expecting: expecting, acknowledgeRollback: acknowledgeRollback, actor: request.actor)
            return .json(publication.json, status: .created, revision: publication.version)
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

    private func addPlan(to table: inout RouteTable) {
        table.get("/admin/api/config/plan", .admin(.read)) { request in
            try request.query.allow(["channel", "version"])
            let channel = request.query["channel"] ?? "default"
            guard Vocabulary.channels.contains(channel) else {
                throw DomainError.invalid(
                    "channel", "is no channel", remedy: "Use one of: \(Vocabulary.channels.joined(separator: ", ")).")
            }
            let reference: ConfigVersions.Reference = request.query["version"] == nil ? .draft : try Self.reference(request, "version")
            return .json(try await versions.plan(of: channel, in: reference).json)
        }
    }

    private static func list(_ problems: [FieldProblem]) -> JSONValue {
        .array(
            problems.map { ["path": .string($0.field), "message": .string($0.message), "remedy": .string($0.remedy)] })
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
