import Contract
import Formats
import Logging
import NIOCore
import Primitives
import Wire

/// All that one event loop owns: its view of the configuration, its journal, its connections to providers, its counters. Touched from
/// that loop's thread only, so a request takes no lock and changes no thread from accept to the last byte.
///
/// `@unchecked Sendable`: references cross threads (to be handed `loop.execute` blocks); members are touched on the loop alone, which
/// `assertOnLoop` checks in debug builds where work enters the loop.
final class LoopContext: @unchecked Sendable {
    let eventLoop: any EventLoop
    let index: Int
    let settings: ProxySettings
    let clock: any WallClock
    let logger: Logger
    let journal: UsageJournal
    let transport: Transport
    let allocator = ByteBufferAllocator()
    /// Takes the place of a buffer that is let go. `ByteBuffer()` is one object for the whole process, and counting its references keeps
    /// the loops waiting for each other.
    let nothing = ByteBufferAllocator().buffer(capacity: 1)
    var spareBuffers = SpareBuffers(ByteBufferAllocator())
    /// The whole data plane's, which all loops tell of their attempts.
    let endpointStates: EndpointStates
    /// The whole data plane's: nonces and wrong signatures.
    let signatures: SignatureDesk
    let dids = DIDMemory()
    /// The whole data plane's: what requests ask the control plane.
    let questions: ControlQuestions
    /// The whole data plane's: what limits have counted.
    let rates: RateLedger
    /// What limits have counted here that is not in the journal's buffer yet.
    private var rateNotes = RateNotes()
    var callerRules = KnownCallerRules()
    /// What limits have counted with the other data planes of the region; nil where there is no Redis.
    private(set) var sharedCounters: SharedCounters?
    /// The whole data plane's: what may be spent.
    let budgets: BudgetDesk
    /// The whole data plane's: who is at endpoints that take only so many, and who waits for that.
    let endpointPlaces: EndpointPlaces

    /// What is in force; nil until the first activation. Read once a request.
    var snapshot: RuntimeSnapshot?
    /// Who is shut out.
    private(set) var bans = BanSet.empty
    var isDraining = false
    /// Running requests are ended: nothing more is sent to providers.
    private(set) var isStopping = false
    /// SHA-256 of the secret that internal callers share; nil: there is none.
    let gatewaySecret: DigestWords?
    /// Nil when pages of other origins may not call.
    let crossOrigin: CrossOrigin?
    /// Hosts that providers may have; nil: any.
    private let providerHosts: HostList?
    private let lookupHosts: HostList

    var metrics = LoopMetrics()
    let attempts = AttemptMetrics()
    var encoder = UsageEncoder()
    /// Memory for what a read of a stream brings, without content.
    var spareBytes: [UInt8] = []
    var requestIDs = RequestIDSource()
    var bodies: BodyBudget
    var health: HealthView
    var failureLog = FailureLog()

    /// By the endpoint; emptied when another snapshot comes into force.
    private var places: [ObjectIdentifier: Place] = [:]
    /// Of the request before: most have the same endpoint.
    private var latestPlace: Place?
    /// Credentials that a provider has sent back.
    private var leaked: Set<String> = []
    private var pools: [PoolKey: UpstreamPool] = [:]
    /// Exchanges whose requests were admitted and not settled yet.
    var running = ConnectionList<Exchange>()
    var lookupRoom = LookupRoom()
    /// Exchanges that wait for the control plane's answer, or for what follows from it; or for a workflow's lookup.
    var asking: [ObjectIdentifier: Exchange] = [:]
    /// Exchanges that wait in line for a place at an endpoint.
    var queued: [ObjectIdentifier: Exchange] = [:]
    private(set) var fronts = ConnectionList<FrontHandler>()
    private(set) var http2Fronts = ConnectionList<HTTP2Front>()
    private(set) var upstreams = ConnectionList<UpstreamConnection>()
    private(set) var sessions = ConnectionList<HTTP2Session>()

    /// One loop asks endpoints how they are.
    private var healthChecks: HealthChecks?

