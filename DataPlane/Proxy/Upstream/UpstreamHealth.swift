import Formats
import Logging
import Synchronization

/// What the data plane has learnt of endpoints and credentials lately: one table for all its loops. Changes are rare and take a lock; a
/// loop reads its own copy, which costs one atomic load to find still good.
final class UpstreamHealth: Sendable {
    enum Subject: Hashable, Sendable {
        /// The endpoint does not know the model by the name that the route gives it.
        case model(endpoint: String, name: String)
        case credential(String)
        /// The credential lacks what one capability needs.
        case scope(credential: String, RequestTarget.Capability)
        /// The provider has said when to come back, to this endpoint with this credential; empty where none is sent.
        case rateLimit(endpoint: String, credential: String)
        /// The endpoint takes no `stream_options`: usage is not asked for there.
        case usageRequest(endpoint: String)
        /// The model does not take a member of translated requests.
        case member(endpoint: String, model: String, OptionalMembers)
    }

    struct Trouble: Sendable {
        /// Monotonic microseconds.
        let until: Int64
        /// Of the credential: what another revision of it did says nothing of this one.
        let revision: UInt64
    }

    typealias Table = [Subject: Trouble]

    /// What a breaker stands before.
    struct BreakerKey: Hashable, Sendable {
        let endpoint: String
        /// Empty where none is sent; nil: whether anybody answers at all there, whatever is sent.
        let credential: String?
    }

    /// One for all loops. Made by a failure, and gone when there is nothing more to remember: what works has none.
    final class BreakerCell: Sendable {
        private let breaker = Mutex(Breaker())

        func with<Result: Sendable>(_ body: (inout sending Breaker) -> sending Result) -> Result { breaker.withLock(body) }
    }

    typealias Breakers = [BreakerKey: BreakerCell]

    private let table = Mutex<Table>([:])
    private let breakers = Mutex<Breakers>([:])
    /// Times that a breaker opened.
    let openings = Atomic<UInt64>(0)
    let breakerSettings: Breaker.Settings
    private let generation = Atomic<UInt64>(0)
    private let logger: Logger

    init(logger: Logger, breakers settings: Breaker.Settings = Breaker.Settings()) {
        self.logger = logger
        breakerSettings = settings
    }

    /// - Parameter words: the provider's, cleaned, or ours; for the operator.
    func report(_ subject: Subject, until: Int64, revision: UInt64 = 0, now: Int64, words: @autoclosure () -> String) {
        let isNews = table.withLock { table in
            let known = table[subject]
            for (old, trouble) in table where trouble.until <= now { table[old] = nil }
            table[subject] = Trouble(until: until, revision: revision)
            generation.wrappingAdd(1, ordering: .releasing)
            return known.map { $0.until <= now || $0.revision != revision } ?? true
        }
        guard isNews else { return }
        switch subject {
        // One line for each of these, however often they are tried again: `EndpointStates`.
        case .credential, .rateLimit: break
        case .model(let id, let name):
            logger.error(
                "an endpoint does not serve a model that a route sends it: it is tried last",
                metadata: ["endpoint": "\(id)", "upstream_model": "\(name)", "provider_says": "\(words())"])
        case .usageRequest(let id):
            logger.notice(
                "an endpoint does not take stream_options: usage of its streams is estimated",
                metadata: ["endpoint": "\(id)", "provider_says": "\(words())"])
        case .member(let id, let name, _):
            logger.notice(
                "a model does not take a member that translations write: it is left out",
                metadata: ["endpoint": "\(id)", "upstream_model": "\(name)", "provider_says": "\(words())"])
        case .scope(let id, let capability):
            logger.error(
                "a credential lacks a permission: it is tried last for that capability",
                metadata: ["credential": "\(id)", "capability": "\(capability.word)", "provider_says": "\(words())"])
        }
    }

