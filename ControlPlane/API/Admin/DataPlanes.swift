package import Domain
import Nouns

package struct DataPlaneRoutes: RouteGroup {
    let dataPlanes: DataPlaneService

    package func addRoutes(to table: inout RouteTable) {
        // They are made by enrolling.
        let routes = NounRoutes(dataPlanes.nouns, without: [.create, .delete])
        routes.addRoutes(to: &table)
        routes.action("revoke", "Shut a data plane out for good.", NoFields.self, to: &table) { id, revision, _, actor in
            (try await dataPlanes.revoke(id, at: revision, by: actor), nil)
        }
    }
}
