import Contract
import Nouns
package import Primitives
import Storage

/// What is to be undone. A repeated call finds that it was done and changes nothing; one that names what is not in force, as after a
/// rollout that was refused, is refused itself.
package struct RollbackOrder: Sendable, Hashable {
    /// The version to leave: the candidate or the baseline in force.
    package var undo: Int64?
    /// The version whose content is to serve all afterwards; nil: the one before.
    package var to: Int64?
    /// Although what is restored cannot be served as it is any more.
    package var despiteFaults: Bool

    package init(undo: Int64? = nil, to: Int64? = nil, despiteFaults: Bool = false) {
        self.undo = undo
        self.to = to
        self.despiteFaults = despiteFaults
    }
}

/// What a rollback did.
package struct Rollback: Sendable, Hashable {
    /// The candidate that was aborted; nil when the baseline was replaced.
    package let aborted: Rollout?
    /// The version published to repeat an older baseline; nil when a candidate was aborted.
    package let published: ConfigVersion?
    /// In force for all now.
    package let baselineVersion: Int64
    /// What is wrong with the restored content by now, such as a credential deleted since.
    package let warnings: [FieldProblem]
    /// It had been done before; nothing was changed now.
    package let repeated: Bool

    package var json: JSONValue {
        let list = warnings.map { warning -> JSONValue in
            ["field": .string(warning.field), "message": .string(warning.message), "remedy": .string(warning.remedy)]
        }
        return [
            "aborted": aborted?.json ?? .null, "published": published?.json ?? .null, "baseline_version": .int(baselineVersion),
            "warnings": .array(list), "repeated": .bool(repeated),
        ]
    }
}

extension Rollouts {
    /// One call that leads back: withdraws the candidate that is named or, where the baseline is, publishes an older baseline's content
    /// under a new version and makes that the baseline at once.
    /// - Throws: `invalid` for an order that names nothing; `conflict` when what it names is not in force, when there is nothing to return
    ///   to, and when what would be restored cannot be served, each fault named, unless that is said to be right.
    package func rollback(_ order: RollbackOrder, actor: Actor) async throws -> Rollback {
        guard order.undo != nil || order.to != nil else {
            throw DomainError.invalid(
                "undo", "is missing", remedy: "Name the version to leave; `weir rollout status` says which are in force.")
        }
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(as: actor.scope, raising: .config, .rollout) { c in
            let state = try RolloutStateTable.get(c)
            let candidate = try Self.candidate(c, state)
            switch try Self.step(order, c, state, candidate) {
            case .withdraw(let row): return try Self.withdraw(c, row, state, actor, now)
            case .restore(let left, let version):
                return try Self.restore(c, state, leaving: left, to: version, despiteFaults: order.despiteFaults, actor, now)
            case .nothing:
                return Rollback(aborted: nil, published: nil, baselineVersion: state.baselineVersion, warnings: [], repeated: true)
            }
        }
    }

    private enum Step {
        case withdraw(Rollout)
        case restore(leaving: BaselineRow, to: Int64)
        /// It was done already.
        case nothing
    }

    private static func step(
        _ order: RollbackOrder, _ c: any SQLConnection, _ state: RolloutStateRow, _ candidate: Rollout?
    ) throws -> Step {
        let baseline = try BaselinesTable.find(c, version: state.baselineVersion)
        /// Whether the baseline is this version or repeats its content.
        func isInForce(_ version: Int64) throws -> Bool {
            try state.baselineVersion == version || ConfigVersionsTable.find(c, state.baselineVersion)?.restores == version
        }
        if let candidate {
            guard order.undo ?? candidate.content.version == candidate.content.version else {
                throw try refusal(order, c, state, candidate)
            }
            if let to = order.to, try !isInForce(to) {
                throw DomainError.conflict(
                    "to", "names version \(to); version \(state.baselineVersion) serves all once the candidate is withdrawn",
                    remedy: "Roll back version \(candidate.content.version) first.")
            }
            return .withdraw(candidate)
        }
        if let undo = order.undo, undo != state.baselineVersion {
            if let done = try RollbacksTable.find(c, leftVersion: undo), done.baselineVersion == state.baselineVersion,
                try order.to.map(isInForce) ?? true
            {
                return .nothing
            }
            throw try refusal(order, c, state, nil)
        }
        if let to = order.to, try isInForce(to) { return .nothing }
        guard let baseline, baseline.previousVersion != 0 else {
            throw DomainError.conflict(
                "baseline",
                state.baselineVersion == 0
                    ? "does not exist yet: no version is in force" : "is version \(state.baselineVersion), and none came before it",
                remedy: "Publish the content you want (`weir config publish`, with --restore for an older one) and roll it out.")
        }
        if let to = order.to {
            guard to < state.baselineVersion, try BaselinesTable.find(c, version: to) != nil else {
                throw DomainError.conflict(
                    "to", "names version \(to), which never served all before version \(state.baselineVersion)",
                    remedy: "Leave it out to return to version \(baseline.previousVersion), or roll its content out.")
            }
        }
        return .restore(leaving: baseline, to: order.to ?? baseline.previousVersion)
    }

