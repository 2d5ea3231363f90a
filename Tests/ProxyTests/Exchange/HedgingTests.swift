import Contract
import NIOCore
import Primitives
import Testing

@testable import Proxy

/// Two providers that say what the test tells them when it does, and a route that asks the second one while the first is silent.
@Suite("Requests at two endpoints at one time", .timeLimit(.minutes(10)))
struct HedgingTests {
    typealias Answer = RawProvider.Answer

    private static let fault = Answer.json(500, #"{"error":{"message":"internal","type":"server_error"}}"#)
    private static let wrong = Answer.json(400, #"{"error":{"message":"bad","type":"invalid_request_error"}}"#)
    private static let comments = Answer.raw(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: keep-alive\n\n: keep-alive\n\n", end: .silence)

    private struct Scene {
        let providers: [RawProvider]
        let proxy: ProxyFixture

        /// - Parameters:
        ///   - more: providers behind the two.
        ///   - after: milliseconds.
        init(
            more: [RawProvider] = [], after: UInt32 = 1, rights: [String] = [], settings: @escaping (inout ProxySettings) -> Void = { _ in }
        ) async throws {
            providers = [try await RawProvider.start(.silence), try await RawProvider.start(.silence)] + more
            proxy = try await ProxyFixture(
                models: ["m"], endpoints: providers.map(\.url), change: settings, adjustKey: { $0.rights = rights }
            ) { config in
                config.routes[0].hedgeAfterMs = after
                // Each is asked after those before it.
                for index in config.routes[0].targets.indices {
                    config.routes[0].targets[index].priority = UInt32(index)
                    config.routes[0].targets[index].weight = 1
                }
            }
        }

        var first: RawProvider { providers[0] }
        var second: RawProvider { providers[1] }

        /// Until these have the request.
        func reached(_ indices: [Int] = [0, 1]) async throws {
            while indices.contains(where: { providers[$0].requests.isEmpty }) { try await ProxyFixture.pause() }
        }

        /// Until so many attempts have ended.
        func ended(_ count: UInt64) async throws {
            let context = proxy.server.contexts[0]
            while try await context.eventLoop.submit({ context.attempts.all.values.reduce(0) { $0 + $1.attempts } }).get() < count {
                try await ProxyFixture.pause()
            }
        }

        func closed(_ provider: RawProvider) async throws { while provider.openCount > 0 { try await ProxyFixture.pause() } }
    }

    @Test("the second answers, and the first is cut off, blamed for nothing, and in the record", arguments: [false, true])
    func won(stream: Bool) async throws {
        let scene = try await Scene(rights: ["routing:see"]) { $0.breakerMinimum = 1 }
        async let asked = scene.proxy.chat("m", stream: stream)
        try await scene.reached()
        scene.second.say(stream ? .goodStream : .good)
        let answer = try await asked
        #expect(answer.status == 200 && answer.body.contains("hi"), "\(answer.text)")
        #expect(answer.header("x-weir-endpoint") == "ep_1" && answer.header("x-weir-attempt") == "2")
        #expect(answer.header("x-weir-hedge") == "won")
        try await scene.closed(scene.first)
        #expect(scene.proxy.server.health.openBreakers().isEmpty)
        let page = await scene.proxy.page("/metrics").body
        #expect(page.contains("weir_proxy_hedges_total 1\n") && page.contains("weir_proxy_hedges_won_total 1\n"))
        #expect(page.contains("weir_proxy_retries_total 0\n") && page.contains(#"status="overtaken"} 1"#))
        let record = try #require(try await scene.proxy.finish().first)
        #expect(record.status == .completed && record.endpointID == "ep_1" && record.attempts == 2)
        #expect(record.attemptList.map(\.endpointID) == ["ep_0", "ep_1"] && record.attemptList.map(\.hedge) == [false, true])
        #expect(record.attemptList.map(\.errorCode) == ["overtaken", ""] && record.attemptList.map(\.sentUpstream) == [true, true])
        // It was sent, and its end was not seen: its input may well be charged.
        #expect(record.attemptList[0].inputTokens == record.estimatedInputTokens && record.attemptList[0].costNano > 0)
        #expect(record.attemptList[1].inputTokens == 5 && record.attemptList[1].outputTokens == 2)
        #expect(record.costNano == record.attemptList.reduce(0) { $0 + $1.costNano })
    }

    @Test("the first answers after all, and the second is cut off")
    func lost() async throws {
        let scene = try await Scene(rights: ["routing:see"])
        async let asked = scene.proxy.chat("m")
        try await scene.reached()
        scene.first.say(.good)
        let answer = try await asked
        #expect(answer.status == 200 && answer.header("x-weir-endpoint") == "ep_0" && answer.header("x-weir-attempt") == "1")
        #expect(answer.header("x-weir-hedge") == "lost")
        try await scene.closed(scene.second)
        let sums = await scene.proxy.server.sums().metrics
        #expect(sums.hedges == 1 && sums.hedgesWon == 0)
        let record = try #require(try await scene.proxy.finish().first)
        #expect(record.status == .completed && record.endpointID == "ep_0")
        #expect(record.attemptList.map(\.endpointID) == ["ep_1", "ep_0"] && record.attemptList.map(\.errorCode) == ["overtaken", ""])
        #expect(record.attemptList.map(\.hedge) == [true, false] && record.attemptList[1].startedUs == 0)
    }

    @Test("what keeps a stream alive is no answer: it is taken back, and the first event decides")
    func comments() async throws {
        let scene = try await Scene()
        async let asked = scene.proxy.chat("m", stream: true)
        try await scene.reached([0])
        scene.first.say(Self.comments)
        try await scene.reached()
        scene.second.say(.goodStream)
        let answer = try await asked
        #expect(
            answer.status == 200 && answer.isComplete && answer.body.contains("hi") && !answer.body.contains("keep-alive"), "\(answer.text)"
        )
        try await scene.closed(scene.first)
        let record = try #require(try await scene.proxy.finish().first)
        #expect(record.attemptList.map(\.errorCode) == ["overtaken", ""] && record.status == .completed)
    }

    @Test("where the first fails meanwhile the second is what follows it; where both do, the next is asked", arguments: [false, true])
    func failed(both: Bool) async throws {
        let scene = try await Scene(more: [try await RawProvider.start(.good)])
        async let asked = scene.proxy.chat("m")
        try await scene.reached()
        scene.first.say(Self.fault)
        try await scene.ended(1)
        scene.second.say(both ? Self.fault : .good)
        #expect(try await asked.status == 200)
        #expect(scene.providers.map(\.requests.count) == [1, 1, both ? 1 : 0])
        let sums = await scene.proxy.server.sums().metrics
        #expect(sums.hedges == 1 && sums.hedgesWon == (both ? 0 : 1) && sums.retries == (both ? 1 : 0))
        let record = try #require(try await scene.proxy.finish().first)
        #expect(record.attemptList.map(\.endpointID) == ["ep_0", "ep_1"] + (both ? ["ep_2"] : []))
        #expect(record.attemptList.map(\.hedge) == [false, true] + (both ? [false] : []))
    }

    @Test("where one says that the request is wrong the other is not waited for", arguments: [0, 1])
    func refused(by index: Int) async throws {
        let scene = try await Scene(more: [try await RawProvider.start(.good)])
        async let asked = scene.proxy.chat("m")
        try await scene.reached()
        scene.providers[index].say(Self.wrong)
        #expect(try await asked.status == 400)
        try await scene.closed(scene.providers[1 - index])
        #expect(scene.providers[2].requests.isEmpty)
        let record = try #require(try await scene.proxy.finish().first)
        #expect(record.endpointID == "ep_\(index)" && record.status == .failed && record.httpStatus == 400)
        #expect(record.attemptList.first?.errorCode == "overtaken" && record.attempts == 2)
    }

    @Test("both are given up with their client", arguments: [false, true])
    func left(stream: Bool) async throws {
        let scene = try await Scene()
        let client = try await RawClient.connect(port: scene.proxy.server.port)
        try await client.send(scene.proxy.streamRequest("m"))
        try await scene.reached()
        // With a part of an answer it is waited for what is still on its way; without one it is not.
        if stream { scene.second.say(Self.comments) }
        await client.close()
        try await scene.closed(scene.first)
        try await scene.closed(scene.second)
        try await scene.ended(2)
        let record = try #require(try await scene.proxy.finish().first)
        #expect(record.status == .failed && record.errorCode == "client_disconnected" && record.attempts == 2)
        #expect(record.attemptList.allSatisfy { $0.errorCode == "client_disconnected" })
    }

    @Test("a second one is not sent where too many are sent twice")
    func denied() async throws {
        let scene = try await Scene {
            $0.retryPercent = 0
            $0.retryFloor = 0
        }
        async let asked = scene.proxy.chat("m")
        while await scene.proxy.server.sums().metrics.hedgesDenied == 0 { try await ProxyFixture.pause() }
        try await scene.reached([0])
        scene.first.say(.good)
        #expect(try await asked.status == 200)
        #expect(scene.second.requests.isEmpty)
        #expect(try await scene.proxy.finish().map(\.attempts) == [1])
    }

    /// What the two and the client do, one after the other, in any order; what comes of it is said by a few lines.
    @Test("every order of endings leaves one record, one answer, and no connection behind", arguments: 0..<24)
    func orders(seed: Int) async throws {
        enum Move: CaseIterable { case good, fault, wrong, hangUp, comments }
        var random = SplitMix(UInt64(seed))
        let scene = try await Scene()
        let isStream = seed % 2 == 1
        let client = try await RawClient.connect(port: scene.proxy.server.port)
        let body = #"{"model":"m","messages":[{"role":"user","content":"hello"}]\#(isStream ? #","stream":true"# : "")}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nconnection: close\r\nauthorization: Bearer \(scene.proxy.key)\r\n"
                + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
        try await scene.reached()
        var alive: Set = [0, 1]
        var expected: (status: Int, endpoint: String)?
        while expected == nil {
            let index = alive.count == 2 ? Int(random.next() % 2) : alive.first ?? 0
            let move = Move.allCases[Int(random.next() % 5)]
            switch move {
            case .good:
                scene.providers[index].say(isStream ? .goodStream : .good)
                expected = (200, "ep_\(index)")
            case .wrong:
                scene.providers[index].say(Self.wrong)
                expected = (400, "ep_\(index)")
            case .fault, .hangUp:
                scene.providers[index].say(move == .fault ? Self.fault : .raw("", end: .close))
                alive.remove(index)
                if alive.isEmpty { expected = (502, "ep_\(index)") } else { try await scene.ended(1) }
            case .comments:
                // Only what has not begun an answer can still be told to answer with an error.
                if isStream, alive.count == 2 {
                    scene.providers[index].say(Self.comments)
                    scene.providers[1 - index].say(.goodStream)
                    expected = (200, "ep_\(1 - index)")
                }
            }
        }
        let answer = RawResponse(try await client.readToEnd())
        #expect(answer.status == expected?.status || (expected?.status == 502 && answer.status >= 500), "\(answer.text)")
        try await scene.ended(2)
        // What has said an error may serve again.
        if alive.count == 2 { try await scene.closed(scene.providers[expected?.endpoint == "ep_0" ? 1 : 0]) }
        let records = try await scene.proxy.finish()
        let record = try #require(records.first)
        #expect(records.count == 1 && record.attempts == 2 && record.attemptList.count == 2 && record.endpointID == expected?.endpoint)
        #expect((record.status == .completed) == (expected?.status == 200))
        #expect(record.costNano == record.attemptList.reduce(0) { $0 + $1.costNano })
        #expect(record.inputTokens == record.attemptList.reduce(0) { $0 + $1.inputTokens })
        #expect(record.attemptList.count(where: \.hedge) == 1)
    }

    private struct SplitMix {
        var state: UInt64
        init(_ seed: UInt64) { state = seed }
        mutating func next() -> UInt64 {
            state = RoutePlan.mixed(state)
            return state
        }
    }

    @Test("one that was overtaken raises what is known of its endpoint's latency, and never lowers it")
    func latency() {
        let meter = TargetMeter()
        meter.learn(atLeast: 5000, isHedge: true, now: 0)
        #expect(meter.expectedLatency(now: 0) == nil)
        meter.learn(atLeast: 5000, isHedge: false, now: 0)
        #expect(meter.expectedLatency(now: 0) == 5000)
        meter.learn(atLeast: 1000, isHedge: false, now: 1)
        #expect(meter.expectedLatency(now: 1) == 5000)
        meter.learn(atLeast: 9000, isHedge: true, now: 2)
        #expect((meter.expectedLatency(now: 2) ?? 0) > 5000)
    }
}
