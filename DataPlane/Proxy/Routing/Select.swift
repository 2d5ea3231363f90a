import Contract
import Formats

extension Admission {
    /// A key may be limited to some of an endpoint's credentials.
    fileprivate func mayUse(credential id: String) -> Bool {
        (onlyCredential ?? id) == id && caller.scopes?.allows(credential: id) ?? true
    }
}

/// One endpoint with the credential that opens it.
struct Candidate {
    let target: CompiledTarget
    /// Nil for a provider without authentication.
    let credential: CredentialEntry?
    /// `Authorization: Bearer …\r\n`, or empty.
    let credentialLine: [UInt8]
    /// In which the endpoint is asked: the caller's, unless the request is translated.
    var dialect = Dialect.openAI
    /// The caller did not ask for usage in its stream; Weir does.
    var asksForUsage: Bool
    /// How many names for a bound of the output its provider has refused for this request: it is known by two.
    var refusedBounds = 0
    /// What of the translated request its provider has refused.
    var refusedMembers: OptionalMembers = []
    /// The request in the endpoint's dialect, where that is another than the caller's.
    var translated: TranslatedRequest?

    /// By what an answer is bounded where the caller says nothing: newer models of OpenAI's refuse the old name, many others know only that.
    /// Nil: by what is counted as it passes.
    var boundName: StaticString? {
        switch dialect {
        case .openAI: break
        case .responses: return refusedBounds == 0 ? "max_output_tokens" : nil
        case .messages: return "max_tokens"
        }
        let isNew = endpoint.host == "api.openai.com" || endpoint.flavour == .azure || endpoint.host.hasSuffix(".openai.azure.com")
        switch refusedBounds {
        case 0: return isNew ? "max_completion_tokens" : "max_tokens"
        case 1: return isNew ? "max_tokens" : "max_completion_tokens"
        default: return nil
        }
    }

    var endpoint: CompiledEndpoint { target.endpoint }
}

/// The fourth stage: which endpoint, with which credential; and which one after it, should that fail before a byte has reached the
/// caller. Each choice is made anew, by the route's strategy, among what is left: those in good standing first, then those whose provider
/// said when to come back, then endpoints that failed lately, and last, rather than never, what only a refused credential opens. Of equal
/// standing, the targets of a lower priority number come first.
struct RoutePlan {
    private let route: CompiledRoute
    let strategy: RouteStrategy
    /// Targets that are out of the question.
    private var closed: UInt64
    private var tried: UInt64
    private var left: Int
    /// Rounds beyond the first one, in which each target was asked.
    private var repeats: Int
    private var random: UInt64
    /// Credentials that were refused during this request. Empty, and so without storage, for most requests.
    private var refused: [String] = []

    /// A refused credential's endpoint is tried again with another one, without counting as another endpoint; not for ever.
    private static let maximumRefusals = 8

    /// - Parameters:
    ///   - strategy: nil: the route's own.
    ///   - only: the targets that are in question.
    init(_ route: CompiledRoute, random: UInt64, strategy: RouteStrategy? = nil, only: UInt64 = .max) {
        self.route = route
        self.strategy = strategy ?? route.strategy
        closed = only == .max ? 0 : ~only
        tried = closed
        left = route.maxAttempts
        repeats = max(0, route.maxAttempts - route.targets.count)
        self.random = random
    }

    /// No other targets than these are in question any more.
    mutating func keep(to only: UInt64) {
        closed |= ~only
        tried |= closed
    }

