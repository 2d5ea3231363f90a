package import Contract
package import Primitives
package import Storage

/// A data plane and what it said of the documents it was sent.
package struct DataPlaneView: Sendable, Hashable {
    package let row: DataPlaneRow
    package let documents: [DataPlaneDocumentRow]
    package let connected: Bool
}

/// A change of a data plane; nil members stay as they are.
package struct DataPlaneChange: Sendable {
    package var name: String?
    package var tenantIDs: [TenantID]?

    package init(name: String? = nil, tenantIDs: [TenantID]? = nil) {
        self.name = name
        self.tenantIDs = tenantIDs
    }
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

    package func list(_ page: PageRequest, region: String? = nil) async throws -> Page<DataPlaneView> {
        let now = fleet.domain.clock.nowMilliseconds()
        let views = try await fleet.domain.read { c in
            try DataPlanesTable.list(c, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit, region: region)
                .map { try view(c, $0, now: now) }
        }
        return Page(fetched: views, page) { Cursor(list: Self.list, time: $0.row.createdAt, id: $0.row.id) }
    }

    package func get(_ id: DataPlaneID) async throws -> DataPlaneView {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.domain.read { try view($0, require($0, id), now: now) }
    }

    /// - Parameter expected: given the row's revision, the one the change is based on.
    package func update(
        _ actor: Actor, _ id: DataPlaneID, _ change: DataPlaneChange, expected: @escaping @Sendable (Int64) throws -> Int64
    ) async throws -> DataPlaneView {
        if let name = change.name {
            var problems = FleetFields.problems(name: name)
            if name.isEmpty { problems.append(FieldProblem("name", "is empty", remedy: "Give 1 to \(FleetFields.maximumNameLength) characters.")) }
            if !problems.isEmpty { throw DomainError.invalid(problems) }
        }
        return try await change(actor, id, "data_plane.update", expected: expected) { c, row in
            if let name = change.name { row.name = name }
            guard let tenantIDs = change.tenantIDs else { return }
            try FleetFields.checkTenants(c, tenantIDs)
            let sorted = FleetFields.sorted(tenantIDs)
            guard sorted != row.tenantIDs else { return }
            row.tenantIDs = sorted
            row.tenantsRevision += 1
            // Its directory changes although no tenant does: the version that the next document carries has to be a new one.
            _ = try CountersTable.next(c, FleetCounter.directory)
            _ = try CountersTable.next(c, FleetCounter.dataPlanes)
        }
    }

    /// Cuts the data plane off for good: its streams end, its sessions and its identity are refused. What it holds it goes on
    /// serving; the keys in it have to be revoked by themselves where that matters.
    package func revoke(
        _ actor: Actor, _ id: DataPlaneID, expected: @escaping @Sendable (Int64) throws -> Int64
    ) async throws -> DataPlaneView {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await change(actor, id, "data_plane.revoke", expected: expected) { c, row in
            guard row.status == .active else { return }
            row.status = .revoked
            row.revokedAt = now
            _ = try CountersTable.next(c, FleetCounter.dataPlanes)
        }
    }

    // MARK: What data planes say

    package func standings(_ ids: [String]) async throws -> [String: DataPlanesTable.Standing] {
        guard !ids.isEmpty else { return [:] }
        return try await fleet.domain.read { try DataPlanesTable.standings($0, ids: ids) }
    }

    /// The data plane that a session names.
    /// - Throws: `FleetRefusal.revoked`, or `.unauthenticated` when there is none of this id.
    package func admitted(_ id: DataPlaneID) async throws -> DataPlaneRow {
        let row = try await fleet.domain.read { try DataPlanesTable.find($0, id: id.rawValue) }
        guard let row else { throw FleetRefusal.unauthenticated("there is no data plane \(id)") }
        guard row.status == .active else { throw FleetRefusal.revoked }
        return row
    }

    /// A subscription began. What the hello lists replaces what was known; refusals of documents that it does not hold are kept.
    package func connected(_ id: String, replica: String, connection: String, hello: Weir_V1_Hello) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.domain.write { c in
            try DataPlanesTable.connected(c, id: id, replica: replica, connection: connection, version: hello.version, now: now)
            let known = try DataPlaneDocumentsTable.of(c, dataPlaneID: id)
            try DataPlaneDocumentsTable.removeAll(c, dataPlaneID: id)
            for row in known where !row.accepted { try DataPlaneDocumentsTable.put(c, row) }
            for mark in hello.held {
                guard let held = DocumentMark(mark) else { continue }
                let before = known.first { $0.kind == held.kind.word && $0.epoch == held.epoch && $0.version == held.version && $0.accepted }
                try DataPlaneDocumentsTable.put(
                    c,
                    DataPlaneDocumentRow(
                        dataPlaneID: id, kind: held.kind.word, epoch: held.epoch, version: held.version, digest: held.digest, accepted: true,
                        answeredAt: before?.answeredAt ?? now))
            }
        }
    }

    package func disconnected(_ id: String, connection: String) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.domain.database.transaction(isolation: .readCommitted) { c in
            try DataPlanesTable.disconnected(c, id: id, connection: connection, now: now)
        }
    }

    /// Records what the data plane answered to a document.
    package func answered(_ id: String, _ mark: DocumentMark, accepted: Bool, reason: String, detail: String) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        let row = DataPlaneDocumentRow(
            dataPlaneID: id, kind: mark.kind.word, epoch: mark.epoch, version: mark.version, digest: mark.digest, accepted: accepted,
            reason: accepted ? "" : Self.cut(reason), detail: accepted ? "" : Self.cut(detail), answeredAt: now)
        try await fleet.domain.database.transaction(isolation: .readCommitted) { c in
            // Of configurations several are held at once; which ones the next hello says.
            if accepted, mark.kind != .config {
                try DataPlaneDocumentsTable.removeOlder(c, dataPlaneID: id, kind: mark.kind.word, epoch: mark.epoch, version: mark.version)
            }
            try DataPlaneDocumentsTable.put(c, row)
        }
    }

    package func reported(_ id: String, _ report: Weir_V1_StatusReport) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        let json: JSONValue = [
            "requests_total": .int(Int64(clamping: report.requestsTotal)), "active_requests": .int(Int64(clamping: report.activeRequests)),
            "outbox_batches": .int(Int64(clamping: report.outboxBatches)), "ready": .bool(report.ready),
            "state": .string(Self.cut(report.state)), "draining": .bool(report.draining),
        ]
        try await fleet.domain.database.transaction(isolation: .readCommitted) { c in
            try DataPlanesTable.reported(c, id: id, report: json.text, now: now)
        }
    }

    /// For the reconciler: data planes whose replica died are not shown as connected for ever.
    package func forgetSilent() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.domain.database.transaction(isolation: .readCommitted) { c in
            try DataPlanesTable.forgetSilent(c, silentSince: now - Self.silenceMilliseconds)
        }
    }

    // MARK: -

    private func change(
        _ actor: Actor, _ id: DataPlaneID, _ action: String, expected: @escaping @Sendable (Int64) throws -> Int64,
        _ apply: @escaping @Sendable (any SQLConnection, inout DataPlaneRow) throws -> Void
    ) async throws -> DataPlaneView {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.domain.write(raising: .directory) { c in
            let before = try require(c, id)
            try checkRevision(expected(before.revision), current: before.revision)
            var row = before
            try apply(c, &row)
            row.updatedAt = now
            guard try DataPlanesTable.update(c, row, expectedRevision: before.revision) else {
                throw DomainError.preconditionFailed(current: before.revision + 1)
            }
            try AuditLog.record(c, actor, action, id: row.id, before: Self.json(before), after: Self.json(row), at: now)
            return try view(c, require(c, id), now: now)
        }
    }

    private func view(_ c: any SQLConnection, _ row: DataPlaneRow, now: Int64) throws -> DataPlaneView {
        let heard = row.lastSeenAt.map { now - $0 < Self.silenceMilliseconds } ?? false
        return DataPlaneView(
            row: row, documents: try DataPlaneDocumentsTable.of(c, dataPlaneID: row.id), connected: row.connection != nil && heard)
    }

    private func require(_ c: any SQLConnection, _ id: DataPlaneID) throws -> DataPlaneRow {
        guard let row = try DataPlanesTable.find(c, id: id.rawValue) else { throw DomainError.notFound(kind: "data plane", id: id.rawValue) }
        return row
    }

    private static func json(_ row: DataPlaneRow) -> JSONValue {
        ["name": .string(row.name), "tenant_ids": .strings(row.tenantIDs), "status": .string(row.status.rawValue)]
    }

    /// Text from outside that is stored and shown: bounded, and without the zero byte that Postgres refuses.
    private static func cut(_ text: String) -> String {
        String(text.unicodeScalars.filter { $0.value != 0 }.prefix(maximumTextLength).map(Character.init))
    }
}

