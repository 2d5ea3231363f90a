import Contract

/// The fourth stage: which endpoint, with which credential; and which one after it, should that fail before a byte has reached the
/// caller. Made from an `Admission`: nothing is routed that was not admitted.
struct RoutePlan {
    struct Attempt {
        let target: CompiledTarget
        /// `Authorization: Bearer …\r\n`, or empty for a provider without authentication.
        let credentialLine: [UInt8]
        let credentialID: String
    }

    private let route: CompiledRoute
    private var tried: UInt64 = 0
    private var left: Int
    private var random: UInt64

    init(_ admission: Admission) {
        route = admission.route
        left = admission.route.maxAttempts
        random = admission.random
    }

    var routeIDBytes: [UInt8] { route.idBytes }
    var hasMore: Bool { left > 0 && (0..<route.targets.count).contains { tried & 1 << UInt64($0) == 0 } }

    /// The next attempt by weight, or nil when none is left. Endpoints that could not be reached lately come last; one without a usable
    /// credential is passed over, and the reason left in the exchange.
    mutating func next(_ exchange: Exchange) -> Attempt? {
        guard left > 0 else { return nil }
        let health = exchange.loop.recentFailures
        let now = exchange.loop.nowMicroseconds
        while let index = pick(health, now) {
            tried |= 1 << UInt64(index)
            let target = route.targets[index]
            guard target.endpoint.authScheme != .none else {
                left -= 1
                return Attempt(target: target, credentialLine: [], credentialID: "")
            }
            if let attempt = credential(for: target, exchange, health, now) {
                left -= 1
                return attempt
            }
            if exchange.lastFailure == nil { exchange.lastFailure = .noCredential() }
        }
        return nil
    }

    /// After the provider refused a credential: the same endpoint may be tried again with another one.
    mutating func retry(_ target: CompiledTarget, _ exchange: Exchange) -> Attempt? {
        credential(for: target, exchange, exchange.loop.recentFailures, exchange.loop.nowMicroseconds)
    }

    private func pick(_ health: UpstreamHealth, _ now: Int64) -> Int? {
        var cooling: UInt64 = 0
        for (index, target) in route.targets.enumerated() where health.isEndpointCooling(target.endpoint.id, now: now) {
            cooling |= 1 << UInt64(index)
        }
        if cooling != 0, let index = route.pick(random: random, excluding: tried | cooling) { return index }
        return route.pick(random: random, excluding: tried)
    }

    private func credential(for target: CompiledTarget, _ exchange: Exchange, _ health: UpstreamHealth, _ now: Int64) -> Attempt? {
        let ids = target.endpoint.credentialIDs
        guard !ids.isEmpty, let vault = exchange.snapshot?.credentials else { return nil }
        let start = Int(truncatingIfNeeded: random >> 8 & 0xFFFF)
        for offset in 0..<ids.count {
            let id = ids[(start + offset) % ids.count]
            if health.isCredentialUsable(id, now: now), let line = vault.headerLine(for: id, at: target.endpoint) {
                return Attempt(target: target, credentialLine: line, credentialID: id)
            }
        }
        return nil
    }
}