    /// The next candidate, or nil when none is left.
    /// - Parameter full: bit i is set where target i takes no more at the moment: another one of as good a standing is next, and with none,
    ///   nil, rather than one of a worse standing: see `worthWaiting`.
    /// - Parameter onlyWell: nil, too, rather than one that is not in good standing.
    mutating func next(
        _ health: HealthView, _ admission: Admission, now: Int64, full: UInt64 = 0, onlyWell: Bool = false
    ) -> Candidate? {
        guard left > 0 else { return nil }
        let awaited = full & ~tried == 0 ? nil : best(of: full, health, admission, now)?.rank
        if tried != closed { random = Self.mixed(random) }
        var limit: Rank? = health.isQuiet ? .refused : .well
        while let rank = limit {
            var excluded = tried | full
            if rank != .refused {
                for (index, target) in route.targets.enumerated() where self.rank(target, health, admission, now) > rank {
                    excluded |= 1 << UInt64(index)
                }
            }
            for tier in route.tiers where rank != .cooling {
                var outside = excluded | ~tier
                // A target without any credential that can be sent is passed over.
                while let index = pick(excluding: outside, admission, now) {
                    outside |= 1 << UInt64(index)
                    guard let candidate = candidate(route.targets[index], health, admission, now),
                        // One request at a time finds out whether what failed works again.
                        rank == .refused || health.takeProbes(candidate, now: now)
                    else { continue }
                    return take(index, candidate)
                }
            }
            if rank == .cooling, let (index, candidate) = leastBad(excluding: excluded, health, admission, now) {
                return take(index, candidate)
            }
            if let awaited, awaited <= rank { return nil }
            if onlyWell { return nil }
            limit = Rank(rawValue: rank.rawValue + 1)
        }
        return nil
    }

    /// The endpoint that was given last cannot be asked what the request asks: it was no attempt.
    mutating func giveBack() { left += 1 }

    /// Places among the route's targets, and candidates, of those that are full, are left to be tried, and have the best standing.
    func worthWaiting(_ full: UInt64, _ health: HealthView, _ admission: Admission, now: Int64) -> [(index: Int, candidate: Candidate)] {
        left > 0 ? best(of: full, health, admission, now)?.targets ?? [] : []
    }

    private func best(
        of full: UInt64, _ health: HealthView, _ admission: Admission, _ now: Int64
    ) -> (rank: Rank, targets: [(index: Int, candidate: Candidate)])? {
        var found: (rank: Rank, targets: [(index: Int, candidate: Candidate)])?
        for (index, target) in route.targets.enumerated() where full & ~tried & 1 << UInt64(index) != 0 {
            guard let candidate = candidate(target, health, admission, now) else { continue }
            let rank = rank(target, health, admission, now)
            if let best = found?.rank, rank > best { continue }
            if found?.rank == rank { found?.targets.append((index, candidate)) } else { found = (rank, [(index, candidate)]) }
        }
        return found
    }

    /// Some target is left to be tried, whatever its standing.
    var hasMore: Bool { left > 0 && route.targets.indices.contains { tried & 1 << UInt64($0) == 0 } }

    /// A target that was waited for is tried.
    mutating func take(_ index: Int) {
        tried |= 1 << UInt64(index)
        left -= 1
    }

    /// Targets that were waited for in vain.
    mutating func pass(over indices: [Int]) { for index in indices { tried |= 1 << UInt64(index) } }

    private mutating func take(_ index: Int, _ candidate: Candidate) -> Candidate {
        tried |= 1 << UInt64(index)
        left -= 1
        return candidate
    }

    /// Of what failed lately, what would be asked again first: somebody is asked, and nobody refused for want of a good endpoint.
    private func leastBad(excluding excluded: UInt64, _ health: HealthView, _ admission: Admission, _ now: Int64) -> (Int, Candidate)? {
        var best: (index: Int, candidate: Candidate, until: Int64)?
        for tier in route.tiers {
            for (index, target) in route.targets.enumerated() where (excluded | ~tier) & (1 << UInt64(index)) == 0 {
                guard let candidate = candidate(target, health, admission, now) else { continue }
                let until = health.blockedUntil(candidate)
                if best.map({ until < $0.until }) ?? true { best = (index, candidate, until) }
            }
        }
        return best.map { ($0.index, $0.candidate) }
    }

    /// Where the route allows more attempts than it has targets: all of them are open again, to be asked after a pause.
    mutating func again(_ health: HealthView, _ admission: Admission, now: Int64) -> Candidate? {
        guard repeats > 0, left > 0 else { return nil }
        repeats -= 1
        tried = closed
        random = Self.mixed(random)
        return next(health, admission, now: now)
    }

    @inline(__always)
    private func pick(excluding tried: UInt64, _ admission: Admission, _ now: Int64) -> Int? {
        if strategy == .weighted { return route.pick(random: random, excluding: tried) }
        return route.pick(strategy, random: random, excluding: tried, admission.choice(now: now))
    }

