import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("Budgets")
struct BudgetTests {
    private func tenant(_ h: ControlHarness, _ name: String) async throws -> (tenant: String, project: String, key: String) {
        let tenant = try await h.create("/admin/api/tenants", ["name": .string(name)]).id
        let project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "p"]).id
        let key = try await h.create("/admin/api/keys", ["project_id": .string(project), "name": "k"]).id
        return (tenant, project, key)
    }

    @Test("an amount is what its unit counts, and what cannot be meant is refused with what to do", arguments: TestDatabases.all)
    func amounts(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, project, key) = try await self.tenant(h, "Acme")
            let (_, _, foreign) = try await self.tenant(h, "Other")
            func budget(_ members: JSONObject) -> JSONValue {
                var body: JSONObject = ["tenant_id": .string(tenant), "name": "b", "limit": "1"]
                for member in members.members { body[member.name] = member.value }
                return .object(body)
            }
            let refused: [(JSONObject, String)] = [
                (["limit": "-1"], "limit"), (["limit": "1000000.01"], "limit"), (["limit": "ten"], "limit"), (["limit": "1e3"], "limit"),
                (["limit": "0.0000000001"], "limit"), (["unit": "tokens", "limit": "1.5"], "limit"), (["limit": .null], "limit"),
                (["unit": "requests", "limit": "99999999999999999999"], "limit"), (["time_zone": "Mars/Olympus"], "time_zone"),
                (["period": "weekly"], "period"), (["capability": "telepathy"], "capability"),
                (["project_id": .string(project), "key_id": .string(key)], "key_id"), (["key_id": .string(foreign)], "key_id"),
                (["key_id": .string(KeyID.random().rawValue)], "key_id"), (["level": "key"], "level"),
            ]
            for (members, field) in refused {
                let answer = try await h.post("/admin/api/budgets", budget(members))
                #expect(answer.status == 400 && answer.fields == [field], "\(members): \(answer.text)")
            }
            let texts: [(JSONObject, JSONValue)] = [
                (["limit": 10], "10"), (["limit": "10.00"], "10"), (["limit": .number("2.50")], "2.50"),
                (["limit": "0.000000001"], "0.000000001"),
                (["limit": "1000000"], "1000000"), (["unit": "tokens", "limit": 1_000_000_000_000_000], "1000000000000000"),
            ]
            for (index, (members, text)) in texts.enumerated() {
                var members = members
                members["name"] = .string("b\(index)")
                #expect(try await h.create("/admin/api/budgets", budget(members)).json["limit"] == text)
            }
            #expect(try await h.post("/admin/api/budgets", budget(["name": "b0"])).status == 409)
            // What an account is made of stays; how much is in it may change.
            let made = try await h.create("/admin/api/budgets", budget(["key_id": .string(key)]))
            #expect(made.json["level"] == "key" && made.json["kind"] == "hard" && made.json["mode"] == "enforce")
            let path = "/admin/api/budgets/\(made.id)"
            for change: JSONValue in [["unit": "tokens"], ["period": "daily"], ["key_id": .null], ["time_zone": "Europe/Berlin"]] {
                #expect(try await h.send(.patch, path, change, ifMatch: "*").status == 400, "\(change)")
            }
            #expect(try await h.send(.patch, path, ["limit": "7.5", "mode": "observe"], ifMatch: "*").json["limit"] == "7.50")
        }
    }

    @Test("who is bounded is not kept from going, and the budget goes along", arguments: TestDatabases.all)
    func goingAlong(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, project, key) = try await self.tenant(h, "Acme")
            var budgets: [String] = []
            for (name, members) in [("tenant", [:]), ("project", ["project_id": .string(project)]), ("key", ["key_id": .string(key)])]
                as [(String, JSONObject)]
            {
                var body: JSONObject = ["tenant_id": .string(tenant), "name": .string(name), "limit": "1"]
                for member in members.members { body[member.name] = member.value }
                budgets.append(try await h.create("/admin/api/budgets", .object(body)).id)
            }
            func present() async throws -> [String] {
                (try await h.get("/admin/api/budgets").json["items"]?.arrayValue ?? []).compactMap { $0["id"]?.stringValue }.sorted()
            }
            #expect(try await present() == budgets.sorted())
            #expect(try await h.post("/admin/api/keys/\(key)/revoke", nil).status == 200)
            // Its key goes with the project, and the key's budget with the key.
            #expect(try await h.send(.delete, "/admin/api/projects/\(project)", ifMatch: "*").status == 204)
            #expect(try await present() == [budgets[0]])
            #expect(try await h.send(.delete, "/admin/api/tenants/\(tenant)", ifMatch: "*").status == 204)
            #expect(try await present() == [])
            let audit = try await h.get("/admin/api/audit?resource_id=\(budgets[2])")
            #expect(audit.json["items"]?[0]?["action"] == "budget.delete")
        }
    }
}
