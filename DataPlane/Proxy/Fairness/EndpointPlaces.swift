import Primitives
import Synchronization

/// The places at endpoints that take only so many requests at one time (`max_concurrent`), for all loops of a data plane, behind one short
/// lock. Whoever goes to an endpoint without a bound never comes here.
///
/// A place that becomes free goes to whoever is next on any loop, who is told on its own. So a loop has no part of a bound that it could
/// lack while another has it to spare, and the order among tenants is the data plane's and not each loop's.
final class EndpointPlaces: Sendable {
    /// What has become of those who came; all that a data plane has seen.
    struct Sums: Sendable {
        /// Had to wait, and then: had a place, were refused at the end of their patience, refused for want of room in the line, or left.
        var waited: UInt64 = 0
        var served: UInt64 = 0
        var late: UInt64 = 0
        var crowded: UInt64 = 0
        var left: UInt64 = 0
        /// Microseconds, of those who had a place.
        var times = LoopMetrics.Buckets()
    }

    /// How an endpoint stands.
    struct Standing: Sendable {
        let endpoint: String
        /// 0: it has no bound any more.
        let places: Int
        let taken: Int
        let waiting: Int
    }

    fileprivate struct State {
        var gates: [String: FairGate<PlaceTicket>] = [:]
        /// Of the configuration that came into force last; 0 where it has none.
        var bounds: [String: Int] = [:]
        var sums = Sums()
    }

    fileprivate let state = Mutex(State())
    /// How many wait at one endpoint at most.
    private let maximum: Int

    init(maximum: Int) { self.maximum = maximum }

    enum Entry {
        /// It goes on, at `PlaceTicket.place`.
        case free
        /// It is told.
        case waits
        /// The lines are full of others, or of the tenant's own.
        case refused
    }

    /// Whether a request of a tenant would have to wait at an endpoint. What it says may be over at once.
    func isFull(_ endpoint: CompiledEndpoint, for tenant: TenantEntry) -> Bool {
        guard endpoint.maxConcurrent > 0 else { return false }
        return state.withLock { $0.gates[endpoint.id]?.isFull(for: tenant.bits, weight: tenant.weight) ?? false }
    }

    /// A place at the first of these endpoints that has one, else in the lines of all of them.
    /// - Parameter ticket: for the request, not used before.
    func enter(_ ticket: PlaceTicket, at endpoints: [CompiledEndpoint], now: Int64) -> Entry {
        var gone: [PlaceTicket] = []
        // Nobody is told behind the lock.
        defer { for other in gone { other.tell(.crowded) } }
        return state.withLock { state in
            for endpoint in endpoints {
                let places = state.bounds[endpoint.id] ?? endpoint.maxConcurrent
                guard places > 0 else {
                    ticket.place = endpoint.id
                    return .free
                }
                var gate = state.gates.removeValue(forKey: endpoint.id) ?? FairGate(places: places, maximum: maximum, now: now)
                let isTaken = gate.take(ticket.tenant, weight: ticket.weight, now: now)
                state.gates[endpoint.id] = gate
                if isTaken {
                    ticket.place = endpoint.id
                    ticket.holds = true
                    return .free
                }
            }
            // A route may lead to an endpoint twice, by two names of models.
            for endpoint in endpoints where !ticket.lines.contains(endpoint.id) {
                switch state.gates[endpoint.id]?.join(ticket) {
                case .joined?: ticket.lines.append(endpoint.id)
                case .instead(let other)?:
                    ticket.lines.append(endpoint.id)
                    other.lines.removeAll { $0 == endpoint.id }
                    guard other.lines.isEmpty else { continue }
                    other.isOver = true
                    state.sums.crowded &+= 1
                    gone.append(other)
                case .refused?, nil: continue
                }
            }
            guard !ticket.lines.isEmpty else {
                state.sums.crowded &+= 1
                ticket.isOver = true
                return .refused
            }
            state.sums.waited &+= 1
            return .waits
        }
    }

    /// It waits no longer.
    /// - Parameter isLate: at the end of its patience; else the client has left, or its request was ended.
    /// - Returns: false when it has a place, or is told so.
    @discardableResult
    func leave(_ ticket: PlaceTicket, isLate: Bool) -> Bool {
        state.withLock { state in
            guard ticket.place == nil else { return false }
            guard !ticket.isOver else { return true }
            ticket.isOver = true
            for id in ticket.lines { _ = state.gates[id]?.leave(ticket) }
            ticket.lines = []
            if isLate { state.sums.late &+= 1 } else { state.sums.left &+= 1 }
            return true
        }
    }

