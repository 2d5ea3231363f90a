import API
import Contract
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("Usage over HTTP")
struct UsageRoutesTests {
    /// Two tenants with a key each, and what their requests came to, as a data plane reported it.
    struct Customers {
        let tenants: [String]
        let projects: [String]
        let keyIDs: [String]
        let keys: [String]

        init(_ h: ControlHarness) async throws {
            var (tenants, projects, keyIDs, keys): ([String], [String], [String], [String]) = ([], [], [], [])
            for name in ["Acme", "Globex"] {
                let tenant = try await h.create("/admin/api/tenants", ["name": .string(name)]).id
                let project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "Main"]).id
                let key = try await h.create("/admin/api/keys", ["project_id": .string(project), "name": "k"])
                tenants.append(tenant)
                projects.append(project)
                keyIDs.append(key.id)
                keys.append(key.json["key"]?.stringValue ?? "")
            }
            (self.tenants, self.projects, self.keyIDs, self.keys) = (tenants, projects, keyIDs, keys)
            var batch = Weir_V1_UsageBatch()
            batch.incarnation = "i"
            batch.sequence = 1
            batch.records = (0..<7).map { record($0, now: h.clock.nowMilliseconds()) }
            _ = try await UsageIntake(h.services.domain).store(dataPlaneID: "dp_a", batch: batch)
        }

        /// Five of the first tenant's on three days, two of the second's.
        private func record(_ index: Int, now: Int64) -> Weir_V1_UsageRecord {
            let customer = index < 5 ? 0 : 1
            var record = Weir_V1_UsageRecord()
            record.requestID = Data(RequestID(high: 0, low: UInt64(index)).bytes)
            record.tenantID = tenants[customer]
            record.projectID = projects[customer]
            record.keyID = keyIDs[customer]
            record.model = index % 2 == 0 ? "gpt" : "emb"
            record.capability = .chat
            record.channel = "default"
            record.admittedAtUs = (now - Int64(index % 3) * 86_400_000) * 1000
            record.status = index == 1 ? .failed : .completed
            record.errorOrigin = index == 1 ? .provider : .none
            record.inputTokens = 10
            record.outputTokens = 1
            record.costNano = 1_500_000_000
            record.flags = index == 0 ? UsageFlags.estimated.rawValue : 0
            record.traceID = Data(repeating: 0xAB, count: 16)
            return record
        }
    }

    private func numbers(_ answer: ControlHarness.Answer, _ name: String) -> [Int64] {
        (answer.json["items"]?.arrayValue ?? []).compactMap { $0[name]?.intValue }
    }

    private func texts(_ answer: ControlHarness.Answer, _ name: String) -> [String] {
        (answer.json["items"]?.arrayValue ?? []).compactMap { $0[name]?.stringValue }
    }

    @Test("administrators see sums by any grouping", arguments: TestDatabases.all)
    func sums(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            let all = try await h.get("/admin/api/usage")
            #expect(numbers(all, "requests") == [7])
            #expect(numbers(all, "failed") == [1])
            #expect(numbers(all, "estimated") == [1])
            #expect(numbers(all, "cost_nano") == [10_500_000_000])
            #expect(texts(all, "cost") == ["10.50"])
            // No price was named, so the control plane's own rating says nothing was to be paid.
            #expect(numbers(all, "cost_mismatches") == [7])
            let tenants = try await h.get("/admin/api/usage?group_by=tenant", as: .viewer)
            let requests = Dictionary(zip(texts(tenants, "tenant_id"), numbers(tenants, "requests")), uniquingKeysWith: +)
            #expect(requests == [customers.tenants[0]: 5, customers.tenants[1]: 2])
            let days = try await h.get("/admin/api/usage?group_by=model,day&tenant_id=\(customers.tenants[0])")
            #expect(texts(days, "model") == ["emb", "emb", "gpt", "gpt", "gpt"])
            #expect(texts(days, "day") == ["2027-01-14", "2027-01-15", "2027-01-13", "2027-01-14", "2027-01-15"])
            #expect(days.json["group_by"] == ["model", "day"])
            #expect(numbers(try await h.get("/admin/api/usage?status=failed"), "requests") == [1])
            #expect(numbers(try await h.get("/admin/api/usage?from=2027-01-15T00:00:00Z&to=2027-01-16T00:00:00Z"), "requests") == [3])
            #expect(numbers(try await h.get("/admin/api/usage?key_id=\(customers.keyIDs[1])&model=gpt"), "requests") == [1])
        }
    }

    @Test("bad questions are answered with the parameter that is wrong", arguments: TestDatabases.all)
    func refusals(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            for (query, field) in [
                ("group_by=user", "group_by"), ("from=yesterday", "from"), ("from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z", "to"),
                ("tenant_id=prj_a", "tenant_id"), ("status=done", "status"), ("tenant=x", "tenant"), ("model=%00", "query"),
            ] {
                let answer = try await h.get("/admin/api/usage?\(query)")
                #expect(answer.status == 422 || answer.status == 400, "\(query): \(answer.status)")
                #expect(answer.fields == [field], "\(query): \(answer.text)")
            }
            #expect(try await h.get("/admin/api/usage/records?request_id=abc").fields == ["request_id"])
            #expect(try await h.get("/admin/api/usage/records?cursor=abc").fields == ["cursor"])
        }
    }

    @Test("administrators page through the records", arguments: TestDatabases.all)
    func records(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await Customers(h)
            var seen: [String] = []
            var path = "/admin/api/usage/records?limit=3"
            var newest: JSONValue?
            while true {
                let page = try await h.get(path, as: .billing)
                newest = newest ?? page.json["items"]?[0]
                seen += texts(page, "request_id")
                guard let next = page.json["next_cursor"]?.stringValue else { break }
                path = "/admin/api/usage/records?limit=3&cursor=\(next)"
            }
            #expect(seen.count == 7 && Set(seen).count == 7)
            #expect(newest?["status"] == "completed" && newest?["capability"] == "chat" && newest?["error_origin"] == .null)
            #expect(newest?["admitted_at"] == .time(h.clock.nowMilliseconds()))
            #expect(newest?["trace_id"] == .string(String(repeating: "ab", count: 16)))
            let failed = try await h.get("/admin/api/usage/records?status=failed")
            #expect(texts(failed, "error_origin") == ["provider"])
            let one = try await h.get("/admin/api/usage/records?request_id=\(RequestID(high: 0, low: 0).text)")
            #expect(one.json["items"]?[0]?["flags"] == ["estimated", "cost_mismatch"])
        }
    }

    @Test("the holder of a key sees its own tenant's usage and no other's", arguments: TestDatabases.all)
    func selfService(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            for (index, requests) in [Int64(5), 2].enumerated() {
                let answer = try await h.get("/external/v1/usage", as: nil, token: customers.keys[index])
                #expect(answer.status == 200)
                #expect(numbers(answer, "requests") == [requests])
                #expect(answer.json["items"]?[0]?["rerated_cost_nano"] == nil)
            }
            // Another tenant's names find nothing.
            let other = try await h.get("/external/v1/usage?group_by=key&key_id=\(customers.keyIDs[0])", as: nil, token: customers.keys[1])
            #expect(other.json["items"] == [])
            let refused = try await h.get("/external/v1/usage?tenant_id=\(customers.tenants[0])", as: nil, token: customers.keys[1])
            #expect(refused.fields == ["tenant_id"])
            #expect(try await h.get("/external/v1/usage?group_by=tenant", as: nil, token: customers.keys[1]).fields == ["group_by"])
            let grouped = try await h.get("/external/v1/usage?group_by=project,key,model,day", as: nil, token: customers.keys[0])
            #expect(texts(grouped, "key_id") == Array(repeating: customers.keyIDs[0], count: 5))
        }
    }

    @Test("the holder of a key sees how it stands", arguments: TestDatabases.all)
    func health(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            let answer = try await h.get("/external/v1/health", as: nil, token: customers.keys[0])
            #expect(answer.status == 200)
            #expect(answer.json["status"] == "ok" && answer.json["database"] == "ok")
            #expect(answer.json["key"]?["id"] == .string(customers.keyIDs[0]) && answer.json["key"]?["status"] == "active")
            #expect(answer.json["tenant"]?["name"] == "Acme")
            #expect(answer.json["last_usage_received_at"] == .time(h.clock.nowMilliseconds()))
        }
    }

    @Test("a key that is revoked, expired or of a disabled tenant is told so", arguments: TestDatabases.all)
    func refusedKeys(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            for path in ["/external/v1/usage", "/external/v1/health"] {
                let unknown = VirtualKeyText.generate(prefix: "weir", idSuffix: "aaaaaaaaaaaaaaaa").text
                #expect(try await h.get(path, as: nil, token: unknown).status == 401)
            }
            _ = try await h.post("/admin/api/keys/\(customers.keyIDs[0])/revoke", nil)
            let revoked = try await h.get("/external/v1/usage", as: nil, token: customers.keys[0])
            #expect(revoked.status == 401)
            #expect(revoked.json["detail"]?.stringValue?.contains("revoked") == true)
            _ = try await h.send(.patch, "/admin/api/tenants/\(customers.tenants[1])", ["status": "disabled"], ifMatch: "*")
            let disabled = try await h.get("/external/v1/health", as: nil, token: customers.keys[1])
            #expect(disabled.status == 403)
            #expect(disabled.json["detail"]?.stringValue?.contains("tenant is disabled") == true)
            #expect(disabled.headers[.contentType] == "application/problem+json")
        }
    }

    @Test("with the database gone a key is answered that it is, not that it is wrong", arguments: TestDatabases.all)
    func outage(kind: TestDatabase) async throws {
        let outage = Outage()
        try await ControlHarness.run(on: kind, wrapping: { FailingDatabase(inner: $0, outage: outage) }) { h in
            let customers = try await Customers(h)
            outage.begin()
            let answer = try await h.get("/external/v1/health", as: nil, token: customers.keys[0])
            #expect(answer.status == 503)
            outage.end()
            #expect(try await h.get("/external/v1/health", as: nil, token: customers.keys[0]).status == 200)
        }
    }
}
