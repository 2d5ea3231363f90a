import NIOCore
import Primitives

/// A request that asks, in one step, all counters that the data planes of a region share.
final class SharedTake: RedisCall {
    /// What Redis answered.
    struct Answer {
        struct Counter {
            /// Microseconds; 0: there is room. -1: there never is.
            let wait: Int64
            let used: Int64
            /// Microseconds until nothing is in it.
            let reset: Int64
        }

        /// Redis's clock, microseconds.
        let at: Int64
        let isRefused: Bool
        let counters: [Counter]

        /// Nil for what is no answer to so many claims.
        init?(_ reply: RedisReply, claims: Int) {
            guard case .array(let items) = reply, items.count == 2 + 3 * claims else { return nil }
            let numbers = items.compactMap(\.integer)
            guard numbers.count == items.count else { return nil }
            at = numbers[0]
            isRefused = numbers[1] != 0
            counters = (0..<claims).map { Counter(wait: numbers[2 + 3 * $0], used: numbers[3 + 3 * $0], reset: numbers[4 + 3 * $0]) }
        }
    }

    let plan: RatePlan
    let tokens: Int64
    let charge: SharedCharge
    private let counters: SharedCounters
    private let exchange: Exchange
    private let serial: UInt64
    /// Nobody waits for the answer any more: this data plane has decided by itself, or the caller has left.
    private var isDecided = false
    private var wasForgotten = false

    init(_ plan: RatePlan, tokens: Int64, _ charge: SharedCharge, of exchange: Exchange, _ counters: SharedCounters) {
        self.plan = plan
        self.tokens = tokens
        self.charge = charge
        self.exchange = exchange
        self.counters = counters
        serial = exchange.serial
    }

    func command(_ name: ScriptName) -> ByteBuffer {
        CounterScript.take.command(name, keys: charge.entries.count, charge.words(counters.loop.allocator), counters.loop.allocator)
    }

    func replied(_ reply: RedisReply) {
        if case .error(let text) = reply {
            // Redis was told to forget its scripts: it learns this one anew.
            if text.hasPrefix("NOSCRIPT"), !wasForgotten {
                wasForgotten = true
                if counters.link.send(command(.text), self) { return }
            }
            counters.link.refused(text)
            return decide()
        }
        guard let answer = Answer(reply, claims: plan.claims.count) else {
            counters.link.refused("what no script of ours answers")
            return decide()
        }
        if !answer.isRefused { charge.wasTaken(at: answer.at) }
        guard !isDecided else { return }
        isDecided = true
        guard exchange.serial == serial else { return charge.settle(tokens: nil) }
        exchange.limitsAnswered(answer, self)
    }

    func overdue() { decide() }
    func lost() { decide() }

    private func decide() {
        guard !isDecided else { return }
        isDecided = true
        guard exchange.serial == serial else { return charge.settle(tokens: nil) }
        exchange.limitsUnanswered(self)
    }
}

/// What a request has in the counters that data planes share. Settled once, however it ends.
final class SharedCharge {
    struct Entry {
        let key: String
        let rule: LimitRule
        let amount: Int64
        /// What there may be of it in this region, and how much of that comes back in a window.
        let most: Int64
        let refill: Int64

        fileprivate var kind: String { rule.measure == .concurrent ? "c" : rule.isBucket ? "b" : "w" }
        fileprivate var span: Int64 { rule.measure == .concurrent ? SharedCounters.lease : rule.window }
    }

    static let ends = "r"
    /// Far above any limit, and far from where Lua's numbers end.
    private static let largest: Int64 = 2_000_000_000_000

    let entries: [Entry]
    private let who: String
    private unowned let counters: SharedCounters
    /// Redis's clock when it was counted; 0: it was not, as far as is known.
    private var takenAt: Int64 = 0
    private var settled: (isOver: Bool, tokens: Int64?, wasServed: Bool) = (false, nil, true)

    /// - Parameter parts: what this region may have of each limit; nil: all.
    init(_ plan: RatePlan, tokens: Int64, who: RequestID, parts: [Int64]?, prefix: String, _ counters: SharedCounters) {
        self.counters = counters
        self.who = who.description
        entries = plan.claims.enumerated().map { index, claim in
            let (rule, part) = (claim.rule, parts?[index] ?? claim.rule.amount)
            let window = rule.measure == .concurrent ? "" : ":\(rule.window / 1000)\(rule.isBucket ? "b" : "w")"
            return Entry(
                key:
                    "\(prefix)\(String(decoding: rule.id.bytes(prefix: LimitRule.idPrefix), as: UTF8.self)):\(claim.key.subject.hex)\(window)",
                rule: rule, amount: min(max(0, claim.amount(tokens: tokens)), Self.largest), most: rule.capacity(ofPart: part),
                refill: max(1, part))
        }
    }

    func words(_ allocator: ByteBufferAllocator) -> RedisWords {
        var words = RedisWords(allocator, capacity: 160 * (entries.count + 1))
        for entry in entries { words.add(entry.key) }
        words.add(who)
        for entry in entries {
            words.add(entry.kind)
            words.add(entry.amount)
            words.add(entry.span)
            words.add(entry.most)
            words.add(entry.refill)
            words.add(entry.rule.observes ? "1" : "0")
        }
        return words
    }

    /// Its leases, which go on.
    var leases: [Amendment] { leases("l") }

    private func leases(_ kind: String) -> [Amendment] {
        entries.filter { $0.rule.measure == .concurrent }
            .map { Amendment(key: $0.key, kind: kind, span: SharedCounters.lease, who: who) }
    }

    /// The request runs, whoever has let it in.
    func runs() { if entries.contains(where: { $0.rule.measure == .concurrent }) { counters.isRunning(self) } }

    /// Redis has counted it. It may have ended meanwhile.
    func wasTaken(at time: Int64) {
        takenAt = time
        if settled.isOver { tell() }
    }

    /// The request has ended: its tokens are what they came to, and what it had for itself at one time is free.
    /// - Parameters:
    ///   - tokens: nil: it never was, and used none.
    ///   - wasServed: false: it does not even count as a request.
    func settle(tokens: Int64?, wasServed: Bool = true) {
        guard !settled.isOver else { return }
        settled = (true, tokens, wasServed)
        counters.hasEnded(self)
        tell()
    }

    private func tell() {
        var amendments = leases(Self.ends)
        for entry in entries where takenAt > 0 {
            let difference: Int64
            switch entry.rule.measure {
            case .tokens: difference = min(max(0, settled.tokens ?? 0), Self.largest) - entry.amount
            case .requests: difference = settled.wasServed ? 0 : -entry.amount
            case .concurrent: continue
            }
            if difference == 0 { continue }
            amendments.append(
                Amendment(
                    key: entry.key, kind: entry.kind, amount: difference, span: entry.span,
                    at: entry.rule.isBucket ? entry.refill : takenAt))
        }
        if !amendments.isEmpty { counters.amend(amendments) }
    }
}

extension LimitSubject {
    /// 32 digits.
    fileprivate var hex: String {
        func digits(_ word: UInt64) -> String {
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }
        return digits(high) + digits(low)
    }
}
