package import Domain
import Nouns
import Primitives

/// Bans, or kill switches; each says which data planes have acted on it.
package struct BanRoutes<Content: BanLike>: RouteGroup {
    let bans: BanService<Content>

    package func addRoutes(to table: inout RouteTable) {
        var routes = NounRoutes(bans.nouns)
        let plane: [FieldShape] = [
            .told("data_plane_id", .id(DataPlaneKind.prefix), "A data plane that serves the tenant."),
            .told("name", .text(maximum: 128), "What people call it."),
            .told(
                "state", .word(BanReach.State.allCases.map(\.rawValue)),
                "acted: it is in force there; pending: it is connected and has not answered; unreachable: what it heard last holds."),
            .told("acted_at", .time, "When its answer came.", nullable: true),
            .told("last_seen_at", .time, "When it was last in contact.", nullable: true),
            .told(
                "holds_until", .time,
                "Until when what it heard last holds there; null: until it is in contact again, however long that is.",
                nullable: true),
        ]
        routes.detail = (
            [
                .told(
                    "data_planes", .objects(plane, maximum: 10_000),
                    "How far it has come; empty for a tenant's administrator: data planes are the operator's.")
            ],
            { [bans] ban, actor in
                ["data_planes": .array(actor.may(.read) ? try await bans.reach(of: ban).map(\.json) : [])]
            }
        )
        routes.addRoutes(to: &table)
    }
}
