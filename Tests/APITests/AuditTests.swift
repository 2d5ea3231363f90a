import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing
import Trust

@Suite("The audit trail")
struct AuditTests {
    /// Two tenants with requests, refusals and changes, some of them in one millisecond.
    private struct Past {
        let customers: UsageRoutesTests.Customers

        init(_ h: ControlHarness) async throws {
            customers = try await UsageRoutesTests.Customers(h)
            let (tenants, keys) = (customers.tenants, customers.keyIDs)
            let now = h.clock.nowMilliseconds()
            try await h.database.transaction { c in
                var rows: [RequestRefusalRow] = []
                for (index, tenant) in [tenants[0], tenants[0], tenants[1], ""].enumerated() {
                    var row = RequestRefusalRow()
                    row.requestID = RequestID(high: 7, low: UInt64(index)).bytes
                    row.dataPlaneID = UsageRoutesTests.Customers.dataPlane
                    row.at = now
                    row.tenantID = tenant
                    row.keyID = tenant.isEmpty ? "" : tenant == tenants[0] ? keys[0] : keys[1]
                    row.model = "gpt"
                    row.httpStatus = 429
                    row.errorOrigin = 1
                    row.errorCode = tenant.isEmpty ? "invalid_api_key" : "rate_limit_exceeded"
                    row.remoteAddress = "192.0.2.7"
                    row.repeated = Int64(index)
                    rows.append(row)
                }
                try RequestRefusalsTable.insert(c, rows)
                // It came twice.
                try RequestRefusalsTable.insert(c, rows)
            }
        }
    }

    private static func items(_ h: ControlHarness, _ query: String, token: String? = nil) async throws -> [JSONValue] {
        let answer = try await h.get("/admin/api/audit?limit=200&\(query)", token: token)
        #expect(answer.status == 200, "\(query): \(answer.text)")
        return answer.json["items"]?.arrayValue ?? []
    }

    private static func count(_ h: ControlHarness, _ query: String) async throws -> Int { try await items(h, query).count }

