package import Nouns
package import Primitives

package typealias Project = Entity<ProjectContent>

/// Parts of a tenant that have keys of their own.
extension ProjectContent: Administered {
    package static var scope: NounScope { .directory }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }

    package static var taken: FieldProblem {
        FieldProblem("name", "is taken by another project of this tenant", remedy: "Choose another name.")
    }

    /// Its revoked keys go with it; one that works keeps it.
    package static func willDelete(_ project: Project, _ change: NounChange) throws {
        for key in try VirtualKeyContent.listed(change.connection, where: "project_id", is: project.id.rawValue) {
            try NounService<VirtualKeyContent>.remove(key, change)
        }
    }
}
