import API
import Domain
import Foundation
import HTTPTypes
import HummingbirdTesting
import NIOCore
import NIOPosix
import Nouns
import Primitives
import Storage
import Telemetry
import Testing

@Suite("One resource has one spelling", .timeLimit(.minutes(10)))
struct RequestFormTests {
    @Test(
        "other spellings of a path are refused",
        arguments: [
            "/admin/api//tenants", "/admin/api/tenants/", "//admin/api/tenants", "/admin/./api/tenants", "/admin/x/../api/tenants",
            "/admin/api/tenants/..", "/admin/api/%74enants", "/admin%2fapi/tenants", "/admin/api/tenants%00", "/admin/api/tenants;x",
            "/admin\\api\\tenants", "admin/api/tenants", "http://other/admin/api/tenants", "*", "", "/admin/api/tenants#x", "/é",
        ])
    func otherSpellings(target: String) { #expect(RequestForm.problem(target: target) != nil) }

    @Test(
        "the plain one passes, whatever its query",
        arguments: ["/", "/metrics", "/admin/api/tenants/ten_aaaaaaaaaaaaaaaa", "/admin/api/config/diff?from=1&to=%2F..//", "/a/..b/c."])
    func plain(target: String) { #expect(RequestForm.problem(target: target) == nil) }

    /// What a raw head is answered, over a real socket.
    private func answer(_ h: ControlHarness, _ head: String, body: Int = 0) async throws -> String {
        let collected = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { $0.pipeline.addHandler(collected) }
            .connect(host: "127.0.0.1", port: h.port ?? 0).get()
        try await channel.writeAndFlush(ByteBuffer(string: head))
        let chunk = ByteBuffer(repeating: 0x20, count: 1 << 16)
        for _ in 0..<(body >> 16) { try? await channel.writeAndFlush(chunk) }
        return await collected.text()
    }

    /// Everything that arrives until the other side closes.
    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let stream: AsyncStream<String>
        private let continuation: AsyncStream<String>.Continuation

        init() { (stream, continuation) = AsyncStream.makeStream() }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            continuation.yield(String(buffer: unwrapInboundIn(data)))
        }
        func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { continuation.finish() }
        func text() async -> String { await stream.reduce(into: "") { $0 += $1 } }
    }

    @Test("a head above the limits is answered with a problem, and the connection ends")
    func largeHead() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind, .live) { h in
            let long = String(repeating: "x", count: 20_000)
            for head in [
                "GET /health/live HTTP/1.1\r\nHost: a\r\nX-Long: \(long)\r\n\r\n", "GET /health/live?\(long) HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /health/live HTTP/1.1\r\nHost: a\r\n"
                    + (0..<9).map { "X-\($0): \(long.prefix(9000))\r\n" }.joined() + "\r\n",
            ] {
                let answer = try await answer(h, head)
                #expect(answer.hasPrefix("HTTP/1.1 431 "), "\(answer.prefix(200))")
                #expect(answer.contains("content-type: application/problem+json") && answer.contains("urn:weir:problem:head_too_large"))
            }
        }
    }

    @Test("a request that names two hosts, none, or another in its target is told so")
    func hosts() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind, .live) { h in
            func status(_ lines: String...) async throws -> String {
                let head = (lines + ["connection: close"]).joined(separator: "\r\n") + "\r\n\r\n"
                let answer = try await self.answer(h, head)
                return String(answer.prefix { $0 != "\r" && $0 != "\r\n" })
            }
            let path = "GET /health/live HTTP/1.1"
            #expect(try await status(path, "host: a") == "HTTP/1.1 200 OK")
            #expect(try await status(path, "host: a", "host: b") == "HTTP/1.1 400 Bad Request")
            #expect(try await status(path) == "HTTP/1.1 400 Bad Request")
            #expect(try await status(path, "host: a@b") == "HTTP/1.1 400 Bad Request")
            #expect(try await status("GET http://a/health/live HTTP/1.1", "host: a") == "HTTP/1.1 400 Bad Request")
            #expect(try await status("GET /health/../health/live HTTP/1.1", "host: a") == "HTTP/1.1 400 Bad Request")
            // What only we may say is not believed of others.
            #expect(try await status(path, "host: a", "x-weir-refused-form: no") == "HTTP/1.1 200 OK")
            let told = try await self.answer(h, "GET //x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            #expect(told.contains("urn:weir:problem:ambiguous_request") && told.contains("empty segment"))
        }
    }

    @Test("a body above the limit gets 413, also one far above it")
    func largeBody() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind, .live) { h in
            for size in [2 << 20, 8 << 20] {
                let head =
                    "POST /admin/api/tenants HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \(h.token(.owner))\r\nconnection: close\r\ncontent-length: \(size)\r\n\r\n"
                let answer = try await self.answer(h, head, body: size)
                #expect(answer.hasPrefix("HTTP/1.1 413 "), "\(size): \(answer.prefix(100))")
            }
        }
    }

    @Test("a client that leaves before its body has come is nobody's fault here")
    func leaving() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind, .live) { h in
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: h.port ?? 0).get()
            let head =
                "POST /admin/api/tenants HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \(h.token(.owner))\r\ncontent-length: 100\r\n\r\n{"
            try await channel.writeAndFlush(ByteBuffer(string: head))
            try await channel.close()
            while !h.metrics.text.contains(#"route="/admin/api/tenants",method="POST",status="4xx"} 1"#), !Task.isCancelled {
                await Task.yield()
            }
            #expect(!h.metrics.text.contains(#"status="5xx"} 1"#))
            #expect(!h.log.lines.contains { $0.contains("request failed") })
        }
    }
}

