import Domain
import HTTPTypes
import Primitives
import Storage
import Testing

@Suite("Limits as they are administered")
struct LimitRoutesTests {
    @Test("A limit is about whom its level says; what contradicts that is refused by name", arguments: TestDatabases.all)
    func limits(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "A"]).id
            let other = try await h.create("/admin/api/tenants", ["name": "B"]).id
            let project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "p"]).id
            let key = try await h.create("/admin/api/keys", ["project_id": .string(project), "name": "k"]).id
            func fields(_ change: JSONValue) async throws -> [String] {
                var body: JSONValue = ["name": "l", "level": "key", "measure": "requests", "amount": 5]
                if case .object(var object) = body, case .object(let changes) = change {
                    for member in changes.members { object[member.name] = member.value }
                    body = .object(object)
                }
                return try await h.post("/admin/api/limits", body).fields
            }
            #expect(try await fields(["project_id": .string(project), "tenant_id": .string(tenant)]) == ["project_id"])
            #expect(try await fields(["key_id": .string(key)]) == ["tenant_id"])
            #expect(try await fields(["key_id": .string(key), "tenant_id": .string(other)]) == ["key_id"])
            #expect(try await fields(["level": "global", "tenant_id": .string(tenant)]) == ["tenant_id"])
            #expect(try await fields(["level": "ip", "ip": "10.0.0.0/8"]) == ["ip"])
            #expect(try await fields(["model": "none"]) == ["model"])
            #expect(try await fields(["burst": 5]) == ["burst"])
            #expect(try await fields(["amount": 0]) == ["amount"])
            #expect(try await fields(["window_seconds": 86_401]) == ["window_seconds"])
            let limit = try await h.create(
                "/admin/api/limits",
                [
                    "name": "l", "level": "key", "measure": "tokens", "amount": 5, "key_id": .string(key), "tenant_id": .string(tenant),
                    "algorithm": "token_bucket", "burst": 9,
                ])
            #expect(limit.json["window_seconds"] == 60 && limit.json["mode"] == "enforce")
            #expect(try await h.post("/admin/api/limits", ["name": "l", "level": "key", "measure": "tokens", "amount": 5]).status == 409)
            // It ends with the one that it limits.
            #expect(try await h.send(.delete, "/admin/api/keys/\(key)", ifMatch: "*").status == 204)
            #expect(try await h.get("/admin/api/limits/\(limit.id)").status == 404)
        }
    }
}
