import Contract
import NIOCore
import Primitives
import Simulator
import Testing

@testable import Proxy

/// What h2spec asks of a server, as far as it concerns one that answers requests: RFC 9113 by its sections, each with the frames of a client that
/// breaks it, and what has to come of that.
@Suite("HTTP/2 that is wrong or hostile", .timeLimit(.minutes(5)))
struct HTTP2ConformanceTests {
    /// Codes of RFC 9113 §7.
    enum Code {
        static let protocolError: UInt32 = 1
        static let flowControlError: UInt32 = 3
        static let streamClosed: UInt32 = 5
        static let frameSizeError: UInt32 = 6
        static let refusedStream: UInt32 = 7
        static let cancel: UInt32 = 8
        static let compressionError: UInt32 = 9
        static let enhanceYourCalm: UInt32 = 11
    }

    struct Breach: Sendable, CustomTestStringConvertible {
        let section: String
        let what: String
        /// Any of these may be said.
        let codes: [UInt32]
        let frames: @Sendable (FrameClient) -> [Frame]

        var testDescription: String { "§\(section) \(what)" }

        init(_ section: String, _ what: String, _ codes: [UInt32], _ frames: @escaping @Sendable (FrameClient) -> [Frame]) {
            self.section = section
            self.what = what
            self.codes = codes
            self.frames = frames
        }
    }

    private static func get(_ stream: UInt32, _ client: FrameClient) -> Frame {
        .headers(stream, client.head("GET", "/v1/models"), ends: true)
    }