@Suite("Whose request it is")
struct TrustedProxiesTests {
    @Test("is the peer's, unless a trusted proxy says whose; the right-most address that is not trusted counts")
    func client() throws {
        let proxies = try #require(TrustedProxies("10.0.0.0/8, 127.0.0.1,fd00::/16"))
        #expect(proxies.client(peer: "203.0.113.9", forwardedFor: ["1.2.3.4"]) == "203.0.113.9")
        #expect(proxies.client(peer: "10.1.1.1", forwardedFor: []) == "10.1.1.1")
        #expect(proxies.client(peer: "10.1.1.1", forwardedFor: ["6.6.6.6, 1.2.3.4, 10.9.9.9"]) == "1.2.3.4")
        #expect(proxies.client(peer: "10.1.1.1", forwardedFor: ["6.6.6.6", "1.2.3.4"]) == "1.2.3.4")
        #expect(proxies.client(peer: "::ffff:10.1.1.1", forwardedFor: ["[2001:db8::1]:4711"]) == "2001:db8::1")
        #expect(proxies.client(peer: "fd00::1", forwardedFor: ["1.2.3.4:80"]) == "1.2.3.4")
        #expect(proxies.client(peer: "10.1.1.1", forwardedFor: ["1.2.3.4, unknown"]) == "10.1.1.1")
        #expect(TrustedProxies.none.client(peer: "10.1.1.1", forwardedFor: ["1.2.3.4"]) == "10.1.1.1")
        for text in ["10.0.0.0/33", "proxy", "10.0.0.0/-1", "::1/129", "10.0.0.0/8/8"] { #expect(TrustedProxies(text) == nil) }
    }
}

@Suite("Refused attempts")
struct RefusedAttemptsTests {
    @Test("at changes are in the audit log, with who and why, and not without end", arguments: TestDatabases.all)
    func audited(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"])
            let path = "/admin/api/tenants/\(tenant.id)"
            func entries() async throws -> [JSONValue] {
                try await h.get("/admin/api/audit?resource_kind=request").json["items"]?.arrayValue ?? []
            }
            #expect(try await h.send(.patch, path, ["name": "x"], as: .viewer, ifMatch: "*").status == 403)
            #expect(try await h.send(.patch, path, ["name": "x"], ifMatch: "\"99\"").status == 412)
            #expect(try await h.post("/admin/api/tenants", ["name": "Acme"]).status == 409)
            #expect(try await h.send(.post, "/admin/api/tenants", ["name": "y"], as: nil, token: "wadm_x").status == 401)
            // Reading is no change, and a typing error no attempt.
            #expect(try await h.send(.get, path, as: nil).status == 401)
            #expect(try await h.post("/admin/api/tenants", ["nmae": "y"]).status == 400)
            let found = try await entries()
            #expect(found.count == 4)
            let byStatus = Dictionary(uniqueKeysWithValues: found.map { ($0["after"]?["status"]?.intValue ?? 0, $0) })
            #expect(byStatus[403]?["actor"]?["role"] == "viewer")
            #expect(byStatus[403]?["after"]?["path"] == .string(path))
            #expect(byStatus[412]?["actor"]?["role"] == "owner")
            #expect(byStatus[409]?["action"] == "request.refuse")
            #expect(byStatus[401]?["actor"]?["name"] == "anonymous")
            for _ in 0..<60 { _ = try await h.send(.patch, path, ["name": "x"], as: .viewer, ifMatch: "*") }
            #expect(try await h.get("/admin/api/audit?resource_kind=request&limit=200").json["items"]?.arrayValue?.count ?? 0 <= 40)
            #expect(h.metrics.text.contains(#"weir_control_refusals_total{audited="no"}"#))
        }
    }

    @Test("deleting a project writes a row for each key that goes with it", arguments: TestDatabases.all)
    func keysOfProjects(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            var ids: [String] = []
            for name in ["a", "b"] {
                let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": .string(name)])
                #expect(try await h.post("/admin/api/keys/\(key.id)/revoke", nil).status == 200)
                ids.append(key.id)
            }
            #expect(try await h.send(.delete, "/admin/api/projects/\(c.project)", ifMatch: "*").status == 204)
            for id in ids {
                let items = try await h.get("/admin/api/audit?resource_kind=key&resource_id=\(id)").json["items"]?.arrayValue ?? []
                #expect(items.contains { $0["action"] == "key.delete" && $0["before"]?["name"] != nil })
            }
        }
    }
}

