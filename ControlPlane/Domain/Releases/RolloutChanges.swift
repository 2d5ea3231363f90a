import Contract
import Nouns
package import Primitives
import Storage
import Trust

/// A wanted rollout.
package struct NewRollout: Sendable, Hashable {
    package var version: Int64
    /// The selectors all have to match; an empty one matches everything.
    package var tenantIDs: [String]
    package var regions: [String]
    package var dataPlaneIDs: [String]
    package var percentage: Percentage
    /// Unix milliseconds; nil: at once.
    package var effectiveAt: Int64?

    package init(
        version: Int64, tenantIDs: [String] = [], regions: [String] = [], dataPlaneIDs: [String] = [], percentage: Percentage = .all,
        effectiveAt: Int64? = nil
    ) {
        self.version = version
        self.tenantIDs = tenantIDs
        self.regions = regions
        self.dataPlaneIDs = dataPlaneIDs
        self.percentage = percentage
        self.effectiveAt = effectiveAt
    }
}

/// What is to change about a candidate; nil stays. Its salt stays too: whoever was among 5 % is among 20 %.
package struct RolloutEdit: Sendable, Hashable {
    package var tenantIDs: [String]?
    package var regions: [String]?
    package var dataPlaneIDs: [String]?
    package var percentage: Percentage?
    package var effectiveAt: Int64?

    package init(
        tenantIDs: [String]? = nil, regions: [String]? = nil, dataPlaneIDs: [String]? = nil, percentage: Percentage? = nil,
        effectiveAt: Int64? = nil
    ) {
        self.tenantIDs = tenantIDs
        self.regions = regions
        self.dataPlaneIDs = dataPlaneIDs
        self.percentage = percentage
        self.effectiveAt = effectiveAt
    }
}

extension Rollouts {
    package static let maximumSelectors = 1000

    /// Makes a version the candidate.
    /// - Throws: `invalid` naming each unknown version, tenant, region or data plane; `conflict` when there is a candidate already, the
    ///   version is not newer than all that data planes have been offered, or it cannot be served any more, each fault named.
    package func create(_ new: NewRollout, actor: Actor) async throws -> Rollout {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(as: actor.scope, raising: .rollout) { c in
            let document = try ChangeCounter.rollout.next(c)
            var state = try RolloutStateTable.get(c)
            let row = try Self.candidate(new, c, state, actor, now)
            try RolloutsTable.insert(c, row)
            state.documentVersion = document
            state.candidateRolloutID = row.id
            state.highestVersion = max(state.highestVersion, row.version)
            try RolloutStateTable.set(c, state, at: now)
            let rollout = Rollout(row, now: now)
            try AuditLog.record(c, actor, "rollout.create", id: row.id, before: nil, after: rollout.json, at: now)
            return rollout
        }
    }

    /// The row of a wanted rollout, checked.
    static func candidate(
        _ new: NewRollout, _ c: any SQLConnection, _ state: RolloutStateRow, _ actor: Actor, _ now: Int64
    ) throws -> RolloutRow {
        try checkVersion(c, new.version, state)
        let row = RolloutRow(
            id: RolloutID.random().rawValue, version: new.version, baselineVersion: state.baselineVersion,
            tenantIDs: normalised(new.tenantIDs), regions: normalised(new.regions), dataPlaneIDs: normalised(new.dataPlaneIDs),
            percentageBasisPoints: new.percentage.basisPoints, salt: salt(new.version), effectiveAt: new.effectiveAt ?? now,
            authorID: actor.id, authorName: actor.name, createdAt: now)
        try checkSelectors(c, row)
        try checkServable(c, new.version, "be rolled out")
        return row
    }

    /// What decides which keys a percentage selects. The same for each rollout of a version, so that a preview counts the very keys that
    /// get it; another one for each version, so that it is not always the same keys that go first.
    private static func salt(_ version: Int64) -> String {
        Base32.encode(Array(SHA256Digest.of(Array("weir rollout of version \(version)".utf8)).prefix(10)))
    }

    /// - Throws: `conflict` naming each thing that the version needs and that is not there any more.
    static func checkServable(_ c: any SQLConnection, _ version: Int64, _ what: String) throws {
        let faults = try Draft.faults(c, ConfigVersions.existing(c, version, field: "version"))
        guard faults.isEmpty else {
            throw DomainError.conflict(
                detail:
                    "Version \(version) cannot \(what): \(faults.count) thing\(faults.count == 1 ? "" : "s") that it needs would make requests fail, each named under errors.",
                problems: faults)
        }
    }

    /// Widens, narrows or postpones the candidate.
    /// - Parameter revision: What the caller saw.
    package func update(_ id: RolloutID, _ edit: RolloutEdit, revision: Int64, actor: Actor) async throws -> Rollout {
        try await change(id, "rollout.update", revision: revision, actor: actor) { c, row, _, _ in
            var row = row
            row.tenantIDs = edit.tenantIDs.map(Self.normalised) ?? row.tenantIDs
            row.regions = edit.regions.map(Self.normalised) ?? row.regions
            row.dataPlaneIDs = edit.dataPlaneIDs.map(Self.normalised) ?? row.dataPlaneIDs
            row.percentageBasisPoints = edit.percentage?.basisPoints ?? row.percentageBasisPoints
            row.effectiveAt = edit.effectiveAt ?? row.effectiveAt
            try Self.checkSelectors(c, row)
            return row
        }
    }

