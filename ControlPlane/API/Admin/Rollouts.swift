import Domain
import HTTPTypes
import Nouns
import Primitives

/// The body of a rollback.
struct RollbackForm: Record {
    var undo: Int64?
    var to: Int64?
    var despiteFaults = false

    private static let version = FieldKind.integer(1...Int64.max)

    static let fields: [Field<Self>] = [
        Field("undo", \.undo, version, "The version to leave: the candidate or the baseline."),
        Field("to", \.to, version, "The version whose content is to serve all; else the one before."),
        Field("despite_faults", \.despiteFaults, "Although what comes back cannot be served as it was.", or: false),
    ]
}

/// Bringing versions into force and back.
package struct RolloutRoutes: RouteGroup {
    let rollouts: Rollouts

    private static var path: String { "/admin/api/rollouts" }

    package func addRoutes(to table: inout RouteTable) {
        let creation = RouteDocs("Make a version the candidate.") {
            $0.body = .form(RolloutContent.shapes)
            $0.answer = .object(RolloutContent.shown + [.told("reach", .object(Shapes.reach), "Whom it reaches.", nullable: true)])
            $0.status = 201
            $0.hasRevision = true
        }
        table.post(Self.path, .admin(.operate), creation) { request in
            let rollout = try await rollouts.create(try request.form(), by: request.actor)
            var answer = rollout.json.objectValue ?? JSONObject()
            // It is created, whether or not there is time to count.
            answer["reach"] = (try? await rollouts.reach(of: rollout.id))?.json ?? .null
            return .json(.object(answer), status: .created, revision: rollout.revision)
        }
        let preview = RouteDocs("Count whom a rollout would reach, without making it.") {
            $0.body = .form(RolloutContent.shapes)
            $0.answer = .object(Shapes.reach)
        }
        table.post("\(Self.path)/preview", .admin(.read), preview) { request in
            .json(try await rollouts.preview(try request.form(), by: request.actor).json)
        }
        let reach = RouteDocs("Count whom a rollout reaches now.") { $0.answer = .object(Shapes.reach) }
        table.report("\(Self.path)/{id}/reach", .admin(.read), reach) { request in
            try request.query.allow([])
            return .json(try await rollouts.reach(of: request.id("rollout")).json)
        }
        let keys = RouteDocs("List the virtual keys that a rollout selects.") {
            $0.query = RouteDocs.page
            $0.answer = .list(Shapes.rolloutKey)
        }
        table.report("\(Self.path)/{id}/keys", .admin(.read), keys) { request in
            try request.query.allow(["limit", "cursor"])
            let page = try await rollouts.keys(of: request.id("rollout"), request.page(of: Rollouts.keyList))
            return .list(page) { $0.json }
        }
        let standing = RouteDocs("Get what is in force.") { $0.answer = .object(Shapes.rolloutStanding) }
        table.get("\(Self.path)/status", .admin(.read), standing) { request in
            try request.query.allow([])
            return .json(try await rollouts.standing().json)
        }
        let rollback = RouteDocs("Go back: withdraw the candidate, or repeat the baseline before.") {
            $0.body = .form(RollbackForm.shapes)
            $0.answer = .object(Shapes.rollback)
        }
        table.post("\(Self.path)/rollback", .admin(.operate), rollback) { request in
            let form: RollbackForm = try request.form()
            let order = RollbackOrder(undo: form.undo, to: form.to, despiteFaults: form.despiteFaults)
            return .json(try await rollouts.rollback(order, actor: request.actor).json)
        }
        let routes = NounRoutes(rollouts.nouns, without: [.create, .delete])
        routes.addRoutes(to: &table)
        routes.action("promote", "Make the candidate the baseline for all.", NoFields.self, to: &table) { id, revision, _, actor in
            (try await rollouts.promote(id, at: revision, by: actor), nil)
        }
        routes.action("abort", "Withdraw the candidate.", NoFields.self, to: &table) { id, revision, _, actor in
            (try await rollouts.abort(id, at: revision, by: actor), nil)
        }
    }
}