@Suite("Names that look the same")
struct SameNamesTests {
    @Test("are one name", arguments: TestDatabases.all)
    func composed(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let first = try await h.create("/admin/api/tenants", ["name": "Caf\u{E9}"])
            #expect(try await h.post("/admin/api/tenants", ["name": "Cafe\u{301}"]).status == 409)
            #expect(first.json["name"]?.stringValue?.unicodeScalars.count == 4)
            for name in [
                "Caf\u{E9}\u{200B}", "Ca\u{200D}f\u{E9}", "Caf\u{E9}\u{FE0F}", "\u{3164}", "Caf\u{E9}\u{A0}x", "a  b", "a\u{2800}",
                "a\u{34F}b",
            ] {
                #expect(
                    try await h.post("/admin/api/tenants", ["name": .string(name)]).fields == ["name"],
                    "\(name.unicodeScalars.map(\.value))")
            }
            for name in [
                "\u{1F469}\u{200D}\u{1F680}", "\u{2764}\u{FE0F}", "\u{645}\u{6CC}\u{200C}\u{62E}\u{648}\u{627}\u{647}\u{645}", "a b",
            ] {
                #expect(try await h.post("/admin/api/tenants", ["name": .string(name)]).status == 201, "\(name)")
            }
        }
    }

    @Test(
        "a base URL that leads to a link-local address, or that proxies read differently, is refused",
        arguments: [
            "http://169.254.169.254/latest", "http://0xa9fea9fe/", "http://2852039166/", "http://169.254.43518/", "http://[fe80::1]/",
            "http://[::ffff:169.254.1.1]/", "http://metadata.google.internal/", "http://169.254.1.1./", "https://x/v1/../admin",
            "https://x/v1/%2e%2e/admin", "https://x//v1", "https://x/a%2fb", "https://x/./v1",
        ])
    func baseURLs(url: String) async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let answer = try await h.post("/admin/api/providers", ["name": "x", "base_url": .string(url)])
            #expect(answer.fields == ["base_url"])
        }
    }

    @Test("an endpoint on a private address says that it is meant, however the address is written")
    func privateAddresses() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let outside = try await h.create("/admin/api/providers", ["name": "outside", "base_url": "https://api.example.com/v1"]).id
            for url in [
                "http://127.0.0.1:9100/v1", "http://localhost:9100", "http://LOCALHOST./v1", "http://2130706433/", "http://0x7f.1/",
                "http://0177.0.0.1/", "http://[::1]:9100/v1", "http://[::ffff:10.0.0.1]/", "https://10.0.0.1/v1",
                "http://192.168.1.5.:8000/v1", "http://0/", "http://[fd00::1]/", "http://%31%32%37.0.0.1/",
            ] {
                let inside = try await h.create("/admin/api/providers", ["name": .string(url), "base_url": .string(url)]).id
                for body in [
                    ["provider_id": .string(inside), "name": .string(url)],
                    ["provider_id": .string(outside), "name": .string(url), "base_url": .string(url)],
                ] as [JSONValue] {
                    let answer = try await h.post("/admin/api/endpoints", body)
                    #expect(answer.status == 400 && answer.fields == ["private_addresses"], "\(url): \(answer.text)")
                    #expect(answer.text.contains("--private-addresses true"))
                }
                let meant: JSONValue = ["provider_id": .string(inside), "name": .string(url), "private_addresses": true]
                #expect(try await h.post("/admin/api/endpoints", meant).status == 201)
            }
        }
    }

    @Test("a provider that moves inside keeps a draft from being published whose endpoint does not say so", arguments: TestDatabases.all)
    func movedInside(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let made: JSONValue = ["name": "p", "base_url": "https://api.example.com", "auth": ["scheme": "none"]]
            let provider = try await h.create("/admin/api/providers", made).id
            let endpoint = try await h.create("/admin/api/endpoints", ["provider_id": .string(provider), "name": "e"]).id
            let path = "/admin/api/endpoints/\(endpoint)"
            #expect(try await h.get(path).json["private_addresses"] == false)
            let moved: JSONValue = ["base_url": "http://10.0.0.1:8000"]
            #expect(try await h.send(.patch, "/admin/api/providers/\(provider)", moved, ifMatch: "*").status == 200)
            func problems() async throws -> [String?] {
                let found = try await h.post("/admin/api/config/draft/validate", nil).json["problems"]
                return (found?.arrayValue ?? []).map { $0["path"]?.stringValue ?? $0["field"]?.stringValue }
            }
            #expect(try await problems() == ["endpoints[\(endpoint)].private_addresses"])
            #expect(try await h.send(.patch, path, ["private_addresses": true], ifMatch: "*").status == 200)
            #expect(try await problems() == [])
            #expect(try await h.send(.patch, path, ["private_addresses": false], ifMatch: "*").fields == ["private_addresses"])
        }
    }
}
