import Contract
import NIOCore
import Testing
import Wire

@testable import Proxy

@Suite("An exchange behind a front that is not HTTP/1.1", .timeLimit(.minutes(10)))
struct OtherFrontTests {
    typealias Answer = RawProvider.Answer

    @Test func answersInNoProtocol() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in12-out4"])
        let answer = try await PlainFront.ask(proxy, body: #"{"model":"sim-in12-out4","messages":[]}"#)
        #expect(answer.head?.status == 200 && answer.head?.configVersion == Array("1".utf8))
        #expect(answer.head?.length == .known(Int64(answer.body.utf8.count)))
        #expect(answer.body.contains(#""prompt_tokens":12"#) && answer.end == .whole)
        #expect(try await proxy.finish().map(\.inputTokens) == [12])
    }

    @Test func streamsWithoutChunksOfItsOwn() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks3"])
        let answer = try await PlainFront.ask(proxy, body: #"{"model":"sim-chunks3","messages":[],"stream":true}"#)
        #expect(answer.head?.length == .unknown && answer.end == .whole)
        #expect(answer.body.hasPrefix("data: ") && answer.body.hasSuffix("data: [DONE]\n\n"))
        guard case .eventStream? = answer.head?.content else {
            Issue.record("\(String(describing: answer.head))")
            return
        }
        #expect(try await proxy.finish().map(\.outputTokens) == [3])
    }

