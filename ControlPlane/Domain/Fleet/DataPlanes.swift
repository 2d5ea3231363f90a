package import Contract
package import Nouns
package import Primitives
package import Storage

package typealias DataPlane = Entity<DataPlaneContent>

extension NounScope {
    /// Data planes: their directories change with their tenants. They are enrolled and shut out, never made or deleted.
    package static let dataPlanes = NounScope(counters: [.directory], topics: [.directory], changeColumn: nil, isDeclared: false)
}

extension DataPlaneContent: Administered {
    package static var scope: NounScope { .dataPlanes }
    /// One that was shut out keeps nothing from being deleted.
    package static var holding: String? { "status = 'active'" }

    package mutating func willWrite(_ id: DataPlaneID, replacing old: DataPlaneContent?, _ change: NounChange) throws {
        if case .only(let ids) = tenantIDs { tenantIDs = .only(ids.sorted { $0.rawValue < $1.rawValue }) }
        guard let old else { return }
        let c = change.connection
        if tenantIDs != old.tenantIDs {
            try FormerTenantsTable.record(
                c, dataPlaneID: id.rawValue, from: DirectoryScope(old.tenantIDs), to: DirectoryScope(tenantIDs),
                inContact: connection != nil, now: change.now)
            tenantsRevision &+= 1
        }
        if tenantIDs != old.tenantIDs || standing != old.standing { _ = try CountersTable.next(c, FleetCounter.dataPlanes) }
    }

    package static func observe(_ items: inout [DataPlane], _ c: any SQLConnection) throws {
        let replicas = try ControlReplicasTable.expiries(c)
        for index in items.indices {
            items[index].content.holderExpiresAt = items[index].content.holder.flatMap { replicas[$0] }
            items[index].content.documents = try DataPlaneDocumentsTable.of(c, dataPlaneID: items[index].id.rawValue).map { row in
                DocumentAnswer(
                    kind: row.kind, epoch: row.epoch, version: row.version, digest: row.digest, accepted: row.accepted, reason: row.reason,
                    detail: row.detail, answeredAt: row.answeredAt)
            }
        }
    }
}

extension DirectoryScope {
    init(_ scope: Scope<TenantID>) { self.init(tenantIDs: scope.named?.map(\.rawValue) ?? []) }
}

/// A data plane that may have streams.
package struct AdmittedDataPlane: Sendable, Hashable {
    package let id: String
    /// The keyring whose keys it was given when it enrolled.
    package let keyringEpoch: Int64
    package let keyringVersion: Int64
    /// It may ship its usage, which is kept apart, and nothing else.
    package let isRevoked: Bool
}

/// What of a data plane decides over its open streams.
package struct DataPlaneStanding: Sendable, Hashable {
    package let active: Bool
    /// The subscription that is the present one; an older one of the same data plane has been replaced.
    package let connection: String?
}

