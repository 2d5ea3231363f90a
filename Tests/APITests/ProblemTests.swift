import API
import Domain
import HTTPTypes
import Primitives
import Storage
import Telemetry
import Testing

@Suite("Refusals name the field and the remedy")
struct ProblemTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let path: String
        let body: JSONValue
        let fields: [String]
        var testDescription: String { "\(path) \(body.text.prefix(80))" }

        init(_ path: String, _ body: JSONValue, _ fields: [String]) {
            self.path = "/admin/api/\(path)"
            self.body = body
            self.fields = fields
        }
    }

    static let cases: [Case] = [
        Case("tenants", [:], ["name"]),
        Case("tenants", ["name": 7], ["name"]),
        Case("tenants", ["name": nil], ["name"]),
        Case("tenants", ["name": ""], ["name"]),
        Case("tenants", ["name": " x"], ["name"]),
        Case("tenants", ["name": "a\u{202E}b"], ["name"]),
        Case("tenants", ["name": "a\nb"], ["name"]),
        Case("tenants", ["name": "a\u{0}b"], ["body"]),
        Case("tenants", ["name": .string(String(repeating: "x", count: 129))], ["name"]),
        Case("tenants", ["name": "x", "status": "paused"], ["status"]),
        Case("tenants", ["name": "x", "nmae": 1, "id": "ten_a"], ["nmae", "id"]),
        Case("tenants", [], ["body"]),
        Case("projects", ["name": "x", "tenant_id": "prj_aaaaaaaaaaaaaaaa"], ["tenant_id"]),
        Case("projects", ["name": "x", "tenant_id": "ten_aaaaaaaaaaaaaaaa"], ["tenant_id"]),
        Case("providers", ["name": "x", "base_url": "ftp://x"], ["base_url"]),
        Case("providers", ["name": "x", "base_url": "https://user:pw@x"], ["base_url"]),
        Case("providers", ["name": "x", "base_url": "https://x/?q=1"], ["base_url"]),
        Case("providers", ["name": "x", "base_url": "https://x/#f"], ["base_url"]),
        Case("providers", ["name": "x", "base_url": "//x"], ["base_url"]),
        Case("providers", ["name": "x", "base_url": "https://x:99999"], ["base_url"]),
        Case("providers", ["name": "x", "base_url": "https://x", "kind": "other"], ["kind"]),
        Case("providers", ["name": "x", "base_url": "https://x", "auth": ["scheme": "header"]], ["auth.header"]),
        Case("providers", ["name": "x", "base_url": "https://x", "auth": ["scheme": "header", "header": "a b"]], ["auth.header"]),
        Case("providers", ["name": "x", "base_url": "https://x", "auth": ["scheme": "header", "header": "Host"]], ["auth.header"]),
        Case("providers", ["name": "x", "base_url": "https://x", "auth": ["scheme": "digest"]], ["auth.scheme"]),
        Case("providers", ["name": "x", "base_url": "https://x", "auth": ["scheme": "bearer", "user": "u"]], ["auth.user"]),
        Case("providers", ["name": "x", "base_url": "https://x", "auth": "bearer"], ["auth"]),
        Case("providers", ["name": "x", "base_url": "https://x", "ca_pem": "nonsense"], ["ca_pem"]),
        Case(
            "providers", ["name": "x", "base_url": "https://x", "timeouts": ["connect_ms": -1, "idle_ms": "5"]],
            [
                "timeouts.connect_ms", "timeouts.idle_ms",
            ]),
        Case(
            "endpoints", ["name": "x", "provider_id": "prov_aaaaaaaaaaaaaaaa", "credential_ids": ["cred_aaaaaaaaaaaaaaaa"]],
            [
                "provider_id", "credential_ids[0]",
            ]),
        Case("models", ["name": "x y", "capabilities": ["chat", "sing", "chat"]], ["name", "capabilities[1]", "capabilities"]),
        Case("models", ["name": "x", "capabilities": []], ["capabilities"]),
        Case("models", ["name": "x", "capabilities": ["chat"], "context_window": .number("1e30")], ["context_window"]),
        Case("models", ["name": "x", "capabilities": ["chat"], "tenant_ids": ["ten_aaaaaaaaaaaaaaaa"]], ["tenant_ids[0]"]),
        // Nothing that is emptied opens a thing for all.
        Case("models", ["name": "x", "capabilities": ["chat"], "tenant_ids": []], ["tenant_ids"]),
        Case("keys", ["project_id": "prj_aaaaaaaaaaaaaaaa", "name": "k", "models": [], "channels": []], ["models", "channels"]),
        Case("routes", ["name": "x", "model_id": "mdl_aaaaaaaaaaaaaaaa"], ["targets"]),
        Case(
            "routes", ["name": "x", "model_id": "mdl_aaaaaaaaaaaaaaaa", "targets": [["weight": -1], 5]],
            [
                "targets[0].endpoint_id", "targets[0].weight", "targets[1]",
            ]),
        Case("prices", ["model_id": "mdl_aaaaaaaaaaaaaaaa", "input": "-1", "output": "1"], ["input"]),
        Case("prices", ["model_id": "mdl_aaaaaaaaaaaaaaaa", "input": "1.0000000001", "output": "x"], ["input", "output"]),
        Case(
            "prices", ["model_id": "mdl_aaaaaaaaaaaaaaaa", "input": "1", "output": "1", "effective_from": "yesterday"], ["effective_from"]),
        Case("keys", ["project_id": "prj_aaaaaaaaaaaaaaaa", "name": "k", "expires_at": "2001-01-01T00:00:00Z"], ["expires_at"]),
        Case("keys", ["project_id": "prj_aaaaaaaaaaaaaaaa", "name": "k", "models": ["a", 1]], ["models"]),
        Case(
            "keys", ["project_id": "prj_aaaaaaaaaaaaaaaa", "name": "k", "capabilities": ["fly"], "channels": ["side"]],
            [
                "capabilities[0]", "channels[0]",
            ]),
        Case("keys", ["project_id": "prj_aaaaaaaaaaaaaaaa", "name": "k", "tags": ["a b": "x", "ok": 1]], ["tags"]),
        Case("keys", ["project_id": "prj_aaaaaaaaaaaaaaaa", "name": "k", "tags": ["a b": "x"]], ["tags.a b"]),
        Case("credentials", ["provider_id": "prov_aaaaaaaaaaaaaaaa", "name": "c", "secret": "s"], ["provider_id"]),
        Case("tokens", ["name": "t", "role": "king"], ["role"]),
        Case("tokens", ["name": "t"], ["role"]),
    ]

    @Test("each wrong field is named, with a remedy, in one answer")
    func fields() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            for test in Self.cases {
                let answer = try await h.post(test.path, test.body)
                #expect(answer.status == 400, "\(test.testDescription): \(answer.text)")
                #expect(answer.headers[.contentType] == "application/problem+json")
                #expect(answer.fields == test.fields, "\(test.testDescription): \(answer.text)")
                for error in answer.json["errors"]?.arrayValue ?? [] {
                    #expect(error["message"]?.stringValue?.isEmpty == false)
                    #expect(error["remedy"]?.stringValue?.isEmpty == false)
                }
                #expect(answer.json["status"] == 400)
                #expect(answer.json["request_id"]?.stringValue == answer.headers[HTTPField.Name("x-request-id") ?? .date])
                #expect(!answer.text.contains("DecodingError"))
            }
        }
    }

    @Test("what is not JSON says where it goes wrong", arguments: ["", "{", "{\"name\":}", "[1", "nul", "{\"name\":\"a\",\"name\":\"b\"}"])
    func notJSON(body: String) async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let answer = try await h.sendBytes(.post, "/admin/api/tenants", Array(body.utf8))
            #expect(answer.status == 400)
            #expect(answer.fields == ["body"])
        }
    }

    @Test("a body beyond the limit is refused without being read to its end")
    func tooLarge() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let answer = try await h.sendBytes(.post, "/admin/api/tenants", Array(repeating: 0x20, count: APIResponder.bodyLimitBytes + 1))
            #expect(answer.status == 413)
            #expect(answer.json["type"] == "urn:weir:problem:too_large")
            let deep = try await h.sendBytes(.post, "/admin/api/tenants", Array(repeating: UInt8(ascii: "["), count: 1_000_000))
            #expect(deep.status == 400)
        }
    }

    @Test("names in any script are kept as they are", arguments: TestDatabases.all)
    func unicode(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            for name in ["Zürich", "東京支社", "بنك", "👩🏽‍💻 team", "a\"b\\c<script>", "'; DROP TABLE tenants; --"] {
                let made = try await h.create("/admin/api/tenants", ["name": .string(name)])
                #expect(made.json["name"] == .string(name))
                #expect(try await h.get("/admin/api/tenants/\(made.id)").json["name"] == .string(name))
            }
        }
    }

    @Test("unknown paths and methods, and identifiers of another kind")
    func unknown() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.get("/").status == 404)
            #expect(try await h.get("/admin/api/nothing").json["type"] == "urn:weir:problem:unknown_path")
            let put = try await h.send(.put, "/admin/api/tenants")
            #expect(put.status == 405)
            #expect(put.headers[.allow] == "GET, POST")
            for id in [
                "ten_aaaaaaaaaaaaaaaa", "prj_aaaaaaaaaaaaaaaa", "x", "ten_", "ten_AAAAAAAAAAAAAAAA",
            ] {
                #expect(try await h.get("/admin/api/tenants/\(id)").status == 404, "\(id)")
            }
            // What could be read in another way than it is written is not looked for.
            for id in ["%2e%2e", "ten_aaaaaaaaaaaaaaaa%00"] {
                #expect(try await h.get("/admin/api/tenants/\(id)").status == 400, "\(id)")
            }
            let head = try await h.send(.head, "/health/live")
            #expect(head.status == 200)
            #expect(head.text.isEmpty)
            #expect(try await h.post("/admin/api/tenants?limit=%zz", ["name": "x"]).status == 400)
        }
    }

    @Test("a read that has not changed is answered without its body")
    func notModified() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "T"])
            #expect(tenant.etag == "\"1\"")
            #expect(try await h.get("/admin/api/tenants/\(tenant.id)").etag == "\"1\"")
        }
    }
}

