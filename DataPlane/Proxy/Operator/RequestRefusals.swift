import Contract
import Foundation
import Primitives
import Synchronization

/// Requests that were refused before anything of them was admitted, for the control plane's audit trail.
///
/// Bounded, since whoever is refused can ask as often as he likes: between two reports a few of each caller and code are kept one by one, and
/// further ones are counted with the last of them; where there is no room for another caller, they are counted together. All of it is in
/// memory: what the control plane does not hear within `keptMicroseconds` is gone.
final class RequestRefusals: Sendable {
    /// Between two reports: in all, and of one caller and code.
    static let maximum = 32
    static let maximumOfOne = 4
    /// A report is sent every ten seconds: each refusal is in several.
    static let keptMicroseconds: Int64 = 35_000_000

    private struct Key: Hashable {
        let caller: [UInt8]
        let code: String
    }

    private struct State {
        var new: [Weir_V1_Refusal] = []
        /// How many there are of each, and where the last one stands.
        var last: [Key: (number: Int, place: Int)] = [:]
        /// Beyond the bound; the request that was the last of them.
        var unrecorded: UInt64 = 0
        var lastUnrecorded = Weir_V1_Refusal()
        var told: [(at: Int64, refusal: Weir_V1_Refusal)] = []
    }

    private let state = Mutex(State())

    func note(
        principal: Principal?, channel: String, model: String, _ id: RequestID, _ rejection: Rejection, address: String,
        atMilliseconds: Int64
    ) {
        let code = rejection.providerCode ?? "\(rejection.code)"
        let caller = principal.map { $0.id.bytes(prefix: $0.kind.idPrefix) } ?? []
        state.withLock { state in
            let key = Key(caller: caller, code: code)
            if let last = state.last[key], last.number >= Self.maximumOfOne {
                state.new[last.place].repeated &+= 1
                return
            }
            guard state.new.count < Self.maximum else {
                state.unrecorded &+= 1
                state.lastUnrecorded.requestID = Data(id.bytes)
                state.lastUnrecorded.atMs = atMilliseconds
                return
            }
            var refusal = Weir_V1_Refusal()
            refusal.requestID = Data(id.bytes)
            refusal.atMs = atMilliseconds
            refusal.status = UInt32(clamping: rejection.status)
            refusal.fault = UInt32(rejection.fault.rawValue)
            refusal.code = code
            refusal.model = model
            refusal.channel = channel
            refusal.remoteAddress = address
            if let principal { Self.name(principal, in: &refusal) }
            state.last[key] = ((state.last[key]?.number ?? 0) + 1, state.new.count)
            state.new.append(refusal)
        }
    }

    private static func name(_ principal: Principal, in refusal: inout Weir_V1_Refusal) {
        func text(_ id: IDBits, _ prefix: StaticString) -> String { String(decoding: id.bytes(prefix: prefix), as: UTF8.self) }
        refusal.tenantID = principal.tenant.id
        if let project = principal.project { refusal.projectID = project.id }
        if let user = principal.user { refusal.userID = text(user, UserEntry.idPrefix) }
        if let delegate = principal.delegate { refusal.keyID = text(delegate, KeyEntry.idPrefix) }
        let id = text(principal.id, principal.kind.idPrefix)
        switch principal.kind {
        case .key: refusal.keyID = id
        case .app: refusal.appID = id
        case .user: refusal.userID = id
        case .did: refusal.didID = id
        case .revokedGrant: break
        }
    }

    /// For a report: what was refused since the one before, and what was told a moment ago.
    /// - Parameter now: Monotonic microseconds.
    func told(now: Int64) -> [Weir_V1_Refusal] {
        state.withLock { state in
            if state.unrecorded > 0 {
                state.lastUnrecorded.code = "unrecorded"
                state.lastUnrecorded.repeated = state.unrecorded - 1
                state.new.append(state.lastUnrecorded)
                (state.unrecorded, state.lastUnrecorded) = (0, Weir_V1_Refusal())
            }
            state.told.removeAll { now - $0.at > Self.keptMicroseconds }
            for refusal in state.new { state.told.append((now, refusal)) }
            (state.new, state.last) = ([], [:])
            return state.told.map(\.refusal)
        }
    }
}
