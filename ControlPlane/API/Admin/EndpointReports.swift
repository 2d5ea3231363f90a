package import Domain
import HTTPTypes
import Primitives

/// How the fleet's endpoints fare.
package struct EndpointReportRoutes: RouteGroup {
    let reports: EndpointReportService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/fleet/endpoints", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor", "region", "in_trouble"])
            let wanted = request.query["in_trouble"]
            guard [nil, "true", "false"].contains(wanted) else {
                throw DomainError.invalid("in_trouble", "is neither true nor false", remedy: "Leave it out to see every endpoint.")
            }
            let page = try await reports.list(
                request.page(of: EndpointReportService.list), region: request.query["region"], inTrouble: wanted == "true")
            return .list(page) { $0.json }
        }
    }
}
