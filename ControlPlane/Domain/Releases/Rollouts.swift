package import Contract
package import Nouns
package import Primitives
package import Storage
import Trust

package typealias Rollout = Entity<RolloutContent>

extension NounScope {
    /// What is in force for whom: each change is the next version of the signed rollout document.
    package static let rollout = NounScope(counters: [.rollout], topics: [.rollout], changeColumn: nil, isDeclared: false)
}

extension RolloutContent: Administered {
    package static var scope: NounScope { .rollout }
    /// One that has ended keeps nothing from being deleted.
    package static var holding: String? { "state = 'candidate'" }
    package static var taken: FieldProblem {
        FieldProblem("version", "cannot become the candidate: another one just did", remedy: "Promote or abort that rollout first.")
    }

    /// Selectors that select nothing.
    package func problems(id: RolloutID, replacing old: RolloutContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        var problems = try (dataPlaneIDs.named ?? []).enumerated().compactMap { index, id in
            try DataPlaneContent.find(c, id.rawValue)?.content.standing == .revoked
                ? FieldProblem("data_plane_ids[\(index)]", "is revoked", remedy: "Leave it out.") : nil
        }
        if let named = regions.named {
            let known = try DataPlanesTable.regions(c)
            for (index, region) in named.enumerated() where !known.contains(region) {
                problems.append(
                    FieldProblem(
                        "regions[\(index)]", "names \(region.prefix(64)), where there is no data plane",
                        remedy: known.isEmpty ? "Enrol a data plane first." : "Name one of: \(known.sorted().joined(separator: ", "))."))
            }
        }
        return problems
    }

    /// A new one becomes the candidate, if its version may.
    package mutating func willWrite(_ id: RolloutID, replacing old: RolloutContent?, _ change: NounChange) throws {
        if old == nil { try begin(change.connection, by: change.actor, at: change.now) }
    }

    /// - Throws: `invalid` for an unknown version; `conflict` when there is a candidate already, the version is not newer than all that data
    ///   planes have been offered, or it cannot be served any more, each fault named.
    mutating func begin(_ c: any SQLConnection, by actor: Actor, at now: Int64) throws {
        let state = try RolloutStateTable.get(c)
        try Rollouts.checkVersion(c, version, state)
        try Rollouts.checkServable(c, version, "be rolled out")
        baselineVersion = state.baselineVersion
        salt = Rollouts.salt(version)
        if effectiveAt == 0 { effectiveAt = now }
        authorID = actor.id
        authorName = actor.name
    }

    /// What the signed document says follows from what was decided about the candidate.
    package static func didWrite(_ rollout: Rollout, replacing old: Rollout?, _ change: NounChange) throws {
        let c = change.connection
        var state = try RolloutStateTable.get(c)
        if let old {
            guard state.candidateRolloutID == rollout.id.rawValue else {
                throw DomainError.conflict(
                    "rollout", "is not the candidate any more: it is \(old.content.status.rawValue)",
                    remedy: "See `weir rollout status` for the present candidate.")
            }
        } else {
            state.candidateRolloutID = rollout.id.rawValue
            state.highestVersion = max(state.highestVersion, rollout.content.version)
        }
        switch rollout.content.stage {
        case .candidate: break
        case .aborted, .rolledBack: state.candidateRolloutID = nil
        case .promoted:
            try BaselinesTable.insert(
                c,
                BaselineRow(
                    version: rollout.content.version, documentVersion: change.number, previousVersion: state.baselineVersion,
                    rolloutID: rollout.id.rawValue, authorID: change.actor.id, authorName: change.actor.name, createdAt: change.now))
            state.baselineVersion = rollout.content.version
            state.candidateRolloutID = nil
        }
        state.documentVersion = change.number
        try RolloutStateTable.set(c, state, at: change.now)
    }

    mutating func end(_ stage: Stage, by actor: Actor, at now: Int64) {
        self.stage = stage
        endedAt = now
        endedBy = actor.name
    }
}

/// What is in force: the baseline for everybody whom the candidate's rollout does not select.
package struct RolloutStanding: Sendable, Hashable {
    /// Of the signed rollout document; 0: none was made yet.
    package let documentVersion: Int64
    /// 0: none yet.
    package let baselineVersion: Int64
    /// What a rollback would return to when there is no candidate; nil: nothing.
    package let previousBaselineVersion: Int64?
    package let candidate: Rollout?

    package var json: JSONValue {
        [
            "document_version": .int(documentVersion),
            "baseline_version": .int(baselineVersion),
            "previous_baseline_version": previousBaselineVersion.map(JSONValue.int) ?? .null,
            "candidate": candidate?.json ?? .null,
        ]
    }
}

