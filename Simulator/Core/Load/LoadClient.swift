import NIOCore
import NIOPosix
import Primitives

/// A load generator that can begin requests at a fixed rate, open loop, which wrk cannot.
package enum LoadClient {
    /// Runs to the end. Throws what the first connections threw when the address takes none.
    package static func run(_ settings: LoadSettings) async throws -> LoadReport {
        let loops = max(1, min(settings.loops, settings.connections))
        let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        do {
            var futures: [EventLoopFuture<LoadReport>] = []
            for (index, loop) in group.makeIterator().enumerated() {
                futures.append(
                    loop.flatSubmit {
                        // What a busy neighbour keeps the measuring instrument waiting is not the latency of what is measured.
                        TimeSlice.short.request()
                        return LoadWorker(settings, index: index, of: loops, on: loop).run()
                    })
            }
            var report = LoadReport()
            for future in futures { report.merge(try await future.get()) }
            try await group.shutdownGracefully()
            return report
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }
}

/// The share of a run that one event loop does. Used on its loop only.
final class LoadWorker {
    private let settings: LoadSettings
    private let loop: any EventLoop
    private let request: ByteBuffer
    /// This loop's share of requests that are sent once each.
    private var requests: ArraySlice<[UInt8]>
    private let connectionsWanted: Int
    /// Nanoseconds between two requests of this loop; 0: closed loop.
    private let interval: Double
    private let offset: Double
    private let done: EventLoopPromise<LoadReport>

    private var report = LoadReport()
    private var idle: [LoadConnection] = []
    /// Due, and no connection free: when each was due. Taken from `nextOverdue` on.
    private var overdue: [NIODeadline] = []
    private var nextOverdue = 0
    private var sent = 0
    private var busy = 0
    private var start = NIODeadline.uptimeNanoseconds(0)
    private var measureFrom = NIODeadline.uptimeNanoseconds(0)
    private var end = NIODeadline.uptimeNanoseconds(0)
    private var isOver = false

    init(_ settings: LoadSettings, index: Int, of loops: Int, on loop: any EventLoop) {
        self.settings = settings
        self.loop = loop
        request = ByteBuffer(bytes: settings.request)
        let count = settings.requests.count
        requests = settings.requests[(count * index / loops)..<(count * (index + 1) / loops)]
        connectionsWanted = settings.connections / loops + (index < settings.connections % loops ? 1 : 0)
        interval = settings.rate > 0 ? 1e9 * Double(loops) / settings.rate : 0
        offset = interval / Double(loops) * Double(index)
        done = loop.makePromise(of: LoadReport.self)
    }

    func run() -> EventLoopFuture<LoadReport> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let opened = (0..<connectionsWanted).map { _ in connect() }
        EventLoopFuture.andAllSucceed(opened, on: loop).whenComplete { result in
            switch result {
            case .success: bound.value.begin()
            case .failure(let error): bound.value.done.fail(error)
            }
        }
        return done.futureResult
    }

    private func connect() -> EventLoopFuture<Void> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        return ClientBootstrap(group: loop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LoadConnection(bound.value))
                }
            }
            .connect(host: settings.host, port: settings.port).map { _ in }
    }

    private func begin() {
        start = .now() + .nanoseconds(Int64(offset))
        measureFrom = start + .nanoseconds(Int64(settings.warmupSeconds * 1e9))
        end = measureFrom + .nanoseconds(Int64(settings.seconds * 1e9))
        report.measuredSeconds = settings.seconds
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(deadline: end) { bound.value.stop() }
        if interval > 0 {
            scheduleNext()
        } else {
            let ready = idle
            idle = []
            for connection in ready { send(connection, due: .now()) }
        }
    }

    // MARK: Open loop

    private func due(_ number: Int) -> NIODeadline { start + .nanoseconds(Int64(Double(number) * interval)) }

    private func scheduleNext() {
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(deadline: due(sent)) { bound.value.tick() }
    }

    private func tick() {
        guard !isOver else { return }
        let now = NIODeadline.now()
        while true {
            let moment = due(sent)
            guard moment <= now, moment < end else { break }
            sent += 1
            if let connection = idle.popLast() { send(connection, due: moment) } else { overdue.append(moment) }
        }
        if due(sent) < end { scheduleNext() }
    }

    // MARK: Connections

    private func send(_ connection: LoadConnection, due: NIODeadline) {
        var request = request
        if !settings.requests.isEmpty {
            guard let next = requests.popFirst() else { return usedUp(connection) }
            request = ByteBuffer(bytes: next)
        }
        busy += 1
        connection.send(request, due: due, timeout: .nanoseconds(Int64(settings.timeoutSeconds * 1e9)))
    }

    /// A connection is open and has nothing to do.
    func isFree(_ connection: LoadConnection) {
        if isConcluded { return connection.close() }
        if nextOverdue < overdue.count {
            let moment = overdue[nextOverdue]
            nextOverdue += 1
            if nextOverdue > 4096 {
                overdue.removeFirst(nextOverdue)
                nextOverdue = 0
            }
            send(connection, due: moment)
        } else if isOver {
            connection.close()
        } else if interval == 0, start != .uptimeNanoseconds(0), NIODeadline.now() < end {
            send(connection, due: .now())
        } else {
            idle.append(connection)
        }
        finishIfDrained()
    }

    func answered(due: NIODeadline, sent: NIODeadline, firstByte: NIODeadline, _ reader: ResponseReader) {
        busy -= 1
        let now = NIODeadline.now()
        guard isMeasured(due, now) else { return }
        report.latency.record(nanoseconds: (now - due).nanoseconds)
        report.service.record(nanoseconds: (now - sent).nanoseconds)
        report.firstByte.record(nanoseconds: (firstByte - due).nanoseconds)
        report.statuses[reader.status, default: 0] += 1
        report.bytes += reader.bodyBytes
        report.events += reader.events
        if reader.endsInDone { report.streamsDone += 1 }
    }

    func failed(due: NIODeadline?, timedOut: Bool) {
        if let due {
            busy -= 1
            if isMeasured(due, .now()) {
                if timedOut { report.timeouts += 1 } else { report.failures += 1 }
            }
        }
    }

    /// Open loop: by when it was due. Closed loop: by when it was answered, which is what a rate is counted by.
    private func isMeasured(_ due: NIODeadline, _ now: NIODeadline) -> Bool {
        interval > 0 ? due >= measureFrom && due < end : now >= measureFrom && now < end
    }

    func closed(_ connection: LoadConnection) {
        idle.removeAll { $0 === connection }
        // What was due is still to be sent when the time is over.
        guard !isConcluded, !isOver || nextOverdue < overdue.count else { return finishIfDrained() }
        let bound = NIOLoopBound(self, eventLoop: loop)
        connect().whenFailure { _ in
            bound.value.report.failures += 1
            bound.value.loop.scheduleTask(in: .milliseconds(50)) {
                if !bound.value.isConcluded { _ = bound.value.connect() }
            }
        }
    }

    // MARK: The end

    /// There is no further request of those that are sent once: over, when the last of them is answered.
    private func usedUp(_ connection: LoadConnection) {
        idle.append(connection)
        guard !isOver, busy == 0 else { return }
        report.measuredSeconds = max(0.001, Double((NIODeadline.now() - measureFrom).nanoseconds) / 1e9)
        stop()
    }

    private func stop() {
        isOver = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        // What is under way may finish; a request that takes longer counts with what it took so far.
        let grace = interval > 0 ? settings.graceSeconds : 0
        loop.scheduleTask(in: .nanoseconds(Int64(grace * 1e9))) { bound.value.conclude() }
        finishIfDrained()
    }

    private func finishIfDrained() {
        if isOver, busy == 0, nextOverdue >= overdue.count { conclude() }
    }

    private var isConcluded = false

    private func conclude() {
        guard !isConcluded else { return }
        isConcluded = true
        let now = NIODeadline.now()
        if interval > 0 {
            for moment in overdue[nextOverdue...] where moment >= measureFrom {
                report.unfinished += 1
                report.latency.record(nanoseconds: (now - moment).nanoseconds)
            }
            report.unfinished += busy
        }
        for connection in idle { connection.close() }
        idle = []
        done.succeed(report)
    }
}

