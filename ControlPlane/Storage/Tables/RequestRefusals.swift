/// A request that a data plane refused.
package struct RequestRefusalRow: Sendable, Hashable {
    package var requestID: [UInt8] = []
    package var dataPlaneID = ""
    /// Unix milliseconds, by the data plane's clock.
    package var at: Int64 = 0
    package var receivedAt: Int64 = 0
    /// Empty: it was not known whose it was.
    package var tenantID = ""
    package var projectID = ""
    package var keyID = ""
    package var appID = ""
    package var userID = ""
    package var did = ""
    package var model = ""
    package var channel = ""
    package var httpStatus: Int64 = 0
    package var errorOrigin: Int64 = 0
    package var errorCode = ""
    package var remoteAddress = ""
    /// Further ones like it that are not listed one by one.
    package var repeated: Int64 = 0

    package init() {}
}

package struct RequestRefusalFilter: Sendable, Hashable {
    /// Unix milliseconds, included.
    package var from: Int64?
    /// Unix milliseconds, not included.
    package var to: Int64?
    package var tenantID: String?
    package var projectID: String?
    package var keyID: String?
    package var model: String?
    package var requestID: [UInt8]?
    /// Who asked, whatever it is.
    package var party: String?
    /// A part of an id, or of the address.
    package var text: String?

    package init() {}
}

package enum RequestRefusalsTable {
    private static let columns = [
        "request_id", "data_plane_id", "at", "received_at", "tenant_id", "project_id", "key_id", "app_id", "user_id", "did", "model",
        "channel", "http_status", "error_origin", "error_code", "remote_address", "repeated",
    ]

    /// One that is there already changes nothing.
    package static func insert(_ c: any SQLConnection, _ rows: [RequestRefusalRow]) throws {
        try c.executeEach(
            """
            INSERT INTO request_refusals (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(1, columns.count))
            ON CONFLICT (request_id, data_plane_id) DO NOTHING
            """,
            rows.map { row in
                [
                    .blob(row.requestID), .text(row.dataPlaneID), .int(row.at), .int(row.receivedAt), .text(row.tenantID),
                    .text(row.projectID), .text(row.keyID), .text(row.appID), .text(row.userID), .text(row.did), .text(row.model),
                    .text(row.channel), .int(row.httpStatus), .int(row.errorOrigin), .text(row.errorCode), .text(row.remoteAddress),
                    .int(row.repeated),
                ]
            })
    }

    /// By time, newest first where nothing else is said; `after` is the time and the request of the last row seen.
    package static func list(
        _ c: any SQLConnection, _ filter: RequestRefusalFilter, oldestFirst: Bool = false, after: (at: Int64, requestID: [UInt8])?,
        limit: Int
    ) throws -> [RequestRefusalRow] {
        var query = Conditions()
        query.confine("tenant_id", to: c.scope)
        if let from = filter.from { query.add("at >= ?", .int(from)) }
        if let to = filter.to { query.add("at < ?", .int(to)) }
        if let tenant = filter.tenantID { query.add("tenant_id = ?", .text(tenant)) }
        if let project = filter.projectID { query.add("project_id = ?", .text(project)) }
        if let key = filter.keyID { query.add("key_id = ?", .text(key)) }
        if let model = filter.model { query.add("model = ?", .text(model)) }
        if let id = filter.requestID { query.add("request_id = ?", .blob(id)) }
        if let party = filter.party {
            query.add(
                "(key_id = ? OR app_id = ? OR user_id = ? OR did = ?)", values: [SQLValue](repeating: .text(party), count: 4))
        }
        if let text = filter.text {
            let columns = ["project_id", "key_id", "app_id", "user_id", "did", "model", "error_code", "remote_address"]
            query.add(
                "(\(columns.map { c.dialect.contains($0, "?") }.joined(separator: " OR ")))", values: columns.map { _ in .text(text) })
        }
        let order = KeysetOrder(table: "request_refusals", columns: columns, order: ["at", "request_id"])
        let place = after.map { [SQLValue.int($0.at), .blob($0.requestID)] }
        return try order.rows(c, query, isDescending: !oldestFirst, after: place, limit: limit).map { row in
            var refusal = RequestRefusalRow()
            refusal.requestID = try row.blob("request_id")
            refusal.dataPlaneID = try row.text("data_plane_id")
            refusal.at = try row.int("at")
            refusal.receivedAt = try row.int("received_at")
            refusal.tenantID = try row.text("tenant_id")
            refusal.projectID = try row.text("project_id")
            refusal.keyID = try row.text("key_id")
            refusal.appID = try row.text("app_id")
            refusal.userID = try row.text("user_id")
            refusal.did = try row.text("did")
            refusal.model = try row.text("model")
            refusal.channel = try row.text("channel")
            refusal.httpStatus = try row.int("http_status")
            refusal.errorOrigin = try row.int("error_origin")
            refusal.errorCode = try row.text("error_code")
            refusal.remoteAddress = try row.text("remote_address")
            refusal.repeated = try row.int("repeated")
            return refusal
        }
    }

    /// Takes away the oldest that are from before a moment (Unix milliseconds).
    /// - Returns: how many rows went; fewer than `limit`: there are no more.
    package static func purge(_ c: any SQLConnection, before: Int64, limit: Int) throws -> Int {
        try c.execute(
            """
            DELETE FROM request_refusals WHERE (request_id, data_plane_id) IN (
                SELECT request_id, data_plane_id FROM request_refusals WHERE at < $1 ORDER BY at LIMIT $2)
            """, [.int(before), .int(Int64(limit))])
    }
}