    /// Something that had failed did what it should.
    func recovered(_ subject: Subject) {
        table.withLock { table in
            guard table.removeValue(forKey: subject) != nil else { return }
            generation.wrappingAdd(1, ordering: .releasing)
        }
    }

    /// Troubles that have not passed, for health and metrics.
    func troubles(now: Int64) -> Table { table.withLock { $0.filter { $0.value.until > now } } }

    /// Credentials that are tried last because their provider refused them.
    func refusedCredentials(now: Int64) -> [String] {
        troubles(now: now).keys.compactMap { subject in
            if case .credential(let id) = subject { id } else { nil }
        }.sorted()
    }

    /// Brings a loop's copy up to date.
    fileprivate func refresh(_ seen: inout UInt64, _ copy: inout Table, _ breakers: inout Breakers) {
        let current = generation.load(ordering: .acquiring)
        guard current != seen else { return }
        // What changes from here on raises the generation again.
        seen = current
        copy = table.withLock { $0 }
        breakers = self.breakers.withLock { $0 }
    }

    // MARK: Breakers

    /// The end of an attempt, for one breaker. Where there is none, only a failure makes one.
    func ended(_ key: BreakerKey, failed: Bool, isProof: Bool = false, startedAt: Int64, now: Int64, words: @autoclosure () -> String) {
        guard let cell = failed ? make(key) : breakers.withLock({ $0[key] }) else { return }
        let settings = breakerSettings
        let jitter = UInt64.random(in: 0...UInt64.max)
        let change = cell.with {
            $0.ended(failed: failed, isProof: isProof, startedAt: startedAt, now: now, jitter: jitter, settings)
        }
        var about: Logger.Metadata = ["endpoint": "\(key.endpoint)"]
        if let credential = key.credential, !credential.isEmpty { about["credential"] = "\(credential)" }
        switch change {
        case .opened?:
            openings.wrappingAdd(1, ordering: .relaxed)
            about["reason"] = "\(words())"
            logger.warning("an endpoint fails too often: others are asked first, until a probe of it works", metadata: about)
        case .reopened?: openings.wrappingAdd(1, ordering: .relaxed)
        case .closed?: logger.notice("a probe of an endpoint worked: it is asked like the others again", metadata: about)
        case nil: break
        }
    }

    private func make(_ key: BreakerKey) -> BreakerCell? {
        breakers.withLock { breakers in
            if let known = breakers[key] { return known }
            guard breakers.count < Self.maximumBreakers else { return nil }
            let cell = BreakerCell()
            breakers[key] = cell
            generation.wrappingAdd(1, ordering: .releasing)
            return cell
        }
    }

    /// Endpoints and credentials come from configurations; more of them in trouble at one time are asked as if they were well.
    private static let maximumBreakers = 4096

    /// Lets go of what there is nothing more to remember of. Called now and then.
    func settle(now: Int64) {
        let settings = breakerSettings
        breakers.withLock { breakers in
            let before = breakers.count
            breakers = breakers.filter { !$0.value.with { $0.isIdle(now: now, settings) } }
            if breakers.count != before { generation.wrappingAdd(1, ordering: .releasing) }
        }
    }

    /// What is not closed, for the operator.
    func openBreakers() -> [BreakerKey: Breaker.State] {
        breakers.withLock { $0 }.mapValues { $0.with { $0.state } }.filter { $0.value != .closed }
    }
}

/// One loop's view of the health of everything.
struct HealthView {
    let shared: UpstreamHealth
    private var seen: UInt64 = 0
    private var table: UpstreamHealth.Table = [:]
    private var breakers: UpstreamHealth.Breakers = [:]

    init(_ shared: UpstreamHealth) { self.shared = shared }

    /// To be called before a request asks.
    mutating func refresh() { shared.refresh(&seen, &table, &breakers) }

    /// Nothing is known to be wrong with anything.
    var isQuiet: Bool { table.isEmpty && breakers.isEmpty }

