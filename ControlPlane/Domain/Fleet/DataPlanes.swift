package import Contract
package import Nouns
package import Primitives
import Storage

/// An enrolled data plane, and what it said of the documents it was sent.
package struct DataPlane: Sendable, Hashable {
    package enum Status: String, Sendable, CaseIterable {
        case active, revoked
    }

    /// An answer to a document.
    package struct DocumentAnswer: Sendable, Hashable {
        /// `config`, `rollout`, `directory` or `keyring`.
        package let kind: String
        package let epoch: Int64
        package let version: Int64
        package let digest: [UInt8]
        package let accepted: Bool
        /// Of a refusal: a stable code, and words for people.
        package let reason: String
        package let detail: String
        /// Unix milliseconds.
        package let answeredAt: Int64
    }

    package let id: DataPlaneID
    package let name: String
    package let region: String
    package let tenantIDs: Scope<TenantID>
    package let version: String
    package let status: Status
    package let revision: Int64
    package let createdAt: Int64
    package let updatedAt: Int64
    package let revokedAt: Int64?
    package let connected: Bool
    /// The control plane replica it is connected to.
    package let replica: String?
    package let connectedAt: Int64?
    package let lastSeenAt: Int64?
    /// Its last status report.
    package let report: JSONValue?
    package let reportedAt: Int64?
    package let documents: [DocumentAnswer]

    /// - Parameter replicas: When each replica's lease ends. One that has none has yet to be upgraded.
    init(_ row: DataPlaneRow, documents: [DataPlaneDocumentRow], replicas: [String: Int64], now: Int64) {
        id = DataPlaneID(row.id)
        name = row.name
        region = row.region
        // A list that names nobody cannot be written: an empty one is all.
        tenantIDs = row.tenantIDs.isEmpty ? .all : .only(row.tenantIDs.map { ID($0) })
        version = row.version
        status = row.status == .active ? .active : .revoked
        revision = row.revision
        createdAt = row.createdAt
        updatedAt = row.updatedAt
        revokedAt = row.revokedAt
        let replicaIsThere = row.replica.flatMap { replicas[$0] }.map { $0 > now } ?? true
        connected =
            row.connection != nil && replicaIsThere && row.lastSeenAt.map { now - $0 < DataPlaneService.silenceMilliseconds } ?? false
        replica = connected ? row.replica : nil
        connectedAt = connected ? row.connectedAt : nil
        lastSeenAt = row.lastSeenAt
        report = row.report.flatMap { try? JSONValue(parsing: $0) }
        reportedAt = row.reportedAt
        self.documents = documents.map {
            DocumentAnswer(
                kind: $0.kind, epoch: $0.epoch, version: $0.version, digest: $0.digest, accepted: $0.accepted, reason: $0.reason,
                detail: $0.detail, answeredAt: $0.answeredAt)
        }
    }

    /// What is wrong with it, if anything; "ok" otherwise.
    package var state: String {
        if status == .revoked { return "revoked" }
        if !connected { return "disconnected" }
        if documents.contains(where: { !$0.accepted }) { return "refusing documents" }
        return report?["state"]?.stringValue ?? "ok"
    }

    package var json: JSONValue {
        [
            "id": .string(id.rawValue), "name": .string(name), "region": .string(region), "tenant_ids": tenantIDs.json(as: .anything),
            "version": .string(version), "status": .string(status.rawValue), "state": .string(state), "connected": .bool(connected),
            "replica": .optional(replica), "connected_at": .time(connectedAt), "last_seen_at": .time(lastSeenAt),
            "documents": .array(documents.map(\.json)), "outbox_batches": report?["outbox_batches"] ?? .null, "report": report ?? .null,
            "reported_at": .time(reportedAt), "revoked_at": .time(revokedAt), "created_at": .time(createdAt),
            "updated_at": .time(updatedAt),
        ]
    }
}

extension DataPlane.DocumentAnswer {
    fileprivate var json: JSONValue {
        [
            "kind": .string(kind), "epoch": .int(epoch), "version": .int(version), "digest": .string(Hex.encode(digest)),
            "accepted": .bool(accepted), "reason": accepted ? .null : .string(reason), "detail": accepted ? .null : .string(detail),
            "answered_at": .time(answeredAt),
        ]
    }
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
    package static let list = "data-planes"
    /// A connected data plane reports every 30 s; one that has been silent for this long is shown as not connected.
    package static let silenceMilliseconds: Int64 = 90_000
    /// Longer texts of a data plane are cut.
    private static let maximumTextLength = 1000

    private let fleet: FleetContext

    package init(_ fleet: FleetContext) {
        self.fleet = fleet
    }

    package func list(_ page: PageRequest, region: String? = nil) async throws -> Page<DataPlane> {
        let now = fleet.domain.clock.nowMilliseconds()
        let planes = try await fleet.read(as: .all) { c in
            let replicas = try ControlReplicasTable.expiries(c)
            return try DataPlanesTable.list(c, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit, region: region)
                .map { try dataPlane(c, $0, replicas, now: now) }
        }
        return Page(fetched: planes, page) { Cursor(list: Self.list, time: $0.createdAt, id: $0.id.rawValue) }
    }

    package func get(_ id: DataPlaneID) async throws -> DataPlane {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.read(as: .all) { try dataPlane($0, require($0, id), ControlReplicasTable.expiries($0), now: now) }
    }