    /// After a credential was refused or limited: the same endpoint with another one, if there is any in good standing.
    mutating func another(than candidate: Candidate, _ health: HealthView, _ admission: Admission, now: Int64) -> Candidate? {
        guard let credential = candidate.credential, refused.count < Self.maximumRefusals else { return nil }
        refused.append(credential.id)
        guard let other = self.candidate(candidate.target, health, admission, now, without: refused), let second = other.credential,
            standing(second, other.target, health, admission, now) == .well
        else { return nil }
        return other
    }

    /// The better comes first.
    private enum Rank: Int, Comparable {
        case well
        case limited
        case cooling
        case refused

        static func < (a: Rank, b: Rank) -> Bool { a.rawValue < b.rawValue }
    }

    private func rank(_ target: CompiledTarget, _ health: HealthView, _ admission: Admission, _ now: Int64) -> Rank {
        var best = Rank.refused
        if target.endpoint.authScheme == .none {
            best = standing(nil, target, health, admission, now)
        } else {
            for id in target.endpoint.credentialIDs where best > .well {
                guard admission.mayUse(credential: id), let credential = admission.snapshot.credentials[id] else { continue }
                best = min(best, standing(credential, target, health, admission, now))
            }
        }
        return health.isCooling(target, now: now) ? max(best, .cooling) : best
    }

    /// Of a credential at a target; nil for one that takes none.
    private func standing(
        _ credential: CredentialEntry?, _ target: CompiledTarget, _ health: HealthView, _ admission: Admission, _ now: Int64
    ) -> Rank {
        if let credential, health.isRefused(credential, admission.capability, now: now) { return .refused }
        if health.isTripped(target, credential, now: now) { return .cooling }
        return health.isLimited(target, credential, now: now) ? .limited : .well
    }

    /// The target with a credential of its rotation: one in good standing, else a limited one, else one that was refused lately.
    private func candidate(
        _ target: CompiledTarget, _ health: HealthView, _ admission: Admission, _ now: Int64, without excluded: [String] = []
    ) -> Candidate? {
        guard let dialect = target.endpoint.dialect(for: admission.caller.dialect, admission.capability) else { return nil }
        // Of the dialects only chat completions have to be asked for it, and OpenRouter gives it unasked.
        let asks =
            admission.isStreaming && dialect == .openAI && !admission.clientWantsUsage && target.endpoint.flavour != .openRouter
            && health.takesUsageRequests(target.endpoint, now: now)
        if target.endpoint.authScheme == .none {
            return Candidate(target: target, credential: nil, credentialLine: [], dialect: dialect, asksForUsage: asks)
        }
        let ids = target.endpoint.credentialIDs
        guard !ids.isEmpty else { return nil }
        let vault = admission.snapshot.credentials
        let start = Int(truncatingIfNeeded: random >> 8 & 0xFFFF)
        var best: (candidate: Candidate, standing: Rank)?
        for offset in 0..<ids.count {
            let id = ids[(start + offset) % ids.count]
            guard let credential = vault[id], let line = credential.headerLine(at: target.endpoint), !excluded.contains(id),
                admission.mayUse(credential: id)
            else {
                continue
            }
            let candidate = Candidate(target: target, credential: credential, credentialLine: line, dialect: dialect, asksForUsage: asks)
            let standing = self.standing(credential, target, health, admission, now)
            if standing == .well { return candidate }
            if best.map({ standing < $0.standing }) ?? true { best = (candidate, standing) }
        }
        return best?.candidate
    }

    /// SplitMix64's output function: bits that say nothing of those before.
    static func mixed(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

extension Admission {
    /// What it would cost is guessed by what the caller asked for at most, else by an answer as long as the input.
    func choice(now: Int64) -> ChoiceContext {
        let bound = [members.maxTokens?.value, members.maxCompletionTokens?.value].compactMap(\.self).max() ?? estimatedInputTokens
        let most = model.maxOutputTokens > 0 ? model.maxOutputTokens : .max
        return ChoiceContext(
            now: now, wallMilliseconds: admittedAt / 1000, inputTokens: estimatedInputTokens,
            outputTokens: capability == .embeddings ? 0 : min(max(0, bound), most))
    }
}
