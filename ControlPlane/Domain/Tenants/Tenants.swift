package import Primitives
import Storage

/// Whether a tenant or project may send requests.
package enum Standing: String, CaseIterable, Sendable {
    case active, disabled
}

package struct TenantContent: EntityContent {
    package var name: String
    package var status: Standing

    package init(name: String, status: Standing) {
        self.name = name
        self.status = status
    }

    package var members: JSONObject { ["name": .string(name), "status": .string(status.rawValue)] }
}

package typealias Tenant = Entity<TenantKind, TenantContent>

extension Entity<TenantKind, TenantContent> {
    init(_ row: TenantRow) {
        // A status that cannot be read shuts the tenant out rather than in.
        self.init(id: row.id, meta: row.meta, content: TenantContent(name: row.name, status: Standing(rawValue: row.status) ?? .disabled))
    }
}

/// The operator's customers. Changes are in force on connected data planes at once.
package struct TenantService: Sendable {
    package static let list = "tenants"
    private static let taken = FieldProblem("name", "is taken by another tenant", remedy: "Choose another name.")

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Oldest first.
    package func items(_ page: PageRequest) async throws -> Page<Tenant> {
        let items = try await domain.read { c in
            try TenantsTable.list(c, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit).map { Tenant($0) }
        }
        return Page(fetched: items, page) { $0.cursor(Self.list) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: TenantID) async throws -> Tenant {
        try await domain.read { c in Tenant(try Self.present(c, id)) }
    }

    package func create(_ content: TenantContent, by actor: Actor) async throws -> Tenant {
        try Self.check(content)
        let id = TenantID.random().rawValue
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .directory, taken: Self.taken) { c in
            let number = try ChangeCounter.directory.next(c)
            let row = TenantRow(
                id: id, name: content.name, status: content.status.rawValue, meta: .new(at: now), directoryRevision: number)
            try TenantsTable.insert(c, row)
            let tenant = Tenant(row)
            try AuditLog.record(c, actor, "tenant.create", id: id, before: nil, after: tenant.json, at: now)
            return tenant
        }
    }

    package func replace(_ id: TenantID, at revision: Int64, with content: TenantContent, by actor: Actor) async throws -> Tenant {
        try Self.check(content)
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .directory, taken: Self.taken) { c in
            let number = try ChangeCounter.directory.next(c)
            let old = try Self.present(c, id)
            try checkRevision(revision, current: old.meta.revision)
            var row = old
            row.name = content.name
            row.status = content.status.rawValue
            row.meta = old.meta.next(at: now)
            row.directoryRevision = number
            guard try TenantsTable.update(c, row, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            let tenant = Tenant(row)
            try AuditLog.record(c, actor, "tenant.update", id: row.id, before: Tenant(old).json, after: tenant.json, at: now)
            return tenant
        }
    }

    /// - Throws: `DomainError.conflict` naming the projects and models that still belong to it.
    package func delete(_ id: TenantID, at revision: Int64, by actor: Actor) async throws {
        let now = domain.clock.nowMilliseconds()
        try await domain.write(raising: .directory) { c in
            let number = try ChangeCounter.directory.next(c)
            _ = try ChangeCounter.draft.next(c)
            let old = try Self.present(c, id)
            try checkRevision(revision, current: old.meta.revision)
            let referrers = try Self.referrers(to: id, c)
            guard referrers.isEmpty else { throw Referrer.refusal(of: "tenant", referrers) }
            var row = old
            row.meta = old.meta.next(at: now)
            row.directoryRevision = number
            row.deletedAt = now
            guard try TenantsTable.update(c, row, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            try AuditLog.record(c, actor, "tenant.delete", id: row.id, before: Tenant(old).json, after: nil, at: now)
        }
    }

    private static func check(_ content: TenantContent) throws(DomainError) {
        var validation = Validation()
        validation.name("name", content.name)
        try validation.throwIfAny()
    }

    private static func present(_ c: any SQLConnection, _ id: TenantID) throws -> TenantRow {
        guard let row = try TenantsTable.find(c, id.rawValue) else { throw DomainError.notFound(kind: "tenant", id: id.rawValue) }
        return row
    }

    private static func referrers(to id: TenantID, _ c: any SQLConnection) throws -> [Referrer] {
        let projects = try ProjectsTable.list(c, matching: [("tenant_id", .text(id.rawValue))], after: nil, limit: 100)
        let models = try ModelsTable.all(c).filter { $0.tenantIDs.contains(id.rawValue) }
        return projects.map { Referrer(kind: "project", id: $0.id, name: $0.name) }
            + models.map { Referrer(kind: "model", id: $0.id, name: $0.name) }
    }
}