    @Test func saysThatAnAnswerIsNotWhole() async throws {
        let proxy = try await ProxyFixture(models: ["sim-gigabyte"]) { $0.maxResponseBytes = 300_000 }
        let answer = try await PlainFront.ask(proxy, body: #"{"model":"sim-gigabyte","messages":[]}"#)
        #expect(answer.end == .broken)
        #expect(try await proxy.finish().map(\.errorCode) == ["response_too_large"])
    }

    @Test(arguments: [("sim-in5-out1", 200), ("sim-in6-out1", 401)])
    func admitsNobodyWhoseProofOverTheBodyFails(model: String, status: Int) async throws {
        let proxy = try await ProxyFixture(models: ["sim-in5-out1", "sim-in6-out1"])
        // A proof that covers the body, as a signature over its digest does: this one holds for bodies that name one model.
        let answer = try await PlainFront.ask(
            proxy, body: #"{"model":"\#(model)","messages":[]}"#,
            pending: { caller in
                PendingCaller { body in
                    String(decoding: body, as: UTF8.self).contains("sim-in5") ? .success(caller) : .failure(.invalidKey("The proof fails."))
                }
            })
        #expect(answer.head?.status == status)
        #expect(try await proxy.finish().count == (status == 200 ? 1 : 0))
    }

    @Test func sendsAgainWhatTheProviderCannotHaveRead() async throws {
        let provider = try await RawProvider.start(.good)
        // However long the test takes, the connection is not of the age at which a provider gives it up.
        let proxy = try await ProxyFixture(models: ["m"], endpoints: [provider.url]) { $0.providerKeepAlive = 3_600_000 }
        #expect(try await proxy.chat("m").status == 200)
        // The provider gives up the idle connection while the request is on its way to it.
        let answer = try await PlainFront.ask(proxy, body: #"{"model":"m","messages":[]}"#, before: { provider.dropConnections() })
        #expect(answer.head?.status == 200 && provider.requests.count == 2)
        let record = try #require(try await proxy.finish().first { $0.attempts != 1 })
        #expect(record.attempts == 2 && record.attemptList.map(\.sentUpstream) == [false, true])
        #expect(record.attemptList.map(\.costNano) == [0, record.costNano] && record.flags == 0)
    }

    @Test(arguments: [true, false])
    func sendsAgainOverTLSAsWell(withFarewell: Bool) async throws {
        let authority = try TestAuthority()
        let provider = try await RawProvider.start(tls: try authority.server()) { _ in .good }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: ["https://127.0.0.1:\(provider.port)/v1"]) { _ in
        } adjustConfig: {
            $0.providers[0].caPem = authority.pem
        }
        #expect(try await proxy.chat("m").status == 200)
        let answer = try await PlainFront.ask(
            proxy, body: #"{"model":"m","messages":[]}"#, before: { provider.dropConnections(withFarewell: withFarewell) })
        #expect(answer.head?.status == 200 && provider.requests.count == 2, "\(answer)")
        let record = try #require(try await proxy.finish().first { $0.attempts != 1 })
        #expect(record.attempts == 2 && record.attemptList.map(\.sentUpstream) == [false, true] && record.flags == 0)
    }

    @Test(arguments: [Answer.End.close, .reset])
    func doesNotSendAgainOverTLSWhatTheProviderHasRead(end: Answer.End) async throws {
        let authority = try TestAuthority()
        let provider = try await RawProvider.start(tls: try authority.server()) { $0 == 0 ? .good : .raw("", end: end) }
        let proxy = try await ProxyFixture(models: ["m"], endpoints: ["https://127.0.0.1:\(provider.port)/v1"]) { _ in
        } adjustConfig: {
            $0.providers[0].caPem = authority.pem
        }
        #expect(try await proxy.chat("m").status == 200)
        let answer = try await proxy.chat("m")
        #expect(answer.status == 502 && answer.errorCode == "provider_closed" && provider.requests.count == 2)
        let record = try #require(try await proxy.finish().first { $0.status == .failed })
        #expect(record.attempts == 1 && record.costNano > 0)
    }

    @Test func getsRejectionsInTheSameWay() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let answer = try await PlainFront.ask(proxy, body: #"{"model":"sim-no"}"#)
        #expect(answer.head?.status == 404 && answer.body.contains("model_not_found") && answer.end == .whole)
        #expect(try await proxy.finish().isEmpty)
    }
}

/// A front without framing: keeps what the exchange says. Confined to its loop.
private final class PlainFront: ReplySink, @unchecked Sendable {
    struct Answer: Sendable {
        enum End { case whole, broken }
        var head: ReplyHead?
        var body = ""
        var end: End?
    }

    private var answer = Answer()
    private var unsent: [UInt8] = []
    private let done: EventLoopPromise<Answer>

    private init(_ done: EventLoopPromise<Answer>) { self.done = done }

    /// Puts one chat request to an exchange of its own on the data plane's loop.
    /// - Parameters:
    ///   - before: runs in the turn of the loop in which the request is sent on, before it: what the network brings meanwhile is not seen.
    ///   - pending: what to make of the caller that the head proves.
    static func ask(
        _ proxy: ProxyFixture, body: String, before: @escaping @Sendable () -> Void = {},
        pending: (@Sendable (Caller) -> PendingCaller)? = nil
    ) async throws -> Answer {
        let loop = proxy.server.contexts[0]
        let done = loop.eventLoop.makePromise(of: Answer.self)
        let key = proxy.key
        loop.eventLoop.execute {
            before()
            let front = PlainFront(done)
            let exchange = Exchange(sink: front, loop: loop)
            // Exchanges do not keep their fronts.
            done.futureResult.whenComplete { _ in withExtendedLifetime((front, exchange)) {} }
            let head = PlainHead(path: "/v1/chat/completions", key: key, length: body.utf8.count)
            loop.readClock()
            switch head.bytes.withUnsafeBytes({ exchange.receive(head, $0) }) {
            case .receiveBody:
                if let pending { exchange.prove(afterBody: pending) }
                do throws(Rejection) { try exchange.run(body: ByteBuffer(string: body)) } catch { exchange.reject(error) }
            case .answer(let answer): exchange.answer(answer)
            case .reject(let rejection): exchange.reject(rejection)
            }
        }
        return try await done.futureResult.get()
    }

    func begin(_ head: ReplyHead) { answer.head = head }
    func write(_ bytes: UnsafeRawBufferPointer) { unsent += bytes }
    func write(_ piece: ByteBuffer) { unsent += piece.readableBytesView }

    func requestIsDone() {}

    func discard() {
        answer.head = nil
        unsent = []
    }

    func flush() -> Bool {
        answer.body += String(decoding: unsent, as: UTF8.self)
        unsent = []
        return true
    }

    let peer: String? = nil
    let isTaken = true
    func whenTaken(_ done: @escaping () -> Void) { done() }

    func end() { finish(.whole) }
    func abort() { finish(.broken) }

    private func finish(_ end: Answer.End) {
        _ = flush()
        answer.end = end
        done.succeed(answer)
    }
}

private struct PlainHead: RequestHead {
    let bytes: [UInt8]
    let method = HTTPMethod.post
    let methodRange = 0..<0
    let path: Range<Int>
    let query = 0..<0
    let hasQuery = false
    let hasBody: Bool
    let contentLength: Int64?
    private let key: HTTPField

    init(path: String, key: String, length: Int) {
        bytes = Array((path + "Bearer " + key).utf8)
        self.path = 0..<path.utf8.count
        hasBody = length > 0
        contentLength = Int64(length)
        self.key = HTTPField(
            nameStart: 0, nameEnd: 0, valueStart: Int32(path.utf8.count), valueEnd: Int32(bytes.count), known: .authorization,
            isHopByHop: false)
    }

    func has(_ known: KnownField) -> Bool { known == .authorization }
    func first(_ known: KnownField) -> HTTPField? { has(known) ? key : nil }
    func forEach(_ known: KnownField, _ body: (HTTPField) -> Void) { if has(known) { body(key) } }
    func forEachField(_ body: (HTTPField) -> Void) { body(key) }
}

extension Exchange {
    fileprivate func prove(afterBody pending: (Caller) -> PendingCaller) {
        guard case .receiving(let asked?) = stage, case .complete(let caller) = asked.authentication else { return }
        stage = .receiving(
            Asked(
                .afterBody(pending(caller)), asked.snapshot, asked.capability, forwardedLines: asked.forwardedLines,
                traceID: asked.traceID))
    }
}
