import Nouns
package import Primitives
import Storage
import Trust

/// A message to a webhook, as administrators see it.
package struct WebhookDelivery: Sendable, Hashable {
    let row: WebhookDeliveryRow

    package static let states = WebhookDeliveryRow.State.allCases.map(\.rawValue)

    package var json: JSONValue {
        [
            "id": .string(row.id), "event_id": .string(row.eventID), "kind": .string(row.kind), "state": .string(row.state.rawValue),
            "attempts": .int(row.attempts), "status": row.lastStatus > 0 ? .int(row.lastStatus) : .null, "error": .string(row.lastError),
            "created_at": .time(row.createdAt), "ended_at": .time(row.endedAt),
            "next_attempt_at": row.state == .pending ? .time(row.dueAt) : .null,
            "body": (try? JSONValue(parsing: row.body)) ?? .null,
        ]
    }
}

/// Events become messages, and messages are sent: at least once, in no order, by whoever has taken them. One that was not taken is sent again,
/// later each time, and given up after a day and a half. A webhook that does not answer keeps no other waiting.
extension WebhookService {
    /// Between two attempts, milliseconds: some 37 hours in all.
    private static let waits: [Int64] = [5, 60, 300, 1800, 7200, 18_000, 36_000, 64_800].map { $0 * 1000 }
    /// Whoever has taken a message has answered by then, or is gone.
    private static let claim: Int64 = 60_000
    private static let limits: OutboundRequest.Limits = {
        var limits = OutboundRequest.Limits.statusOnly
        limits.milliseconds = 10_000
        return limits
    }()
    private static let longestWait: Int64 = 86_400_000
    private static let concurrent = 16
    private static let batch = 20
    /// Messages that wait for one webhook. More are not kept.
    private static let maximumPending: Int64 = 10_000
    /// How long a round goes on, microseconds of real time: its lease lasts longer.
    private static let round: Int64 = 15_000_000
    private static let retention: Int64 = 30 * 86_400_000

    private var now: Int64 { domain.clock.nowMilliseconds() }

    // MARK: Rounds

    /// One round: new events become messages, and those that are due are sent.
    package func reconcile() async throws {
        try await dispatch()
        let end = MonotonicClock.nowMicroseconds() + Self.round
        try await withThrowingTaskGroup(of: (id: String?, isDone: Bool).self) { group in
            var (busy, failed): (Set<String>, Set<String>) = ([], [])
            var isTicking = false
            while !Task.isCancelled {
                let now = now
                let due =
                    MonotonicClock.nowMicroseconds() > end
                    ? [] : try await domain.read(as: .all) { c in try WebhookDeliveriesTable.webhooksDue(c, now: now, limit: 200) }
                for id in due where busy.count < Self.concurrent && !busy.contains(id) && !failed.contains(id) {
                    busy.insert(id)
                    group.addTask {
                        do {
                            try await sendDue(to: id)
                            return (id, true)
                        } catch {
                            // The database's: the next round tries again.
                            return (id, false)
                        }
                    }
                }
                if busy.isEmpty { break }
                // One that hangs keeps those waiting that come meanwhile for a second, and not for as long as it does.
                if !isTicking {
                    isTicking = true
                    group.addTask {
                        try? await Task.sleep(for: .seconds(1))
                        return (nil, true)
                    }
                }
                guard let next = try await group.next() else { break }
                if let id = next.id {
                    busy.remove(id)
                    if !next.isDone { failed.insert(id) }
                } else {
                    isTicking = false
                }
            }
            group.cancelAll()
        }
    }

    /// Messages are kept for a month.
    package func purge() async throws {
        let before = now - Self.retention
        try await domain.observe(as: .all) { c in try WebhookDeliveriesTable.forget(c, before: before) }
    }

    /// Makes messages of the events that have come about.
    func dispatch() async throws {
        while !Task.isCancelled {
            let now = now
            let count = try await domain.write(as: .all) { c -> Int in
                let rows = try SpendEventsTable.waiting(c, limit: Self.batch * 10)
                guard !rows.isEmpty else { return 0 }
                let webhooks = try WebhookContent.all(c)
                for row in rows {
                    let event = SpendEvent(row)
                    // What came about before it was made is no news.
                    for webhook in webhooks where webhook.content.wants(event) && webhook.createdAt <= row.at {
                        if event.kind == AlertKind.webhookGivenUp.rawValue, event.detail["webhook_id"] == .string(webhook.id.rawValue) {
                            continue
                        }
                        guard try WebhookDeliveriesTable.pending(c, for: webhook.id.rawValue) < Self.maximumPending else {
                            try Self.noteGivenUp(webhook, "more than \(Self.maximumPending) messages wait for it", now, c)
                            continue
                        }
                        try WebhookDeliveriesTable.insert(c, Self.message(event, to: webhook, now))
                    }
                    try SpendEventsTable.wasDispatched(c, row.id)
                }
                return rows.count
            }
            if count < Self.batch * 10 { return }
        }
    }

