import Domain
import HTTPTypes
import Nouns
import Primitives

/// Where alerts are sent, and what became of each message.
package struct WebhookRoutes: RouteGroup {
    let webhooks: WebhookService

    package func addRoutes(to table: inout RouteTable) {
        let routes = NounRoutes(webhooks.nouns, showing: "secret") { [webhooks] content, actor in
            let issued = try await webhooks.create(content, by: actor)
            return (issued.item, issued.plaintext)
        }
        routes.addRoutes(to: &table)
        routes.action(
            "rotate", "Give a webhook a new secret; for the grace period messages are signed with the old one as well.", KeyRotation.self,
            showing: "secret", to: &table
        ) { [webhooks] id, revision, body, actor in
            let issued = try await webhooks.rotate(id, at: revision, graceSeconds: body.graceSeconds, force: body.force, by: actor)
            return (issued.item, issued.plaintext)
        }
        let path = "/admin/api/webhooks/{id}"
        let state = FieldShape("state", .word(WebhookDelivery.states), "Only those in this state.")
        let list = RouteDocs("List the messages to a webhook, newest first; they are kept for 30 days.") {
            $0.query = RouteDocs.page + [state]
            $0.answer = .list(Self.delivery)
        }
        table.get("\(path)/deliveries", .admin(.readTenants), list) { request in
            try request.query.allow(Set(list.query.map(\.name)))
            _ = try request.query.filter(state)
            let id: WebhookID = try request.id("webhook")
            return .list(
                try await webhooks.deliveries(
                    of: id, state: request.query["state"], request.page(of: WebhookService.list(of: id)), as: request.actor.scope)
            ) { $0.json }
        }
        let test = RouteDocs("Send a message of the kind test, at once and once, and tell what became of it.") {
            $0.answer = .object(Self.delivery)
        }
        table.post("\(path)/test", .admin(.manage), test) { request in
            try request.query.allow([])
            return .json(try await webhooks.test(request.id("webhook"), by: request.actor).json)
        }
        let again = RouteDocs("Send a message again, at once and then as if it were new. Its webhook-id stays what it was.") {
            $0.body = .form(Redelivery.shapes)
            $0.answer = .object(Self.delivery)
        }
        table.post("\(path)/redeliver", .admin(.manage), again) { request in
            try request.query.allow([])
            let id: WebhookID = try request.id("webhook")
            // Before its body is looked at: what is another's is not there, whatever is sent.
            _ = try await webhooks.nouns.get(id, as: request.actor.scope)
            let body: Redelivery = try request.form()
            return .json(try await webhooks.redeliver(body.deliveryID, of: id, by: request.actor).json)
        }
    }

    /// Which message is sent again.
    struct Redelivery: Record {
        var deliveryID = ""

        static let fields: [Field<Self>] = [Field("delivery_id", \.deliveryID, .token, "The message's identifier: whd_…")]
    }

    private static let delivery: [FieldShape] = [
        .told("id", .token, "Its identifier."), .told("event_id", .token, "What is sent as webhook-id, with each attempt."),
        .told("kind", .word(AlertKind.allCases.map(\.rawValue)), "What it tells."),
        .told("state", .word(WebhookDelivery.states), "given_up: it is not sent again by itself."),
        .told("attempts", .number, "How often it was sent."),
        .told("status", .number, "Of the last answer; null: there was none.", nullable: true),
        .told("error", .text(maximum: 500), "Why the last attempt failed; empty: it did not."),
        .told("created_at", .time, "When it was made."), .told("ended_at", .time, "When it was delivered or given up.", nullable: true),
        .told("next_attempt_at", .time, "When it is sent next.", nullable: true), .told("body", .anything, "What is sent."),
    ]
}