    private var sends = PendingExchanges()
    private var ends = PendingExchanges()
    /// Exchanges that wait for more of a budget.
    private var parked = ParkedExchanges()
    /// What becomes of one request's holds: memory that is used again.
    var settlements: [SettledPart] = []
    /// Parts of holds that stand in the journal's buffer.
    var holdsWritten = 0
    private var isTickScheduled = false
    private var sweep: RepeatedTask?
    private var sweepCount = 0
    /// Some stream may hold of a budget: what it came to is written down more often.
    var mayHoldStreams = false
    /// `date: …\r\n`, renewed by the sweep: formatting it for each answer would cost more than all its other fields.
    private(set) var dateLine: [UInt8] = []
    /// Microseconds, monotonic; renewed at each tick of the sweep and by whoever reads the clock anyway.
    private(set) var nowMicroseconds = MonotonicClock.nowMicroseconds()

    init(
        eventLoop: any EventLoop, index: Int, settings: ProxySettings, clock: any WallClock, logger: Logger, journal: UsageJournal,
        tls: ClientTLS, health: UpstreamHealth, endpointStates: EndpointStates, signatures: SignatureDesk,
        questions: ControlQuestions, rates: RateLedger, redis: RedisSettings? = nil, budgets: BudgetDesk, places: EndpointPlaces
    ) {
        endpointPlaces = places
        self.rates = rates
        self.questions = questions
        self.budgets = budgets
        self.signatures = signatures
        self.eventLoop = eventLoop
        self.index = index
        self.settings = settings
        self.clock = clock
        self.logger = logger
        self.journal = journal
        transport = Transport(eventLoop: eventLoop, tls: tls)
        gatewaySecret = settings.gatewaySharedSecret.map { Array($0.utf8).withUnsafeBytes { DigestWords(digestOf: $0) } }
        crossOrigin = CrossOrigin(origins: settings.crossOrigins)
        providerHosts = settings.providerHosts.isEmpty ? nil : HostList(settings.providerHosts) ?? HostList.none
        lookupHosts = HostList(settings.lookupHosts) ?? .none
        bodies = BodyBudget(maximum: settings.maxBufferedBytes)
        self.health = HealthView(health)
        self.endpointStates = endpointStates
        renewDate()
        if let redis { sharedCounters = SharedCounters(redis, self) }
    }

    private func assertOnLoop() { eventLoop.assertInEventLoop() }

    /// Puts a snapshot in force for the requests that begin from now on, and ends those whose principals lost their standing.
    func activate(_ snapshot: RuntimeSnapshot) {
        assertOnLoop()
        let before = self.snapshot
        attempts.keep(versions: Set(snapshot.configs.keys))
        self.snapshot = snapshot
        forgetPlaces()
        if index == 0 { warnOfHosts(snapshot, since: before) }
        if snapshot.isRevoked, before?.isRevoked == false { endExchanges { _ in .gatewayRevoked } }
        // Going on removes from the list: walk a copy.
        for exchange in Array(asking.values) { exchange.lookAgain() }
        guard let before, before.directory.revocations != snapshot.directory.revocations else { return }
        endExchanges { snapshot.directory.interruption(of: $0) }
    }

    /// Puts bans and kill switches in force, and ends what runs for whom they concern.
    func activate(_ bans: BanSet) {
        assertOnLoop()
        self.bans = bans
        guard !bans.isEmpty else { return }
        let now = clock.nowMilliseconds()
        // Ending removes from the list: walk a copy.
        for exchange in running.items {
            guard let admission = exchange.admission else { continue }
            if let why = bans.interruption(of: admission.caller.principal, nowMilliseconds: now)
                ?? bans.interruption(of: admission.model, nowMilliseconds: now)
            {
                exchange.interrupt(why)
            }
        }
    }

    /// Ends what runs for certain principals.
    /// - Parameter why: nil for a principal whose exchanges go on.
    func endExchanges(_ why: (Principal) -> Interruption?) {
        // Ending removes from the list: walk a copy.
        for exchange in running.items {
            guard let principal = exchange.principal, let why = why(principal) else { continue }
            exchange.interrupt(why)
        }
    }

    func beginDraining() {
        isDraining = true
        for front in fronts.items { front.drain() }
        for front in http2Fronts.items { front.drain() }
    }

    /// The time that running requests were given is over.
    func interrupt() {
        isStopping = true
        // Ending removes from the list: walk a copy.
        for exchange in running.items { exchange.interrupt(.stopped) }
        for exchange in Array(asking.values) { exchange.interrupt(.stopped) }
        for exchange in Array(queued.values) { exchange.interrupt(.stopped) }
        for front in fronts.items { front.interrupt() }
        for front in http2Fronts.items { front.interrupt() }
    }