    /// Who is only a tenant does not learn which data planes there are.
    private static func message(_ event: SpendEvent, to webhook: Webhook, _ now: Int64) -> WebhookDeliveryRow {
        var data = event.json.objectValue ?? JSONObject()
        if webhook.content.tenantID != nil { data["data_plane_id"] = .null }
        return message(event.id, event.kind, at: event.at, .object(data), to: webhook, now)
    }

    private static func message(
        _ id: String, _ kind: String, at: Int64, _ data: JSONValue, to webhook: Webhook, _ now: Int64
    ) -> WebhookDeliveryRow {
        let body: JSONValue = ["type": .string(kind), "timestamp": .time(at), "data": data]
        return WebhookDeliveryRow(
            id: "whd_" + Base32.encode(SecureRandom.bytes(10)), webhookID: webhook.id.rawValue,
            tenantID: webhook.content.tenantID?.rawValue ?? "", eventID: id, kind: kind, body: body.text, now: now)
    }

    // MARK: Sending

    private func sendDue(to id: String) async throws {
        let now = now
        let (webhook, rows) = try await domain.read(as: .all) { c in
            (try WebhookContent.find(c, id), try WebhookDeliveriesTable.due(c, for: id, now: now, limit: Self.batch))
        }
        guard let webhook, webhook.content.status == .active else { return }
        for row in rows {
            guard let after = try await attempt(row, to: webhook) else { continue }
            if after.state != .delivered { return }
        }
    }

    /// Sends one that nobody else has taken.
    /// - Parameter isOnly: it is not sent again, and says nothing of the webhook's other messages.
    /// - Returns: what became of it; nil: somebody was quicker.
    private func attempt(
        _ row: WebhookDeliveryRow, to webhook: Webhook, isOnly: Bool = false
    ) async throws -> WebhookDeliveryRow? {
        let until = now + Self.claim
        guard try await domain.observe(as: .all, { c in try WebhookDeliveriesTable.take(c, row, until: until) }) else { return nil }
        var after = row
        after.attempts += 1
        let (status, failure, retryAfter) = await send(row, to: webhook)
        let now = now
        after.lastStatus = Int64(status)
        after.lastError = failure ?? ""
        if failure == nil {
            after.state = .delivered
            after.endedAt = now
        } else if isOnly || status == 410 || after.attempts > Self.waits.count {
            after.state = .givenUp
            after.endedAt = now
        } else {
            let wait = Double(Self.waits[Int(after.attempts) - 1]) * jitter()
            after.dueAt = now + max(Int64(wait), min(retryAfter ?? 0, Self.longestWait))
        }
        let done = after
        try await domain.write(as: .all) { c in
            guard try WebhookDeliveriesTable.end(c, done, taken: until) else { return }
            try WebhookDeliveriesTable.note(c, webhookID: webhook.id.rawValue, failure: failure, at: now)
            guard done.state != .delivered, !isOnly else { return }
            // The others of it would fare no better.
            let others = done.state == .pending ? min(done.dueAt, now + Self.waits[2]) : now + Self.waits[1]
            try WebhookDeliveriesTable.hold(c, webhookID: webhook.id.rawValue, until: others, now: now)
            guard done.state == .givenUp else { return }
            if status == 410, let present = try WebhookContent.find(c, webhook.id.rawValue), present.content.status == .active {
                // RFC 9110 §15.5.11, and Standard Webhooks: it is not there any more, and does not come back.
                var content = present.content
                content.status = .disabled
                let change = NounChange(connection: c, actor: .system("webhooks"), now: now, number: 0)
                try NounService<WebhookContent>.put(content, over: present, "update", change)
            }
            try Self.noteGivenUp(webhook, failure ?? "", now, c)
        }
        return after
    }

    /// Once a day and webhook.
    private static func noteGivenUp(_ webhook: Webhook, _ why: String, _ now: Int64, _ c: any SQLConnection) throws {
        try BudgetEvents.write(
            .webhookGivenUp, for: "\(webhook.id.rawValue) \(now / 86_400_000)", tenantID: webhook.content.tenantID?.rawValue ?? "",
            ["webhook_id": .string(webhook.id.rawValue), "webhook": .string(webhook.content.name), "error": .string(why)], now, c)
    }

