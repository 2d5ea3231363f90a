import API
import Contract
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Testing

@Suite("Usage over HTTP")
struct UsageRoutesTests {
    /// Two tenants with a key each, and what their requests came to, as a data plane reported it.
    struct Customers {
        static let dataPlane = "dp_aaaaaaaaaaaaaaaa"

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
            try await h.database.transaction { c in
                var config = Weir_V1_ConfigPayload()
                config.models = ["gpt", "emb"].map { name in
                    var model = Weir_V1_Model()
                    model.id = name
                    model.name = name
                    return model
                }
                let payload: [UInt8] = try config.serializedBytes()
                let row = ConfigVersionRow(
                    version: 1, digest: [1], payloadBytes: Int64(payload.count), note: "", authorID: "t", authorName: "t", restores: nil,
                    createdAt: 0)
                try ConfigVersionsTable.insert(c, row, payload: payload)
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: Self.dataPlane, name: "dp", region: "eu", tenantIDs: [], identityPublicKey: [1], sealingPublicKey: [],
                        version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 0))
                try DataPlaneConfigsTable.insert(c, dataPlaneID: Self.dataPlane, version: 1, now: 0)
            }
            var batch = Weir_V1_UsageBatch()
            batch.incarnation = "i"
            batch.sequence = 1
            batch.records = (0..<7).map { record($0, now: h.clock.nowMilliseconds()) }
            _ = try await UsageIntake(h.services.domain).store(dataPlaneID: Self.dataPlane, batch: batch)
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
            record.configVersion = 1
            record.capability = .chat
            record.channel = "default"
            record.admittedAtUs = (now - Int64(index % 3) * 86_400_000) * 1000
            record.status = index == 1 ? .failed : .completed
            record.errorOrigin = index == 1 ? .provider : .none
            record.inputTokens = 10
            record.outputTokens = 1
            record.costNano = 1_500_000_000
            record.latencyUs = Int64(index) * 20_500
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
            #expect(numbers(try await h.get("/admin/api/usage?from=2027-01-15T00:00:00Z&until=2027-01-16T00:00:00Z"), "requests") == [3])
            #expect(numbers(try await h.get("/admin/api/usage?key_id=\(customers.keyIDs[1])&model=gpt"), "requests") == [1])
        }
    }

    @Test("failures are told by whose fault they were, and latencies by group, of what was answered", arguments: TestDatabases.all)
    func failuresAndLatencies(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            let failures = try await h.get("/admin/api/usage?status=failed&group_by=error_origin,error_code")
            #expect(texts(failures, "error_origin") == ["provider"] && numbers(failures, "requests") == [1])
            let all = try await h.get("/admin/api/usage/latencies")
            #expect(numbers(all, "requests") == [6])
            // Up to a tenth of a second they are told to the millisecond, beyond it by two digits; always rounded up.
            for (name, wanted) in [("p50_us", Int64(62_000)), ("p90_us", 130_000), ("p99_us", 130_000)] {
                #expect(numbers(all, name) == [wanted], "\(name)")
            }
            let models = try await h.get("/admin/api/usage/latencies?group_by=model", as: .viewer)
            #expect(texts(models, "model") == ["emb", "gpt"] && numbers(models, "requests") == [2, 4])
            let own = try await h.token(.owner, of: customers.tenants[1])
            #expect(numbers(try await h.send(.get, "/admin/api/usage/latencies", token: own), "requests") == [2])
            #expect(try await h.send(.get, "/admin/api/usage/latencies?group_by=endpoint", token: own).fields == ["group_by"])
            #expect(try await h.send(.get, "/admin/api/usage?group_by=error_code", token: own).fields == ["group_by"])
            for (query, field) in [
                ("group_by=weather", "group_by"), ("from=2026-01-01T00:00:00Z", "from"), ("from=1990-01-01T00:00:00Z", "from"),
                ("x=1", "x"),
            ] {
                #expect(try await h.get("/admin/api/usage/latencies?\(query)").fields == [field], "\(query)")
            }
        }
    }

    @Test("bad questions are answered with the parameter that is wrong", arguments: TestDatabases.all)
    func refusals(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            for (query, field) in [
                ("group_by=weather", "group_by"), ("from=yesterday", "from"),
                ("from=2027-01-02T00:00:00Z&until=2027-01-01T00:00:00Z", "until"), ("time_zone=Mars/Olympus", "time_zone"),
                ("sort=colour", "sort"), ("limit=0", "limit"), ("tag=search", "tag"), ("error_origin=me", "error_origin"),
                ("group_by=endpoint&from=2026-01-01T00:00:00Z", "from"), ("from=1990-01-01T00:00:00Z", "from"),
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
            #expect(one.json["items"]?[0]?["tenant"] == "Acme" && one.json["items"]?[0]?["key"] == "k")
            let whole = "/admin/api/usage/records/\(RequestID(high: 0, low: 0).text)"
            #expect(try await h.get(whole, as: .viewer).json == one.json["items"]?[0])
            #expect(try await h.get("/admin/api/usage/records/\(RequestID(high: 9, low: 0).text)").status == 404)
            #expect(try await h.get("/admin/api/usage/records/abc").status == 404)
            // Sorted, for the API and on the page, whose headings say how and turn it round.
            let dearest = try await h.get("/admin/api/usage/records?sort=-cost&limit=5", as: .billing)
            let costs = dearest.json["items"]?.arrayValue?.compactMap { $0["cost_nano"]?.intValue } ?? []
            #expect(!costs.isEmpty && costs == costs.sorted(by: >) && dearest.json["sorted_since"] == .null)
            let oldest = try await h.get("/admin/api/usage/records?sort=admitted_at")
            #expect(texts(oldest, "request_id") == seen.reversed())
            #expect(try await h.get("/admin/api/usage/records?sort=model").fields == ["sort"])
            #expect(try await h.get("/admin/api/usage/records?sort=-cost&format=csv").fields == ["sort"])
            var browser = Browser(h: h)
            _ = try await browser.signOn(token: h.token(.owner))
            for (page, heading) in [
                ("/admin/requests?sort=-cost&model=gpt", "Cost ↓"), ("/admin/requests?sort=latency_us", "Latency"),
                ("/admin/ledger?sort=day", "Ledger"), ("/admin/ledger?sort=-day", "Ledger"), ("/admin/audit?sort=at", "When, UTC ↑"),
                ("/admin/endpoint-health?sort=-failures", "Endpoint health"),
                ("/admin/billing?sort=-total_cost&month=2027-01", "Total cost ↓"),
            ] {
                let answer = try await browser.send(.get, page)
                #expect(answer.status == 200 && answer.text.contains(heading), "\(page): \(answer.text.suffix(3000))")
            }
            let sorted = try await browser.send(.get, "/admin/requests?sort=-cost&model=gpt").text
            #expect(sorted.contains("?model=gpt&amp;sort=cost\""), "the other way round, and still of that model")
            #expect(try await browser.send(.get, "/admin/requests?sort=colour").status == 400)
            #expect(try await browser.send(.get, "/admin/audit/export.csv?sort=at").text.hasPrefix("id,"))
        }
    }

    @Test(
        "records come as CSV and as lines of JSON, all of the window, with what a spreadsheet would run marked as text",
        arguments: TestDatabases.all)
    func formats(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            _ = try await h.send(.patch, "/admin/api/tenants/\(customers.tenants[0])", ["name": "=1+1, \"Acme\""], ifMatch: "*")
            let csv = try await h.get("/admin/api/usage/records?format=csv&status=completed")
            #expect(csv.headers[.contentType] == "text/csv; charset=utf-8")
            let lines = csv.text.split(separator: "\r\n")
            #expect(lines.count == 7 && lines.first?.hasPrefix("request_id,admitted_at,tenant_id,tenant,") == true)
            #expect(lines.filter { $0.contains(#","'=1+1, ""Acme""","#) }.count == 4)
            let jsonl = try await h.get("/admin/api/usage/records?format=jsonl")
            let records = try jsonl.text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
            #expect(records.count == 7 && records.allSatisfy { $0["request_id"] != nil })
            #expect(try await h.get("/admin/api/usage/records?format=xml").fields == ["format"])
            // Longer than one piece.
            var batch = Weir_V1_UsageBatch()
            batch.incarnation = "j"
            batch.sequence = 1
            batch.records = (0..<450).map { index in
                var record = Weir_V1_UsageRecord()
                record.requestID = Data(RequestID(high: 5, low: UInt64(index)).bytes)
                record.tenantID = customers.tenants[1]
                record.projectID = customers.projects[1]
                record.keyID = customers.keyIDs[1]
                record.model = "gpt"
                record.configVersion = 1
                record.admittedAtUs = h.clock.nowMicroseconds() - Int64(index / 10)
                record.status = .completed
                return record
            }
            _ = try await UsageIntake(h.services.domain).store(dataPlaneID: Customers.dataPlane, batch: batch)
            let many = try await h.get("/admin/api/usage/records?format=csv&tenant_id=\(customers.tenants[1])").text.split(
                separator: "\r\n")
            #expect(many.count == 1 + 452)
            #expect(Set(many.map { $0.prefix { $0 != "," } }).count == 1 + 452)
        }
    }

    @Test("a report carries its window, its totals, names, and what is not among its groups", arguments: TestDatabases.all)
    func report(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            let report = try await h.get("/admin/api/usage?group_by=tenant&sort=-requests&limit=1&time_zone=Europe/Berlin").json
            #expect(report["until"] == "2027-01-16T00:00:00+01:00" && report["from"] == "2026-12-16T00:00:00+01:00")
            #expect(report["time_zone"] == "Europe/Berlin" && report["as_of"] != .null && report["behind"] == [])
            #expect(report["items"]?[0]?["tenant_id"] == .string(customers.tenants[0]) && report["items"]?[0]?["tenant"] == "Acme")
            #expect(report["others"]?["groups"] == 1 && report["others"]?["requests"] == 2 && report["totals"]?["requests"] == 7)
            #expect(report["totals"]?["failed_provider"] == 1 && report["totals"]?["failed_client"] == 0)
            let hours = try await h.get("/admin/api/usage?group_by=status,hour&error_origin=provider").json
            #expect(hours["items"]?[0]?["status"] == "failed" && hours["items"]?[0]?["hour"] != nil)
        }
    }

    @Test("a key's last use is shown with it, and changes neither its revision nor the audit log", arguments: TestDatabases.all)
    func lastUse(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            let unused = try await h.create("/admin/api/keys", ["project_id": .string(customers.projects[0]), "name": "unused"])
            #expect(unused.json["last_used_at"] == .null)
            let path = "/admin/api/keys/\(customers.keyIDs[0])"
            let key = try await h.get(path)
            #expect(key.json["last_used_at"] == .time(h.clock.nowMilliseconds()))
            let listed = try await h.get("/admin/api/keys?project_id=\(customers.projects[0])")
            let uses = (listed.json["items"]?.arrayValue ?? []).map { ($0["id"]?.stringValue ?? "", $0["last_used_at"]) }
            #expect(Dictionary(uses, uniquingKeysWith: { a, _ in a }) == [key.id: key.json["last_used_at"], unused.id: .null])
            let changed = try await h.send(.patch, path, ["name": "renamed"], ifMatch: key.headers[.eTag])
            #expect(changed.status == 200 && changed.json["last_used_at"] == key.json["last_used_at"])
            let audit = try await h.get("/admin/api/audit?resource_id=\(customers.keyIDs[0])").json["items"]?.arrayValue ?? []
            #expect(audit.count == 2 && audit.allSatisfy { $0["after"]?["last_used_at"] == nil })
        }
    }

    @Test("the holder of a key sees the key's own usage, and others' only as far as its rights reach", arguments: TestDatabases.all)
    func selfService(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            for (index, requests) in [Int64(5), 2].enumerated() {
                let answer = try await h.get("/external/v1/usage", as: nil, token: customers.keys[index])
                #expect(answer.status == 200)
                #expect(numbers(answer, "requests") == [requests])
                #expect(answer.json["items"]?[0]?["rerated_cost_nano"] == nil)
            }
            func usage(_ query: String, _ key: ControlHarness.Answer) async throws -> ControlHarness.Answer {
                try await h.get("/external/v1/usage?\(query)", as: nil, token: key.json["key"]?.stringValue ?? "")
            }
            func key(_ project: String, _ more: JSONObject = [:]) async throws -> ControlHarness.Answer {
                var body: JSONObject = ["project_id": .string(project), "name": "k"]
                for member in more.members { body[member.name] = member.value }
                return try await h.create("/admin/api/keys", .object(body))
            }
            // Another tenant's names are not for it, whatever its rights.
            let other = try await h.get("/external/v1/usage?group_by=key&key_id=\(customers.keyIDs[0])", as: nil, token: customers.keys[1])
            #expect(other.status == 403)
            let second = try await h.create("/admin/api/projects", ["tenant_id": .string(customers.tenants[0]), "name": "Second"]).id
            // Another key, of the same project and of another one: nothing of the first key's use.
            for project in [customers.projects[0], second] {
                let stranger = try await key(project)
                #expect(numbers(try await usage("", stranger), "requests") == [0])
                #expect(try await usage("key_id=\(customers.keyIDs[0])", stranger).status == 403)
                let reader = try await key(project, ["rights": ["project:read"]])
                #expect(numbers(try await usage("", reader), "requests") == [project == second ? 0 : 5])
                let tenant = try await key(project, ["rights": ["tenant:read"]])
                #expect(numbers(try await usage("", tenant), "requests") == [5])
                #expect(numbers(try await usage("project_id=\(second)", tenant), "requests") == [0])
                #expect(numbers(try await usage("key_id=\(customers.keyIDs[1])", tenant), "requests") == [0])
            }
            #expect(try await usage("project_id=\(customers.projects[0])", key(second, ["rights": ["project:read"]])).status == 403)
            // Limited to another channel than this one.
            let elsewhere = try await key(second, ["rights": ["tenant:read"], "channels": ["default"]])
            #expect(try await usage("", elsewhere).status == 403)
            #expect(try await h.get("/external/v1/health", as: nil, token: elsewhere.json["key"]?.stringValue).status == 403)
            let wrong = try await h.post("/admin/api/keys", ["project_id": .string(second), "name": "k", "rights": ["everything"]])
            #expect(wrong.fields == ["rights[0]"])
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
            #expect(answer.json["last_usage_received_at"] == .null)
            let reader = try await h.create(
                "/admin/api/keys", ["project_id": .string(customers.projects[0]), "name": "r", "rights": ["tenant:read"]])
            let more = try await h.get("/external/v1/health", as: nil, token: reader.json["key"]?.stringValue)
            #expect(more.json["last_usage_received_at"] == .time(h.clock.nowMilliseconds()))
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

    @Test("what a data plane may not report is listed, and released or discarded by who may", arguments: TestDatabases.all)
    func quarantine(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Customers(h)
            var batch = Weir_V1_UsageBatch()
            batch.incarnation = "j"
            batch.sequence = 1
            batch.records = (0..<3).map { index in
                var record = Weir_V1_UsageRecord()
                record.requestID = Data(RequestID(high: 7, low: UInt64(index)).bytes)
                record.tenantID = customers.tenants[0]
                record.projectID = customers.projects[0]
                record.keyID = customers.keyIDs[0]
                record.model = index == 0 ? "gpt" : "\u{202E}<b>gpt"
                record.configVersion = index == 0 ? 9 : 1
                record.admittedAtUs = h.clock.nowMicroseconds()
                record.costNano = 999_000_000_000_000
                return record
            }
            _ = try await UsageIntake(h.services.domain).store(dataPlaneID: Customers.dataPlane, batch: batch)
            #expect(numbers(try await h.get("/admin/api/usage"), "requests") == [7])
            let all = try await h.get("/admin/api/usage/quarantine", as: .viewer)
            #expect(texts(all, "reason").sorted() == ["unknown_config_version", "unknown_model", "unknown_model"])
            #expect(texts(all, "data_plane_id").allSatisfy { $0 == Customers.dataPlane })
            // Shown without what would turn the text around, kept as it came.
            let models = try await h.get("/admin/api/usage/quarantine?reason=unknown_model&tenant_id=\(customers.tenants[0])")
            #expect(texts(models, "model") == ["<b>gpt", "<b>gpt"])
            let bytes = try #require(Base64.decode(texts(models, "record").first ?? ""))
            #expect(try Weir_V1_UsageRecord(serializedBytes: bytes).model == "\u{202E}<b>gpt")
            let health = try await h.get("/health/ready", as: nil)
            #expect(health.status == 200)
            #expect(health.json["warnings"]?[0]?.stringValue?.contains(Customers.dataPlane) == true)
            #expect(try await h.get("/admin/api/usage/quarantine?reason=none").fields == ["reason"])

            let selection: JSONValue = ["data_plane_id": .string(Customers.dataPlane), "reason": "unknown_model"]
            #expect(try await h.post("/admin/api/usage/quarantine/discard", selection, as: .viewer).status == 403)
            let discarded = try await h.post("/admin/api/usage/quarantine/discard", selection, as: .operator)
            #expect(discarded.json == ["discarded": 2, "left": 0])
            let released = try await h.post(
                "/admin/api/usage/quarantine/release", ["data_plane_id": .string(Customers.dataPlane)], as: .operator)
            #expect(released.json == ["released": 1, "left": 0])
            #expect(numbers(try await h.get("/admin/api/usage"), "requests") == [8])
            #expect(try await h.get("/admin/api/usage/quarantine").json["items"] == [])
            #expect(try await h.get("/health/ready", as: nil).json["warnings"] == [])
            let audit = try await h.get("/admin/api/audit?resource_kind=usage_quarantine")
            #expect(texts(audit, "action") == ["usage_quarantine.release", "usage_quarantine.discard"])
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
