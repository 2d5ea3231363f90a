import Primitives
import Storage

/// Up to when the data planes have told their usage.
struct UsagePositions: Sendable, Hashable {
    struct Position: Sendable, Hashable {
        let dataPlaneID: String
        let name: String
        /// Unix milliseconds: what ended before is here. Nil: nobody knows.
        let knownUntil: Int64?

        var json: JSONValue {
            ["data_plane_id": .string(dataPlaneID), "data_plane": .string(name), "as_of": .time(knownUntil)]
        }
    }

    /// The earliest of all, by which whatever ended before is here; nil: it is not known of one of them.
    let asOf: Int64?
    /// Those that lag behind, the last first.
    let behind: [Position]

    /// Later than this is nothing but the way that usage always takes.
    private static let usualMilliseconds: Int64 = 60_000
    private static let maximumListed = 100

    /// - Parameter tenantID: Only data planes that serve this tenant; nil: all.
    init(_ c: any SQLConnection, servingTenant tenantID: String?, now: Int64) throws {
        let planes = try DataPlanesTable.active(c).filter { row in
            // One that never told anything has served nothing.
            guard row.reportedAt != nil else { return false }
            return tenantID.map { DirectoryScope(tenantIDs: row.tenantIDs).contains($0) } ?? true
        }
        let positions = planes.map { Position(dataPlaneID: $0.id, name: $0.name, knownUntil: Self.knownUntil($0)) }
        asOf = positions.contains { $0.knownUntil == nil } ? nil : positions.compactMap(\.knownUntil).min() ?? now
        behind = Array(
            positions.filter { $0.knownUntil.map { now - $0 > Self.usualMilliseconds } ?? true }
                .sorted { ($0.knownUntil ?? 0, $0.dataPlaneID) < ($1.knownUntil ?? 0, $1.dataPlaneID) }.prefix(Self.maximumListed))
    }

    /// By its last report, whose time is by our clock.
    private static func knownUntil(_ row: DataPlaneRow) -> Int64? {
        guard let reportedAt = row.reportedAt, let report = row.report.flatMap({ try? JSONValue(parsing: $0) }) else { return nil }
        // An older data plane says only whether it holds anything back.
        guard let lag = report["usage_lag_ms"]?.intValue else {
            return report["outbox_batches"]?.intValue == 0 ? reportedAt : nil
        }
        return reportedAt - max(0, lag)
    }
}