/// One connection of the load client.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let worker: LoadWorker
    private var context: ChannelHandlerContext?
    private var reader = ResponseReader()
    private var held = ByteBuffer()
    private var due: NIODeadline?
    private var sentAt = NIODeadline.uptimeNanoseconds(0)
    private var firstByte: NIODeadline?
    private var deadline: Scheduled<Void>?

    init(_ worker: LoadWorker) { self.worker = worker }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        worker.isFree(self)
    }

    func send(_ request: ByteBuffer, due: NIODeadline, timeout: TimeAmount) {
        guard let context else { return }
        self.due = due
        sentAt = .now()
        firstByte = nil
        reader.reset()
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        if deadline == nil { watch(timeout, bound) }
    }

    /// One timer a connection, renewed when it fires: a timer a request would cost more than the request.
    private func watch(_ timeout: TimeAmount, _ bound: NIOLoopBound<LoadConnection>) {
        deadline = context?.eventLoop.scheduleTask(in: timeout) {
            let connection = bound.value
            connection.deadline = nil
            if let due = connection.due, connection.sentAt + timeout <= .now() {
                connection.due = nil
                connection.worker.failed(due: due, timedOut: true)
                connection.close()
            } else {
                connection.watch(timeout, bound)
            }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard let due else { return close() }
        if firstByte == nil { firstByte = .now() }
        if held.readableBytes > 0 {
            held.writeBuffer(&bytes)
            bytes = held
            held = ByteBuffer()
        }
        switch reader.read(&bytes) {
        case .needMore: if bytes.readableBytes > 0 { held = bytes }
        case .invalid:
            self.due = nil
            worker.failed(due: due, timedOut: false)
            close()
        case .complete(let keepAlive): complete(due, keepAlive: keepAlive)
        }
    }

    private func complete(_ due: NIODeadline, keepAlive: Bool) {
        self.due = nil
        worker.answered(due: due, sent: sentAt, firstByte: firstByte ?? .now(), reader)
        if keepAlive { worker.isFree(self) } else { close() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        self.context = nil
        if let due {
            self.due = nil
            if reader.mayEndWithConnection {
                worker.answered(due: due, sent: sentAt, firstByte: firstByte ?? .now(), reader)
            } else {
                worker.failed(due: due, timedOut: false)
            }
        }
        worker.closed(self)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func close() { context?.close(promise: nil) }
}
