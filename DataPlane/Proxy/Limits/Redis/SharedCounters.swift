import Foundation
import NIOCore
import Primitives

/// How a data plane uses Redis.
package struct RedisSettings: Sendable {
    package let address: RedisAddress
    /// Whom it is judged by; empty: the system's authorities.
    let caPEM: String
    /// How long a request waits for it.
    package let timeoutMicroseconds: Int64
    /// In front of each key, with the braces of a hash tag: all counters of a request are on one node of a cluster.
    let prefix: String
    package let health: RedisHealth

    /// - Parameters:
    ///   - deployment: and `region`: whose data planes count together.
    ///   - caPEM: of the authorities that it is judged by, in place of the system's.
    ///   - timeout: milliseconds.
    package init(_ address: RedisAddress, caPEM: String = "", timeout: Int, deployment: String, region: String, health: RedisHealth) {
        self.address = address
        self.caPEM = caPEM
        self.health = health
        timeoutMicroseconds = Int64(max(1, timeout)) * 1000
        prefix = "weir:{\(deployment)/\(region)}:"
    }

    /// - Throws: what is wrong with the file, for the operator.
    static func certificates(_ path: String) throws -> String {
        do {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try ClientTLS.check(caPEM: text)
            return text
        } catch {
            throw RedisAddress.Problem(description: "has certificates (\(path)) that cannot be read as PEM: \(error)")
        }
    }
}

/// One loop's part in the counters that the data planes of a region share in Redis: a request asks once, for all of its limits.
///
/// Confined to its loop.
final class SharedCounters {
    /// A data plane that dies frees what ran there after so long; microseconds. Renewed three times in it.
    static let lease: Int64 = 30_000_000
    /// What could not be said while Redis was away, and is to be: beyond it leases and windows run out by themselves.
    private static let maximumOwed = 16_384
    /// Counters that one command names.
    private static let batch = 128

    unowned let loop: LoopContext
    let link: RedisLink
    private let prefix: String
    private var owed: [Amendment] = []
    /// What runs and counts among what runs at one time.
    private var running: [ObjectIdentifier: SharedCharge] = [:]
    private var renewedAt: Int64 = 0

    init(_ settings: RedisSettings, _ loop: LoopContext) {
        self.loop = loop
        prefix = settings.prefix
        link = RedisLink(settings, loop)
        link.whenUsable = { [weak self] in self?.becameUsable() }
    }

    var isUsable: Bool { link.isUsable }

    /// Ten times a second.
    func tick(_ now: Int64) {
        link.tick(now)
        if link.isUsable, !running.isEmpty, now &- renewedAt >= Self.lease / 3 { renew(now) }
    }

    func stop() { link.stop() }

    // MARK: Requests

    /// - Returns: false where this data plane has to decide by itself.
    func ask(_ take: SharedTake) -> Bool { link.isUsable && link.send(take.command(.digest), take) }

    func charge(_ plan: RatePlan, tokens: Int64, who: RequestID, parts: [Int64]?) -> SharedCharge {
        SharedCharge(plan, tokens: tokens, who: who, parts: parts, prefix: prefix, self)
    }

    func isRunning(_ charge: SharedCharge) { running[ObjectIdentifier(charge)] = charge }
    func hasEnded(_ charge: SharedCharge) { running[ObjectIdentifier(charge)] = nil }

    // MARK: What becomes of them

    func amend(_ amendments: [Amendment]) {
        guard loop.eventLoop.inEventLoop else { return }
        if link.isUsable, send(amendments) { return }
        oweAgain(amendments)
    }

    fileprivate func oweAgain(_ amendments: [Amendment]) { owed += amendments.prefix(max(0, Self.maximumOwed - owed.count)) }

    private func send(_ amendments: [Amendment]) -> Bool {
        let call = AmendmentCall(amendments, self)
        return link.send(call.command(.digest), call)
    }

    private func becameUsable() {
        let late = owed
        owed = []
        for start in stride(from: 0, to: late.count, by: Self.batch) { _ = send(Array(late[start..<min(late.count, start + Self.batch)])) }
        renew(loop.nowMicroseconds)
    }

    /// Also brings back what a Redis that was emptied has forgotten.
    private func renew(_ now: Int64) {
        renewedAt = now
        let leases = running.values.flatMap(\.leases)
        for start in stride(from: 0, to: leases.count, by: Self.batch) {
            _ = send(Array(leases[start..<min(leases.count, start + Self.batch)]))
        }
    }
}

/// A change of one counter, as `CounterScript.amend` takes it.
struct Amendment {
    let key: String
    let kind: String
    var amount: Int64 = 0
    let span: Int64
    var at: Int64 = 0
    var who = ""
}

/// How a script is named: by its digest, or by its text where Redis has forgotten it.
enum ScriptName { case digest, text }

extension CounterScript {
    /// - Parameters:
    ///   - keys: and then `arguments`.
    func command(_ name: ScriptName, keys: Int, _ words: RedisWords, _ allocator: ByteBufferAllocator) -> ByteBuffer {
        var head = RedisWords(allocator, capacity: 128)
        switch name {
        case .digest:
            head.add("EVALSHA")
            head.add(digest)
        case .text:
            head.add("EVAL")
            head.add(text)
        }
        head.add(Int64(keys))
        return head.command(words)
    }
}

private final class AmendmentCall: RedisCall {
    private let words: RedisWords
    private let count: Int
    private let ends: [Amendment]
    private let counters: SharedCounters

    init(_ amendments: [Amendment], _ counters: SharedCounters) {
        var words = RedisWords(counters.loop.allocator)
        for amendment in amendments { words.add(amendment.key) }
        for amendment in amendments {
            words.add(amendment.kind)
            words.add(amendment.amount)
            words.add(amendment.span)
            words.add(amendment.at)
            words.add(amendment.who)
        }
        self.words = words
        self.counters = counters
        count = amendments.count
        ends = amendments.filter { $0.kind == SharedCharge.ends }
    }

    func command(_ name: ScriptName) -> ByteBuffer { CounterScript.amend.command(name, keys: count, words, counters.loop.allocator) }

    func replied(_ reply: RedisReply) {
        guard case .error(let text) = reply else { return }
        if text.hasPrefix("NOSCRIPT") { _ = counters.link.send(command(.text), self) } else { counters.link.refused(text) }
    }

    func overdue() {}
    /// What may have been counted would count twice if it were said again, and runs out by itself. A lease ends as often as one likes.
    func lost() { counters.oweAgain(ends) }
}
