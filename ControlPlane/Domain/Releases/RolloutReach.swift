import Contract
package import Nouns
package import Primitives
import Storage

/// How many a rollout would give the candidate, or does, by the same choice that data planes make.
package struct RolloutReach: Sendable, Hashable {
    /// Virtual keys that work and get it on at least one data plane.
    package let keys: Int64
    /// Virtual keys that work in all.
    package let allKeys: Int64
    /// The tenants of those keys.
    package let tenants: Int64
    package let dataPlanes: Int64
    package let warnings: [FieldProblem]

    package var json: JSONValue {
        let list = warnings.map { warning -> JSONValue in
            ["field": .string(warning.field), "message": .string(warning.message), "remedy": .string(warning.remedy)]
        }
        return [
            "keys": .int(keys), "all_keys": .int(allKeys), "tenants": .int(tenants), "data_planes": .int(dataPlanes),
            "warnings": .array(list),
        ]
    }
}

/// A key that a rollout selects.
package struct RolloutKey: Sendable, Hashable {
    package let id: String
    package let name: String
    package let projectID: String
    package let tenantID: String

    package var json: JSONValue {
        ["id": .string(id), "name": .string(name), "project_id": .string(projectID), "tenant_id": .string(tenantID)]
    }
}

extension Rollouts {
    package static let keyList = "rollout-keys"
    /// Rows read at once.
    private static let keyPage = 5000

    /// Whom a rollout would reach; it is checked as `create` does and not made.
    package func preview(_ wanted: RolloutContent, by actor: Actor) async throws -> RolloutReach {
        let now = nouns.now
        return try await domain.report(as: actor.scope) { c in
            let id = RolloutID.random()
            try NounService<RolloutContent>.check(wanted.fieldProblems(replacing: nil))
            try NounService<RolloutContent>.checkBeside(wanted, id: id, c)
            var content = wanted
            try content.begin(c, by: actor, at: now)
            return try Self.reach(c, id, content, now)
        }
    }

    package func reach(of id: RolloutID) async throws -> RolloutReach {
        let now = nouns.now
        return try await domain.report(as: .all) { c in try Self.reach(c, id, RolloutContent.present(c, id).content, now) }
    }

    /// The keys that a rollout selects, by id.
    package func keys(of id: RolloutID, _ page: PageRequest) async throws -> Page<RolloutKey> {
        let now = nouns.now
        let keys = try await domain.report(as: .all) { c -> [RolloutKey] in
            let choice = try Choice(c, id, RolloutContent.present(c, id).content)
            var found: [RolloutKey] = []
            try Self.eachKey(c, after: page.after?.id ?? "", now) { key in
                if choice.selects(key) {
                    found.append(RolloutKey(id: key.id, name: key.name, projectID: key.projectID, tenantID: key.tenantID))
                }
                return found.count < page.fetchLimit
            }
            return found
        }
        return Page(fetched: keys, page) { Cursor(list: Self.keyList, time: 0, id: $0.id) }
    }

    /// The choice of all data planes together.
    private struct Choice {
        let dataPlanes: Int
        private let selector: RolloutSelector?
        /// Nil: every tenant is served by one of them.
        private let served: Set<String>?

        init(_ c: any SQLConnection, _ id: RolloutID, _ rollout: RolloutContent) throws {
            let payload = Rollouts.payload(of: id, rollout)
            let chosen = try DataPlanesTable.active(c).compactMap { plane -> (plane: DataPlaneRow, selector: RolloutSelector)? in
                let selector = RolloutSelector(payload: payload, region: plane.region, dataPlane: plane.id)
                return selector.concernsThisDataPlane ? (plane, selector) : nil
            }
            dataPlanes = chosen.count
            selector = chosen.first?.selector
            let scopes = chosen.map { DirectoryScope(tenantIDs: $0.plane.tenantIDs) }
            served =
                scopes.contains(.everyone)
                ? nil
                : scopes.reduce(into: Set<String>()) { all, scope in
                    if case .tenants(let ids) = scope { all.formUnion(ids) }
                }
        }

        func selects(_ key: DirectoryTables.Holder) -> Bool {
            guard let selector, served?.contains(key.tenantID) ?? true else { return false }
            return selector.isCandidate(keyID: key.id, tenantID: key.tenantID)
        }
    }

    private static func reach(
        _ c: any SQLConnection, _ id: RolloutID, _ rollout: RolloutContent, _ now: Int64
    ) throws -> RolloutReach {
        let choice = try Choice(c, id, rollout)
        var (selected, all) = (Int64(0), Int64(0))
        var tenants = Set<String>()
        try eachKey(c, after: "", now) { key in
            all += 1
            if choice.selects(key) {
                selected += 1
                tenants.insert(key.tenantID)
            }
            return true
        }
        return RolloutReach(
            keys: selected, allKeys: all, tenants: Int64(tenants.count), dataPlanes: Int64(choice.dataPlanes),
            warnings: warnings(rollout, keys: selected, all: all, dataPlanes: choice.dataPlanes))
    }

    private static func warnings(_ rollout: RolloutContent, keys: Int64, all: Int64, dataPlanes: Int) -> [FieldProblem] {
        if rollout.percentage.basisPoints == 0 {
            return [FieldProblem("percentage", "is 0: nobody gets the candidate", remedy: "Raise it when you are ready.")]
        }
        if dataPlanes == 0, rollout.regions == .all, rollout.dataPlaneIDs == .all {
            return [
                FieldProblem(
                    "data_plane_ids", "no data plane is enrolled yet: those that enrol will get it",
                    remedy: "Make a token for one: `weir fleet token create`.")
            ]
        }
        if dataPlanes == 0 {
            return [FieldProblem("data_plane_ids", "none matches: nobody gets the candidate", remedy: "Change the regions or data planes.")]
        }
        guard keys == 0 else { return [] }
        if all == 0 { return [FieldProblem("keys", "there are none that work yet: nobody gets the candidate", remedy: "Create keys.")] }
        return [
            FieldProblem(
                "percentage", "of \(all) key\(all == 1 ? "" : "s") none is selected: nobody gets the candidate",
                remedy: "Raise the percentage, or select more tenants.")
        ]
    }

    /// Keys that work, by id, until `body` answers false.
    private static func eachKey(
        _ c: any SQLConnection, after start: String, _ now: Int64, _ body: (DirectoryTables.Holder) throws -> Bool
    ) throws {
        var lastID = start
        while true {
            let page = try DirectoryTables.holders(c, after: lastID, now: now, limit: keyPage)
            for key in page where try !body(key) { return }
            guard page.count == keyPage, let last = page.last else { return }
            lastID = last.id
        }
    }
}