    /// What is in force instead of what the order names.
    private static func refusal(
        _ order: RollbackOrder, _ c: any SQLConnection, _ state: RolloutStateRow, _ candidate: Rollout?
    ) throws -> DomainError {
        let inForce =
            candidate.map { "version \($0.content.version) is the candidate beside version \(state.baselineVersion)" }
            ?? (state.baselineVersion == 0 ? "no version is" : "version \(state.baselineVersion) is, for all")
        let undo = order.undo ?? 0
        let left = try RollbacksTable.find(c, leftVersion: undo).map { " It was rolled back by \($0.authorName) before." } ?? ""
        return .conflict(
            detail: "Version \(undo) is not in force: \(inForce).\(left) Nothing was changed.",
            problems: [
                FieldProblem(
                    "undo", "names version \(undo), which is not in force: \(inForce)",
                    remedy: candidate.map { "To withdraw the candidate, name version \($0.content.version)." }
                        ?? "To leave what is in force, name that version.")
            ])
    }

    private static func withdraw(
        _ c: any SQLConnection, _ row: Rollout, _ before: RolloutStateRow, _ actor: Actor, _ now: Int64
    ) throws -> Rollback {
        var state = before
        state.documentVersion = try ChangeCounter.rollout.next(c)
        state.candidateRolloutID = nil
        let rollout = try end(c, row, .aborted, by: actor, at: now)
        try RolloutStateTable.set(c, state, at: now)
        try remember(c, left: row.content.version, restored: state.baselineVersion, state, row.id.rawValue, actor, now)
        try AuditLog.record(
            c, actor, "rollout.rollback", id: row.id.rawValue, before: row.seen(at: now).audited, after: rollout.audited, at: now)
        return Rollback(aborted: rollout, published: nil, baselineVersion: state.baselineVersion, warnings: [], repeated: false)
    }

    private static func restore(
        _ c: any SQLConnection, _ before: RolloutStateRow, leaving left: BaselineRow, to version: Int64, despiteFaults: Bool,
        _ actor: Actor, _ now: Int64
    ) throws -> Rollback {
        var state = before
        guard let restored = try BaselinesTable.find(c, version: version), let payload = try ConfigVersionsTable.payload(c, version) else {
            throw DomainError.notFound(kind: "configuration version", id: String(version))
        }
        let faults = try Draft.faults(c, ConfigVersions.existing(c, version, field: "to"))
        guard faults.isEmpty || despiteFaults else {
            throw DomainError.conflict(
                detail:
                    "Version \(version) cannot serve as it did: \(faults.count) thing\(faults.count == 1 ? "" : "s") that it needs would make requests fail, each named under errors. Mend them, or send despite_faults: true to go back all the same.",
                problems: faults)
        }
        let published = try ConfigVersions.append(
            c, payload, note: "Rollback of version \(left.version) to version \(version)", restores: version, actor: actor, at: now)
        state.documentVersion = try ChangeCounter.rollout.next(c)
        state.baselineVersion = published.version
        state.highestVersion = max(state.highestVersion, published.version)
        try BaselinesTable.insert(
            c,
            BaselineRow(
                version: published.version, documentVersion: state.documentVersion, previousVersion: restored.previousVersion,
                rolloutID: nil, authorID: actor.id, authorName: actor.name, createdAt: now))
        try RolloutStateTable.set(c, state, at: now)
        if let id = left.rolloutID, let rollout = try RolloutContent.find(c, id) {
            _ = try end(c, rollout, .rolledBack, by: actor, at: now)
        }
        try remember(c, left: left.version, restored: version, state, left.rolloutID, actor, now)
        try AuditLog.record(
            c, actor, "rollout.rollback", id: left.rolloutID ?? "baseline", before: ["baseline_version": .int(before.baselineVersion)],
            after: ["baseline_version": .int(state.baselineVersion), "restores": .int(version)], at: now)
        let warnings = try Draft.problems(c, ConfigVersions.existing(c, version, field: "to"))
        return Rollback(
            aborted: nil, published: ConfigVersion(published), baselineVersion: published.version, warnings: warnings, repeated: false)
    }

    /// What was left, for who calls again and for who publishes next.
    private static func remember(
        _ c: any SQLConnection, left: Int64, restored: Int64, _ state: RolloutStateRow, _ rolloutID: String?, _ actor: Actor, _ now: Int64
    ) throws {
        try RollbacksTable.put(
            c,
            RollbackRow(
                leftVersion: left, restoredVersion: restored, baselineVersion: state.baselineVersion, rolloutID: rolloutID,
                authorID: actor.id, authorName: actor.name, createdAt: now))
    }
}