    // MARK: Connections

    /// Of applications, and their requests under way.
    var load: (connections: Int, active: Int) {
        (
            fronts.items.count + http2Fronts.items.count,
            fronts.items.count(where: \.isBusy) + http2Fronts.items.reduce(0) { $0 + $1.busy }
        )
    }

    func add(_ front: FrontHandler) { fronts.add(front) }
    func remove(_ front: FrontHandler) { fronts.remove(front) }
    func add(_ front: HTTP2Front) { http2Fronts.add(front) }
    func remove(_ front: HTTP2Front) { http2Fronts.remove(front) }
    func add(_ upstream: UpstreamConnection) { upstreams.add(upstream) }
    func remove(_ upstream: UpstreamConnection) { upstreams.remove(upstream) }
    func add(_ session: HTTP2Session) { sessions.add(session) }
    func remove(_ session: HTTP2Session) { sessions.remove(session) }

    /// Room is wanted for connections that come: those of applications that have rested longest between two requests are closed, an eighth
    /// of them at a time.
    func closeResting() {
        var resting = fronts.items.filter(\.isResting).map { front in (until: front.deadline, close: front.close) }
        resting += http2Fronts.items.filter(\.isResting).map { front in (until: front.restsUntil, close: front.leave) }
        guard !resting.isEmpty else { return }
        resting.sort { $0.until < $1.until }
        for front in resting.prefix(max(1, resting.count / 8)) { front.close() }
    }

    /// Whoever holds most bytes of bodies loses one that is still arriving.
    /// - Returns: whether one could be cut.
    func makeRoomForBodies() -> Bool {
        guard let largest = bodies.largest else { return false }
        if let front = fronts.items.last(where: { $0.isReceiving(for: largest) }) {
            front.refuseBody(.overloaded())
            return true
        }
        for front in http2Fronts.items {
            guard let stream = front.isReceiving(for: largest) else { continue }
            stream.refuseBody(.overloaded())
            return true
        }
        return false
    }

    func pool(for endpoint: CompiledEndpoint) -> UpstreamPool { place(of: endpoint).pool }

    /// What an error of an endpoint must not show. Made once an endpoint and credential.
    func hiddenTexts(of candidate: Candidate) -> HiddenTexts {
        let place = place(of: candidate.endpoint)
        if let known = place.hidden, known.credential === candidate.credential { return known.texts }
        let texts = candidate.credential?.hiddenTexts(at: candidate.endpoint) ?? HiddenTexts(hosts: [candidate.endpoint.host])
        place.hidden = (candidate.credential, texts)
        return texts
    }

    /// What of an endpoint's answers is masked; nil where there is nothing to look for. Made once an endpoint and level.
    func answerPatterns(of endpoint: CompiledEndpoint, isStrict: Bool) -> AnswerPatterns? {
        let place = place(of: endpoint)
        if let known = place.patterns, known.isStrict == isStrict { return known.patterns }
        let patterns = AnswerPatterns(host: endpoint.host, isStrict: isStrict)
        place.patterns = (isStrict, patterns)
        return patterns
    }

    private func place(of endpoint: CompiledEndpoint) -> Place {
        if let latestPlace, latestPlace.endpoint === endpoint { return latestPlace }
        let place = knownPlace(of: endpoint)
        latestPlace = place
        return place
    }

    private func forgetPlaces() {
        places.removeAll()
        latestPlace = nil
    }

    private func knownPlace(of endpoint: CompiledEndpoint) -> Place {
        if let place = places[ObjectIdentifier(endpoint)] { return place }
        let pool = pools[endpoint.pool] ?? UpstreamPool(endpoint: endpoint, loop: self)
        pools[endpoint.pool] = pool
        let place = Place(endpoint: endpoint, pool: pool)
        places[ObjectIdentifier(endpoint)] = place
        return place
    }

    /// What this loop has of an endpoint.
    private final class Place {
        /// Held, so that no other object can take the place that it is found by.
        let endpoint: CompiledEndpoint
        let pool: UpstreamPool
        var hidden: (credential: CredentialEntry?, texts: HiddenTexts)?
        var patterns: (isStrict: Bool, patterns: AnswerPatterns?)?