    /// Nobody answers there, or not to that model's name.
    func isCooling(_ target: CompiledTarget, now: Int64) -> Bool {
        if isQuiet { return false }
        return isBlocked(target.endpoint, nil, now) || isIn(.model(endpoint: target.endpoint.id, name: target.upstreamModel), now)
    }

    /// Whether what was sent there with that credential failed too often lately.
    func isTripped(_ target: CompiledTarget, _ credential: CredentialEntry?, now: Int64) -> Bool {
        breakers.isEmpty ? false : isBlocked(target.endpoint, credential?.id ?? "", now)
    }

    private func isBlocked(_ endpoint: CompiledEndpoint, _ credential: String?, _ now: Int64) -> Bool {
        guard !breakers.isEmpty, let cell = breakers[.init(endpoint: endpoint.id, credential: credential)] else { return false }
        return cell.with { $0.isBlocked(now: now, shared.breakerSettings) }
    }

    /// Whether a request may go there; where it is the probe of a breaker, it is from now on.
    func takeProbes(_ candidate: Candidate, now: Int64) -> Bool {
        if breakers.isEmpty { return true }
        for key in Self.breakerKeys(candidate) {
            guard let cell = breakers[key] else { continue }
            if !cell.with({ $0.takeProbe(now: now, shared.breakerSettings) }) { return false }
        }
        return true
    }

    /// When it would be asked again; 0: now.
    func blockedUntil(_ candidate: Candidate) -> Int64 {
        if breakers.isEmpty { return 0 }
        return Self.breakerKeys(candidate).reduce(0) { max($0, breakers[$1]?.with { $0.blockedUntil } ?? 0) }
    }

    private static func breakerKeys(_ candidate: Candidate) -> [UpstreamHealth.BreakerKey] {
        [
            .init(endpoint: candidate.endpoint.id, credential: nil),
            .init(endpoint: candidate.endpoint.id, credential: candidate.credential?.id ?? ""),
        ]
    }

    func isRefused(_ credential: CredentialEntry, _ capability: RequestTarget.Capability, now: Int64) -> Bool {
        if table.isEmpty { return false }
        return isIn(.credential(credential.id), now, credential.revision)
            || isIn(.scope(credential: credential.id, capability), now, credential.revision)
    }

    /// Whether the provider said that it would refuse more of it for now.
    func isLimited(_ target: CompiledTarget, _ credential: CredentialEntry?, now: Int64) -> Bool {
        table.isEmpty ? false : isIn(Self.limit(target, credential), now, credential?.revision ?? 0)
    }

    private static func limit(_ target: CompiledTarget, _ credential: CredentialEntry?) -> UpstreamHealth.Subject {
        .rateLimit(endpoint: target.endpoint.id, credential: credential?.id ?? "")
    }

    /// Whether an endpoint may be asked to state usage in its streams.
    func takesUsageRequests(_ endpoint: CompiledEndpoint, now: Int64) -> Bool {
        table.isEmpty || !isIn(.usageRequest(endpoint: endpoint.id), now)
    }

    /// What translated requests to a model go without, since its provider refused it.
    func refusedMembers(_ target: CompiledTarget, now: Int64) -> OptionalMembers {
        var members: OptionalMembers = []
        guard !table.isEmpty else { return members }
        for case .member(target.endpoint.id, target.upstreamModel, let member) in table.keys
        where isIn(.member(endpoint: target.endpoint.id, model: target.upstreamModel, member), now) {
            members.formUnion(member)
        }
        return members
    }

    func knows(_ subject: UpstreamHealth.Subject) -> Bool { table[subject] != nil }

    private func isIn(_ subject: UpstreamHealth.Subject, _ now: Int64, _ revision: UInt64 = 0) -> Bool {
        guard let trouble = table[subject] else { return false }
        return trouble.until > now && trouble.revision == revision
    }
}

