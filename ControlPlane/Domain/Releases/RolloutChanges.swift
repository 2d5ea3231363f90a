import Nouns
package import Primitives
import Storage

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

/// What a rollback did.
package struct Rollback: Sendable, Hashable {
    /// The candidate that was aborted; nil when the baseline was replaced.
    package let aborted: Rollout?
    /// The version published to repeat the previous baseline; nil when a candidate was aborted.
    package let published: ConfigVersion?
    /// In force for all now.
    package let baselineVersion: Int64
    /// What is wrong with the restored content by now, such as a credential deleted since. It is in force all the same: leaving a
    /// broken baseline comes first.
    package let warnings: [FieldProblem]

    package var json: JSONValue {
        let list = warnings.map { warning -> JSONValue in
            ["field": .string(warning.field), "message": .string(warning.message), "remedy": .string(warning.remedy)]
        }
        return [
            "aborted": aborted?.json ?? .null, "published": published?.json ?? .null, "baseline_version": .int(baselineVersion),
            "warnings": .array(list),
        ]
    }
}

extension Rollouts {
    package static let maximumSelectors = 1000

    /// Makes a version the candidate.
    /// - Throws: `invalid` naming each unknown version, tenant or data plane; `conflict` when there is a candidate already or the
    ///   version is not newer than all that data planes have been offered.
    package func create(_ new: NewRollout, actor: Actor) async throws -> Rollout {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .rollout) { c in
            let document = try ChangeCounter.rollout.next(c)
            var state = try RolloutStateTable.get(c)
            try Self.checkVersion(c, new.version, state)
            let row = RolloutRow(
                id: RolloutID.random().rawValue, version: new.version, baselineVersion: state.baselineVersion,
                tenantIDs: Self.normalised(new.tenantIDs), regions: Self.normalised(new.regions),
                dataPlaneIDs: Self.normalised(new.dataPlaneIDs), percentageBasisPoints: new.percentage.basisPoints,
                salt: Base32.encode(SecureRandom.bytes(10)), effectiveAt: new.effectiveAt ?? now, authorID: actor.id,
                authorName: actor.name, createdAt: now)
            try Self.checkSelectors(c, row)
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
    package func promote(_ id: RolloutID, revision: Int64? = nil, actor: Actor) async throws -> Rollout {
        try await change(id, "rollout.promote", revision: revision, actor: actor) { c, row, state, now in
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

    /// One call that always leads back: withdraws the candidate or, where there is none, publishes the previous baseline's content
    /// under a new version and makes that the baseline at once. A second call goes further back.
    /// - Throws: `conflict` when there is nothing to return to.
    package func rollback(actor: Actor) async throws -> Rollback {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .config, .rollout) { c in
            let state = try RolloutStateTable.get(c)
            return if let candidate = try Self.candidate(c, state) {
                try Self.withdraw(c, candidate, state, actor, now)
            } else {
                try Self.returnToPrevious(c, state, actor, now)
            }
        }
    }

    // MARK: -

    private static func withdraw(
        _ c: any SQLConnection, _ row: RolloutRow, _ before: RolloutStateRow, _ actor: Actor, _ now: Int64
    ) throws -> Rollback {
        var state = before
        state.documentVersion = try ChangeCounter.rollout.next(c)
        state.candidateRolloutID = nil
        let rollout = Rollout(try RolloutsTable.update(c, ended(row, .aborted, by: actor, at: now)), now: now)
        try RolloutStateTable.set(c, state, at: now)
        try AuditLog.record(c, actor, "rollout.rollback", id: row.id, before: Rollout(row, now: now).json, after: rollout.json, at: now)
        return Rollback(aborted: rollout, published: nil, baselineVersion: state.baselineVersion, warnings: [])
    }

    private static func returnToPrevious(
        _ c: any SQLConnection, _ before: RolloutStateRow, _ actor: Actor, _ now: Int64
    ) throws -> Rollback {
        var state = before
        guard let left = try BaselinesTable.find(c, version: state.baselineVersion), left.previousVersion != 0,
            let restored = try BaselinesTable.find(c, version: left.previousVersion),
            let payload = try ConfigVersionsTable.payload(c, restored.version)
        else {
            throw DomainError.conflict(
                "baseline",
                state.baselineVersion == 0
                    ? "does not exist yet: no version is in force" : "is version \(state.baselineVersion), and none came before it",
                remedy: "Publish the content you want (POST /admin/api/config/versions, with restore for an older one) and roll it out.")
        }
        let version = try ConfigVersions.append(
            c, payload, note: "Rollback of version \(left.version) to version \(restored.version)", restores: restored.version,
            actor: actor,
            at: now)
        state.documentVersion = try ChangeCounter.rollout.next(c)
        state.baselineVersion = version.version
        state.highestVersion = max(state.highestVersion, version.version)
        try BaselinesTable.insert(
            c,
            BaselineRow(
                version: version.version, documentVersion: state.documentVersion, previousVersion: restored.previousVersion, rolloutID: nil,
                authorID: actor.id, authorName: actor.name, createdAt: now))
        try RolloutStateTable.set(c, state, at: now)
        if let id = left.rolloutID, let row = try RolloutsTable.find(c, id: id) {
            _ = try RolloutsTable.update(c, ended(row, .rolledBack, by: actor, at: now))
        }
        try AuditLog.record(
            c, actor, "rollout.rollback", id: left.rolloutID ?? "baseline", before: ["baseline_version": .int(before.baselineVersion)],
            after: ["baseline_version": .int(state.baselineVersion)], at: now)
        let warnings = try Draft.problems(c, try ConfigVersions.existing(c, restored.version, field: "version"))
        return Rollback(aborted: nil, published: ConfigVersion(version), baselineVersion: version.version, warnings: warnings)
    }

    /// One change of the candidate, under the next version of the rollout document.
    private func change(
        _ id: RolloutID, _ action: String, revision: Int64?, actor: Actor,
        _ apply: @escaping @Sendable (any SQLConnection, RolloutRow, inout RolloutStateRow, _ now: Int64) throws -> RolloutRow
    ) async throws -> Rollout {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .rollout) { c in
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

    private static func ended(_ row: RolloutRow, _ state: RolloutRow.State, by actor: Actor, at now: Int64) -> RolloutRow {
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
        for region in row.regions where region.isEmpty || region.utf8.count > 64 {
            problems.append(
                FieldProblem(
                    "regions", "holds a name that is empty or longer than 64 bytes", remedy: "Name regions as enrolment tokens do."))
        }
        guard problems.isEmpty else { throw DomainError.invalid(problems) }
    }
}
