package import Logging
package import Primitives
import Synchronization
package import Telemetry

/// How many connections one listener keeps, and which ones give way. Connections that have not finished their first message cost an attacker
/// nothing, so they have a bound of their own, and the one that has been silent longest gives way to the next that comes: who does speak is
/// served however many do not. Beyond the maximum a few are let in for health alone. What is turned away is counted and logged.
///
/// Asked when a connection comes, when its first message is whole and when it ends; for a request only where it runs beside others of its
/// connection.
package final class ConnectionGate: Sendable {
    package struct Limits: Sendable {
        /// Open at one time.
        package var maximum: Int
        /// Open at one time, with each request that runs beside others of its connection. Such a request counts half of a connection against
        /// `maximum`: it brings no descriptor of its own, but one of a provider's connection behind it, as a connection does.
        package var maximumWithRequests: Int
        /// Of these, without a whole first message.
        package var maximumSilent: Int
        /// Beyond `maximum`: see `Passage.reserved`.
        package var reserve: Int
        /// Of these, from one address of IPv4 or one /64 of IPv6, which is what a client is given; 0: no bound.
        package var maximumOfAddress: Int
        /// Whose connections are of many clients.
        package var exempt: NetworkList

        package init(
            maximum: Int, withRequests: Int? = nil, maximumSilent: Int? = nil, reserve: Int, maximumOfAddress: Int = 0,
            exempt: NetworkList = .none
        ) {
            maximumWithRequests = max(1, withRequests ?? maximum)
            self.maximumOfAddress = max(0, maximumOfAddress)
            self.exempt = exempt
            self.maximum = max(1, maximum)
            self.maximumSilent = max(1, maximumSilent ?? maximum / 2)
            self.reserve = max(0, reserve)
        }

        /// As many connections as are wanted, or as the limit of open files allows, which is raised to what it may be: above it, accepting
        /// would fail in spells, for everybody. That there are fewer is logged.
        /// - Parameter each: how many descriptors a connection may come to take, or how many listeners share what there is.
        package static func fitting(_ wanted: Int, each: Int, listener: String, logger: Logger) -> Int {
            let limit = DescriptorLimit.raise()
            let fits = DescriptorLimit.connections(wanted: wanted, each: each, limit: limit)
            if fits < wanted {
                logger.notice(
                    "the limit of open files allows fewer connections than wanted: raise it (ulimit -Hn, LimitNOFILE)",
                    metadata: ["listener": "\(listener)", "limit": "\(limit)", "connections": "\(fits)", "wanted": "\(wanted)"])
            }
            return fits
        }
    }

    package enum Passage: Sendable {
        case open
        /// Above the maximum: health is answered, everything else with "overloaded", and the connection closed after it.
        case reserved
    }

    /// Why a connection was turned away: the label of the metric.
    package enum Refusal: String, CaseIterable, Sendable {
        /// The maximum and the reserve are taken.
        case full
        /// Its address has as many as one may have.
        case address
        /// Silent longest when another came.
        case silent
        /// No whole first message in time.
        case deadline
        /// The system had no descriptor or memory for it.
        case accept
    }

    private struct Connection {
        let passage: Passage
        let source: Source?
        let close: @Sendable () -> Void
    }

    /// Where a connection comes from, where that is counted: the bytes of an IPv4 address, or of a /64.
    package struct Source: Hashable, Sendable {
        fileprivate let bytes: [UInt8]
    }

    private struct State {
        var connections: [ObjectIdentifier: Connection] = [:]
        var reserved = 0
        /// Places of requests that run beside others of their connection.
        var shared = 0
        /// Connections and such places by where they come from; nobody who has none.
        var sources: [Source: Int] = [:]
        /// By arrival; `oldest` is at most the first one's place.
        var silent: [UInt64: ObjectIdentifier] = [:]
        var places: [ObjectIdentifier: UInt64] = [:]
        var oldest: UInt64 = 0
        var next: UInt64 = 0
        /// What the log has not been told yet, and when it may be.
        var unlogged: [Refusal: Int] = [:]
        var silentUntil: Int64 = 0
        var roomAskedAt = Int64.min

        /// Connections but those of the reserve.
        var open: Int { connections.count - reserved }

        /// - Returns: false where the source has as many as it may.
        mutating func count(_ source: Source?, most: Int) -> Bool {
            guard let source else { return true }
            let held = sources[source, default: 0]
            guard held < most else { return false }
            sources[source] = held + 1
            return true
        }

        mutating func discount(_ source: Source?) {
            guard let source, let held = sources[source] else { return }
            sources[source] = held > 1 ? held - 1 : nil
        }

        mutating func remove(_ id: ObjectIdentifier) -> Connection? {
            let connection = connections.removeValue(forKey: id)
            discount(connection?.source)
            return connection
        }
    }

    package let listener: String
    package let limits: Limits
    private let logger: Logger
    private let counters: [Refusal: Counter]
    private let makeRoom: @Sendable () -> Void
    private let state = Mutex(State())

    private static let logPause: Int64 = 10_000_000
    private static let roomPause: Int64 = 50_000

    /// - Parameters:
    ///   - listener: its name in the log and in the metric's label.
    ///   - metric: `…_connections_refused_total`, in `metrics`.
    ///   - makeRoom: asked when fewer than a sixteenth of the places are free: whoever knows connections that rest between two requests
    ///     may close some.
    package init(
        listener: String, limits: Limits, metric: String, metrics: MetricsRegistry, logger: Logger,
        makeRoom: @escaping @Sendable () -> Void = {}
    ) {
        self.listener = listener
        self.limits = limits
        self.logger = logger
        self.makeRoom = makeRoom
        counters = Dictionary(
            uniqueKeysWithValues: Refusal.allCases.map { refusal in
                let labels = [("listener", listener), ("reason", refusal.rawValue)]
                return (refusal, metrics.counter(metric, help: "Connections turned away, by listener and reason.", labels: labels))
            })
    }

    package func refused(_ reason: Refusal) -> UInt64 { counters[reason]?.current ?? 0 }

    package var open: Int { state.withLock { $0.connections.count } }

    /// A connection came.
    /// - Parameters:
    ///   - source: see `source(ofAddress:)`.
    ///   - close: ends it; may be called from any thread, until `closed` is.
    /// - Returns: nil when it is to be closed at once.
    package func admit(
        _ id: ObjectIdentifier, from source: Source? = nil, now: Int64 = MonotonicClock.nowMicroseconds(),
        close: @escaping @Sendable () -> Void
    ) -> Passage? {
        var victim: (@Sendable () -> Void)?
        var asksForRoom = false
        var isOfCrowd = false
        let passage: Passage? = state.withLock { state in
            guard state.count(source, most: limits.maximumOfAddress) else {
                isOfCrowd = true
                return nil
            }
            if state.silent.count >= limits.maximumSilent || !hasRoom(state, halves: 2) {
                victim = Self.removeOldestSilent(&state)
            }
            asksForRoom = wantsRoom(&state, now)
            let passage: Passage = hasRoom(state, halves: 2) ? .open : .reserved
            if passage == .reserved {
                guard state.reserved < limits.reserve else {
                    state.discount(source)
                    return nil
                }
                state.reserved += 1
            }
            state.connections[id] = Connection(passage: passage, source: source, close: close)
            if passage == .open {
                state.silent[state.next] = id
                state.places[id] = state.next
                state.next += 1
            }
            return passage
        }
        if let victim {
            refuse(.silent, now: now)
            victim()
        }
        if asksForRoom { makeRoom() }
        if passage == nil { refuse(isOfCrowd ? .address : .full, now: now) }
        return passage
    }

    /// Whether one more may be open: a connection, which takes two halves, or a request beside others of its own, which takes one.
    /// - Parameter part: a part of either bound that is to be left, as one of so many; 0: nothing is.
    private func hasRoom(_ state: State, halves: Int, spare part: Int = 0) -> Bool {
        func usable(_ bound: Int) -> Int { part == 0 ? bound : bound - bound / part }
        return state.open + state.shared < usable(limits.maximumWithRequests)
            && 2 * state.open + state.shared + halves <= 2 * usable(limits.maximum)
    }

    /// Whether it is time to ask for room.
    private func wantsRoom(_ state: inout State, _ now: Int64) -> Bool {
        guard !hasRoom(state, halves: 2, spare: 16), now &- Self.roomPause >= state.roomAskedAt else { return false }
        state.roomAskedAt = now
        return true
    }

    /// Where a connection comes from, as far as that bounds it: nil where no address does, for an exempt one, and for what is no address.
    /// - Parameter address: 4 or 16 bytes in network order.
    package func source(ofAddress address: @autoclosure () -> [UInt8]?) -> Source? {
        guard limits.maximumOfAddress > 0, let bytes = address(), bytes.count == 4 || bytes.count == 16,
            !limits.exempt.contains(bytes: bytes)
        else { return nil }
        let own = NetworkList.unmapped(bytes)
        return Source(bytes: own.count == 4 ? own : Array(own.prefix(8)))
    }

    /// A place for a request that is to run beside others of its connection.
    /// - Returns: false when none is free; else `givePlace` follows, with the same source.
    package func takePlace(of source: Source? = nil, now: Int64 = MonotonicClock.nowMicroseconds()) -> Bool {
        let (isFree, asksForRoom) = state.withLock { state in
            let asksForRoom = wantsRoom(&state, now)
            guard hasRoom(state, halves: 1), state.count(source, most: limits.maximumOfAddress) else { return (false, asksForRoom) }
            state.shared += 1
            return (true, asksForRoom)
        }
        if asksForRoom { makeRoom() }
        return isFree
    }

    package func givePlace(of source: Source? = nil) {
        state.withLock { state in
            state.shared -= 1
            state.discount(source)
        }
    }

    private static func removeOldestSilent(_ state: inout State) -> (@Sendable () -> Void)? {
        guard !state.silent.isEmpty else { return nil }
        while state.oldest < state.next {
            defer { state.oldest += 1 }
            guard let id = state.silent.removeValue(forKey: state.oldest) else { continue }
            state.places[id] = nil
            return state.remove(id)?.close
        }
        return nil
    }

    /// What the connection may ask for; `.open` for one that the gate does not know.
    package func passage(of id: ObjectIdentifier) -> Passage { state.withLock { $0.connections[id]?.passage ?? .open } }

    /// Its first message is whole: it gives way to nobody any more.
    package func spoke(_ id: ObjectIdentifier) { state.withLock { Self.hear(id, &$0) } }

    private static func hear(_ id: ObjectIdentifier, _ state: inout State) {
        guard let place = state.places.removeValue(forKey: id) else { return }
        state.silent[place] = nil
    }

    package func closed(_ id: ObjectIdentifier) {
        state.withLock { state in
            Self.hear(id, &state)
            if state.remove(id)?.passage == .reserved { state.reserved -= 1 }
        }
    }

    /// One connection's place here, for who reads from it.
    package struct Place: Sendable {
        fileprivate let gate: ConnectionGate
        fileprivate let id: ObjectIdentifier
        fileprivate let source: Source?

        package var passage: Passage { gate.passage(of: id) }
        package func spoke() { gate.spoke(id) }
        /// See `ConnectionGate.takePlace`.
        package func takeAnother() -> Bool { gate.takePlace(of: source) }
        package func giveAnother() { gate.givePlace(of: source) }
        /// Its first message did not come in time.
        package func tookTooLong() { gate.refuse(.deadline) }
    }

    package func place(of connection: AnyObject) -> Place {
        let id = ObjectIdentifier(connection)
        return Place(gate: self, id: id, source: limits.maximumOfAddress == 0 ? nil : state.withLock { $0.connections[id]?.source })
    }

    /// Counts one that was turned away, and tells the log now and then.
    package func refuse(_ reason: Refusal, detail: String = "", now: Int64 = MonotonicClock.nowMicroseconds()) {
        counters[reason]?.increment()
        let told: [Refusal: Int]? = state.withLock { state in
            state.unlogged[reason, default: 0] += 1
            guard now >= state.silentUntil else { return nil }
            state.silentUntil = now &+ Self.logPause
            defer { state.unlogged = [:] }
            return state.unlogged
        }
        guard let told else { return }
        var metadata: Logger.Metadata = ["listener": "\(listener)", "maximum": "\(limits.maximum)"]
        for (reason, count) in told { metadata[reason.rawValue] = "\(count)" }
        if !detail.isEmpty { metadata["detail"] = "\(detail)" }
        logger.warning("connections were turned away", metadata: metadata)
    }
}
