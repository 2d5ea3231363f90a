import Domain
import Nouns
import Primitives

/// Limits, and who has how much of them.
package struct LimitRoutes: RouteGroup {
    let limits: NounService<LimitContent>
    let uses: LimitUses

    package func addRoutes(to table: inout RouteTable) {
        NounRoutes(limits).addRoutes(to: &table)
        let docs = RouteDocs(
            "Get who has how much of a limit, the busiest first. Data planes tell once a second of what is half used up there: who is not here has used less."
        ) {
            $0.answer = .object([
                .told("limit_id", .id(LimitKind.prefix), "The limit."), .told("amount", .number, "How many there may be."),
                .told("subjects", .number, "Of how many something was told."),
                .told("items", .objects(Self.use, maximum: LimitUses.maximum), "Those that have most."),
            ])
        }
        table.get("/admin/api/limits/{id}/state", .admin(.readTenants), docs) { request in
            try request.query.allow([])
            return .json(try await uses.uses(of: request.id("limit"), as: request.actor.scope))
        }
    }

    private static let use: [FieldShape] = [
        .told("subject_id", Shapes.words, "Who counts by itself; null: all together, or an address.", nullable: true),
        .told("name", Shapes.words, "What people call it; null: it has none, or is gone.", nullable: true),
        .told("used", .number, "In the window, over all data planes that told."),
        .told("data_planes", .number, "How many told."),
        .told("as_of", .time, "When the one told that was longest silent.", nullable: true),
    ]
}
