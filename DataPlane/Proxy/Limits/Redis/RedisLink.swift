import NIOCore
import Primitives

/// A command whose reply somebody waits for.
protocol RedisCall: AnyObject {
    /// Replies come in the order of the calls; also after `overdue`.
    func replied(_ reply: RedisReply)
    /// The deadline has passed. The reply may still come.
    func overdue()
    /// The connection ended: no reply comes.
    func lost()
}

/// One loop's connection to Redis, and whether it is to be used: nobody waits for it longer than the deadline, and once one has waited in
/// vain nobody does until Redis is seen to answer in time again. What a turn of the loop has to say leaves in one write.
///
/// Confined to its loop.
final class RedisLink: ByteStreamUser {
    private struct Pending {
        let call: any RedisCall
        /// Monotonic microseconds.
        let sentAt: Int64
    }

    /// Calls under way at one time; each takes some hundred bytes here and in the sockets.
    static let maximumPending = 16_384
    /// How long to leave Redis alone after it was late or said no, and how long without any answer makes a connection a dead one.
    private static let rest: Int64 = 1_000_000
    private static let silence: Int64 = 2_000_000

    private unowned let loop: LoopContext
    private let settings: RedisSettings
    /// The connection is used from now on.
    var whenUsable: () -> Void = {}
    private(set) var isUsable = false

    private var stream: (any ByteStream)?
    private var isOpening = false
    private var isStopped = false
    private var reader = RedisReader()
    private var pending = CircularBuffer<Pending>()
    /// So many of the oldest were told that they are overdue.
    private var overdue = 0
    private var isFlushScheduled = false
    private var timer: Scheduled<Void>?
    /// Connected, and every word of the greeting was taken.
    private var isGreeted = false
    private var isProbing = false
    /// Not before: monotonic microseconds.
    private var nextTry: Int64 = 0
    private var backoff = Backoff()
    /// Why the connection is given up, where that is known before it ends.
    private var said: String?

    init(_ settings: RedisSettings, _ loop: LoopContext) {
        self.settings = settings
        self.loop = loop
    }

    // MARK: Calls

    /// - Returns: false where it is not sent: there is no connection, or too much is under way.
    func send(_ command: ByteBuffer, _ call: any RedisCall) -> Bool {
        guard let stream, pending.count < Self.maximumPending else { return false }
        stream.write(command)
        pending.append(Pending(call: call, sentAt: loop.nowMicroseconds))
        if !isFlushScheduled {
            isFlushScheduled = true
            // Behind all channels that were ready in this turn.
            loop.eventLoop.assumeIsolated().execute {
                self.isFlushScheduled = false
                self.stream?.flush()
            }
        }
        arm()
        return true
    }

    /// Redis has answered with an error that asking again does not mend at once.
    func refused(_ reason: String) {
        said = "it says \(reason.prefix(160))"
        trip(said ?? reason)
    }

    private func arm() {
        guard timer == nil, overdue < pending.count else { return }
        let due = pending[pending.index(pending.startIndex, offsetBy: overdue)].sentAt &+ settings.timeoutMicroseconds
        timer = loop.eventLoop.assumeIsolated().scheduleTask(in: .microseconds(max(1, due &- MonotonicClock.nowMicroseconds()))) {
            self.timer = nil
            self.lookForOverdue()
        }
    }

    private func lookForOverdue() {
        let now = loop.readClock()
        while overdue < pending.count {
            let next = pending[pending.index(pending.startIndex, offsetBy: overdue)]
            guard next.sentAt &+ settings.timeoutMicroseconds <= now else { break }
            trip("no answer within \(settings.timeoutMicroseconds / 1000) ms")
            overdue += 1
            next.call.overdue()
        }
        arm()
    }

    // MARK: The connection

