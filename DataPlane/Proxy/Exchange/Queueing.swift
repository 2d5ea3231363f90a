import Contract
import NIOCore

/// What an exchange waits for in line. Nothing of it is written, and nothing was sent.
final class Queueing {
    let ticket: PlaceTicket
    /// Where it may go.
    let aim: Aim
    /// Monotonic microseconds.
    let deadline: Int64

    enum Aim {
        /// To this one, and no other.
        case candidate(Candidate)
        /// To one of these, by their places among the route's targets.
        case targets([(index: Int, candidate: Candidate)])
    }

    init(_ ticket: PlaceTicket, _ aim: Aim, deadline: Int64) {
        self.ticket = ticket
        self.aim = aim
        self.deadline = deadline
    }
}

/// Endpoints that take only so many requests at one time. A request goes to another endpoint of its route that is as good, and where all of
/// those are full it waits for the first of them that has room, in turn with other tenants. It has reserved what it may cost before, so that
/// a place is used as soon as it is there, and gets all of it back where none comes.
extension Exchange {
    /// Select, where an endpoint may be full.
    /// - Parameter candidate: the only one that the request may go to; nil: any of its route.
    /// - Throws: 503, after what was reserved and counted was given back.
    func seekPlace(_ admission: Admission, _ candidate: Candidate?, deadline: Int64? = nil) throws(Rejection) {
        do throws(Rejection) {
            if let candidate { return try enter(admission, .candidate(candidate), [candidate.endpoint], deadline: deadline) }
            loop.health.refresh()
            while true {
                let full = fullTargets(admission)
                let (candidate, refusal) = nextCandidate(admission, full: full)
                if let candidate { return try enter(admission, .candidate(candidate), [candidate.endpoint], deadline: deadline) }
                let waited = admission.plan.worthWaiting(full, loop.health, admission, now: loop.nowMicroseconds)
                guard !waited.isEmpty else {
                    throw deadline == nil ? nowhereToSend(admission, refusal) : .noPlace("no endpoint had room in time")
                }
                let awaited = askable(waited, admission)
                if !awaited.isEmpty {
                    return try enter(admission, .targets(awaited), awaited.map(\.candidate.endpoint), deadline: deadline)
                }
                admission.plan.pass(over: waited.map(\.index))
            }
        } catch {
            giveBack(admission, error)
            throw error
        }
    }

    private func giveBack(_ admission: Admission, _ rejection: Rejection) {
        releaseBudget(admission)
        if rejection.fault == .weir { undoRates(admission) }
    }

    /// Those that the request can be sent to, as it is sent there.
    private func askable(_ targets: [(index: Int, candidate: Candidate)], _ admission: Admission) -> [(index: Int, candidate: Candidate)] {
        targets.compactMap { index, candidate in (try? translated(candidate, admission)).map { (index, $0) } }
    }

    /// Select, for a further attempt: it waits where everything that is left is full.
    func nextAttempt(_ admission: Admission) -> Candidate? {
        guard admission.route.isBounded else { return nextCandidate(admission).candidate }
        let full = fullTargets(admission)
        if let candidate = nextCandidate(admission, full: full).candidate { return candidate }
        let waited = admission.plan.worthWaiting(full, loop.health, admission, now: loop.nowMicroseconds)
        guard let (index, candidate) = askable(waited, admission).first else { return nil }
        admission.plan.take(index)
        return candidate
    }

    /// By places among the route's targets.
    func fullTargets(_ admission: Admission) -> UInt64 {
        var full: UInt64 = 0
        for (index, target) in admission.route.targets.enumerated()
        where loop.endpointPlaces.isFull(target.endpoint, for: admission.caller.tenant) { full |= 1 << UInt64(index) }
        return full
    }

    /// - Parameter deadline: of what it waits for already.
    private func enter(
        _ admission: Admission, _ aim: Queueing.Aim, _ endpoints: [CompiledEndpoint], deadline: Int64?
    ) throws(Rejection) {
        guard endpoints.contains(where: { $0.maxConcurrent > 0 }) else { return try go(admission, aim, nil) }
        let ticket = ticket(for: admission)
        switch loop.endpointPlaces.enter(ticket, at: endpoints, now: loop.nowMicroseconds) {
        case .free: try go(admission, aim, ticket)
        case .waits:
            let end = deadline ?? loop.after(loop.settings.queueTimeout)
            stage = .queued(admission, Queueing(ticket, aim, deadline: end))
            loop.queued[ObjectIdentifier(self)] = self
            if listIndex < 0 { loop.running.add(self) }
        case .refused:
            if try !goElsewhere(admission, than: aim, deadline: deadline ?? loop.nowMicroseconds) {
                throw .noPlace("the lines are full")
            }
        }
    }

    func ticket(for admission: Admission) -> PlaceTicket {
        let (loop, serial) = (loop, serial)
        return PlaceTicket(admission.caller.tenant, of: loop.endpointPlaces, now: loop.nowMicroseconds) { [weak self] ticket, news in
            guard let self else { return }
            loop.eventLoop.execute { if self.serial == serial { self.told(news, ticket) } }
        }
    }