    /// The connection is ended.
    private static let ofConnection: [Breach] = [
        .init("4.2", "a frame larger than allowed", [Code.frameSizeError]) {
            [.headers(1, $0.head(), ends: false), Frame(kind: .data, stream: 1, payload: [UInt8](repeating: 32, count: 16_385))]
        },
        .init("4.3", "a header block that is no HPACK", [Code.compressionError]) { _ in
            [Frame(kind: .headers, flags: 5, stream: 1, payload: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])]
        },
        .init("5.1", "DATA on a stream that is idle", [Code.protocolError, Code.streamClosed]) { _ in [.data(1, "x")] },
        .init("5.1", "RST_STREAM on a stream that is idle", [Code.protocolError]) { _ in [.reset(1)] },
        .init("5.1", "WINDOW_UPDATE on a stream that is idle", [Code.protocolError]) { _ in [.window(1, by: 10)] },
        .init("5.1.1", "a stream with an even number", [Code.protocolError]) { [get(2, $0)] },
        .init("5.1.1", "a stream below one that was opened", [Code.protocolError, Code.streamClosed]) { [get(5, $0), get(3, $0)] },
        .init("6.1", "DATA on stream 0", [Code.protocolError]) { _ in [.data(0, "x")] },
        .init("6.1", "more padding than payload", [Code.protocolError]) {
            [.headers(1, $0.head(), ends: false), Frame(kind: .data, flags: 9, stream: 1, payload: [5, 1, 2])]
        },
        .init("6.2", "HEADERS on stream 0", [Code.protocolError]) { [get(0, $0)] },
        .init("6.2", "another frame within a header block", [Code.protocolError]) {
            [
                .headers(1, $0.head("GET", "/v1/models"), ends: true, isWhole: false),
                Frame(kind: .ping, payload: [UInt8](repeating: 0, count: 8)),
            ]
        },
        .init("6.4", "RST_STREAM on stream 0", [Code.protocolError]) { _ in [.reset(0)] },
        .init("6.4", "RST_STREAM of another length", [Code.frameSizeError]) {
            [.headers(1, $0.head(), ends: false), Frame(kind: .rstStream, stream: 1, payload: [0, 0, 8])]
        },
        .init("6.5", "SETTINGS on a stream", [Code.protocolError]) { _ in [Frame(kind: .settings, stream: 1)] },
        .init("6.5", "SETTINGS of another length", [Code.frameSizeError]) { _ in [Frame(kind: .settings, payload: [0, 3, 0])] },
        .init("6.5", "an acknowledgement that says something", [Code.frameSizeError]) { _ in
            [Frame(kind: .settings, flags: 1, payload: [0, 3, 0, 0, 0, 1])]
        },
        .init("6.5.2", "a window that is too large", [Code.flowControlError]) { _ in [.settings([(4, 0x8000_0000)])] },
        .init("6.5.2", "frames that are too small", [Code.protocolError]) { _ in [.settings([(5, 100)])] },
        .init("6.5.2", "push that is neither on nor off", [Code.protocolError]) { _ in [.settings([(2, 2)])] },
        .init("6.6", "a promise of a client's", [Code.protocolError]) {
            [.headers(1, $0.head(), ends: false), Frame(kind: .pushPromise, flags: 4, stream: 1, payload: [0, 0, 0, 2])]
        },
        .init("6.7", "PING of another length", [Code.frameSizeError]) { _ in [Frame(kind: .ping, payload: [1, 2, 3])] },
        .init("6.7", "PING on a stream", [Code.protocolError]) { _ in
            [Frame(kind: .ping, stream: 1, payload: [UInt8](repeating: 0, count: 8))]
        },
        .init("6.8", "GOAWAY on a stream", [Code.protocolError]) { _ in
            [Frame(kind: .goAway, stream: 1, payload: [UInt8](repeating: 0, count: 8))]
        },
        .init("6.9", "a window that does not grow", [Code.protocolError]) { _ in [.window(0, by: 0)] },
        .init("6.9", "WINDOW_UPDATE of another length", [Code.frameSizeError]) { _ in [Frame(kind: .windowUpdate, payload: [0, 1])] },
        .init("6.9.1", "a window beyond all bounds", [Code.flowControlError]) { _ in [.window(0, by: 0x7FFF_FFFF)] },
        .init("6.10", "CONTINUATION of nothing", [Code.protocolError]) { _ in [Frame(kind: .continuation, flags: 4, stream: 1)] },
        .init("6.10", "CONTINUATION of another stream", [Code.protocolError]) {
            [.headers(1, $0.head("GET", "/v1/models"), ends: true, isWhole: false), Frame(kind: .continuation, flags: 4, stream: 3)]
        },
    ]

    @Test(arguments: ofConnection)
    func endsAConnectionThatCannotBeTrusted(breach: Breach) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await FrameClient.connect(proxy)
        client.push(breach.frames(client))
        let code = try await client.goodbye()
        #expect(code.map { breach.codes.contains($0) } == true, "\(String(describing: code)): \(client.frames)")
        try await client.waitForEnd()
        #expect(await proxy.server.sums().metrics.http2Violations == 1)
        #expect(try await proxy.chat("sim-ok").status == 200)
        #expect(try await proxy.finish().count == 1)
    }

    /// The stream is reset, and the connection serves on.
    private static let ofStream: [Breach] = [
        .init("5.1", "DATA behind the request's end", [Code.streamClosed]) {
            [.headers(1, $0.head(), ends: false), .data(1, FrameClient.body("sim-stall")), .data(1, "x")]
        },
        .init("6.9", "a stream's window that does not grow", [Code.protocolError]) {
            [.headers(1, $0.head(), ends: false), .window(1, by: 0)]
        },
        .init("6.9.1", "a stream's window beyond all bounds", [Code.flowControlError]) {
            [.headers(1, $0.head(), ends: false), .window(1, by: 0x7FFF_FFFF)]
        },
        .init("8.1", "trailers without an end", [Code.protocolError]) {
            [.headers(1, $0.head(), ends: false), .headers(1, [("x-trailer", "1")], ends: false)]
        },
        .init("8.1.1", "a body shorter than said", [Code.protocolError]) {
            [.headers(1, $0.head("POST", "/v1/chat/completions", [("content-length", "9")]), ends: false), .data(1, "{}")]
        },
        .init("8.2", "a name in upper case", [Code.protocolError]) {
            [.headers(1, $0.head("GET", "/v1/models", [("X-A", "1")]), ends: true)]
        },
        .init("8.2.1", "a value with a line's end", [Code.protocolError]) {
            [.headers(1, $0.head("GET", "/v1/models", [("x-a", "1\r\nx-api-key: 2")]), ends: true)]
        },
        .init("8.2.1", "a path with a line's end", [Code.protocolError]) {
            [.headers(1, $0.head("GET", "/v1/models HTTP/1.1\r\nx: "), ends: true)]
        },
        .init("8.2.2", "a field of one connection", [Code.protocolError]) {
            [.headers(1, $0.head("GET", "/v1/models", [("connection", "close")]), ends: true)]
        },
        .init("8.2.2", "transfer-encoding", [Code.protocolError]) {
            [.headers(1, $0.head("POST", "/v1/chat/completions", [("transfer-encoding", "chunked")]), ends: true)]
        },
        .init("8.2.2", "te that is not trailers", [Code.protocolError]) {
            [.headers(1, $0.head("GET", "/v1/models", [("te", "gzip")]), ends: true)]
        },
        .init("8.3", "an unknown pseudo-field", [Code.protocolError]) {
            [.headers(1, [(":colour", "red")] + $0.head("GET", "/v1/models"), ends: true)]
        },
        .init("8.3", "a pseudo-field of answers", [Code.protocolError]) {
            [.headers(1, [(":status", "200")] + $0.head("GET", "/v1/models"), ends: true)]
        },
        .init("8.3", "a pseudo-field behind others", [Code.protocolError]) {
            [.headers(1, Array($0.head("GET", "/v1/models").reversed()), ends: true)]
        },
        .init("8.3.1", "no path", [Code.protocolError]) {
            [.headers(1, $0.head().filter { $0.0 != ":path" }, ends: true)]
        },
        .init("8.3.1", "an empty path", [Code.protocolError]) { [.headers(1, $0.head("GET", ""), ends: true)] },
        .init("8.3.1", "two methods", [Code.protocolError]) {
            [.headers(1, [(":method", "GET")] + $0.head("GET", "/v1/models"), ends: true)]
        },
    ]

    @Test(arguments: ofStream)
    func resetsARequestThatIsNone(breach: Breach) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok", "sim-stall"])
        let client = try await FrameClient.connect(proxy)
        client.push(breach.frames(client))
        try await client.wait { $0.contains { $0.kind == .rstStream && $0.stream == 1 } }
        let code = client.frames.first { $0.kind == .rstStream }?.number()
        #expect(code.map { breach.codes.contains($0) } == true, "\(String(describing: code)): \(client.frames)")
        client.push(Self.get(3, client))
        #expect(try await client.answer(3).status == 200)
        // Nobody was asked, or whoever was is told by its end.
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        #expect(try await proxy.finish().allSatisfy { $0.errorCode == "client_disconnected" })
    }

    /// Heads that HTTP/2's framing lets pass, and the gateway's own codec does not.
    @Test(arguments: [
        ([("host", "other.test")], 400), ([("content-length", "x")], 400), ([("expect", "miracles")], 417),
        ([("authorization", "Bearer a")], 400),
    ])
    func judgesHeadsAsThoseOfHTTP1(fields: [(String, String)], status: Int) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await FrameClient.connect(proxy)
        client.push(.headers(1, client.head("GET", "/v1/models", fields), ends: true))
        let answer = try await client.answer(1)
        #expect(answer.status == status || answer.reset == Code.protocolError, "\(answer)")
        client.push(Self.get(3, client))
        #expect(try await client.answer(3).status == 200)
        _ = try await proxy.finish()
    }

    @Test func looksAwayFromWhatItDoesNotKnow() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let client = try await FrameClient.connect(proxy, settings: [(0x99, 5)])
        // §5.5: unknown frames and settings; §6.3: priorities; §6.7: a ping is answered with the same bytes.
        client.push(bytes: [0, 0, 3, 0x77, 0xFF, 0, 0, 0, 1, 1, 2, 3])
        client.push(Frame(kind: .priority, stream: 9, payload: [0, 0, 0, 0, 16]))
        client.push(Frame(kind: .ping, payload: [1, 2, 3, 4, 5, 6, 7, 8]))
        client.push(Self.get(1, client))
        #expect(try await client.answer(1).status == 200)
        try await client.wait { $0.contains { $0.kind == .ping } }
        #expect(client.frames.contains { $0.kind == .ping && $0.flags == 1 && $0.payload == [1, 2, 3, 4, 5, 6, 7, 8] })
        _ = try await proxy.finish()
    }

    // MARK: Floods

    private static let floods: [Breach] = [
        .init("10.5", "requests that are reset at once (CVE-2023-44487)", [Code.enhanceYourCalm]) { client in
            (0..<600).flatMap { [Frame.headers(1 + 2 * $0, client.head(), ends: false), .reset(1 + 2 * $0)] }
        },
        .init("10.5", "resets that we are made to send", [Code.enhanceYourCalm]) { client in
            (0..<600).map { Frame.headers(1 + 2 * $0, client.head("GET", "/", [("connection", "x")]), ends: true) }
        },
        .init("10.5", "pings", [Code.enhanceYourCalm]) { _ in
            (0..<2000).map { _ in Frame(kind: .ping, payload: [UInt8](repeating: 7, count: 8)) }
        },
        .init("10.5", "settings", [Code.enhanceYourCalm]) { _ in (0..<2000).map { _ in Frame.settings() } },
        .init("10.5", "priorities", [Code.enhanceYourCalm]) { _ in
            (0..<2000).map { _ in Frame(kind: .priority, stream: 9, payload: [0, 0, 0, 0, 16]) }
        },
        .init("10.5", "empty DATA", [Code.enhanceYourCalm]) { client in
            [.headers(1, client.head(), ends: false)] + (0..<100).map { _ in Frame.data(1, "", ends: false) }
        },
        .init("10.5", "CONTINUATION without end (CVE-2024-27316)", [Code.enhanceYourCalm, Code.protocolError]) { client in
            [.headers(1, client.head(), ends: true, isWhole: false)]
                + (0..<200).map { _ in Frame(kind: .continuation, stream: 1, payload: Frame.literal("x", "1")) }
        },
        .init("10.5.1", "a head beyond all bounds", [Code.enhanceYourCalm, Code.protocolError, Code.compressionError]) { client in
            [.headers(1, client.head(), ends: true, isWhole: false)]
                + (0..<10).map { _ in
                    Frame(kind: .continuation, stream: 1, payload: Frame.literal("x", String(repeating: "a", count: 16_000)))
                }
        },
        .init("10.5", "WINDOW_UPDATE for nothing", [Code.enhanceYourCalm]) { _ in (0..<6000).map { _ in Frame.window(0, by: 1) } },
    ]

    @Test(arguments: floods)
    func endsAFlood(breach: Breach) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok", "sim-stallafter1"])
        let neighbour = try await FrameClient.connect(proxy)
        neighbour.ask(1, "sim-stallafter1", streaming: true)
        try await neighbour.wait { $0.contains { $0.kind == .data } }
        let client = try await FrameClient.connect(proxy)
        client.push(breach.frames(client))
        let code = try await client.goodbye()
        #expect(code.map { breach.codes.contains($0) } == true, "\(String(describing: code))")
        try await client.waitForEnd()
        // Nothing of it is left, and others do not notice.
        while await proxy.server.sums().active > 1 { try await ProxyFixture.pause() }
        let loop = proxy.server.contexts[0]
        #expect(try await loop.eventLoop.submit { loop.bodies.total }.get() == 0)
        neighbour.ask(3, "sim-ok")
        #expect(try await neighbour.answer(3).status == 200)
        #expect(proxy.simulator.requestsTotal == 2)
        await neighbour.close()
        #expect(try await proxy.finish().count == 2)
    }
}