    /// Makes the candidate the baseline for all, at once.
    /// - Parameter revision: What the caller saw; nil: whatever is there.
    /// - Throws: `conflict` when it is not the candidate any more or cannot be served any more.
    package func promote(_ id: RolloutID, revision: Int64? = nil, actor: Actor) async throws -> Rollout {
        try await change(id, "rollout.promote", revision: revision, actor: actor) { c, row, state, now in
            try Self.checkServable(c, row.version, "be promoted")
            try BaselinesTable.insert(
                c,
                BaselineRow(
                    version: row.version, documentVersion: state.documentVersion, previousVersion: state.baselineVersion, rolloutID: row.id,
                    authorID: actor.id, authorName: actor.name, createdAt: now))
            state.baselineVersion = row.version
            state.candidateRolloutID = nil
            return Self.ended(row, .promoted, by: actor, at: now)
        }
    }

    /// Withdraws the candidate: the baseline serves all again.
    package func abort(_ id: RolloutID, revision: Int64? = nil, actor: Actor) async throws -> Rollout {
        try await change(id, "rollout.abort", revision: revision, actor: actor) { _, row, state, now in
            state.candidateRolloutID = nil
            return Self.ended(row, .aborted, by: actor, at: now)
        }
    }

    // MARK: -

    /// One change of the candidate, under the next version of the rollout document.
    private func change(
        _ id: RolloutID, _ action: String, revision: Int64?, actor: Actor,
        _ apply: @escaping @Sendable (any SQLConnection, RolloutRow, inout RolloutStateRow, _ now: Int64) throws -> RolloutRow
    ) async throws -> Rollout {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(as: actor.scope, raising: .rollout) { c in
            let document = try ChangeCounter.rollout.next(c)
            var state = try RolloutStateTable.get(c)
            let row = try Self.existing(c, id)
            if let revision { try checkRevision(revision, current: row.revision) }
            guard state.candidateRolloutID == row.id else {
                throw DomainError.conflict(
                    "rollout", "is not the candidate any more: it is \(Rollout(row, now: now).state.rawValue)",
                    remedy: "Look at GET /admin/api/rollouts for the present candidate.")
            }
            state.documentVersion = document
            var changed = try apply(c, row, &state, now)
            changed.updatedAt = now
            changed = try RolloutsTable.update(c, changed)
            try RolloutStateTable.set(c, state, at: now)
            let rollout = Rollout(changed, now: now)
            try AuditLog.record(c, actor, action, id: row.id, before: Rollout(row, now: now).json, after: rollout.json, at: now)
            return rollout
        }
    }

    static func ended(_ row: RolloutRow, _ state: RolloutRow.State, by actor: Actor, at now: Int64) -> RolloutRow {
        var row = row
        row.state = state
        row.endedAt = now
        row.endedBy = actor.name
        row.updatedAt = now
        return row
    }

    /// Selectors are sets: their order and repetition mean nothing.
    private static func normalised(_ texts: [String]) -> [String] { Set(texts).sorted() }

    private static func checkVersion(_ c: any SQLConnection, _ version: Int64, _ state: RolloutStateRow) throws {
        guard try ConfigVersionsTable.find(c, version) != nil else {
            throw DomainError.invalid(
                "version", "names version \(version), which does not exist",
                remedy: "Name one of GET /admin/api/config/versions, or publish it first.")
        }
        if let present = try candidate(c, state) {
            throw DomainError.conflict(
                "version", "cannot become the candidate: version \(present.version) is it, by rollout \(present.id)",
                remedy: "Promote or abort that rollout first.")
        }
        guard version != state.baselineVersion else {
            throw DomainError.conflict(
                "version", "\(version) is the baseline already: it is in force for all", remedy: "Name a newer version.")
        }
        // Data planes refuse to go back to a version below one they have had.
        guard version > state.baselineVersion, version >= state.highestVersion else {
            let newest = max(state.baselineVersion, state.highestVersion)
            throw DomainError.conflict(
                "version", "\(version) is older than version \(newest), which data planes have been given already",
                remedy: "Publish its content again (POST /admin/api/config/versions with restore: \(version)) and roll that version out.")
        }
    }

    /// Names each selector that selects nothing that exists.
    private static func checkSelectors(_ c: any SQLConnection, _ row: RolloutRow) throws {
        var problems: [FieldProblem] = []
        for (name, count) in [("tenants", row.tenantIDs.count), ("regions", row.regions.count), ("data_planes", row.dataPlaneIDs.count)]
        where count > maximumSelectors {
            problems.append(
                FieldProblem(name, "has more than \(maximumSelectors) entries", remedy: "Select by region or percentage instead."))
        }
        guard problems.isEmpty else { throw DomainError.invalid(problems) }
        for id in row.tenantIDs where try TenantContent.find(c, id) == nil {
            problems.append(
                FieldProblem("tenants", "names \(id.prefix(64)), which does not exist", remedy: "Name one of GET /admin/api/tenants."))
        }
        for id in row.dataPlaneIDs {
            guard let dataPlane = try DataPlanesTable.find(c, id: id) else {
                problems.append(
                    FieldProblem(
                        "data_planes", "names \(id.prefix(64)), which does not exist", remedy: "Name one of GET /admin/api/data-planes."))
                continue
            }
            if dataPlane.status == .revoked {
                problems.append(FieldProblem("data_planes", "names \(id), which is revoked", remedy: "Leave it out."))
            }
        }
        let regions = try row.regions.isEmpty ? [] : DataPlanesTable.regions(c)
        for region in row.regions where !regions.contains(region) {
            problems.append(
                FieldProblem(
                    "regions", "names \(region.prefix(64)), where there is no data plane",
                    remedy: regions.isEmpty ? "Enrol a data plane first." : "Name one of: \(regions.sorted().joined(separator: ", "))."))
        }
        guard problems.isEmpty else { throw DomainError.invalid(problems) }
    }
}