    /// - Returns: the answer's status (0: there was none), and what is wrong, if it was not taken.
    private func send(_ row: WebhookDeliveryRow, to webhook: Webhook) async -> (status: Int, failure: String?, retryAfter: Int64?) {
        let (seconds, body) = (now / 1000, Array(row.body.utf8))
        guard let secrets = try? secrets(of: webhook.content, webhook.id),
            let signature = WebhookSignature.value(secrets, id: row.eventID, timestamp: seconds, body: body)
        else { return (0, "its secret cannot be decrypted with this master key", nil) }
        let request = OutboundRequest(
            .post, webhook.content.url,
            headers: [
                ("content-type", Secret("application/json")), ("user-agent", Secret("weir-webhooks/\(weirVersion)")),
                ("webhook-id", Secret(row.eventID)), ("webhook-timestamp", Secret(String(seconds))),
                ("webhook-signature", Secret(signature)),
            ], body: body, limits: Self.limits)
        do throws(OutboundFailure) {
            let answer = try await http.send(request)
            if (200..<300).contains(answer.status) { return (answer.status, nil, nil) }
            let retryAfter = answer.header("retry-after").flatMap { Int64($0) }.map { max(0, min($0, 86_400)) * 1000 }
            return (answer.status, "it answered \(answer.status)", answer.status == 429 || answer.status == 503 ? retryAfter : nil)
        } catch {
            return (0, Self.text(error.reason), nil)
        }
    }

    /// Says nothing of the network that the control plane stands in: a tenant may read it.
    private static func text(_ reason: OutboundFailure.Reason) -> String {
        switch reason {
        case .notAllowed: "its address is not one that is called: https, and no private network that the operator does not allow"
        case .unreachable: "it cannot be reached"
        case .timedOut: "it did not answer in time"
        case .tooLarge: "its answer was too large"
        case .broken: "it broke the connection off, or speaks no HTTP"
        case .busy: "this control plane calls as many others as it may"
        case .cancelled: "the attempt was broken off"
        }
    }

    // MARK: For administrators

    /// Which list a cursor belongs to.
    package static func list(of id: WebhookID) -> String { "webhooks/\(id.rawValue)/deliveries" }

    /// Newest first.
    package func deliveries(
        of id: WebhookID, state: String?, _ page: PageRequest, as scope: TenantScope
    ) async throws -> Page<WebhookDelivery> {
        let rows = try await domain.read(as: scope) { c in
            _ = try WebhookContent.present(c, id)
            return try WebhookDeliveriesTable.page(
                c, of: id.rawValue, state: state, before: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit)
        }
        return Page(fetched: rows.map { WebhookDelivery(row: $0) }, page) {
            Cursor(list: Self.list(of: id), time: $0.row.createdAt, id: $0.row.id)
        }
    }

    /// Sends a message of the kind `test` at once, once, also where the webhook is disabled.
    /// - Returns: what became of it: it is not sent again by itself.
    package func test(_ id: WebhookID, by actor: Actor) async throws -> WebhookDelivery {
        let now = now
        let (webhook, row) = try await domain.write(as: actor.scope) { c in
            let webhook = try WebhookContent.present(c, id)
            let event = "evt_" + Base32.encode(SecureRandom.bytes(10))
            let data: JSONValue = [
                "id": .string(event), "at": .time(now), "kind": .string(AlertKind.test.rawValue),
                "tenant_id": .optional(webhook.content.tenantID?.rawValue), "budget_id": .null, "data_plane_id": .null,
                "detail": ["webhook_id": .string(id.rawValue), "webhook": .string(webhook.content.name)],
            ]
            let row = Self.message(event, AlertKind.test.rawValue, at: now, data, to: webhook, now)
            try WebhookDeliveriesTable.insert(c, row)
            try AuditLog.record(c, actor, "webhook.test", id: id.rawValue, before: nil, after: ["event_id": .string(event)], at: now)
            return (webhook, row)
        }
        return try await sendNow(row, to: webhook, isOnly: true)
    }

    /// Sends one again, whatever became of it: at once, and then as if it were new.
    /// - Throws: `DomainError.notFound`.
    package func redeliver(_ delivery: String, of id: WebhookID, by actor: Actor) async throws -> WebhookDelivery {
        let now = now
        let (webhook, row) = try await domain.write(as: actor.scope) { c in
            let webhook = try WebhookContent.present(c, id)
            guard try WebhookDeliveriesTable.find(c, delivery, of: id.rawValue) != nil else {
                throw DomainError.notFound(kind: "delivery", id: String(delivery.prefix(64)))
            }
            try WebhookDeliveriesTable.renew(c, delivery, now: now)
            try AuditLog.record(
                c, actor, "webhook.redeliver", id: id.rawValue, before: nil, after: ["delivery_id": .string(delivery)], at: now)
            guard let row = try WebhookDeliveriesTable.find(c, delivery, of: id.rawValue) else {
                throw DomainError.notFound(kind: "delivery", id: delivery)
            }
            return (webhook, row)
        }
        return try await sendNow(row, to: webhook, isOnly: row.kind == AlertKind.test.rawValue)
    }

    private func sendNow(_ row: WebhookDeliveryRow, to webhook: Webhook, isOnly: Bool) async throws -> WebhookDelivery {
        if let after = try await attempt(row, to: webhook, isOnly: isOnly) { return WebhookDelivery(row: after) }
        // The reconciler was quicker.
        let (id, webhookID) = (row.id, webhook.id.rawValue)
        let present = try await domain.read(as: .all) { c in try WebhookDeliveriesTable.find(c, id, of: webhookID) }
        return WebhookDelivery(row: present ?? row)
    }
}
