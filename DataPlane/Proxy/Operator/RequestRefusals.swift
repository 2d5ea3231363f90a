import Contract
import Foundation
import Primitives
import Synchronization

/// Requests that were refused before anything of them was admitted, for the control plane's audit trail.
///
/// Bounded, since whoever is refused can ask as often as he likes: between two reports a few of each caller and code are kept one by one, and
/// further ones are counted with the last of them; where there is no room for another caller, they are counted together. What was not told
/// yet waits for a control plane that is gone, up to `maximumUntold`; `RefusalStore` keeps it for the process after this one.
final class RequestRefusals: Sendable {
    /// Between two reports: in all, and of one caller and code.
    static let maximum = 32
    static let maximumOfOne = 4
    /// In one report; those beyond it are counted together. Each is some 200 bytes.
    static let maximumUntold = 256
    /// Nobody says that a report came, and its connection may have broken: each refusal is in so many of them, one every ten seconds.
    static let reports = 4

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
        /// Those of reports, and how many of these were sent.
        var told: [(reports: Int, refusal: Weir_V1_Refusal)] = []
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

    /// For a report: what was refused since the one before, what could not be told yet, and what was told a moment ago.
    func told() -> [Weir_V1_Refusal] {
        state.withLock { state in
            state.told.removeAll { $0.reports >= Self.reports }
            // Of what there is no room for, the last request and the number are kept.
            let room = max(0, Self.maximumUntold - state.told.count)
            for refusal in state.new.dropFirst(room) {
                let number = state.unrecorded.addingReportingOverflow(refusal.repeated).partialValue
                state.unrecorded = number.addingReportingOverflow(1).partialValue
                (state.lastUnrecorded.requestID, state.lastUnrecorded.atMs) = (refusal.requestID, refusal.atMs)
            }
            state.told += state.new.prefix(room).map { (0, $0) }
            (state.new, state.last) = ([], [:])
            if state.unrecorded > 0, state.told.count <= Self.maximumUntold {
                state.lastUnrecorded.code = "unrecorded"
                state.lastUnrecorded.repeated = state.unrecorded - 1
                state.told.append((0, state.lastUnrecorded))
                (state.unrecorded, state.lastUnrecorded) = (0, Weir_V1_Refusal())
            }
            return state.told.map(\.refusal)
        }
    }

    /// A report leaves for the control plane.
    func sent() {
        state.withLock { state in
            for place in state.told.indices { state.told[place].reports += 1 }
        }
    }

    /// What the process before this one had not told, or only just: told again.
    func restore(_ refusals: [Weir_V1_Refusal]) {
        state.withLock { $0.told += refusals.prefix(Self.maximumUntold + 1).map { (0, $0) } }
    }
}
