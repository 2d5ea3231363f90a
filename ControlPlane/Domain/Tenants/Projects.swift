package import Primitives
import Storage

package struct ProjectContent: EntityContent {
    /// Fixed when the project is made.
    package var tenantID: TenantID
    package var name: String
    package var status: Standing

    package init(tenantID: TenantID, name: String, status: Standing) {
        self.tenantID = tenantID
        self.name = name
        self.status = status
    }

    package var members: JSONObject {
        ["tenant_id": .string(tenantID.rawValue), "name": .string(name), "status": .string(status.rawValue)]
    }
}

package typealias Project = Entity<ProjectKind, ProjectContent>

extension Entity<ProjectKind, ProjectContent> {
    init(_ row: ProjectRow) {
        self.init(
            id: row.id, meta: row.meta,
            content: ProjectContent(tenantID: ID(row.tenantID), name: row.name, status: Standing(rawValue: row.status) ?? .disabled))
    }
}

/// Parts of a tenant that have keys of their own. Changes are in force on connected data planes at once.
package struct ProjectService: Sendable {
    package static let list = "projects"
    private static let taken = FieldProblem("name", "is taken by another project of this tenant", remedy: "Choose another name.")

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Oldest first.
    package func items(of tenant: TenantID?, _ page: PageRequest) async throws -> Page<Project> {
        let items = try await domain.read { c in
            try ProjectsTable.list(
                c, matching: tenant.map { [("tenant_id", .text($0.rawValue))] } ?? [], after: page.after.map { ($0.time, $0.id) },
                limit: page.fetchLimit
            ).map { Project($0) }
        }
        return Page(fetched: items, page) { $0.cursor(Self.list) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: ProjectID) async throws -> Project {
        try await domain.read { c in Project(try Self.present(c, id)) }
    }

    package func create(_ content: ProjectContent, by actor: Actor) async throws -> Project {
        try Self.check(content)
        let id = ProjectID.random().rawValue
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .directory, taken: Self.taken) { c in
            let number = try ChangeCounter.directory.next(c)
            guard try TenantsTable.find(c, content.tenantID.rawValue) != nil else {
                throw DomainError.invalid("tenant_id", "names no tenant", remedy: "Create the tenant first, or name another.")
            }
            let row = ProjectRow(
                id: id, tenantID: content.tenantID.rawValue, name: content.name, status: content.status.rawValue, meta: .new(at: now),
                directoryRevision: number)
            try ProjectsTable.insert(c, row)
            let project = Project(row)
            try AuditLog.record(c, actor, "project.create", id: id, before: nil, after: project.json, at: now)
            return project
        }
    }

    package func replace(_ id: ProjectID, at revision: Int64, with content: ProjectContent, by actor: Actor) async throws -> Project {
        try Self.check(content)
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .directory, taken: Self.taken) { c in
            let number = try ChangeCounter.directory.next(c)
            let old = try Self.present(c, id)
            try checkRevision(revision, current: old.meta.revision)
            guard old.tenantID == content.tenantID.rawValue else {
                throw DomainError.invalid(
                    "tenant_id", "cannot be changed", remedy: "Leave it as it is; make a new project for the other tenant.")
            }
            var row = old
            row.name = content.name
            row.status = content.status.rawValue
            row.meta = old.meta.next(at: now)
            row.directoryRevision = number
            guard try ProjectsTable.update(c, row, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            let project = Project(row)
            try AuditLog.record(c, actor, "project.update", id: row.id, before: Project(old).json, after: project.json, at: now)
            return project
        }
    }

    /// Its revoked keys go with it.
    /// - Throws: `DomainError.conflict` naming the keys that still work.
    package func delete(_ id: ProjectID, at revision: Int64, by actor: Actor) async throws {
        let now = domain.clock.nowMilliseconds()
        try await domain.write(raising: .directory) { c in
            let number = try ChangeCounter.directory.next(c)
            let old = try Self.present(c, id)
            try checkRevision(revision, current: old.meta.revision)
            let working = try VirtualKeysTable.working(c, project: id.rawValue, limit: 100)
            guard working.isEmpty else {
                throw Referrer.refusal(of: "project", working.map { Referrer(kind: "key", id: $0.id, name: $0.name) })
            }
            try VirtualKeysTable.deleteAll(c, project: id.rawValue, at: now, directoryRevision: number)
            var row = old
            row.meta = old.meta.next(at: now)
            row.directoryRevision = number
            row.deletedAt = now
            guard try ProjectsTable.update(c, row, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            try AuditLog.record(c, actor, "project.delete", id: row.id, before: Project(old).json, after: nil, at: now)
        }
    }

    private static func check(_ content: ProjectContent) throws(DomainError) {
        var validation = Validation()
        validation.name("name", content.name)
        try validation.throwIfAny()
    }

    private static func present(_ c: any SQLConnection, _ id: ProjectID) throws -> ProjectRow {
        guard let row = try ProjectsTable.find(c, id.rawValue) else { throw DomainError.notFound(kind: "project", id: id.rawValue) }
        return row
    }
}