    private func go(_ admission: Admission, _ aim: Queueing.Aim, _ ticket: PlaceTicket?) throws(Rejection) {
        let candidate: Candidate
        switch aim {
        case .candidate(let only): candidate = only
        case .targets(let targets):
            guard let (index, found) = targets.first(where: { $0.candidate.endpoint.id == ticket?.place }) else { throw .noCredential() }
            admission.plan.take(index)
            candidate = found
        }
        let attempt = Attempt(candidate, admission, of: self)
        attempt.place = ticket
        try begin(admission, attempt)
    }

    /// What was waited for did not come: endpoints of a worse standing may have room.
    private func goElsewhere(_ admission: Admission, than aim: Queueing.Aim, deadline: Int64) throws(Rejection) -> Bool {
        guard case .targets(let targets) = aim else { return false }
        admission.plan.pass(over: targets.map(\.index))
        guard let candidate = nextCandidate(admission, full: fullTargets(admission)).candidate else { return false }
        try enter(admission, .candidate(candidate), [candidate.endpoint], deadline: deadline)
        return true
    }

    private func told(_ news: PlaceTicket.News, _ ticket: PlaceTicket) {
        switch stage {
        case .queued(let admission, let queueing) where queueing.ticket === ticket:
            loop.readClock()
            leaveQueue()
            switch news {
            case .placed: orReject(admission) { () throws(Rejection) in try go(admission, queueing.aim, ticket) }
            case .crowded: giveUp(admission, queueing, "others came instead")
            }
        case .attempting(_, let attempt) where attempt.place === ticket: attempt.told(news)
        // Ended meanwhile: the place goes back with the ticket.
        default: return
        }
    }

    /// A step of a request that holds its reservation.
    private func orReject(_ admission: Admission, _ step: () throws(Rejection) -> Void) {
        do throws(Rejection) { try step() } catch {
            giveBack(admission, error)
            reject(error)
        }
    }

    private func giveUp(_ admission: Admission, _ queueing: Queueing, _ detail: String) {
        orReject(admission) { () throws(Rejection) in
            if try goElsewhere(admission, than: queueing.aim, deadline: loop.nowMicroseconds) { return }
            throw .noPlace(detail)
        }
    }

    func queueDeadline(_ now: Int64) {
        switch stage {
        case .queued(let admission, let queueing):
            guard queueing.deadline <= now, loop.endpointPlaces.leave(queueing.ticket, isLate: true) else { return }
            leaveQueue()
            giveUp(admission, queueing, "no place in time")
        case .attempting(_, let attempt): attempt.queueDeadline(now)
        default: leaveQueue()
        }
    }

    func leaveQueue() { loop.queued[ObjectIdentifier(self)] = nil }
}

extension Attempt {
    /// A further attempt of a request: its record is there, and it waits with it.
    /// - Returns: false while it waits.
    func findPlace() -> Bool {
        guard candidate.endpoint.maxConcurrent > 0, place == nil else { return true }
        let ticket = exchange.ticket(for: admission)
        place = ticket
        switch loop.endpointPlaces.enter(ticket, at: [candidate.endpoint], now: loop.nowMicroseconds) {
        case .free: return true
        case .waits where !isHedge:
            joinsLine()
            return false
        case .waits, .refused:
            end(.exhausted)
            return false
        }
    }

    private func joinsLine() {
        isQueued = true
        loop.queued[ObjectIdentifier(exchange)] = exchange
    }

    private func waitsNoMore() {
        isQueued = false
        exchange.leaveQueue()
    }

    func told(_ news: PlaceTicket.News) {
        guard state == .connecting else { return }
        waitsNoMore()
        switch news {
        case .placed: connect()
        case .crowded: end(.exhausted)
        }
    }

    func queueDeadline(_ now: Int64) {
        guard let since = connectionWaiter?.since ?? place?.since, since &+ Int64(loop.settings.queueTimeout) &* 1000 <= now else { return }
        if connectionWaiter != nil { return end(.exhausted) }
        if let place, loop.endpointPlaces.leave(place, isLate: true) { end(.exhausted) }
    }

    // MARK: Connections, of which a loop has only so many to an endpoint

    /// Another endpoint of the route is left to be tried, or is being tried.
    var hasAlternative: Bool { isHedge || admission.forward == nil && admission.plan.hasMore }

    func waits(_ waiter: PoolWaiter) {
        connectionWaiter = waiter
        joinsLine()
    }

    func waitsNoLonger() {
        connectionWaiter = nil
        waitsNoMore()
    }

    /// Others came instead.
    func crowdedOut() {
        waitsNoLonger()
        end(.exhausted)
    }

    /// Ended while it waited.
    func leaveLine() {
        if let waiter = connectionWaiter { loop.pool(for: candidate.endpoint).leave(waiter) }
        connectionWaiter = nil
        waitsNoMore()
        leavePlace()
    }

    /// To whoever is next.
    func leavePlace() {
        place?.giveUp(now: loop.nowMicroseconds)
        place = nil
    }
}
