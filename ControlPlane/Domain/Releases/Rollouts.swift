package import Contract
package import Primitives
package import Storage

/// One attempt to bring a configuration version into force.
package struct Rollout: Sendable, Hashable {
    package enum State: String, Sendable, CaseIterable {
        /// The candidate, before `effectiveAt`.
        case scheduled
        /// The candidate, in force for those it selects.
        case active
        case promoted, aborted
        case rolledBack = "rolled_back"
    }

    package let id: String
    package let version: Int64
    /// The baseline when it was created; 0: there was none.
    package let baselineVersion: Int64
    package let tenantIDs: [String]
    package let regions: [String]
    package let dataPlaneIDs: [String]
    package let percentage: Percentage
    /// Unix milliseconds.
    package let effectiveAt: Int64
    package let state: State
    package let authorID: String
    package let authorName: String
    package let revision: Int64
    package let createdAt: Int64
    package let updatedAt: Int64
    package let endedAt: Int64?
    package let endedBy: String?

    /// - Parameter now: Unix milliseconds; decides between scheduled and active.
    init(_ row: RolloutRow, now: Int64) {
        id = row.id
        version = row.version
        baselineVersion = row.baselineVersion
        tenantIDs = row.tenantIDs
        regions = row.regions
        dataPlaneIDs = row.dataPlaneIDs
        percentage = Percentage(checking: row.percentageBasisPoints) ?? .all
        effectiveAt = row.effectiveAt
        state =
            switch row.state {
            case .candidate: row.effectiveAt > now ? .scheduled : .active
            case .promoted: .promoted
            case .aborted: .aborted
            case .rolledBack: .rolledBack
            }
        authorID = row.authorID
        authorName = row.authorName
        revision = row.revision
        createdAt = row.createdAt
        updatedAt = row.updatedAt
        endedAt = row.endedAt
        endedBy = row.endedBy
    }

    package var json: JSONValue {
        [
            "id": .string(id),
            "version": .int(version),
            "baseline_version": .int(baselineVersion),
            "state": .string(state.rawValue),
            "tenants": .strings(tenantIDs),
            "regions": .strings(regions),
            "data_planes": .strings(dataPlaneIDs),
            "percentage": percentage.json,
            "effective_at": .string(RFC3339.string(milliseconds: effectiveAt)),
            "author": ["id": .string(authorID), "name": .string(authorName)],
            "ended_at": endedAt.map { .string(RFC3339.string(milliseconds: $0)) } ?? .null,
            "ended_by": endedBy.map(JSONValue.string) ?? .null,
            "created_at": .string(RFC3339.string(milliseconds: createdAt)),
            "updated_at": .string(RFC3339.string(milliseconds: updatedAt)),
        ]
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
    package static let list = "rollouts"

    let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    // MARK: Reading

    /// Newest first.
    package func rollouts(_ page: PageRequest) async throws -> Page<Rollout> {
        let now = domain.clock.nowMilliseconds()
        let rows = try await domain.read(as: .all) { c in
            try RolloutsTable.list(c, before: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit)
        }
        return Page(fetched: rows.map { Rollout($0, now: now) }, page) { Cursor(list: Self.list, time: $0.createdAt, id: $0.id) }
    }

    package func rollout(_ id: RolloutID) async throws -> Rollout {
        let now = domain.clock.nowMilliseconds()
        return try await domain.read(as: .all) { c in Rollout(try Self.existing(c, id), now: now) }
    }

    package func standing() async throws -> RolloutStanding {
        let now = domain.clock.nowMilliseconds()
        return try await domain.read(as: .all) { c in
            let state = try RolloutStateTable.get(c)
            let previous = try BaselinesTable.find(c, version: state.baselineVersion)?.previousVersion
            return RolloutStanding(
                documentVersion: state.documentVersion, baselineVersion: state.baselineVersion,
                previousBaselineVersion: previous == 0 ? nil : previous,
                candidate: try Self.candidate(c, state).map { Rollout($0, now: now) })
        }
    }

    // MARK: For the signed document (inside a transaction of the fleet service)

    /// What the rollout document says now and its version; version 0 with an empty payload before the first rollout.
    package static func currentPayload(_ c: any SQLConnection) throws -> (payload: Weir_V1_RolloutPayload, version: Int64) {
        let state = try RolloutStateTable.get(c)
        var payload = try candidate(c, state).map(payload(of:)) ?? .init()
        payload.baselineVersion = UInt64(clamping: state.baselineVersion)
        return (payload, state.documentVersion)
    }

    /// The candidate's part of the rollout document.
    static func payload(of candidate: RolloutRow) -> Weir_V1_RolloutPayload {
        var payload = Weir_V1_RolloutPayload()
        payload.rolloutID = candidate.id
        payload.candidateVersion = UInt64(clamping: candidate.version)
        payload.tenantIds = candidate.tenantIDs
        payload.regions = candidate.regions
        payload.dataPlaneIds = candidate.dataPlaneIDs
        payload.percentageBasisPoints = UInt32(clamping: candidate.percentageBasisPoints)
        payload.salt = candidate.salt
        payload.effectiveAtMs = candidate.effectiveAt
        return payload
    }

    /// The configuration versions that `currentPayload` names, oldest first: what a data plane needs before it can follow it.
    package static func referencedVersions(_ c: any SQLConnection) throws -> [Int64] {
        let state = try RolloutStateTable.get(c)
        return Set([state.baselineVersion, try candidate(c, state)?.version ?? 0]).subtracting([0]).sorted()
    }

    // MARK: Inside a transaction

    static func candidate(_ c: any SQLConnection, _ state: RolloutStateRow) throws -> RolloutRow? {
        try state.candidateRolloutID.flatMap { try RolloutsTable.find(c, id: $0) }
    }

    static func existing(_ c: any SQLConnection, _ id: RolloutID) throws -> RolloutRow {
        guard let row = try RolloutsTable.find(c, id: id.rawValue) else { throw DomainError.notFound(kind: "rollout", id: id.rawValue) }
        return row
    }
}
