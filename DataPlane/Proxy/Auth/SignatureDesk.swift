package import Primitives
import Synchronization

/// What all loops share for proofs by signature: nonces that were used, and keys whose signatures were wrong too often.
package final class SignatureDesk: Sendable {
    package let nonces: NonceMemory
    let freezes: KeyFreezes
    let proxies: TrustedProxies
    let newcomers: NewcomerGate

    package init(
        nonces: NonceMemory = NonceMemory(), freezes: KeyFreezes = KeyFreezes(), proxies: TrustedProxies = .none,
        newcomers: NewcomerGate = NewcomerGate()
    ) {
        self.newcomers = newcomers
        self.nonces = nonces
        self.freezes = freezes
        self.proxies = proxies
    }

    /// With what earlier processes kept, and what carries it on: nothing is taken before the pipeline says that it has recovered.
    static func make(
        _ settings: ProxySettings, store: LocalStore, clock: any WallClock
    ) throws -> (desk: SignatureDesk, keeper: NonceKeeper) {
        let nonces = NonceMemory(skewSeconds: Int64(settings.signatureSkew), maximum: settings.maxNonces, isReady: false)
        let desk = SignatureDesk(
            nonces: nonces, freezes: KeyFreezes(failures: settings.freezeAfter, durationMilliseconds: Int64(settings.freezeTime)),
            proxies: TrustedProxies(settings.trustedProxies.joined(separator: ",")) ?? .none,
            newcomers: NewcomerGate(each: settings.newDIDsPerAddress))
        return (desk, try NonceKeeper(memory: nonces, store: store, clock: clock))
    }
}

/// Keys whose holder, or somebody who claims to be, signed wrongly too often: their signatures are not looked at for a while.
package final class KeyFreezes: Sendable {
    package struct Frozen: Sendable, Hashable {
        package let key: IDBits
        /// Unix milliseconds.
        package let until: Int64
    }

    private struct Record {
        var failures = 0
        var windowEnds: Int64 = 0
        var frozenUntil: Int64 = 0
    }

    private struct State {
        var records: [IDBits: Record] = [:]
        /// Frozen by the control plane's word: by this or another data plane, or by an administrator.
        var ordered: [IDBits: Int64] = [:]
        /// Frozen here, and of which no document of bans has told yet; until when.
        var untold: [IDBits: Int64] = [:]
        var onFreeze: (@Sendable () -> Void)?
    }

    /// Keys whose failures are remembered; beyond, those that are over are let go, and then the oldest.
    private static let maximumKeys = 10_000
    private let failures: Int
    private let window: Int64
    private let duration: Int64
    private let state = Mutex(State())
    /// While there is none, no lock is taken.
    private let known = Atomic<Int>(0)

    /// - Parameters:
    ///   - failures: how many within `windowMilliseconds` freeze a key for `durationMilliseconds`; 0: none ever.
    package init(failures: Int = 20, windowMilliseconds: Int64 = 60_000, durationMilliseconds: Int64 = 300_000) {
        self.failures = failures
        window = windowMilliseconds
        duration = durationMilliseconds
    }

    /// Until when the key is frozen; nil when it is not.
    func frozenUntil(_ key: IDBits, nowMilliseconds now: Int64) -> Int64? {
        guard known.load(ordering: .acquiring) > 0 else { return nil }
        return state.withLock { state in
            let until = max(state.records[key]?.frozenUntil ?? 0, state.ordered[key] ?? 0)
            return until > now ? until : nil
        }
    }

    /// A signature in the key's name was wrong.
    /// - Returns: whether that froze it.
    func failed(_ key: IDBits, nowMilliseconds now: Int64) -> Bool {
        guard failures > 0 else { return false }
        let (freezes, listener) = state.withLock { state in
            let until = count(key, now, &state.records)
            if let until { state.untold[key] = until }
            known.store(state.records.count + state.ordered.count, ordering: .releasing)
            return (until != nil, until == nil ? nil : state.onFreeze)
        }
        listener?()
        return freezes
    }

    /// - Returns: until when this one froze the key; nil: it did not.
    private func count(_ key: IDBits, _ now: Int64, _ records: inout [IDBits: Record]) -> Int64? {
        if records[key] == nil, records.count >= Self.maximumKeys {
            records = records.filter { $0.value.windowEnds > now || $0.value.frozenUntil > now }
            if records.count >= Self.maximumKeys, let oldest = records.min(by: { $0.value.windowEnds < $1.value.windowEnds }) {
                records[oldest.key] = nil
            }
        }
        var record = records[key] ?? Record()
        if record.windowEnds <= now { (record.failures, record.windowEnds) = (0, now &+ window) }
        record.failures += 1
        let freezes = record.failures >= failures && record.frozenUntil <= now
        if freezes { (record.frozenUntil, record.failures) = (now &+ duration, 0) }
        records[key] = record
        return freezes ? record.frozenUntil : nil
    }

    /// What the bans say now. Who was lifted is no more frozen here, either, and what they tell of needs no telling.
    func take(_ ordered: [IDBits: Int64]) {
        state.withLock { state in
            for key in state.ordered.keys where ordered[key] == nil { state.records[key]?.frozenUntil = 0 }
            for key in ordered.keys { state.untold[key] = nil }
            state.ordered = ordered
            known.store(state.records.count + ordered.count, ordering: .releasing)
        }
    }

    /// Calls `listener` whenever a key freezes here, from any thread; nil: nobody any more.
    func onFreeze(_ listener: (@Sendable () -> Void)?) { state.withLock { $0.onFreeze = listener } }

    /// Frozen here, and of which no document of bans has told yet.
    func untold(nowMilliseconds now: Int64, maximum: Int) -> [Frozen] {
        state.withLock { state in
            state.untold = state.untold.filter { $0.value > now }
            return state.untold.prefix(maximum).map { Frozen(key: $0.key, until: $0.value) }
        }
    }

    /// Those that were frozen here and are so now.
    package func frozen(nowMilliseconds now: Int64) -> [Frozen] {
        state.withLock { state in
            state.records.compactMap { $0.value.frozenUntil > now ? Frozen(key: $0.key, until: $0.value.frozenUntil) : nil }
        }
    }
}