/// The enrolled data planes.
package struct DataPlaneService: Sendable {
    /// Longer texts of a data plane are cut.
    private static let maximumTextLength = 1000

    package let nouns: NounService<DataPlaneContent>
    private let fleet: FleetContext

    package init(_ fleet: FleetContext) {
        self.fleet = fleet
        nouns = NounService(fleet.domain)
    }

    /// Cuts the data plane off for good: its streams end, and the next session it opens tells it, signed, that it was revoked. It then stops
    /// serving, after the grace its own operator chose, and may ship what it had served, which is kept apart. One that is not in contact
    /// hears nothing and serves on: where that matters, revoke the provider's credentials as well.
    package func revoke(_ id: DataPlaneID, at revision: Int64? = nil, by actor: Actor) async throws -> DataPlane {
        try await nouns.change(id, at: revision, "revoke", by: actor) { plane, change in
            guard plane.standing == .active else { return }
            plane.standing = .revoked
            plane.revokedAt = change.now
        }
    }

    // MARK: What data planes say

    /// Of those that exist.
    package func standings(_ ids: [String]) async throws -> [String: DataPlaneStanding] {
        guard !ids.isEmpty else { return [:] }
        return try await fleet.read(as: .all) { c in
            try DataPlanesTable.standings(c, ids: ids).mapValues {
                DataPlaneStanding(active: $0.status == .active, connection: $0.connection)
            }
        }
    }

    /// The data plane that a session names.
    /// - Parameter revokedToo: whether a revoked one may have this stream.
    /// - Throws: `FleetRefusal.revoked`, or `.unauthenticated` when there is none of this id.
    package func admitted(_ id: DataPlaneID, revokedToo: Bool = false) async throws -> AdmittedDataPlane {
        let row = try await fleet.read(as: .all) { try DataPlanesTable.find($0, id: id.rawValue) }
        guard let row else { throw FleetRefusal.unauthenticated("there is no data plane \(id)") }
        guard row.status == .active || revokedToo else { throw FleetRefusal.revoked }
        return AdmittedDataPlane(
            id: row.id, keyringEpoch: row.keyringEpoch, keyringVersion: row.keyringVersion, isRevoked: row.status == .revoked)
    }

    /// A subscription began. What the hello lists replaces what was known; refusals of documents that it does not hold are kept.
    package func connected(_ id: String, replica: String, connection: String, hello: Weir_V1_Hello) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.write(as: .all) { c in
            try DataPlanesTable.connected(c, id: id, replica: replica, connection: connection, version: hello.version, now: now)
            try FormerTenantsTable.told(c, dataPlaneID: id, now: now)
            let known = try DataPlaneDocumentsTable.of(c, dataPlaneID: id)
            try DataPlaneDocumentsTable.removeAll(c, dataPlaneID: id)
            for row in known where !row.accepted { try DataPlaneDocumentsTable.put(c, row) }
            for mark in hello.held {
                guard let held = DocumentMark(mark) else { continue }
                let before = known.first {
                    $0.kind == held.kind.word && $0.epoch == held.epoch && $0.version == held.version && $0.accepted
                }
                try DataPlaneDocumentsTable.put(
                    c,
                    DataPlaneDocumentRow(
                        dataPlaneID: id, kind: held.kind.word, epoch: held.epoch, version: held.version, digest: held.digest,
                        accepted: true,
                        answeredAt: before?.answeredAt ?? now))
            }
        }
    }

    /// A configuration is about to be sent: what the data plane reports may name it from now on.
    package func willSend(_ id: String, configVersion: Int64) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.observe(as: .all) { c in try DataPlaneConfigsTable.insert(c, dataPlaneID: id, version: configVersion, now: now) }
    }

    package func disconnected(_ id: String, connection: String) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.observe(as: .all) { c in
            try DataPlanesTable.disconnected(c, id: id, connection: connection, now: now)
        }
    }

    /// Records what the data plane answered to a document.
    package func answered(_ id: String, _ mark: DocumentMark, accepted: Bool, reason: String, detail: String) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        let row = DataPlaneDocumentRow(
            dataPlaneID: id, kind: mark.kind.word, epoch: mark.epoch, version: mark.version, digest: mark.digest, accepted: accepted,
            reason: accepted ? "" : Self.cut(reason), detail: accepted ? "" : Self.cut(detail), answeredAt: now)
        try await fleet.observe(as: .all) { c in
            if accepted { try Self.forgetOvertaken(c, by: row, kind: mark.kind) }
            try DataPlaneDocumentsTable.put(c, row)
        }
    }

    /// What was said of documents that the accepted one has replaced is of no interest any more.
    private static func forgetOvertaken(_ c: any SQLConnection, by row: DataPlaneDocumentRow, kind: DocumentKind) throws {
        switch kind {
        case .config:
            // Several are held at once; those of an older epoch are not.
            try DataPlaneDocumentsTable.removeOlder(c, dataPlaneID: row.dataPlaneID, kind: row.kind, epoch: row.epoch, version: 0)
        case .rollout:
            try DataPlaneDocumentsTable.removeOlder(
                c, dataPlaneID: row.dataPlaneID, kind: row.kind, epoch: row.epoch, version: row.version)
            try DataPlaneDocumentsTable.removeExcept(
                c, dataPlaneID: row.dataPlaneID, kind: DocumentKind.config.word, versions: Rollouts.referencedVersions(c))
        case .directory, .heartbeat, .keyring, .revocation, .bans:
            try DataPlaneDocumentsTable.removeOlder(
                c, dataPlaneID: row.dataPlaneID, kind: row.kind, epoch: row.epoch, version: row.version)
        }
    }

    /// - Returns: what other data planes have learnt, where this one has routes that learn.
    @discardableResult
    package func reported(_ id: String, _ report: Weir_V1_StatusReport) async throws -> Weir_V1_ArmPriors? {
        let now = fleet.domain.clock.nowMilliseconds()
        var json: JSONObject = [
            "requests_total": .int(Int64(clamping: report.requestsTotal)), "active_requests": .int(Int64(clamping: report.activeRequests)),
            "outbox_batches": .int(Int64(clamping: report.outboxBatches)), "ready": .bool(report.ready),
            "state": .string(Self.cut(report.state)), "draining": .bool(report.draining),
            "clock_ahead_ms": report.nowMs == 0 ? .null : .int(report.nowMs.subtractingReportingOverflow(now).partialValue),
        ]
        if report.hasUsageLagMs { json["usage_lag_ms"] = .int(max(0, report.usageLagMs)) }
        let text = JSONValue.object(json).text
        return try await fleet.observe(as: .all) { c in
            try DataPlanesTable.reported(c, id: id, report: text, now: now)
            let row = EndpointReportService.row(id, report, now: now)
            let before = try EndpointReportsTable.find(c, dataPlaneID: id)
            try EndpointReportsTable.put(c, row)
            try EndpointReportService.recordRefusals(c, from: before, to: row)
            if !report.refusals.isEmpty, let plane = try DataPlanesTable.find(c, id: id) {
                try RequestRefusalsTable.insert(c, RefusalIntake.rows(report.refusals, of: plane, now: now))
            }
            return try Arms.priors(c, for: id, report.arms, now: now)
        }
    }

    /// For the reconciler: data planes whose replica died are not shown as connected for ever.
    package func forgetSilent() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.observe(as: .all) { c in
            try DataPlanesTable.forgetSilent(c, silentSince: now - DataPlaneContent.silenceMilliseconds, now: now)
        }
    }

    // MARK: -

    /// Text from outside that is stored and shown: bounded, and without the zero byte that Postgres refuses.
    private static func cut(_ text: String) -> String {
        String(text.unicodeScalars.filter { $0.value != 0 }.prefix(maximumTextLength).map(Character.init))
    }
}