extension HealthView {
    /// What the end of an attempt says of its endpoint and credential.
    func note(_ attempt: Attempt, _ outcome: AttemptOutcome, _ loop: LoopContext) {
        let candidate = attempt.candidate
        noteBreakers(attempt, outcome, now: loop.nowMicroseconds)
        switch outcome.ending {
        case .refused(let error, let wait):
            if error.concern == .rateLimit || error.status == 429 && !error.isProven, let wait {
                noteLimit(candidate, milliseconds: wait, loop)
            }
            if error.isProven { blame(candidate, error, attempt.admission, loop) }
        case .answered:
            blameForRefusals(ahead: attempt, loop)
            if let complaint = Self.complaint(ahead: attempt) {
                shared.report(
                    .usageRequest(endpoint: candidate.endpoint.id), until: loop.after(Self.usageRequestMilliseconds),
                    now: loop.nowMicroseconds, words: complaint.shown?.message ?? "status \(complaint.status)")
            }
            if !candidate.refusedMembers.isEmpty { noteMembers(attempt, loop) }
            if isQuiet { return }
            var known: [UpstreamHealth.Subject] = [
                .model(endpoint: candidate.endpoint.id, name: candidate.target.upstreamModel),
                .credential(candidate.credential?.id ?? ""),
                .scope(credential: candidate.credential?.id ?? "", attempt.admission.capability),
            ]
            // What the answer's own head said of the limit is newer than that it was one.
            if !attempt.reachedLimit { known.append(Self.limit(candidate.target, candidate.credential)) }
            for subject in known where knows(subject) { shared.recovered(subject) }
        case .unusable, .unreachable, .exhausted, .notBegun, .lost, .broken, .abandoned: return
        }
    }

    /// Two breakers hear of an attempt: whether anybody answers there at all, and whether this credential's requests are served.
    private func noteBreakers(_ attempt: Attempt, _ outcome: AttemptOutcome, now: Int64) {
        let failed = outcome.blamesEndpoint
        // Of what works nothing is kept.
        if breakers.isEmpty, failed != true { return }
        let keys = Self.breakerKeys(attempt.candidate)
        if case .unreachable(let detail, _) = outcome.ending, failed == true {
            shared.ended(keys[0], failed: true, isProof: true, startedAt: attempt.startedAt, now: now, words: detail)
            passOver(keys[1], attempt, now)
            return
        }
        if outcome.sentUpstream {
            if breakers[keys[0]] != nil { shared.ended(keys[0], failed: false, startedAt: attempt.startedAt, now: now, words: "") }
        } else {
            passOver(keys[0], attempt, now)
        }
        switch failed {
        case true?:
            shared.ended(
                keys[1], failed: true, startedAt: attempt.startedAt, now: now, words: outcome.rejection.detail ?? outcome.rejection.message)
        case false? where breakers[keys[1]] != nil:
            shared.ended(keys[1], failed: false, startedAt: attempt.startedAt, now: now, words: "")
        case false?: break
        case nil: passOver(keys[1], attempt, now)
        }
    }

    private func passOver(_ key: UpstreamHealth.BreakerKey, _ attempt: Attempt, _ now: Int64) {
        breakers[key]?.with { $0.passedOver(startedAt: attempt.startedAt, now: now) }
    }

    /// An answer begins to pass: a probe has worked, however long the rest of it takes.
    func noteAnswer(_ attempt: Attempt, now: Int64) {
        if breakers.isEmpty { return }
        for key in Self.breakerKeys(attempt.candidate) {
            guard let cell = breakers[key], cell.with({ $0.state != .closed }) else { continue }
            shared.ended(key, failed: false, startedAt: attempt.startedAt, now: now, words: "")
        }
    }

