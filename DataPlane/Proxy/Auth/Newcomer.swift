import Contract
import Foundation
import Primitives
import Synchronization
import Trust

/// A DID that nobody knows, at a tenant that takes such ones.
struct Newcomer {
    let caller: CallingDID
    let call: SignedCall
    let context: SignatureContext

    var did: DID { caller.did }

    /// What the control plane is asked, once the DID has proved itself.
    func proved(_ body: UnsafeRawBufferPointer) throws(Rejection) -> Weir_V1_Newcomer {
        let signed = try call.checked(body)
        guard did.isValid(signature: call.signature, over: signed) else { throw call.wrong(signed, "the DID and its key") }
        var newcomer = Weir_V1_Newcomer()
        newcomer.did = did.text
        newcomer.host = call.host
        newcomer.signed = Data(signed)
        newcomer.signature = Data(call.signature)
        return newcomer
    }

    /// The caller that it is by now; nil: the directory does not know it yet.
    func known(by snapshot: RuntimeSnapshot) throws(Rejection) -> PendingCaller? {
        guard let entry = snapshot.directory.did(named: caller.name) else { return nil }
        var context = context
        context.snapshot = snapshot
        return try Authenticate.did(caller, entry, call, context)
    }
}

/// Bounds what DIDs that nobody knows can make a data plane compute: a key costs nothing to make.
package final class NewcomerGate: Sendable {
    private struct Window {
        var ends: Int64 = 0
        var total = 0
        var byAddress: [String: Int] = [:]
    }

    private static let windowMilliseconds: Int64 = 60_000
    /// Signatures of unknown DIDs that are verified within a minute, all addresses together: at 100 µs a core's hundredth.
    private static let maximum = 6000
    private let each: Int
    private let window = Mutex(Window())

    /// - Parameter each: signatures of unknown DIDs that are verified within a minute for one address.
    package init(each: Int = 60) { self.each = each }

    /// - Parameter address: a network of IPv6's (/64) counts as one; nil: not known, and counted as one.
    /// - Returns: nil: go on. Else when to come again, in milliseconds.
    func refusal(_ address: String?, nowMilliseconds now: Int64) -> Int64? {
        let place = address.map(Self.place) ?? ""
        return window.withLock { window in
            if window.ends <= now || window.ends > now &+ Self.windowMilliseconds { window = Window(ends: now &+ Self.windowMilliseconds) }
            let count = window.byAddress[place] ?? 0
            guard count < each, window.total < Self.maximum else { return window.ends - now }
            window.byAddress[place] = count + 1
            window.total += 1
            return nil
        }
    }

    private static func place(_ address: String) -> String {
        address.contains(":") ? address.split(separator: ":", omittingEmptySubsequences: false).prefix(4).joined(separator: ":") : address
    }
}

extension Rejection {
    static func tooManyNewDIDs(retryMilliseconds: Int64) -> Rejection {
        Rejection(
            status: 429, fault: .client, kind: .rateLimit, code: "too_many_new_dids",
            message: "Too many DIDs that are not registered come from this address. Try again later.", retryMilliseconds: retryMilliseconds)
    }

    /// The control plane did not say in time what a request needs.
    static func controlPlaneUnavailable(_ code: StaticString, _ detail: String = "") -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: code,
            message: "The gateway cannot find out at the moment what this request needs. Try again, with a new nonce.",
            retryMilliseconds: 2000,
            detail: detail)
    }

    /// What the control plane refused.
    init(_ answer: Weir_V1_Answer) {
        let known = Self.codes[answer.code]
        let status = (400...599).contains(answer.status) ? Int(answer.status) : 503
        let fault: Fault = status < 500 ? .client : .weir
        self.init(
            status: status, fault: fault, kind: status == 429 ? .rateLimit : Kind(status: status),
            code: known ?? "control_plane_refused",
            message: answer.detail.isEmpty ? "The gateway cannot serve this now." : String(answer.detail.prefix(500)),
            retryMilliseconds: answer.retryAfterMs > 0 ? min(answer.retryAfterMs, 86_400_000) : nil)
    }

    private static let codes: [String: StaticString] = [
        "unknown_did": "unknown_did", "did_limit_reached": "did_limit_reached", "invalid_signature": "invalid_signature",
        "control_plane_unavailable": "control_plane_unavailable", "upstream_key_pending": "upstream_key_pending",
        "upstream_key_failed": "upstream_key_failed", "no_upstream_key": "no_upstream_key", "invalid_request": "invalid_request",
    ]
}