@Suite("A database that is gone")
struct DatabaseGoneTests {
    @Test("requests are answered 503, readiness says why, and it recovers without a restart", arguments: TestDatabases.all)
    func gone(kind: TestDatabase) async throws {
        let outage = Outage()
        try await ControlHarness.run(on: kind, wrapping: { FailingDatabase(inner: $0, outage: outage) }) { h in
            #expect(try await h.get("/health/ready").json == ["status": "ok", "database": "ok", "warnings": []])
            outage.begin()
            for path in ["/admin/api/tenants", "/admin/api/audit"] {
                let answer = try await h.get(path)
                #expect(answer.status == 503)
                #expect(answer.json["type"] == "urn:weir:problem:unavailable")
                #expect(answer.headers[.retryAfter] != nil)
                #expect(!answer.text.contains("secret-host"))
            }
            #expect(try await h.post("/admin/api/tenants", ["name": "T"]).status == 503)
            let ready = try await h.get("/health/ready")
            #expect(ready.status == 503)
            #expect(ready.json == ["status": "not_ready", "database": "unavailable", "warnings": []])
            #expect(try await h.get("/health/live").status == 200)
            outage.end()
            #expect(try await h.post("/admin/api/tenants", ["name": "T"]).status == 201)
            #expect(try await h.get("/health/ready").status == 200)
        }
    }