/// Which document, to the byte.
package struct DocumentMark: Hashable, Sendable {
    package let kind: DocumentKind
    package let epoch: Int64
    package let version: Int64
    /// SHA-256 of the payload.
    package let digest: [UInt8]

    package init(kind: DocumentKind, epoch: Int64, version: Int64, digest: [UInt8]) {
        self.kind = kind
        self.epoch = epoch
        self.version = version
        self.digest = digest
    }

    /// Nil for what cannot be a mark of ours: an unknown kind, a number beyond 63 bits.
    package init?(_ mark: Weir_V1_DocumentMark) {
        self.init(kind: mark.kind, epoch: mark.epoch, version: mark.version, digest: Array(mark.digest))
    }

    package init?(_ acknowledgement: Weir_V1_Acknowledgement) {
        self.init(
            kind: acknowledgement.kind, epoch: acknowledgement.epoch, version: acknowledgement.version,
            digest: Array(acknowledgement.digest))
    }

    private init?(kind: String, epoch: UInt64, version: UInt64, digest: [UInt8]) {
        guard let kind = DocumentKind(rawValue: kind), let epoch = Int64(exactly: epoch), let version = Int64(exactly: version),
            digest.count <= 64
        else { return nil }
        self.init(kind: kind, epoch: epoch, version: version, digest: digest)
    }

    package var proto: Weir_V1_DocumentMark {
        var mark = Weir_V1_DocumentMark()
        mark.kind = kind.payloadType
        mark.epoch = UInt64(clamping: epoch)
        mark.version = UInt64(clamping: version)
        mark.digest = .init(digest)
        return mark
    }

    /// Whether a document of `epoch` and `version` orders after this one.
    package func isOlder(thanEpoch epoch: Int64, version: Int64) -> Bool { (self.epoch, self.version) < (epoch, version) }
}