        init(endpoint: CompiledEndpoint, pool: UpstreamPool) {
            self.endpoint = endpoint
            self.pool = pool
        }
    }

    /// A provider's answer held the credential that was sent to it. Said once a credential: it is for the operator to replace it.
    func noteLeak(of candidate: Candidate) {
        guard let credential = candidate.credential, leaked.insert(credential.id).inserted else { return }
        logger.error(
            "a provider's answer held the gateway's own credential; it was masked before the caller saw it: replace that credential",
            metadata: ["credential": "\(credential.id)", "endpoint": "\(candidate.endpoint.id)"])
    }

    /// Of a configuration that leads where it may not from here: requests that need a lookup will go as its steps say of failures, others
    /// to the next endpoint.
    private func warnOfHosts(_ snapshot: RuntimeSnapshot, since before: RuntimeSnapshot?) {
        for (version, config) in snapshot.configs where before?.configs[version] == nil {
            for lookup in config.lookups where !allows(lookup) {
                logger.warning(
                    "a workflow's lookup is sent nowhere: its host is not among --lookup-hosts of this data plane",
                    metadata: ["step": "\(lookup.name)", "host": "\(lookup.origin.authority)", "config_version": "\(version)"])
            }
            for endpoint in config.endpoints.values where reach(of: endpoint.pool) == nil {
                logger.warning(
                    "an endpoint is not called: its host is not among --provider-hosts of this data plane",
                    metadata: ["endpoint": "\(endpoint.id)", "host": "\(endpoint.host):\(endpoint.port)", "config_version": "\(version)"])
            }
        }
    }

    /// Whether this data plane's operator lets it ask there.
    func allows(_ lookup: CompiledLookup) -> Bool { lookupHosts.allows(host: lookup.origin.host, port: lookup.origin.port) }

    /// Where an endpoint's host may lead; nil: it is not called from here, whatever its address.
    func reach(of pool: PoolKey) -> AddressReach? {
        guard providerHosts?.allows(host: pool.host, port: pool.port) ?? true else { return nil }
        return pool.isPublicOnly ? .public(and: .none) : .configured
    }

    /// Where its host may lead. One that is an address was allowed as that.
    func lookupReach(_ lookup: CompiledLookup) -> AddressReach {
        let networks = NetworkList(settings.lookupNetworks + (NetworkList.bytes(lookup.origin.host) == nil ? [] : [lookup.origin.host]))
        return .public(and: networks ?? .none)
    }

    // MARK: The journal's tick

    /// The exchange's request goes upstream once its intent, buffered in the journal, is written.
    func sendAfterJournal(_ exchange: Exchange) {
        sends.append(exchange)
        scheduleTick()
    }

    /// The end of the exchange's answer leaves once its completion, buffered in the journal, is written (and synced, if so set).
    func endAfterJournal(_ exchange: Exchange) {
        ends.append(exchange)
        scheduleTick()
    }

    /// Something stands in the journal's buffer for which nobody waits.
    func scheduleTick() {
        if isTickScheduled { return }
        isTickScheduled = true
        // Runs after every channel that was ready in this turn of the loop has been served: one write for all of them.
        eventLoop.execute { self.tick() }
    }

    private func tick() {
        assertOnLoop()
        isTickScheduled = false
        if !rateNotes.isEmpty { rateNotes.write(boot: rates.boot, to: journal) }
        let starting = sends.take()
        do {
            try journal.flush()
        } catch {
            metrics.journalFailures &+= 1
            holdsWritten = 0
            starting.forEach { $0.intentFailed(error) }
            // Completions keep their place in the journal's buffer; their answers' ends wait with them.
            if !ends.isEmpty || journal.hasBuffered {
                eventLoop.scheduleTask(in: .milliseconds(20)) { self.scheduleTick() }
            }
            return
        }
        if holdsWritten > 0 {
            budgets.wroteDown(holdsWritten)
            holdsWritten = 0
        }
        if settings.durability == .power, !ends.isEmpty {
            let ending = ends.take()
            journal.whenSynced(journal.syncPoint()) { synced in
                if !synced { self.metrics.journalFailures &+= 1 }
                ending.forEach { $0.completionIsDurable() }
            }
        } else if !ends.isEmpty {
            let ending = ends.take()
            ending.forEach { $0.completionIsDurable() }
            ends.reuse(ending)
        }
        starting.forEach { $0.intentIsDurable() }
        sends.reuse(starting)
    }

