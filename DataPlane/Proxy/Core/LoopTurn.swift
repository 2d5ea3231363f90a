import NIOCore
import Primitives

/// Requests of one loop that wait until the loop has looked at all that is ready, in turn by tenant.
///
/// A loop serves what is ready one after the other, and a tenant that sends much makes each round long: the others wait for the whole of it
/// with each step of their requests. So a round takes up requests as they come for no more than `budget`. What comes behind that, or while
/// the loop is late anyway, is put in line, and at the end of each round the line is served for as long, in fair order. Rounds stay short
/// whatever one tenant sends, and who sends little is served in the round in which it comes.
///
/// A loop that keeps up has no line, and a request pays two comparisons.
struct LoopTurn {
    /// Microseconds.
    static let budget: Int64 = 4_000
    /// So much later than it should be: the loop has more to do than it can.
    static let lateness: Int64 = 50_000
    /// Between two rounds: the ready sockets are looked at meanwhile.
    static let pause = TimeAmount.microseconds(200)

    var line: FairLine<LinedRequest>
    /// The loop's last look at its deadlines came much too late.
    var isLate = false
    /// The line may be served at the end of this round.
    var mayServe = false
    /// The next round is on its way. There is one at a time: several would follow each other without a look at the sockets.
    var isPausing = false
    /// Monotonic microseconds at the round's first request; nil between rounds.
    private var began: Int64?

    /// - Parameter maximum: requests in line, of one tenant half as many: as many as there are connections.
    init(maximum: Int) { line = FairLine(maximum: maximum.multipliedReportingOverflow(by: 2).overflow ? maximum : 2 * maximum) }

    /// - Returns: nil for the first of a round.
    @inline(__always)
    func mustWait(_ now: Int64) -> Bool? {
        guard let began else { return isLate || !line.isEmpty ? true : nil }
        return now &- began > Self.budget || isLate || !line.isEmpty
    }

    mutating func begin(_ now: Int64) { began = now }
    mutating func end() { began = nil }
}

/// A request whose body is whole, in line.
final class LinedRequest: FairWaiter {
    let tenant: IDBits
    let weight: Int64
    let since: Int64
    let exchange: Exchange
    let asked: Asked
    let body: ByteBuffer

    init(_ exchange: Exchange, _ asked: Asked, _ body: ByteBuffer, now: Int64) {
        (tenant, weight) = asked.authentication.lineHolder
        since = now
        self.exchange = exchange
        self.asked = asked
        self.body = body
    }
}

extension Authentication {
    /// Whose line the request stands in. Who has not proved yet who it is stands with others that claim the same tenant, so that it takes
    /// nothing from those who have.
    fileprivate var lineHolder: (IDBits, weight: Int64) {
        switch self {
        case .complete(let caller): return (caller.tenant.bits, caller.tenant.weight)
        case .afterBody(let pending):
            guard let tenant = pending.claimed else { return (IDBits(high: 0, low: 0), 1) }
            return (IDBits(high: ~tenant.bits.high, low: ~tenant.bits.low), tenant.weight)
        }
    }
}

extension LoopContext {
    /// Whether a request has to wait in line; it is there then.
    func linesUp(_ exchange: Exchange, _ asked: Asked, _ body: ByteBuffer) throws(Rejection) -> Bool {
        switch turn.mustWait(nowMicroseconds) {
        case nil:
            turn.begin(nowMicroseconds)
            // Its end.
            scheduleTick()
            return false
        case false?: return false
        case true?: break
        }
        let request = LinedRequest(exchange, asked, body, now: nowMicroseconds)
        if turn.line.isEmpty, !turn.isPausing { turn.mayServe = true }
        switch turn.line.join(request) {
        case .joined: break
        case .instead(let other): other.exchange.lineIsFull()
        case .refused: throw .overloaded()
        }
        metrics.lined &+= 1
        exchange.stage = .lined(request)
        queued[ObjectIdentifier(exchange)] = exchange
        scheduleTick()
        return true
    }

    /// At the end of a round: for as long as requests were taken up within it.
    func serveLine() {
        guard turn.mayServe else { return }
        turn.mayServe = false
        let end = readClock() &+ LoopTurn.budget
        repeat {
            guard let request = turn.line.next() else { return }
            request.exchange.leaveLine(request)
        } while readClock() < end
    }

    /// The round is over. What is left in line is served behind the next one: a pause of no length would come before the ready sockets.
    func endTurn() {
        turn.end()
        guard !turn.line.isEmpty, !turn.mayServe, !turn.isPausing else { return }
        turn.isPausing = true
        eventLoop.scheduleTask(in: LoopTurn.pause) {
            self.turn.isPausing = false
            self.turn.mayServe = true
            self.scheduleTick()
        }
    }
}

extension Exchange {
    /// Its turn has come.
    fileprivate func leaveLine(_ request: LinedRequest) {
        guard case .lined(let own) = stage, own === request else { return }
        leaveQueue()
        stage = .receiving(request.asked)
        do throws(Rejection) {
            try checkStanding(request.asked)
            try go(request.asked, body: request.body)
        } catch {
            reject(error)
        }
    }

    /// What was lost while it waited is lost.
    private func checkStanding(_ asked: Asked) throws(Rejection) {
        guard case .complete(let caller) = asked.authentication else { return }
        if !loop.bans.isEmpty,
            let why = loop.bans.interruption(of: caller.principal, nowMilliseconds: loop.clock.nowMilliseconds())
        {
            throw Rejection(why)
        }
        if let snapshot = loop.snapshot, snapshot.directory.revocations != asked.snapshot.directory.revocations,
            let why = snapshot.directory.interruption(of: caller.principal)
        {
            throw Rejection(why)
        }
    }

    fileprivate func lineIsFull() {
        leaveQueue()
        reject(.overloaded())
    }

    /// It has waited for as long as it may, or is ended.
    func leaveLine(_ request: LinedRequest, _ rejection: Rejection) {
        guard loop.turn.line.leave(request) else { return }
        leaveQueue()
        reject(rejection)
    }
}