    /// As long as the provider said, so that the others of a route are asked meanwhile: it has refused a request, or says that nothing is left.
    func noteLimit(_ candidate: Candidate, milliseconds: Int64, _ loop: LoopContext) {
        let subject = Self.limit(candidate.target, candidate.credential)
        let until = loop.after(Int(clamping: min(milliseconds, Self.maximumLimitMilliseconds)))
        // Each refusal of many says about the same.
        if let known = table[subject], until &- known.until < Self.sameLimitMicroseconds, known.until > loop.nowMicroseconds { return }
        shared.report(subject, until: until, revision: candidate.credential?.revision ?? 0, now: loop.nowMicroseconds, words: "")
    }

    /// A provider that names a day is asked again now and then all the same.
    private static let maximumLimitMilliseconds: Int64 = 600_000
    private static let sameLimitMicroseconds: Int64 = 250_000

    private func blame(_ candidate: Candidate, _ error: ProviderError, _ admission: Admission, _ loop: LoopContext) {
        guard let subject = Self.blamed(error, candidate, admission) else { return }
        shared.report(
            subject, until: loop.after(loop.settings.credentialCooldown),
            revision: error.concern.isOfCredential ? candidate.credential?.revision ?? 0 : 0,
            now: loop.nowMicroseconds, words: error.shown?.message ?? "status \(error.status)")
    }

    /// What a message alone says of a credential is believed once the same bytes, at the same endpoint, were answered with another one: the
    /// caller's text, which the message may quote, cannot have been the reason.
    private func blameForRefusals(ahead attempt: Attempt, _ loop: LoopContext) {
        for ended in attempt.exchange.earlier {
            guard case .refused(let error, _) = ended.outcome.ending, error.concern.isOfCredential, !error.isProven,
                let refused = ended.candidate.credential, refused.id != attempt.candidate.credential?.id,
                ended.candidate.target === attempt.candidate.target, ended.candidate.asksForUsage == attempt.candidate.asksForUsage
            else { continue }
            blame(ended.candidate, error, attempt.admission, loop)
            loop.endpointStates.ended(
                ended.candidate.endpoint, credentialID: refused.id, .answered(status: ended.outcome.providerStatus),
                refusesCredential: error.concern != .scope, isFailure: nil,
                detail: error.shown?.message ?? "", now: loop.nowMicroseconds)
        }
    }

    private static func blamed(_ error: ProviderError, _ candidate: Candidate, _ admission: Admission) -> UpstreamHealth.Subject? {
        switch error.concern {
        case .credential, .account: return candidate.credential.map { .credential($0.id) }
        case .scope: return candidate.credential.map { .scope(credential: $0.id, admission.capability) }
        case .model, .endpoint: return .model(endpoint: candidate.endpoint.id, name: candidate.target.upstreamModel)
        case .request, .content, .addedMember, .rateLimit, .fault, .unknown: return nil
        }
    }

    /// What the provider said of a question for usage, where the caller's own bytes then did. Its words alone prove nothing: they may be a
    /// quotation of the caller's.
    private static func complaint(ahead attempt: Attempt) -> ProviderError? {
        guard let last = attempt.exchange.earlier.last, last.candidate.target === attempt.candidate.target,
            case .refused(let error, _) = last.outcome.ending, error.concern == .addedMember
        else { return nil }
        return error
    }

    /// What the request went without and was answered, at the same model.
    private func noteMembers(_ attempt: Attempt, _ loop: LoopContext) {
        let candidate = attempt.candidate
        for ended in attempt.exchange.earlier {
            guard case .refused(let error, _) = ended.outcome.ending, !error.refusedMembers.isEmpty, error.refusesAnyValue,
                ended.candidate.target === candidate.target
            else { continue }
            shared.report(
                .member(endpoint: candidate.endpoint.id, model: candidate.target.upstreamModel, error.refusedMembers),
                until: loop.after(Self.usageRequestMilliseconds), now: loop.nowMicroseconds,
                words: error.shown?.message ?? "status \(error.status)")
        }
    }

    /// What an endpoint understands changes with its software.
    private static let usageRequestMilliseconds = 6 * 3_600_000
}
