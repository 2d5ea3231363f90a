import Domain
import HTTPTypes
import Primitives

/// Bringing versions into force and back.
package struct RolloutRoutes: RouteGroup {
    let rollouts: Rollouts

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/rollouts", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor"])
            return .list(try await rollouts.rollouts(request.page(of: Rollouts.list))) { $0.json }
        }
        table.post("/admin/api/rollouts", .admin(.operate)) { request in
            let rollout = try await rollouts.create(try request.fields(Self.new), actor: request.actor)
            var answer = rollout.json.objectValue ?? JSONObject()
            // It is created, whether or not there is time to count.
            answer["reach"] = (try? await rollouts.reach(of: ID(rollout.id)))?.json ?? .null
            return .json(.object(answer), status: .created, revision: rollout.revision)
        }
        // What creating it would do, without doing it.
        table.post("/admin/api/rollouts/preview", .admin(.read)) { request in
            .json(try await rollouts.preview(try request.fields(Self.new), actor: request.actor).json)
        }
        table.report("/admin/api/rollouts/{id}/keys", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor"])
            let page = try await rollouts.keys(of: request.id("rollout"), request.page(of: Rollouts.keyList))
            return .list(page) { $0.json }
        }
        table.get("/admin/api/rollouts/status", .admin(.read)) { _ in
            .json(try await rollouts.standing().json)
        }
        table.post("/admin/api/rollouts/rollback", .admin(.operate)) { request in
            let order = try request.fields { fields in
                func version(_ name: String) -> Int64? { fields.has(name) ? fields.integer(name, in: 1...Int64.max) : nil }
                return RollbackOrder(
                    undo: version("undo"), to: version("to"), despiteFaults: fields.bool("despite_faults", or: false))
            }
            return .json(try await rollouts.rollback(order, actor: request.actor).json)
        }
        table.get("/admin/api/rollouts/{id}", .admin(.read)) { request in
            let rollout = try await rollouts.rollout(request.id("rollout"))
            return .json(rollout.json, revision: rollout.revision)
        }
        table.patch("/admin/api/rollouts/{id}", .admin(.operate)) { request in
            let id: RolloutID = try request.id("rollout")
            let edit = try request.fields(Self.edit)
            let revision = try await request.expectedRevision(current: rollouts.rollout(id).revision)
            let rollout = try await rollouts.update(id, edit, revision: revision, actor: request.actor)
            return .json(rollout.json, revision: rollout.revision)
        }
        decision("promote", to: &table) { try await rollouts.promote($0, revision: $1, actor: $2) }
        decision("abort", to: &table) { try await rollouts.abort($0, revision: $1, actor: $2) }
    }

    /// One call each, so `If-Match` is welcome and not required.
    private func decision(
        _ verb: String, to table: inout RouteTable, _ decide: @escaping @Sendable (RolloutID, Int64?, Actor) async throws -> Rollout
    ) {
        table.post("/admin/api/rollouts/{id}/\(verb)", .admin(.operate)) { request in
            try request.expectNoFields()
            let id: RolloutID = try request.id("rollout")
            let revision = try await request.optionalRevision(current: rollouts.rollout(id).revision)
            let rollout = try await decide(id, revision, request.actor)
            return .json(rollout.json, revision: rollout.revision)
        }
    }

    private static func new(_ fields: FieldReader) -> NewRollout {
        let edit = edit(fields)
        return NewRollout(
            version: fields.integer("version", in: 1...Int64.max), tenantIDs: edit.tenantIDs ?? [], regions: edit.regions ?? [],
            dataPlaneIDs: edit.dataPlaneIDs ?? [], percentage: edit.percentage ?? .all, effectiveAt: edit.effectiveAt)
    }

    private static func edit(_ fields: FieldReader) -> RolloutEdit {
        let (tenants, regions) = (fields.strings("tenants", or: []), fields.strings("regions", or: []))
        let (dataPlanes, percentage) = (fields.strings("data_planes", or: []), fields.percentage("percentage", or: .all))
        return RolloutEdit(
            tenantIDs: fields.has("tenants") ? tenants : nil, regions: fields.has("regions") ? regions : nil,
            dataPlaneIDs: fields.has("data_planes") ? dataPlanes : nil, percentage: fields.has("percentage") ? percentage : nil,
            effectiveAt: fields.optionalTime("effective_at"))
    }
}