    /// The place is free again.
    func release(_ ticket: PlaceTicket, now: Int64) {
        change { state in
            guard ticket.holds, let id = ticket.place else { return [] }
            ticket.holds = false
            state.gates[id]?.release(ticket.tenant, now: now)
            return Self.giveOut(id, &state, now)
        }
    }

    /// Now and then: what tenants lately needed is forgotten with time, not with requests.
    func look(now: Int64) {
        change { state in
            // Not the gates themselves: a second reference would have them copied.
            let ids = state.gates.compactMap { $0.value.line.isEmpty ? nil : $0.key }
            return ids.flatMap { Self.giveOut($0, &state, now) }
        }
    }

    private func change(_ body: (inout State) -> [PlaceTicket]) {
        for ticket in state.withLock({ body(&$0) }) { ticket.tell(.placed) }
    }

    private static func giveOut(_ id: String, _ state: inout State, _ now: Int64) -> [PlaceTicket] {
        var placed: [PlaceTicket] = []
        while let ticket = state.gates[id]?.next(now: now) {
            for other in ticket.lines where other != id { _ = state.gates[other]?.leave(ticket) }
            ticket.lines = []
            ticket.place = id
            ticket.holds = true
            state.sums.served &+= 1
            state.sums.times.record(now &- ticket.since)
            placed.append(ticket)
        }
        return placed
    }

    /// Another configuration is in force: those who wait go by its bounds, and where it has none all go on.
    func activated(_ snapshot: RuntimeSnapshot, now: Int64) {
        var bounds: [String: Int] = [:]
        for config in snapshot.configs.values.sorted(by: { $0.version < $1.version }) {
            for endpoint in config.endpoints.values { bounds[endpoint.id] = endpoint.maxConcurrent }
        }
        change { state in
            state.bounds = bounds
            var placed: [PlaceTicket] = []
            for id in Array(state.gates.keys) {
                if state.gates[id]?.isIdle(now: now) == true {
                    state.gates[id] = nil
                    continue
                }
                let places = bounds[id] ?? 0
                state.gates[id]?.set(places: places > 0 ? places : .max)
                placed += Self.giveOut(id, &state, now)
            }
            return placed
        }
    }

    var sums: Sums { state.withLock { $0.sums } }

    var standings: [Standing] {
        state.withLock { state in
            state.gates.map {
                Standing(
                    endpoint: $0.key, places: $0.value.places == .max ? 0 : $0.value.places, taken: $0.value.taken,
                    waiting: $0.value.line.count)
            }
            .sorted { $0.endpoint < $1.endpoint }
        }
    }
}

/// One request's place at an endpoint, or its place in the lines for one. Gives the place back when nobody holds it any more, however the
/// request ends.
///
/// `@unchecked Sendable`: what changes does so behind the lock of `EndpointPlaces`.
final class PlaceTicket: FairWaiter, @unchecked Sendable {
    let tenant: IDBits
    let weight: Int64
    let since: Int64
    private let places: EndpointPlaces
    /// Called on whatever thread.
    private let told: @Sendable (PlaceTicket, News) -> Void

    enum News: Sendable {
        /// At `place`.
        case placed
        /// Another came instead.
        case crowded
    }

    /// The endpoint at which it has a place.
    fileprivate(set) var place: String?
    /// Whether the place counts.
    fileprivate var holds = false
    /// Endpoints in whose lines it stands.
    fileprivate var lines: [String] = []
    fileprivate var isOver = false

    /// - Parameter now: monotonic microseconds.
    init(_ tenant: TenantEntry, of places: EndpointPlaces, now: Int64, told: @escaping @Sendable (PlaceTicket, News) -> Void) {
        self.tenant = tenant.bits
        weight = tenant.weight
        since = now
        self.places = places
        self.told = told
    }

    fileprivate func tell(_ news: News) { told(self, news) }

    /// It waits no longer, or has no more use for its place.
    func giveUp(now: Int64) { if !places.leave(self, isLate: false) { places.release(self, now: now) } }

    deinit { if holds { places.release(self, now: MonotonicClock.nowMicroseconds()) } }
}