/// Brings configuration versions into force: one candidate at a time beside the baseline.
///
/// Each change takes the next version of the rollout document first, which serialises operators: the second of two sees what the
/// first one did and is told so.
package struct Rollouts: Sendable {
    package let nouns: NounService<RolloutContent>
    var domain: DomainContext { nouns.domain }

    package init(_ domain: DomainContext) {
        nouns = NounService(domain)
    }

    package func standing() async throws -> RolloutStanding {
        let now = nouns.now
        return try await domain.read(as: .all) { c in
            let state = try RolloutStateTable.get(c)
            let previous = try BaselinesTable.find(c, version: state.baselineVersion)?.previousVersion
            return RolloutStanding(
                documentVersion: state.documentVersion, baselineVersion: state.baselineVersion,
                previousBaselineVersion: previous == 0 ? nil : previous,
                candidate: try Self.candidate(c, state)?.seen(at: now))
        }
    }

    // MARK: Changes

    /// Makes a version the candidate.
    /// - Throws: `invalid` naming each unknown version, tenant, region or data plane; and as `RolloutContent.begin`.
    package func create(_ content: RolloutContent, by actor: Actor) async throws -> Rollout {
        try await nouns.create(content, by: actor)
    }

    /// Makes the candidate the baseline for all, at once.
    /// - Parameter revision: What the caller saw; nil: whatever is there.
    /// - Throws: `conflict` when it is not the candidate any more or cannot be served any more.
    package func promote(_ id: RolloutID, at revision: Int64? = nil, by actor: Actor) async throws -> Rollout {
        try await nouns.change(id, at: revision, "promote", by: actor) { rollout, change in
            if rollout.stage == .candidate { try Self.checkServable(change.connection, rollout.version, "be promoted") }
            rollout.end(.promoted, by: actor, at: change.now)
        }
    }

    /// Withdraws the candidate: the baseline serves all again.
    package func abort(_ id: RolloutID, at revision: Int64? = nil, by actor: Actor) async throws -> Rollout {
        try await nouns.change(id, at: revision, "abort", by: actor) { rollout, change in
            rollout.end(.aborted, by: actor, at: change.now)
        }
    }

    // MARK: For the signed document (inside a transaction of the fleet service)

    /// What the rollout document says now and its version; version 0 with an empty payload before the first rollout.
    package static func currentPayload(_ c: any SQLConnection) throws -> (payload: Weir_V1_RolloutPayload, version: Int64) {
        let state = try RolloutStateTable.get(c)
        var payload = try candidate(c, state).map { Self.payload(of: $0.id, $0.content) } ?? Weir_V1_RolloutPayload()
        payload.baselineVersion = UInt64(clamping: state.baselineVersion)
        return (payload, state.documentVersion)
    }

    /// The candidate's part of the rollout document. In its lists, as data planes read them, an empty one is all.
    static func payload(of id: RolloutID, _ candidate: RolloutContent) -> Weir_V1_RolloutPayload {
        var payload = Weir_V1_RolloutPayload()
        payload.rolloutID = id.rawValue
        payload.candidateVersion = UInt64(clamping: candidate.version)
        payload.tenantIds = candidate.tenantIDs.named?.map(\.rawValue).sorted() ?? []
        payload.regions = candidate.regions.named?.sorted() ?? []
        payload.dataPlaneIds = candidate.dataPlaneIDs.named?.map(\.rawValue).sorted() ?? []
        payload.percentageBasisPoints = UInt32(clamping: candidate.percentage.basisPoints)
        payload.salt = candidate.salt
        payload.effectiveAtMs = candidate.effectiveAt
        return payload
    }

    /// The configuration versions that `currentPayload` names, oldest first: what a data plane needs before it can follow it.
    package static func referencedVersions(_ c: any SQLConnection) throws -> [Int64] {
        let state = try RolloutStateTable.get(c)
        return Set([state.baselineVersion, try candidate(c, state)?.content.version ?? 0]).subtracting([0]).sorted()
    }

    // MARK: Inside a transaction

    static func candidate(_ c: any SQLConnection, _ state: RolloutStateRow) throws -> Rollout? {
        try state.candidateRolloutID.flatMap { try RolloutContent.find(c, $0) }
    }

    /// Writes how one of them ended, for what is no change of the candidate.
    static func end(
        _ c: any SQLConnection, _ rollout: Rollout, _ stage: RolloutContent.Stage, by actor: Actor, at now: Int64
    ) throws -> Rollout {
        var ended = rollout
        ended.content.end(stage, by: actor, at: now)
        ended.meta = rollout.meta.next(at: now)
        guard try RolloutContent.table.update(c, ended.row, expecting: rollout.revision) else {
            throw DomainError.preconditionFailed(current: rollout.revision)
        }
        return ended.seen(at: now)
    }

    /// What decides which keys a percentage selects. The same for each rollout of a version, so that a preview counts the very keys that
    /// get it, and whoever was among 5 % is among 20 %; another one for each version, so that it is not always the same keys that go first.
    static func salt(_ version: Int64) -> String {
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

    static func checkVersion(_ c: any SQLConnection, _ version: Int64, _ state: RolloutStateRow) throws {
        guard try ConfigVersionsTable.find(c, version) != nil else {
            throw DomainError.invalid(
                "version", "names version \(version), which does not exist",
                remedy: "Name one that `weir config versions` lists, or publish it first.")
        }
        if let present = try candidate(c, state) {
            throw DomainError.conflict(
                "version", "cannot become the candidate: version \(present.content.version) is it, by rollout \(present.id)",
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
                remedy: "Publish its content again (`weir config publish --restore \(version)`) and roll that version out.")
        }
    }
}
