/// A message to a webhook.
package struct WebhookDeliveryRow: Sendable, Hashable {
    package enum State: String, Sendable, CaseIterable {
        case pending, delivered
        case givenUp = "given_up"
    }

    package var id: String
    package var webhookID: String
    /// Empty: the installation's.
    package var tenantID: String
    package var eventID: String
    package var kind: String
    package var body: String
    package var state = State.pending
    package var attempts: Int64 = 0
    /// Unix milliseconds: nobody sends it before, but for who took it.
    package var dueAt: Int64
    /// Of the last answer; 0: there was none.
    package var lastStatus: Int64 = 0
    package var lastError = ""
    package var createdAt: Int64
    package var endedAt: Int64?

    package init(id: String, webhookID: String, tenantID: String, eventID: String, kind: String, body: String, now: Int64) {
        self.id = id
        self.webhookID = webhookID
        self.tenantID = tenantID
        self.eventID = eventID
        self.kind = kind
        self.body = body
        dueAt = now
        createdAt = now
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.text("id")
        webhookID = try row.text("webhook_id")
        tenantID = try row.text("tenant_id")
        eventID = try row.text("event_id")
        kind = try row.text("kind")
        body = try row.text("body")
        guard let state = State(rawValue: try row.text("state")) else {
            throw DatabaseError.unexpectedValue("webhook_deliveries holds a row that cannot be read")
        }
        self.state = state
        attempts = try row.int("attempts")
        dueAt = try row.int("due_at")
        lastStatus = try row.int("last_status")
        lastError = try row.text("last_error")
        createdAt = try row.int("created_at")
        endedAt = try row.optionalInt("ended_at")
    }
}

