import API
import Domain
import HTTPTypes
import HummingbirdTesting
import NIOCore
import NIOHTTP1
import NIOPosix
import Nouns
import Outbound
import Primitives
import Storage
import Synchronization
import Testing

@Suite("Publishing and test calls over HTTP", .timeLimit(.minutes(10)))
struct ReleaseRoutesTests {
    @Test("the draft is published and reset as it was seen, or not at all", arguments: TestDatabases.all)
    func preconditions(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let seen = try #require(try await h.get("/admin/api/config/draft").etag)
            #expect(try await h.get("/admin/api/config/draft/changes").etag == seen)
            #expect(try await h.send(.patch, "/admin/api/models/\(c.model)", ["owned_by": "other"], ifMatch: "*").status == 200)
            #expect(try await h.post("/admin/api/config/versions", ["note": "x"]).status == 428)
            #expect(try await h.send(.post, "/admin/api/config/versions", ["note": "x"], ifMatch: seen).status == 412)
            let now = try #require(try await h.get("/admin/api/config/draft").etag)
            let published = try await h.send(.post, "/admin/api/config/versions", ["note": "x"], ifMatch: now)
            #expect(published.status == 201 && published.etag == "\"1\"")
            #expect(published.json["changes"]?.arrayValue?.count == 5)
            #expect(published.json["changes"]?[0]?["edits"]?[0]?["actor"]?["name"] == "owner")
            #expect(try await h.post("/admin/api/config/draft/reset", ["version": 1]).status == 428)
            #expect(try await h.send(.post, "/admin/api/config/draft/reset", ["version": 1], ifMatch: now).status == 412)
            #expect(try await h.send(.post, "/admin/api/config/draft/reset", ["version": 1], ifMatch: "*").status == 200)
            // A version never changes: to publish it again needs no revision.
            #expect(try await h.post("/admin/api/config/versions", ["restore": 1]).status == 201)
        }
    }

    @Test("a rollback names what it undoes, and a rollout's keys are listed", arguments: TestDatabases.all)
    func rollback(_ kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            _ = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            #expect(try await h.send(.post, "/admin/api/config/versions", [:], ifMatch: "*").status == 201)
            #expect(try await h.post("/admin/api/rollouts/preview", ["version": 1]).json["all_keys"] == 1)
            let rollout = try await h.create("/admin/api/rollouts", ["version": 1])
            #expect(rollout.json["reach"]?["warnings"]?[0]?["field"] == "data_plane_ids")
            #expect(try await h.get("/admin/api/rollouts/\(rollout.id)/keys").json["items"] == [])
            #expect(try await h.post("/admin/api/rollouts/rollback", [:]).fields == ["undo"])
            #expect(try await h.post("/admin/api/rollouts/rollback", ["undo": 2]).status == 409)
            for repeated in [false, true] {
                let back = try await h.post("/admin/api/rollouts/rollback", ["undo": 1])
                #expect(back.status == 200 && back.json["repeated"] == .bool(repeated))
            }
        }
    }

    /// Answers each request by its Authorization field, and notes what came.
    private final class Provider: ChannelInboundHandler, Sendable {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        let heads = Mutex<[HTTPRequestHead]>([])

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .head(let head) = unwrapInboundIn(data) else { return }
            heads.withLock { $0.append(head) }
            let isKnown = head.headers["authorization"] == ["Bearer good"]
            let answer = HTTPResponseHead(version: .http1_1, status: isKnown ? .ok : .unauthorized, headers: ["content-length": "0"])
            context.write(wrapOutboundOut(.head(answer)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    @Test("a test call is made to each endpoint with each of its credentials, when it is asked for", arguments: TestDatabases.all)
    func testCalls(_ kind: TestDatabase) async throws {
        let provider = Provider()
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.pipeline.configureHTTPServerPipeline().flatMap { channel.pipeline.addHandler(provider) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = server.localAddress?.port ?? 0
        try await ControlHarness.run(on: kind, providers: ProviderProbe(OutboundClient())) { h in
            func endpoint(_ name: String, _ url: String, _ secrets: String...) async throws -> String {
                let provider = try await h.create("/admin/api/providers", ["name": .string(name), "base_url": .string(url)]).id
                var ids: [JSONValue] = []
                for (index, secret) in secrets.enumerated() {
                    let body: JSONValue = ["provider_id": .string(provider), "name": .string("\(name)\(index)"), "secret": .string(secret)]
                    ids.append(.string(try await h.create("/admin/api/credentials", body).id))
                }
                return try await h.create(
                    "/admin/api/endpoints",
                    [
                        "provider_id": .string(provider), "name": .string(name), "credential_ids": .array(ids), "private_addresses": true,
                    ]
                ).id
            }
            let there = try await endpoint("there", "http://127.0.0.1:\(port)/v1", "good", "bad")
            let closed = try await endpoint("closed", "http://127.0.0.1:1/v1", "good")
            #expect(try await h.send(.post, "/admin/api/config/draft/test-calls", as: .viewer).status == 403)
            let unknown = try await h.post("/admin/api/config/draft/test-calls", ["endpoint_ids": ["ep_aaaaaaaaaaaaaaaa"]])
            #expect(unknown.fields == ["endpoint_ids[0]"])
            let answer = try await h.post("/admin/api/config/draft/test-calls", nil)
            #expect(answer.status == 200 && answer.json["ok"] == false)
            // Endpoints of one moment come by their ids.
            let all = answer.json["items"]?.arrayValue ?? []
            let items = [there, closed].flatMap { id in all.filter { $0["endpoint_id"] == .string(id) } }
            #expect(items.map { $0["endpoint_id"]?.stringValue } == [there, there, closed])
            #expect(items.map { $0["ok"]?.boolValue } == [true, false, false])
            #expect(items.map { $0["status"]?.intValue } == [200, 401, nil])
            #expect(items[1]["message"]?.stringValue?.contains("refuses the credential") == true)
            #expect(!answer.text.contains("good\"") && !answer.text.contains("Bearer"))
            #expect(provider.heads.withLock { $0.map(\.uri) } == ["/v1/models", "/v1/models"])
            let only = try await h.post("/admin/api/config/draft/test-calls", ["endpoint_ids": [.string(closed)]])
            #expect(only.json["items"]?.arrayValue?.count == 1)
            #expect(try await h.get("/admin/api/audit?resource_kind=config_draft").text.contains("config_draft.test_calls"))
        }
        try await server.close()
    }

    @Test("nobody makes more reports at one time than he may, and others make theirs")
    func reports() async throws {
        let kind = try #require(TestDatabases.all.first)
        let valve = Valve()
        try await ControlHarness.run(on: kind, wrapping: { HangingReports(inner: $0, valve: valve) }) { h in
            valve.close()
            try await withThrowingTaskGroup(of: Int.self) { group in
                let (refused, continuation) = AsyncStream.makeStream(of: ControlHarness.Answer.self)
                for _ in 0..<6 {
                    group.addTask {
                        let answer = try await h.get("/admin/api/usage", as: .viewer)
                        if answer.status == 429 { continuation.yield(answer) }
                        return answer.status
                    }
                }
                var answers = refused.makeAsyncIterator()
                for _ in 0..<2 { #expect(await answers.next()?.headers[.retryAfter] == "2") }
                #expect(try await h.get("/admin/api/tenants", as: .viewer).status == 200)
                #expect(try await h.get("/health/ready", as: nil).status == 200)
                group.addTask { try await h.get("/admin/api/usage", as: .billing).status }
                valve.open()
                let statuses = try await group.reduce(into: [Int]()) { $0.append($1) }.sorted()
                #expect(statuses == [200, 200, 200, 200, 200, 429, 429])
            }
        }
    }
}

/// A database whose reports do not end while the valve is closed.
private struct HangingReports: Database {
    let inner: any Database
    let valve: Valve

    var dialect: SQLDialect { inner.dialect }

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await inner.read(as: scope, body)
    }

    func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        await valve.pass()
        return try await inner.report(as: scope, body)
    }

    func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await inner.session(body)
    }

    func transaction<R: Sendable>(
        as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R { try await inner.transaction(as: scope, isolation: isolation, body) }

    func close() async { await inner.close() }
}