    @Test("is one list, newest first, however it is cut into pages", arguments: TestDatabases.all)
    func pages(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await Past(h)
            let all = try await Self.items(h, "source=all")
            let times = all.compactMap { $0["at"]?.stringValue }
            #expect(times == times.sorted(by: >))
            #expect(Set(all.compactMap { $0["source"]?.stringValue }) == ["administration", "requests", "refusals"])
            #expect(all.count { $0["source"] == "requests" } == 7 && all.count { $0["source"] == "refusals" } == 4)
            for limit in [1, 2, 3] {
                var (found, cursor): ([JSONValue], String?) = ([], "")
                while let after = cursor, found.count <= all.count {
                    let page = try await h.get("/admin/api/audit?source=all&limit=\(limit)" + (after.isEmpty ? "" : "&cursor=\(after)"))
                        .json
                    found += page["items"]?.arrayValue ?? []
                    cursor = page["next_cursor"]?.stringValue
                }
                #expect(found.map { $0["id"] } == all.map { $0["id"] }, "pages of \(limit)")
                (found, cursor) = ([], "")
                while let after = cursor, found.count <= all.count {
                    let sorted = "/admin/api/audit?source=all&sort=at&limit=\(limit)"
                    let page = try await h.get(sorted + (after.isEmpty ? "" : "&cursor=\(after)")).json
                    found += page["items"]?.arrayValue ?? []
                    cursor = page["next_cursor"]?.stringValue
                }
                #expect(found.map { $0["id"] } == all.reversed().map { $0["id"] }, "turned, pages of \(limit)")
            }
            // A cursor leads on in the order that gave it, and in no other.
            let page = try await h.get("/admin/api/audit?source=all&limit=1").json["next_cursor"]?.stringValue ?? ""
            #expect(try await h.get("/admin/api/audit?source=all&sort=at&cursor=\(page)").status == 400)
            // Requests do not get in among changes where nobody asked for them.
            #expect(try await Self.items(h, "").allSatisfy { $0["source"] == "administration" })
        }
    }

    @Test("is narrowed by who, what, how it ended, and parts of ids", arguments: TestDatabases.all)
    func filters(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Past(h).customers
            let (key, tenant) = (customers.keyIDs[0], customers.tenants[0])
            #expect(try await Self.count(h, "source=all&status=refused&tenant_id=\(tenant)") == 2)
            #expect(try await Self.count(h, "source=requests,refusals&key_id=\(key)") == 7)
            #expect(try await Self.count(h, "source=all&actor_id=\(key)") == 7)
            // The key was made, too.
            #expect(try await Self.count(h, "source=all&key_id=\(key)") == 8)
            #expect(try await Self.count(h, "source=all&text=\(key.dropFirst(2))") == 8)
            #expect(try await Self.count(h, "source=all&action=request.refuse") == 4)
            #expect(try await Self.count(h, "source=all&action=key.create") == 2)
            #expect(try await Self.count(h, "source=all&status=failed") == 1)
            #expect(try await Self.count(h, "source=all&model=emb") == 3)
            #expect(try await Self.count(h, "source=all&resource_kind=request") == 11)
            #expect(try await Self.count(h, "source=all&text=192.0.2.7") == 4)
            #expect(try await Self.count(h, "source=all&text=\(String(repeating: "ab", count: 16))") == 7)
            let one = RequestID(high: 7, low: 1).text
            for query in ["text=\(one)", "resource_id=\(one)"] {
                let found = try await Self.items(h, "source=all&\(query)")
                #expect(found.map { $0["id"]?.stringValue } == [one])
                #expect(found.first?["after"]?["repeated"] == 1 && found.first?["error_code"] == "rate_limit_exceeded")
            }
            #expect(try await Self.count(h, "source=all&until=2027-01-14T00:00:00Z&from=2027-01-13T00:00:00Z") == 2)
            for wrong in [
                "source=secrets", "status=lost", "text=ab", "cursor=x", "from=2027-01-02T00:00:00Z&until=2027-01-01T00:00:00Z",
                "source=all&model=gpt&from=2026-01-01T00:00:00Z", "colour=red", "sort=who",
            ] {
                #expect(try await h.get("/admin/api/audit?\(wrong)").status == 400, "\(wrong)")
            }
        }
    }

    @Test("shows a tenant's administrators and keys what is theirs, whatever they ask for", arguments: TestDatabases.all)
    func tenants(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Past(h).customers
            let (mine, theirs) = (customers.tenants[0], customers.tenants[1])
            let token = try await h.token(.auditor, of: mine)
            for query in ["source=all", "source=all&text=gpt", "source=all&text=192.0.2.7"] {
                let seen = try await Self.items(h, query, token: token)
                #expect(!seen.isEmpty && seen.allSatisfy { $0["tenant_id"]?.stringValue == mine }, "\(query)")
                #expect(seen.allSatisfy { $0["after"]?["data_plane_id"] == nil && $0["after"]?["endpoint_id"] == nil })
            }
            for query in [
                "tenant_id=\(theirs)", "key_id=\(customers.keyIDs[1])", "actor_id=\(customers.keyIDs[1])",
                "resource_id=\(customers.projects[1])", "text=\(theirs)", "text=invalid_api_key",
                "text=\(RequestID(high: 7, low: 2).text)", "tenant_id=' OR 1=1 --".replacing(" ", with: "%20"),
            ] {
                #expect(try await Self.items(h, "source=all&\(query)", token: token) == [], "\(query)")
            }
            let own = try await h.get("/external/v1/audit?limit=200", as: nil, token: customers.keys[0])
            let items = own.json["items"]?.arrayValue ?? []
            #expect(items.count == 8 && items.allSatisfy { $0["key_id"]?.stringValue == customers.keyIDs[0] })
            #expect(!own.text.contains(theirs) && !own.text.contains("data_plane_id"))
            let other = try await h.get("/external/v1/audit?key_id=\(customers.keyIDs[1])", as: nil, token: customers.keys[0])
            #expect(other.status == 403)
            #expect(try await h.get("/external/v1/audit?tenant_id=\(theirs)", as: nil, token: customers.keys[0]).status == 400)
            let change = try await h.send(
                .patch, "/admin/api/keys/\(customers.keyIDs[0])", ["rights": ["tenant:read"]], ifMatch: "*")
            #expect(change.status == 200)
            let whole = try await h.get("/external/v1/audit?limit=200", as: nil, token: customers.keys[0]).json["items"]?.arrayValue ?? []
            #expect(whole.count > items.count && whole.allSatisfy { $0["tenant_id"]?.stringValue == mine })
        }
    }

    @Test("is exported whole, with a checksum at its end", arguments: TestDatabases.all)
    func exports(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let customers = try await Past(h).customers
            for format in ["jsonl", "csv"] {
                let answer = try await h.get("/admin/api/audit/export?format=\(format)&tenant_id=\(customers.tenants[0])")
                var lines = answer.text.split(separator: format == "csv" ? "\r\n" : "\n").map { $0 + (format == "csv" ? "\r\n" : "\n") }
                let last = String(lines.removeLast())
                let digest = Hex.encode(SHA256Digest.of(Array(lines.joined().utf8)))
                #expect(last.contains(digest), "\(last)")
                let entries = try await Self.count(h, "source=all&tenant_id=\(customers.tenants[0])")
                #expect(lines.count == entries + (format == "csv" ? 1 : 0))
                if format == "csv" { #expect(last.hasPrefix("sha256:\(digest),,")) }
                #expect(!answer.text.contains(customers.tenants[1]))
            }
            #expect(try await h.get("/admin/api/audit/export?format=xml").status == 400)
            #expect(try await h.get("/admin/api/audit/export", as: .viewer).status == 403)
        }
    }
}
