/// A part of a tenant that has keys of its own.
package struct ProjectRow: EntityRow {
    package static let table = "projects"
    package static let columns = ["tenant_id", "name", "status", "directory_revision", "deleted_at"]

    package let id: String
    package let tenantID: String
    package var name: String
    /// `active` or `disabled`.
    package var status: String
    package var meta: RowMeta
    package var directoryRevision: Int64
    package var deletedAt: Int64?

    package init(
        id: String, tenantID: String, name: String, status: String, meta: RowMeta, directoryRevision: Int64, deletedAt: Int64? = nil
    ) {
        self.id = id
        self.tenantID = tenantID
        self.name = name
        self.status = status
        self.meta = meta
        self.directoryRevision = directoryRevision
        self.deletedAt = deletedAt
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), tenantID: try row.text("tenant_id"), name: try row.text("name"), status: try row.text("status"),
            meta: try RowMeta(row), directoryRevision: try row.int("directory_revision"), deletedAt: try row.optionalInt("deleted_at"))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [.text(tenantID), .text(name), .text(status), .int(directoryRevision), .optional(deletedAt)]
    }
}

package enum ProjectsTable: DirectoryTable {
    package typealias Row = ProjectRow
}