package enum WebhookDeliveriesTable {
    private static let columns = [
        "id", "webhook_id", "tenant_id", "event_id", "kind", "body", "state", "attempts", "due_at", "last_status", "last_error",
        "created_at", "ended_at",
    ]
    private static let list = columns.joined(separator: ", ")

    /// - Returns: false when the webhook has that message.
    @discardableResult
    package static func insert(_ c: any SQLConnection, _ row: WebhookDeliveryRow) throws -> Bool {
        try c.execute(
            "INSERT INTO webhook_deliveries (\(list)) VALUES \(Conditions.places(1, columns.count)) ON CONFLICT (webhook_id, event_id) DO NOTHING",
            [
                .text(row.id), .text(row.webhookID), .text(row.tenantID), .text(row.eventID), .text(row.kind), .text(row.body),
                .text(row.state.rawValue), .int(row.attempts), .int(row.dueAt), .int(row.lastStatus), .text(row.lastError),
                .int(row.createdAt), .optional(row.endedAt),
            ]) == 1
    }

    package static func find(_ c: any SQLConnection, _ id: String, of webhookID: String) throws -> WebhookDeliveryRow? {
        try c.first("SELECT \(list) FROM webhook_deliveries WHERE id = $1 AND webhook_id = $2", [.text(id), .text(webhookID)])
            .map(WebhookDeliveryRow.init)
    }

    /// Newest first.
    package static func page(
        _ c: any SQLConnection, of webhookID: String, state: String?, before: (at: Int64, id: String)?, limit: Int
    ) throws -> [WebhookDeliveryRow] {
        var conditions = Conditions()
        conditions.confine("tenant_id", to: c.scope)
        conditions.add("webhook_id = ?", .text(webhookID))
        if let state { conditions.add("state = ?", .text(state)) }
        return try KeysetOrder(table: "webhook_deliveries", columns: columns, order: ["created_at", "id"]).rows(
            c, conditions, after: before.map { [.int($0.at), .text($0.id)] }, limit: limit
        ).map(WebhookDeliveryRow.init)
    }

    /// Active webhooks for which something is due, those first that have waited longest.
    package static func webhooksDue(_ c: any SQLConnection, now: Int64, limit: Int) throws -> [String] {
        try c.query(
            """
            SELECT d.webhook_id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id AND w.status = 'active'
            WHERE d.state = 'pending' AND d.due_at <= $1 GROUP BY d.webhook_id ORDER BY MIN(d.due_at), d.webhook_id LIMIT $2
            """, [.int(now), .int(Int64(limit))]
        ).map { try $0.text("webhook_id") }
    }

    package static func due(_ c: any SQLConnection, for webhookID: String, now: Int64, limit: Int) throws -> [WebhookDeliveryRow] {
        try c.query(
            """
            SELECT \(list) FROM webhook_deliveries WHERE webhook_id = $1 AND state = 'pending' AND due_at <= $2
            ORDER BY due_at, id LIMIT $3
            """, [.text(webhookID), .int(now), .int(Int64(limit))]
        ).map(WebhookDeliveryRow.init)
    }

    package static func pending(_ c: any SQLConnection, for webhookID: String) throws -> Int64 {
        try c.first("SELECT COUNT(*) AS waiting FROM webhook_deliveries WHERE webhook_id = $1 AND state = 'pending'", [.text(webhookID)])?
            .int("waiting") ?? 0
    }

    /// Takes one to be sent: nobody else does until then.
    /// - Returns: false where somebody was quicker.
    package static func take(_ c: any SQLConnection, _ row: WebhookDeliveryRow, until: Int64) throws -> Bool {
        try c.execute(
            """
            UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = $1
            WHERE id = $2 AND state = 'pending' AND due_at = $3 AND attempts = $4
            """, [.int(until), .text(row.id), .int(row.dueAt), .int(row.attempts)]) == 1
    }

    /// What became of one that was taken, unless somebody has taken it meanwhile.
    package static func end(_ c: any SQLConnection, _ row: WebhookDeliveryRow, taken until: Int64) throws -> Bool {
        try c.execute(
            """
            UPDATE webhook_deliveries SET state = $1, due_at = $2, last_status = $3, last_error = $4, ended_at = $5
            WHERE id = $6 AND state = 'pending' AND due_at = $7
            """,
            [
                .text(row.state.rawValue), .int(row.dueAt), .int(row.lastStatus), .text(row.lastError), .optional(row.endedAt),
                .text(row.id), .int(until),
            ]) == 1
    }

    /// As if it had never been sent.
    package static func renew(_ c: any SQLConnection, _ id: String, now: Int64) throws {
        try c.execute(
            "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $1, ended_at = NULL WHERE id = $2",
            [.int(now), .text(id)])
    }

    /// Its others wait as well: it does not answer.
    package static func hold(_ c: any SQLConnection, webhookID: String, until: Int64, now: Int64) throws {
        try c.execute(
            "UPDATE webhook_deliveries SET due_at = $1 WHERE webhook_id = $2 AND state = 'pending' AND due_at <= $3",
            [.int(until), .text(webhookID), .int(now)])
    }

    package static func remove(_ c: any SQLConnection, webhookID: String) throws {
        try c.execute("DELETE FROM webhook_deliveries WHERE webhook_id = $1", [.text(webhookID)])
    }

    package static func forget(_ c: any SQLConnection, before: Int64) throws {
        try c.execute("DELETE FROM webhook_deliveries WHERE created_at < $1", [.int(before)])
    }

    /// What is seen of a webhook, beside its revision.
    /// - Parameter failure: nil: it took a message.
    package static func note(_ c: any SQLConnection, webhookID: String, failure: String?, at now: Int64) throws {
        if let failure {
            try c.execute(
                "UPDATE webhooks SET failures = failures + 1, last_failure_at = $1, last_error = $2 WHERE id = $3",
                [.int(now), .text(failure), .text(webhookID)])
        } else {
            try c.execute(
                "UPDATE webhooks SET failures = 0, last_success_at = $1, last_error = '' WHERE id = $2", [.int(now), .text(webhookID)])
        }
    }
}
