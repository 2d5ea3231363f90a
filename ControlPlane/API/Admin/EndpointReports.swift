package import Domain
import HTTPTypes
import Nouns
import Primitives

/// How the fleet's endpoints fare.
package struct EndpointReportRoutes: RouteGroup {
    let reports: EndpointReportService

    private static let arm: [FieldShape] =
        ["data_plane", "route", "endpoint"].flatMap { name in
            [
                FieldShape.told("\(name)_id", Shapes.words, "Which \(name.replacing("_", with: " "))."),
                FieldShape.told(name, Shapes.words, "What people call it; null: it is gone.", nullable: true),
            ]
        } + [
            .told("upstream_model", Shapes.words, "What the provider calls the model."),
            .told("pulls", .number, "How often it was tried; what is longer ago counts less."),
            .told("reward_percent", .number, "How good that was: 100 is an answer at once and each time."),
            .told("reported_at", .time, "When the data plane said so."),
        ]

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
        let arms = RouteDocs("What routes that learn have learnt at each data plane within the last hour, by what it said last.") {
            $0.answer = .object([.told("items", .objects(Self.arm, maximum: 51_200), "One each route, endpoint and data plane.")])
        }
        table.get("/admin/api/fleet/arms", .admin(.read), arms) { request in
            try request.query.allow([])
            return .json(["items": .array(try await reports.arms())])
        }
    }
}