    /// Ten times a second.
    func tick(_ now: Int64) {
        guard !isStopped else { return }
        if stream == nil {
            if !isOpening, now >= nextTry { connect() }
        } else if let oldest = pending.first, now &- oldest.sentAt > Self.silence {
            said = "it does not answer"
            stream?.close()
        } else if isGreeted, !isUsable, !isProbing, now >= nextTry {
            var ping = RedisWords(loop.allocator, capacity: 16)
            ping.add("PING")
            isProbing = send(ping.command(), Said { self.probed($0, since: now) })
        }
    }

    func stop() {
        isStopped = true
        isUsable = false
        timer?.cancel()
        timer = nil
        stream?.close()
    }

    private func probed(_ reply: RedisReply?, since start: Int64) {
        isProbing = false
        guard let reply else { return }
        if case .error(let text) = reply { return refused(text) }
        let now = loop.nowMicroseconds
        if now &- start > settings.timeoutMicroseconds { nextTry = now &+ Self.rest } else { becomeUsable() }
    }

    private func becomeUsable() {
        guard !isUsable, stream != nil, !isStopped else { return }
        isUsable = true
        settings.health.up(loop.index)
        whenUsable()
    }

    private func trip(_ reason: String) {
        nextTry = loop.nowMicroseconds &+ Self.rest
        isUsable = false
        if !isStopped { settings.health.down(loop.index, reason) }
    }

    private func connect() {
        isOpening = true
        let address = settings.address
        let origin = Transport.Origin(host: address.host, port: address.port, isTLS: address.isTLS, caPEM: settings.caPEM)
        loop.transport.connect(to: origin, timeout: Self.silence / 1000, user: self) { failure in
            self.isOpening = false
            if let failure { self.retryLater(failure.reason) }
        }
    }

    private func retryLater(_ reason: String) {
        trip(reason)
        var generator = SystemRandomNumberGenerator()
        nextTry = loop.nowMicroseconds &+ backoff.delay(using: &generator) &* 1000
    }

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        if isStopped { return stream.close() }
        reader = RedisReader()
        said = nil
        loop.readClock()
        var greeting: [RedisWords] = []
        func say(_ words: String...) {
            var command = RedisWords(loop.allocator)
            for word in words { command.add(word) }
            greeting.append(command)
        }
        if let password = settings.address.password {
            if let user = settings.address.user { say("AUTH", user, password) } else { say("AUTH", password) }
        }
        if settings.address.database > 0 { say("SELECT", String(settings.address.database)) }
        for script in CounterScript.allCases { say("SCRIPT", "LOAD", script.text) }
        for (index, command) in greeting.enumerated() {
            let isLast = index == greeting.count - 1
            _ = send(command.command(), Said { self.greeted($0, isLast: isLast) })
        }
    }

    private func greeted(_ reply: RedisReply?, isLast: Bool) {
        guard let reply, !isGreeted else { return }
        if case .error(let text) = reply {
            refused(text)
            stream?.close()
        } else if isLast {
            isGreeted = true
            backoff.reset()
            becomeUsable()
        }
    }

    func received(_ bytes: ByteBuffer) {
        loop.readClock()
        do throws(RedisReader.Malformed) {
            try reader.feed(bytes)
            while let reply = try reader.next() {
                guard stream != nil else { return }
                guard let first = pending.popFirst() else { throw RedisReader.Malformed() }
                overdue = max(0, overdue - 1)
                first.call.replied(reply)
            }
        } catch {
            said = "what answers there is no Redis"
            stream?.close()
        }
    }

    func writabilityChanged(isWritable: Bool) {}

    func ended(_ failure: StreamFailure?) {
        stream = nil
        isGreeted = false
        isProbing = false
        loop.readClock()
        let lost = pending
        pending.removeAll()
        overdue = 0
        retryLater(said ?? failure?.detail ?? "it closed the connection")
        for item in lost { item.call.lost() }
    }
}

/// A word that is said, and what follows of its reply; nil: there is none.
private final class Said: RedisCall {
    private let done: (RedisReply?) -> Void

    init(_ done: @escaping (RedisReply?) -> Void) { self.done = done }

    func replied(_ reply: RedisReply) { done(reply) }
    func overdue() {}
    func lost() { done(nil) }
}