    @Test("a fault of ours is answered 500 without its text, which is in the log under the request's id")
    func internalFault() async throws {
        let kind = try #require(TestDatabases.all.first)
        let outage = Outage()
        let fault = DatabaseError.statement(code: "42601", message: "syntax error near secret-table")
        try await ControlHarness.run(on: kind, wrapping: { FailingDatabase(inner: $0, outage: outage, error: fault) }) { h in
            outage.begin()
            let answer = try await h.get("/admin/api/tenants")
            #expect(answer.status == 500)
            #expect(!answer.text.contains("secret-table"))
            let id = try #require(answer.json["request_id"]?.stringValue)
            #expect(h.log.lines.contains { $0.contains(id) && $0.contains("secret-table") })
        }
    }
}

@Suite("A database that hangs")
struct DatabaseHangsTests {
    @Test("callers are answered 503 in time, those beyond the limit at once, and all is well when it goes on", .timeLimit(.minutes(10)))
    func hangs() async throws {
        let kind = try #require(TestDatabases.all.first)
        let valve = Valve()
        var limits = APIResponder.Limits()
        limits.answerDeadline = .milliseconds(20)
        limits.requestsInWork = 3
        try await ControlHarness.run(on: kind, wrapping: { HangingDatabase(inner: $0, valve: valve) }, limits: limits) { h in
            valve.close()
            for _ in 0..<3 {
                let answer = try await h.get("/admin/api/tenants")
                #expect(answer.status == 503)
                #expect(answer.text.contains("took too long"))
            }
            let beyond = try await h.get("/admin/api/tenants")
            #expect(beyond.status == 503)
            #expect(beyond.text.contains("Too many"))
            #expect(try await h.get("/health/live").status == 200)
            valve.open()
            // What was held needs a moment to end; the time limit is this test's own deadline.
            while try await h.get("/admin/api/tenants").status == 503 {}
        }
    }
}
