import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("Billing over HTTP")
struct BillingRoutesTests {
    private func dollars(_ answer: ControlHarness.Answer, _ name: String) -> Int64? {
        answer.json[name]?.stringValue.flatMap { NanoDollars(decimal: $0)?.rawValue }
    }

    @Test("tells a month's bill in exactly this form, and by other groups", arguments: TestDatabases.all)
    func month(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await UsageRoutesTests.Customers(h)
            let bill = try await h.get("/admin/api/billing?month=2027-01", as: .billing)
            let user: JSONValue = ["user_oid": .null, "email": .null, "requests": 7, "total_cost": "10.50"]
            #expect(bill.json == ["month": "2027-01", "total_cost": "10.50", "total_requests": 7, "users": [user]])
            let tenants = try await h.get("/admin/api/billing?month=2027-01&group_by=tenant").json["items"]?.arrayValue ?? []
            #expect(tenants.map { $0["tenant"] } == ["Acme", "Globex"] && tenants.map { $0["total_cost"] } == ["7.50", "3.00"])
            let keys = try await h.get("/admin/api/billing?month=2027-01&group_by=key&tenant_id=\(customers.tenants[1])")
            #expect(keys.json["items"]?.arrayValue?.map { $0["key_id"] } == [.string(customers.keyIDs[1])])
            #expect(try await h.get("/admin/api/billing?month=2026-12").json["users"] == [])
            for (query, field) in [("", "month"), ("month=2027-1", "month"), ("month=2027-01&group_by=hour", "group_by")] {
                #expect(try await h.get("/admin/api/billing?\(query)").fields == [field])
            }
        }
    }

    @Test("takes payments once, and shows tenants theirs alone, in lines that add up", arguments: TestDatabases.all)
    func money(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await UsageRoutesTests.Customers(h)
            let payment: JSONValue = ["tenant_id": .string(customers.tenants[0]), "amount": "5.25", "reference": "pay-1"]
            let first = try await h.create("/admin/api/billing/top-ups", payment)
            #expect(try await h.create("/admin/api/billing/top-ups", payment).json == first.json)
            #expect(first.json["amount"] == "5.25" && first.json["lines"]?.arrayValue?.count == 2)
            #expect(try await h.post("/admin/api/billing/top-ups", payment, as: .viewer).status == 403)
            #expect(try await h.post("/admin/api/billing/top-ups", payment, as: .auditor).status == 403)
            let second: JSONValue = ["tenant_id": .string(customers.tenants[0]), "amount": "6.00", "reference": "pay-1"]
            #expect(try await h.post("/admin/api/billing/top-ups", second, as: .billing).status == 409)
            let correction: JSONValue = [
                "tenant_id": .string(customers.tenants[0]), "amount": "-0.25", "corrects_id": .string(first.id), "description": "Fee",
            ]
            _ = try await h.create("/admin/api/billing/adjustments", correction)
            #expect(try await h.get("/admin/api/billing/balance?tenant_id=\(customers.tenants[0])").json["balance"] == "-2.50")
            #expect(try await h.get("/admin/api/billing/balance").fields == ["tenant_id"])

            let path = "/admin/api/billing/statement?month=2027-01&tenant_id=\(customers.tenants[0])"
            let statement = try await h.get(path)
            #expect(
                statement.json["usage"] == "-7.50" && statement.json["received"] == "5.25" && statement.json["closing_balance"] == "-2.50")
            let lines = try await h.get(path + "&format=jsonl").text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
            #expect(lines.first?["kind"] == "opening" && lines.last?["kind"] == "closing" && lines.last?["balance"] == "-2.50")
            let amounts = lines.compactMap { $0["amount"]?.stringValue.flatMap { NanoDollars(decimal: $0)?.rawValue } }
            #expect(amounts.reduce(0, +) == -2_500_000_000)
            let csv = try await h.get(path + "&format=csv").text.split(separator: "\r\n")
            #expect(csv.count == lines.count + 1 && csv.contains { $0.contains(",-1.50,") })
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            #expect(findings.contains { $0["code"] == "balance_negative" })
            let entries = try await h.get("/admin/api/billing/entries?kind=top_up&tenant_id=\(customers.tenants[0])")
            #expect(entries.json["items"]?.arrayValue?.count == 1)
            #expect(try await h.get("/admin/api/billing/entries?kind=gift").fields == ["kind"])
            for (sort, member) in [("posted_at", "posted_at"), ("-posted_at", "posted_at"), ("day", "day"), ("-day", "day")] {
                var (found, cursor): ([JSONValue], String?) = ([], "")
                while let after = cursor, found.count <= 100 {
                    let page = "/admin/api/billing/entries?limit=1&sort=\(sort)" + (after.isEmpty ? "" : "&cursor=\(after)")
                    let answer = try await h.get(page).json
                    found += answer["items"]?.arrayValue ?? []
                    cursor = answer["next_cursor"]?.stringValue
                }
                let values = found.compactMap { $0[member]?.stringValue }
                #expect(values == (sort.hasPrefix("-") ? values.sorted(by: >) : values.sorted()) && values.count > 2, "\(sort)")
                #expect(Set(found.compactMap { $0["id"]?.stringValue }).count == found.count)
            }
            #expect(try await h.get("/admin/api/billing/entries?sort=amount").fields == ["sort"])
            let audit = try await h.get("/admin/api/audit?resource_kind=ledger").json["items"]?.arrayValue ?? []
            #expect(audit.map { $0["action"] } == ["ledger.adjustment", "ledger.top_up"])

            // A key sees it with the right to.
            #expect(try await h.get("/external/v1/billing", as: nil, token: customers.keys[0]).status == 403)
            let key = try await h.create(
                "/admin/api/keys", ["project_id": .string(customers.projects[0]), "name": "all", "rights": ["tenant:read"]])
            let token = key.json["key"]?.stringValue
            #expect(try await h.get("/external/v1/billing", as: nil, token: token).json["balance"] == "-2.50")
            let own = try await h.get("/external/v1/billing/statement?month=2027-01", as: nil, token: token)
            #expect(own.json["lines"] == statement.json["lines"])
            let other = "/external/v1/billing/statement?month=2027-01&tenant_id=\(customers.tenants[1])"
            #expect(try await h.get(other, as: nil, token: token).fields == ["tenant_id"])
        }
    }

    @Test("lists where a provider's export differs", arguments: TestDatabases.all)
    func reconcile(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await UsageRoutesTests.Customers(h)
            let lines: JSONValue = [["model": "gpt-up", "day": "2027-01-15", "requests": 3, "input_tokens": 30, "cost": "4.50"]]
            let answer = try await h.post("/admin/api/billing/reconcile", ["month": "2027-01", "lines": lines], as: .billing)
            #expect(answer.status == 200 && answer.json["stated_cost"] == "4.50", "\(answer.text)")
            #expect(answer.json["differences"]?.arrayValue?.first?["recorded"] == .null)
            let bad: JSONValue = [["model": "gpt-up", "day": "15.1.2027"]]
            #expect(try await h.post("/admin/api/billing/reconcile", ["month": "2027-01", "lines": bad]).fields == ["lines[0].day"])
            #expect(try await h.post("/admin/api/billing/reconcile", ["month": "2027-01", "lines": []]).fields == ["lines"])
        }
    }
}
