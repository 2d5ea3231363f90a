import Listening
package import Logging
import NIOCore
import Primitives
import Wire

/// The operator's listener: `/health/live`, `/health/ready`, `/metrics`. On a thread of its own, so that a scrape takes nothing from the
/// requests.
package final class OperatorServer: Sendable {
    /// Probes and scrapers; each makes one request and is gone within `OperatorConnection.patience`.
    private static let maximumConnections = 128

    package let port: Int
    private let group: any EventLoopGroup
    private let listener: Listener

    private init(group: any EventLoopGroup, listener: Listener) {
        self.group = group
        self.listener = listener
        port = listener.port
    }

    package static func start(host: String, port: Int, status: OperatorStatus, logger: Logger) async throws -> OperatorServer {
        let group = Listener.loops(1)
        let gate = ConnectionGate(
            listener: "operator", limits: .init(maximum: maximumConnections, reserve: 16), metric: OperatorStatus.refusedConnections,
            metrics: status.listenerMetrics, logger: logger)
        do {
            let listener = try await Listener.open(.init(host: host, port: port), on: group, gate: gate) { eventLoop, allocator, place in
                OperatorConnection(status: status, eventLoop: eventLoop, allocator: allocator, place: place)
            }
            return OperatorServer(group: group, listener: listener)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    package func stop() async {
        await listener.close()
        try? await group.shutdownGracefully()
    }
}

/// One request a connection, GET only, no body: what probes and scrapers send.
private final class OperatorConnection: ByteStreamUser {
    private static let patience = TimeAmount.seconds(15)

    private let status: OperatorStatus
    private let eventLoop: any EventLoop
    private let allocator: ByteBufferAllocator
    private let place: ConnectionGate.Place
    private var stream: (any ByteStream)?
    private var parser = RequestHeadParser(limits: HTTPLimits(maxHeadBytes: 8192))
    private var inbound = ByteBuffer()
    private var isAnswering = false
    private var timeout: Scheduled<Void>?

    init(status: OperatorStatus, eventLoop: any EventLoop, allocator: ByteBufferAllocator, place: ConnectionGate.Place) {
        self.status = status
        self.eventLoop = eventLoop
        self.allocator = allocator
        self.place = place
    }

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        timeout = eventLoop.assumeIsolated().scheduleTask(in: Self.patience) {
            if !self.isAnswering { self.place.tookTooLong() }
            self.stream?.close()
        }
    }

    func ended(_ failure: StreamFailure?) {
        stream = nil
        timeout?.cancel()
    }

    func writabilityChanged(isWritable: Bool) {}

    func received(_ bytes: ByteBuffer) {
        guard !isAnswering else { return }
        var buffer = bytes
        inbound.writeBuffer(&buffer)
        var path = ""
        let step = inbound.withUnsafeReadableBytes { bytes -> ParseStep in
            let step = parser.parse(bytes)
            if case .complete = step { path = String(decoding: bytes[parser.path], as: UTF8.self) }
            return step
        }
        switch step {
        case .needMore: return
        case .invalid(let violation): answer(.init(status: 400, contentType: "text/plain", body: violation.reason + "\n"))
        case .complete: answer(path)
        }
    }

    private func answer(_ path: String) {
        guard parser.method == .get || parser.method == .head else {
            return answer(.init(status: 405, contentType: "text/plain", body: "only GET\n"))
        }
        guard place.passage == .open || path.hasPrefix("/health/") else {
            return answer(.init(status: 503, contentType: "text/plain", body: "too many connections: only health is answered\n"))
        }
        place.spoke()
        isAnswering = true
        let status = status
        let promise = eventLoop.makePromise(of: OperatorStatus.Page.self)
        promise.completeWithTask { await status.page(path) }
        promise.futureResult.assumeIsolated().whenSuccess { page in self.answer(page) }
    }

    private func answer(_ page: OperatorStatus.Page) {
        isAnswering = true
        guard let stream else { return }
        var out = allocator.buffer(capacity: page.body.utf8.count + 160)
        out.writeHead { $0.put(statusLine: page.status) }
        out.writeString(
            "content-type: \(page.contentType)\r\ncontent-length: \(page.body.utf8.count)\r\nconnection: close\r\n\r\n")
        if parser.method != .head { out.writeString(page.body) }
        stream.writeAndFlush(out)
        stream.whenTaken { _ in stream.close() }
    }
}