    /// - Parameter expecting: the revision that the change is based on.
    package func update(_ actor: Actor, _ id: DataPlaneID, _ change: DataPlaneChange, expecting: Int64) async throws -> DataPlane {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await self.change(actor, id, "data_plane.update", expecting: expecting) { c, row in
            let problems = change.fieldProblems(replacing: nil) + (try FleetFields.unknownTenants(c, change.tenantIDs))
            if !problems.isEmpty { throw DomainError.invalid(problems) }
            row.name = change.name
            let sorted = change.tenantIDs.named?.map(\.rawValue).sorted() ?? []
            guard sorted != row.tenantIDs else { return }
            try FormerTenantsTable.record(
                c, dataPlaneID: row.id, from: DirectoryScope(tenantIDs: row.tenantIDs), to: DirectoryScope(tenantIDs: sorted),
                inContact: row.connection != nil, now: now)
            row.tenantIDs = sorted
            row.tenantsRevision += 1
            // Its directory changes although no tenant does: the version that the next document carries has to be a new one.
            _ = try CountersTable.next(c, FleetCounter.directory)
            _ = try CountersTable.next(c, FleetCounter.dataPlanes)
        }
    }

    /// Cuts the data plane off for good: its streams end, and the next session it opens tells it, signed, that it was revoked. It then stops
    /// serving, after the grace its own operator chose, and may ship what it had served, which is kept apart. One that is not in contact
    /// hears nothing and serves on: where that matters, revoke the provider's credentials as well.
    package func revoke(_ actor: Actor, _ id: DataPlaneID, expecting: Int64? = nil) async throws -> DataPlane {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await change(actor, id, "data_plane.revoke", expecting: expecting) { c, row in
            guard row.status == .active else { return }
            row.status = .revoked
            row.revokedAt = now
            _ = try CountersTable.next(c, FleetCounter.dataPlanes)
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
        case .directory, .heartbeat, .keyring, .revocation:
            try DataPlaneDocumentsTable.removeOlder(
                c, dataPlaneID: row.dataPlaneID, kind: row.kind, epoch: row.epoch, version: row.version)
        }
    }

    package func reported(_ id: String, _ report: Weir_V1_StatusReport) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        var json: JSONObject = [
            "requests_total": .int(Int64(clamping: report.requestsTotal)), "active_requests": .int(Int64(clamping: report.activeRequests)),
            "outbox_batches": .int(Int64(clamping: report.outboxBatches)), "ready": .bool(report.ready),
            "state": .string(Self.cut(report.state)), "draining": .bool(report.draining),
        ]
        if report.hasUsageLagMs { json["usage_lag_ms"] = .int(max(0, report.usageLagMs)) }
        let text = JSONValue.object(json).text
        try await fleet.observe(as: .all) { c in
            try DataPlanesTable.reported(c, id: id, report: text, now: now)
            try EndpointReportsTable.put(c, EndpointReportService.row(id, report, now: now))
        }
    }

    /// For the reconciler: data planes whose replica died are not shown as connected for ever.
    package func forgetSilent() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.observe(as: .all) { c in
            try DataPlanesTable.forgetSilent(c, silentSince: now - Self.silenceMilliseconds, now: now)
        }
    }

    // MARK: -

    private func change(
        _ actor: Actor, _ id: DataPlaneID, _ action: String, expecting: Int64?,
        _ apply: @escaping @Sendable (any SQLConnection, inout DataPlaneRow) throws -> Void
    ) async throws -> DataPlane {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.write(as: actor.scope, raising: .directory) { c in
            let before = try require(c, id)
            if let expecting { try checkRevision(expecting, current: before.revision) }
            var row = before
            try apply(c, &row)
            row.updatedAt = now
            guard try DataPlanesTable.update(c, row, expectedRevision: before.revision) else {
                throw DomainError.preconditionFailed(current: before.revision + 1)
            }
            try AuditLog.record(c, actor, action, id: row.id, before: Self.json(before), after: Self.json(row), at: now)
            return try dataPlane(c, require(c, id), ControlReplicasTable.expiries(c), now: now)
        }
    }

    private func dataPlane(_ c: any SQLConnection, _ row: DataPlaneRow, _ replicas: [String: Int64], now: Int64) throws -> DataPlane {
        DataPlane(row, documents: try DataPlaneDocumentsTable.of(c, dataPlaneID: row.id), replicas: replicas, now: now)
    }

    private func require(_ c: any SQLConnection, _ id: DataPlaneID) throws -> DataPlaneRow {
        guard let row = try DataPlanesTable.find(c, id: id.rawValue) else {
            throw DomainError.notFound(kind: "data plane", id: id.rawValue)
        }
        return row
    }

    private static func json(_ row: DataPlaneRow) -> JSONValue {
        [
            "name": .string(row.name), "tenant_ids": row.tenantIDs.isEmpty ? "all" : .strings(row.tenantIDs),
            "status": .string(row.status.rawValue),
        ]
    }

    /// Text from outside that is stored and shown: bounded, and without the zero byte that Postgres refuses.
    private static func cut(_ text: String) -> String {
        String(text.unicodeScalars.filter { $0.value != 0 }.prefix(maximumTextLength).map(Character.init))
    }
}
