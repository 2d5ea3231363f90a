import Contract
import Foundation
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Trust

/// Makes the directory documents: one for each data plane, with its tenants and no others.
///
/// A delta builds on a document that was issued to this very data plane, still holds for its list of tenants and is what it says
/// it holds. In every other case the whole directory is sent; that is always right, a delta is only cheaper.
package struct DirectoryDocuments: Sendable {
    package enum Outcome: Sendable {
        /// Nothing that concerns the data plane changed up to this value of the directory's counter.
        case unchanged(epoch: Int64, covered: Int64)
        case document(IssuedDocument, covered: Int64, full: Bool)
    }

    /// Rows read at once. Larger pages gain nothing and hold more memory.
    private static let pageSize = 5000
    /// Below it a delta is always worth it.
    private static let smallDelta: Int64 = 1000
    /// A delta larger than one part in this many of the directory is not.
    private static let deltaPart: Int64 = 5
    /// Documents that a data plane may come back with.
    private static let keptIssues = 16

    private let fleet: FleetContext
    private let keys: SigningKeyService
    private let factory: DocumentFactory
    /// Deltas and what is unchanged: small and quick. They wait for no whole directory, since a revoked key is in one of them.
    private let small = BuildLimit(4)
    private let wholes: WholeDirectories

    package init(_ fleet: FleetContext, keys: SigningKeyService, factory: DocumentFactory) {
        self.fleet = fleet
        self.keys = keys
        self.factory = factory
        wholes = WholeDirectories()
    }

    /// The document that brings the data plane from `held` to now.
    /// - Parameter full: The data plane asked for the whole directory, or refused a delta.
    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    package func next(for dataPlaneID: String, held: DocumentMark?, full: Bool) async throws -> Outcome {
        let content: Content
        if !full, let delta = try await small.run({ try await fleet.read(as: .all) { c in try read(c, dataPlaneID, held: held) } }) {
            content = delta
        } else {
            content = try await whole(for: dataPlaneID)
        }
        return try await issue(content, to: dataPlaneID, held: held)
    }

    /// The whole directory of the data plane's tenants. Those of one list of tenants share what is built at one time.
    private func whole(for dataPlaneID: String) async throws -> Content {
        let (row, epoch, counter, had) = try await fleet.read(as: .all) { c in
            guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
            let epoch = try FleetCounter.epoch(c)
            let issued = try IssuedDocumentsTable.latest(c, dataPlaneID: row.id, kind: DocumentKind.directory.word, epoch: epoch)
            return (row, epoch, try CountersTable.current(c, FleetCounter.directory), issued?.covered ?? 0)
        }
        let scope = DirectoryScope(tenantIDs: row.tenantIDs)
        let whole = try await wholes.directory(of: scope, counter: counter, notBelow: had) {
            try await fleet.read(as: .all) { c in
                let covered = try CountersTable.current(c, FleetCounter.directory)
                let payload = try self.whole(c, scope)
                // Here, on the database's thread: the digest of a million keys takes a while.
                return WholeDirectory(covered: covered, payload: payload, digest: SHA256Digest.of(payload))
            }
        }
        return Content(
            epoch: epoch, covered: whole.covered, tenantsRevision: row.tenantsRevision, base: nil, payload: whole.payload,
            digest: whole.digest)
    }

    private func issue(_ content: Content, to dataPlaneID: String, held: DocumentMark?) async throws -> Outcome {
        guard let payload = content.payload else { return .unchanged(epoch: content.epoch, covered: content.covered) }
        let digest = content.digest
        let now = fleet.domain.clock.nowMilliseconds()
        // The version is taken and written down before the document leaves; another document of the same version never does.
        let (version, key) = try await fleet.write(as: .all) { c in
            let version = try FleetCounter.newVersion(
                c, of: .directory, from: FleetCounter.directory, covered: content.covered, for: dataPlaneID, epoch: content.epoch,
                held: held)
            try IssuedDocumentsTable.insert(
                c,
                IssuedDocumentRow(
                    dataPlaneID: dataPlaneID, kind: DocumentKind.directory.word, epoch: content.epoch, version: version, digest: digest,
                    covered: content.covered, tenantsRevision: content.tenantsRevision, issuedAt: now))
            try IssuedDocumentsTable.prune(c, dataPlaneID: dataPlaneID, kind: DocumentKind.directory.word, keep: Self.keptIssues)
            return (version, try keys.active(c))
        }
        var header = factory.header(audience: dataPlaneID, epoch: content.epoch, version: version, now: now)
        header.previousDigest = Data(content.base?.digest ?? [])
        let envelope = try SignedDocument.sign(kind: .directory, header: header, payload: payload, with: key)
        let mark = DocumentMark(kind: .directory, epoch: content.epoch, version: version, digest: digest)
        return .document(IssuedDocument(mark: mark, envelope: envelope), covered: content.covered, full: content.base == nil)
    }

    // MARK: Reading

    private struct Content: Sendable {
        let epoch: Int64
        let covered: Int64
        let tenantsRevision: Int64
        /// What the delta builds on; nil: the whole directory.
        let base: IssuedDocumentRow?
        /// Nil: nothing changed since the base.
        let payload: [UInt8]?
        /// Of the payload; empty without.
        let digest: [UInt8]
    }

    /// What brings `held` to now; nil: nothing but the whole directory does.
    private func read(_ c: any SQLConnection, _ dataPlaneID: String, held: DocumentMark?) throws -> Content? {
        guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
        let epoch = try FleetCounter.epoch(c)
        let covered = try CountersTable.current(c, FleetCounter.directory)
        let scope = DirectoryScope(tenantIDs: row.tenantIDs)
        func content(_ base: IssuedDocumentRow?, _ payload: [UInt8]?) -> Content {
            Content(
                epoch: epoch, covered: covered, tenantsRevision: row.tenantsRevision, base: base, payload: payload,
                digest: payload.map { SHA256Digest.of($0) } ?? [])
        }
        if let base = try base(c, row, held: held, epoch: epoch) {
            let limit = Self.smallDelta
            let changes = try DirectoryTables.changes(c, scope, after: base.covered, limit: limit)
            if changes == 0 { return content(base, nil) }
            if try changes < limit || isWorthIt(c, scope, after: base.covered) {
                return content(base, try delta(c, scope, after: base.covered))
            }
        }
        return nil
    }

    private func base(_ c: any SQLConnection, _ row: DataPlaneRow, held: DocumentMark?, epoch: Int64) throws -> IssuedDocumentRow? {
        guard let held, held.epoch == epoch,
            let issued = try IssuedDocumentsTable.find(
                c, dataPlaneID: row.id, kind: DocumentKind.directory.word, epoch: epoch, version: held.version),
            issued.digest == held.digest, issued.tenantsRevision == row.tenantsRevision,
            // What was removed since may be gone from the tables, too.
            try issued.covered >= CountersTable.current(c, PurgeTables.directoryMark)
        else { return nil }
        return issued
    }

    private func isWorthIt(_ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64) throws -> Bool {
        let limit = try DirectoryTables.keyCount(c, scope) / Self.deltaPart + 1
        return try DirectoryTables.changes(c, scope, after: revision, limit: limit) < limit
    }

    /// The whole directory. Serialised page by page: protobuf reads concatenated messages as one, their repeated fields appended,
    /// so a million keys are never there as objects at once.
    private func whole(_ c: any SQLConnection, _ scope: DirectoryScope) throws -> [UInt8] {
        var head = Weir_V1_DirectoryPayload()
        head.tenants = try DirectoryTables.tenants(c, scope, after: nil).map { try Self.proto($0) }
        head.projects = try DirectoryTables.projects(c, scope, after: nil).map(Self.proto)
        var bytes: [UInt8] = try head.serializedBytes()
        func append(_ change: (inout Weir_V1_DirectoryPayload) throws -> Void) throws {
            var part = Weir_V1_DirectoryPayload()
            try change(&part)
            bytes += try part.serializedBytes() as [UInt8]
        }
        try eachPage(c, scope, after: nil, DirectoryTables.users, \.id) { page in try append { $0.users = page.map(Self.proto) } }
        try eachPage(c, scope, after: nil, DirectoryTables.apps, \.id) { page in try append { $0.apps = page.map(Self.proto) } }
        try eachPage(c, scope, after: nil, DirectoryTables.keys, \.id) { page in try append { $0.keys = try page.map(Self.proto) } }
        try eachPage(c, scope, after: nil, DirectoryTables.dids, \.id) { page in try append { $0.dids = page.map(Self.proto) } }
        try eachPage(c, scope, after: nil, DirectoryTables.revokedGrants, \.id) { page in
            try append { $0.revokedGrants = page.map(Self.proto) }
        }
        let now = fleet.domain.clock.nowMilliseconds()
        try eachPage(c, scope, after: nil, DirectoryTables.budgets, \.id) { page in
            try append { $0.budgets = page.map { $0.entry(at: now) } }
        }
        try eachPage(c, scope, after: nil, DirectoryTables.limits, \.id) { page in try append { $0.limits = page.map(Weir_V1_Limit.init) } }
        return bytes
    }

    private func delta(_ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64) throws -> [UInt8] {
        var payload = Weir_V1_DirectoryPayload()
        payload.delta = true
        var removedProjects = Set<String>()
        var removedKeys = Set<String>()
        for tenant in try DirectoryTables.tenants(c, scope, after: revision) {
            guard tenant.removed else {
                payload.tenants.append(try Self.proto(tenant))
                continue
            }
            payload.removedTenantIds.append(tenant.id)
            removedProjects.formUnion(try DirectoryTables.projectIDs(c, tenantID: tenant.id))
        }
        for project in try DirectoryTables.projects(c, scope, after: revision) {
            if project.removed { removedProjects.insert(project.id) } else { payload.projects.append(Self.proto(project)) }
        }
        for project in removedProjects { removedKeys.formUnion(try DirectoryTables.keyIDs(c, projectID: project)) }
        try eachPage(c, scope, after: revision, DirectoryTables.users, \.id) { page in
            payload.users += page.filter { !$0.removed }.map(Self.proto)
            payload.removedUserIds += page.filter(\.removed).map(\.id)
        }
        try eachPage(c, scope, after: revision, DirectoryTables.apps, \.id) { page in
            payload.apps += page.filter { !$0.removed }.map(Self.proto)
            payload.removedAppIds += page.filter(\.removed).map(\.id)
        }
        try eachPage(c, scope, after: revision, DirectoryTables.keys, \.id) { page in
            for key in page {
                if key.removed { removedKeys.insert(key.id) } else { payload.keys.append(try Self.proto(key)) }
            }
        }
        try eachPage(c, scope, after: revision, DirectoryTables.dids, \.id) { page in
            payload.dids += page.filter { !$0.removed }.map(Self.proto)
            payload.removedDidIds += page.filter(\.removed).map(\.id)
        }
        try eachPage(c, scope, after: revision, DirectoryTables.revokedGrants, \.id) { page in
            payload.revokedGrants += page.filter { !$0.removed }.map(Self.proto)
            payload.removedRevokedGrantIds += page.filter(\.removed).map(\.id)
        }
        let now = fleet.domain.clock.nowMilliseconds()
        try eachPage(c, scope, after: revision, DirectoryTables.budgets, \.id) { page in
            payload.budgets += page.filter { !$0.removed }.map { $0.entry(at: now) }
            payload.removedBudgetIds += page.filter(\.removed).map(\.id)
        }
        try eachPage(c, scope, after: revision, DirectoryTables.limits, \.id) { page in
            payload.limits += page.filter { !$0.removed }.map(Weir_V1_Limit.init)
            payload.removedLimitIds += page.filter(\.removed).map(\.id)
        }
        payload.removedProjectIds = removedProjects.sorted()
        payload.removedKeyIds = removedKeys.sorted()
        return try payload.serializedBytes()
    }

    private func eachPage<Row>(
        _ c: any SQLConnection, _ scope: DirectoryScope, after revision: Int64?,
        _ rows: (any SQLConnection, DirectoryScope, Int64?, String, Int) throws -> [Row], _ id: KeyPath<Row, String>,
        _ body: ([Row]) throws -> Void
    ) throws {
        var lastID = ""
        while true {
            let page = try rows(c, scope, revision, lastID, Self.pageSize)
            try body(page)
            guard page.count == Self.pageSize, let last = page.last else { return }
            lastID = last[keyPath: id]
        }
    }

    // MARK: Messages

    private static func proto(_ row: DirectoryTables.Tenant) throws -> Weir_V1_Tenant {
        var tenant = Weir_V1_Tenant()
        tenant.id = row.id
        tenant.name = row.name
        tenant.disabled = row.disabled
        if row.weight != 1 { tenant.weight = UInt32(clamping: row.weight) }
        guard row.didPolicy != DIDPolicy.off.rawValue else { return tenant }
        var content = TenantContent()
        content.status = row.disabled ? .disabled : .active
        content.didPolicy = DIDPolicy(rawValue: row.didPolicy) ?? .off
        content.didPatterns = try names(row.didPatterns)
        content.didHosts = try names(row.didHosts)
        if let policy = content.newDIDs {
            tenant.takesNewDids = true
            tenant.didHosts = policy.hosts.sorted()
            tenant.didPatterns = policy.patterns
        }
        return tenant
    }

    private static func proto(_ row: DirectoryTables.Project) -> Weir_V1_Project {
        var project = Weir_V1_Project()
        project.id = row.id
        project.tenantID = row.tenantID
        project.name = row.name
        project.disabled = row.disabled
        return project
    }

    private static func proto(_ row: DirectoryTables.Key) throws -> Weir_V1_VirtualKey {
        var key = Weir_V1_VirtualKey()
        key.id = row.id
        key.projectID = row.projectID
        key.sha256 = Data(row.sha256)
        if let previous = row.previousSHA256 {
            key.previousSha256 = Data(previous)
            key.previousExpiresMs = row.previousExpiresAt ?? 0
        }
        key.expiresMs = row.expiresAt ?? 0
        key.disabled = row.revoked
        key.userID = row.userID ?? ""
        // Nearly every key has no scopes: not a million JSON parsers for nothing.
        if row.models != "[]" { key.models = try names(row.models) }
        if row.capabilities != "[]" { key.capabilities = try names(row.capabilities) }
        if row.channels != "[]" { key.channels = try names(row.channels) }
        if row.networks != "[]" { key.networks = try names(row.networks) }
        if row.domains != "[]" { key.domains = try names(row.domains) }
        if row.credentialIDs != "[]" { key.credentialIds = try names(row.credentialIDs) }
        if row.rights != "[]" { key.rights = try names(row.rights).filter(Vocabulary.routingRights.contains) }
        if row.tags != "{}" { key.tags = UsageTags.fitting(try tags(row.tags)) }
        return key
    }

    private static func tags(_ column: String) throws -> [String] {
        guard case .object(let tags) = try JSONValue(parsing: column) else {
            throw DatabaseError.unexpectedValue("a key's tags are not an object")
        }
        return tags.members.map { "\($0.name)=\($0.value.stringValue ?? "")" }
    }

    private static func proto(_ row: DirectoryTables.User) -> Weir_V1_User {
        var user = Weir_V1_User()
        user.id = row.id
        user.tenantID = row.tenantID
        user.oid = row.oid
        user.disabled = row.disabled
        user.paidUntilMs = UserContent { $0.paymentValidUntil = row.paymentValidUntil }.paidUntil ?? 0
        return user
    }

    private static func proto(_ row: DirectoryTables.App) -> Weir_V1_App {
        var app = Weir_V1_App()
        app.id = row.id
        app.tenantID = row.tenantID
        app.appID = row.appID
        app.ownerID = row.ownerID
        app.disabled = row.disabled
        app.sha256 = Data(row.sha256 ?? [])
        if let previous = row.previousSHA256 {
            app.previousSha256 = Data(previous)
            app.previousExpiresMs = row.previousExpiresAt ?? 0
        }
        return app
    }

    private static func proto(_ row: DirectoryTables.RevokedGrant) -> Weir_V1_RevokedGrant {
        var grant = Weir_V1_RevokedGrant()
        grant.id = row.id
        grant.tenantID = row.tenantID
        grant.name = Data(row.name)
        return grant
    }

    private static func proto(_ row: DirectoryTables.RegisteredDID) -> Weir_V1_Did {
        var did = Weir_V1_Did()
        did.id = row.id
        did.tenantID = row.tenantID
        did.fingerprint = Data(row.fingerprint)
        did.userID = row.userID ?? ""
        did.disabled = row.disabled
        if let methods = row.methods {
            did.methods = DIDContent.methods(methods).map { method in
                var message = Weir_V1_DidMethod()
                message.id = method.fragment
                message.curve = UInt32(method.key.curve.rawValue)
                message.key = Data(method.key.bytes)
                return message
            }
        }
        return did
    }

    private static func names(_ column: String) throws -> [String] {
        guard let names = [String].read(.text(column)) else { throw DatabaseError.unexpectedValue("a key's scope is not a list") }
        return names
    }
}