    // MARK: Limits

    /// Stands in the journal with the next tick.
    /// - Parameter at: Unix milliseconds.
    func note(_ amount: Int64, to counter: RateLedger.Key, of rule: LimitRule, at: Int64, by request: RequestID) {
        rateNotes.add(amount, to: counter, of: rule, at: at, by: request)
        if rateNotes.isFull { rateNotes.write(boot: rates.boot, to: journal) }
    }

    // MARK: Budgets

    /// The exchange tries again when more of a budget may be there, and for the last time when its patience is over.
    func park(_ exchange: Exchange) {
        budgets.count { $0.waited &+= 1 }
        parked.append(exchange, since: nowMicroseconds)
        budgets.waits(1)
    }

    /// What is held of budgets has changed.
    func retryParked() {
        assertOnLoop()
        guard !parked.isEmpty else { return }
        let waiting = parked.takeAll()
        budgets.waits(-waiting.count)
        for item in waiting where item.isCurrent && !item.exchange.retryReservation(isLast: false) {
            parked.putBack(item)
            budgets.waits(1)
        }
    }

    private func endParked(_ now: Int64) {
        guard !parked.isEmpty else { return }
        let over = parked.takeOver(before: now &- Int64(settings.budgetTimeout) &* 1000)
        budgets.waits(-over.count)
        for item in over where item.isCurrent { _ = item.exchange.retryReservation(isLast: true) }
    }

    // MARK: Lines

    private func lookAtQueued(_ now: Int64) {
        // What tenants lately needed of an endpoint is forgotten with time: somebody's turn may have come by that alone.
        endpointPlaces.look(now: now)
        for exchange in Array(queued.values) { exchange.queueDeadline(now) }
    }

    // MARK: Deadlines

    static let sweepMilliseconds: Int64 = 100

    func start() {
        // Requests wait for this thread, and for no other of the process.
        TimeSlice.ordinary.request()
        let task = eventLoop.scheduleRepeatedTask(
            initialDelay: .milliseconds(Self.sweepMilliseconds), delay: .milliseconds(Self.sweepMilliseconds)
        ) { _ in self.runSweep() }
        sweep = task
        if index == 0 { healthChecks = HealthChecks(self) }
    }

    func stop() {
        sweep?.cancel()
        sweep = nil
        sharedCounters?.stop()
        healthChecks?.stop()
        for connection in upstreams.items { connection.close() }
        for session in sessions.items { session.close() }
        for front in fronts.items { front.close() }
        for front in http2Fronts.items { front.close() }
        // Pools and this context hold each other.
        pools.removeAll()
        forgetPlaces()
    }

    /// One pass over all connections ten times a second is cheaper than a timer for each deadline of each request.
    private func runSweep() {
        assertOnLoop()
        let now = readClock()
        sweepCount &+= 1
        if sweepCount % 5 == 0 { renewDate() }
        // Closing removes from the lists: walk copies.
        for front in fronts.items where front.deadline <= now { front.deadlinePassed(now) }
        for front in http2Fronts.items { front.sweep(now) }
        for exchange in Array(asking.values) { exchange.questionDeadline(now) }
        if !queued.isEmpty { lookAtQueued(now) }
        for upstream in upstreams.items where upstream.deadline <= now { upstream.deadlinePassed(now) }
        for session in sessions.items where session.deadline <= now { session.deadlinePassed(now) }
        endParked(now)
        sharedCounters?.tick(now)
        healthChecks?.sweep(now: now)
        if sweepCount % 10 == 0 || mayHoldStreams {
            var holds = false
            for exchange in running.items where exchange.recordProgress() { holds = true }
            mayHoldStreams = holds
            if journal.hasBuffered || !rateNotes.isEmpty { scheduleTick() }
        }
    }

    /// Monotonic microseconds, so many milliseconds from now.
    func after(_ milliseconds: Int) -> Int64 { nowMicroseconds &+ Int64(milliseconds) &* 1000 }

    @discardableResult
    func readClock() -> Int64 {
        nowMicroseconds = MonotonicClock.nowMicroseconds()
        return nowMicroseconds
    }

    private func renewDate() {
        dateLine = Array("date: \(HTTPDate.string(unixSeconds: clock.nowMilliseconds() / 1000))\r\n".utf8)
    }
}
