import Contract
import Formats
import NIOCore
import Primitives
import Wire

/// A request under `/api/v1/openrouter/`, as it goes to the provider: any method and path, with the caller's own key.
final class Forward {
    let method: [UInt8]
    /// Below the provider's base URL, with its query.
    let target: [UInt8]
    /// Header lines of the client's that go along.
    let lines: [UInt8]

    init(method: [UInt8], target: [UInt8], lines: [UInt8]) {
        self.method = method
        self.target = target
        self.lines = lines
    }

    static let prefix: StaticString = "/api/v1/openrouter"

    /// What reaches beyond the caller's own key: the account's keys, money, members and settings.
    private static let refused: Set<String> = [
        "keys", "credits", "auth", "organization", "organizations", "workspaces", "members", "users", "activity", "analytics", "guardrails",
        "byok", "billing", "payments", "coinbase", "management", "provisioning", "private", "settings", "presets", "webhooks",
    ]

    /// Fields that say what is sent and wanted. A list of what goes, not of what stays: no credential, address or cookie goes along.
    private static let fields = [
        "content-type", "accept", "http-referer", "x-title", "x-openrouter-title", "openai-beta", "anthropic-version", "anthropic-beta",
        "idempotency-key",
    ]

    /// - Parameter rest: of the path, from the slash behind the prefix on.
    /// - Throws: for a path with more than one spelling, and one that is not the caller's.
    static func read<Head: RequestHead & ~Copyable>(
        _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, rest: Range<Int>
    ) throws(Rejection) -> Forward {
        let path = bytes[rest]
        try check(path, isGet: head.method == .get || head.method == .head)
        var target = Array(path)
        if head.hasQuery { target += [UInt8(ascii: "?")] + bytes[head.query] }
        var lines: [UInt8] = []
        for name in fields {
            guard let value = head.text(name, bytes), !value.isEmpty else { continue }
            lines += Array("\(name): \(value)\r\n".utf8)
        }
        if head.hasBody, head.text("content-type", bytes) == nil { lines += Array("content-type: application/json\r\n".utf8) }
        // Its answer has no body either way, and to who asks the provider it is one length less to believe.
        let method = head.method == .head ? Array("GET".utf8) : Array(bytes[head.methodRange])
        return Forward(method: method, target: target, lines: lines)
    }

    private static func check(_ path: Slice<UnsafeRawBufferPointer>, isGet: Bool) throws(Rejection) {
        let segments = path.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        for segment in segments {
            guard !segment.isEmpty, !segment.elementsEqual(".".utf8), !segment.elementsEqual("..".utf8), isPlain(segment) else {
                throw .badRequest(
                    "invalid_path",
                    "The path below \(prefix) has an empty or dotted part, or encodes what needs no encoding. Write it plainly.")
            }
        }
        guard let first = segments.first.map({ String(decoding: $0, as: UTF8.self).lowercased() }) else { return }
        guard !refused.contains(first), first != "key" || (isGet && segments.count == 1) else {
            throw .forbidden(
                "path_not_allowed", "\(prefix)/\(first.prefix(40)) is about the gateway's whole account at the provider, and not handed on."
            )
        }
    }

    /// One resource has one spelling: what is percent-encoded has to need it, and is no separator.
    private static func isPlain(_ segment: Slice<UnsafeRawBufferPointer>) -> Bool {
        let bytes = Array(segment)
        var index = 0
        while index < bytes.count {
            defer { index += 1 }
            guard bytes[index] == UInt8(ascii: "%") else {
                if bytes[index] == UInt8(ascii: "\\") { return false }
                continue
            }
            guard index + 2 < bytes.count, let byte = Hex.decode(String(decoding: bytes[index + 1...index + 2], as: UTF8.self))?.first
            else {
                return false
            }
            switch byte {
            case 0...0x20, 0x7F, UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "%"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"), UInt8(ascii: "~"), 0x30...0x39, 0x41...0x5A, 0x61...0x7A:
                return false
            default: index += 2
            }
        }
        return true
    }
}

extension Exchange {
    /// Admit and Select for what is handed on: with the caller's own key, to an endpoint of that key's provider. A caller whose key is not here
    /// yet waits for it, as a DID does that nobody knows.
    func forward(_ forward: Forward, _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ body: ByteBuffer) throws(Rejection) {
        let principal = caller.principal
        guard principal.kind == .did, principal.delegate == nil else { throw .needsDID() }
        let id = String(decoding: principal.id.bytes(prefix: DIDEntry.idPrefix), as: UTF8.self)
        guard let credential = asked.snapshot.credentials[id] else { return wish(forward, asked, caller, id, body) }
        guard
            let endpoint = config.endpoints.values.filter({ $0.providerID == credential.providerID }).min(by: { $0.id < $1.id }),
            let line = credential.headerLine(at: endpoint)
        else {
            throw Rejection(
                status: 503, fault: .weir, kind: .server, code: "provider_not_configured",
                message: "No endpoint of the provider of this DID's key is configured. The gateway's operator has to route a model to one.",
                isPermanent: true)
        }
        let admittedAt = receivedAt &+ (loop.nowMicroseconds &- startedAt)
        let admission = Admission(forward, asked, caller, config, endpoint, body, requestID: requestID, at: admittedAt)
        guard let target = admission.route.targets.first else { throw .noCredential() }
        // Nothing of ours says what it may come to before it is sent: a budget that must not be overspent is no budget for it.
        let budgets = asked.snapshot.directory.budgets
        if admission.isForwardedGeneration, budgets.concerns(caller.tenant),
            budgets.rules(of: principal, for: .forward).contains(where: { $0.refuses && ($0.unit == .nanoDollars || $0.unit == .tokens) })
        {
            throw .forbidden(
                "budget_not_enforceable",
                "A budget that refuses concerns this DID, and what is handed on has no price here. Use the gateway's own models, or ask for a "
                    + "limit of the DID's key at the provider instead.")
        }
        let candidate = Candidate(target: target, credential: credential, credentialLine: line, asksForUsage: false)
        if try hold(admission, address: asked.address, candidate: candidate) { try launch(admission, candidate) }
    }

    private func wish(_ forward: Forward, _ asked: Asked, _ caller: Caller, _ id: String, _ body: ByteBuffer) {
        var question = Weir_V1_UpstreamKeyWish()
        question.didID = id
        // What the caller proved stays proved: a nonce counts once.
        let inquiry = Inquiry(
            body: body, deadline: questionDeadline, late: "upstream_key_pending",
            ready: { (snapshot) throws(Rejection) -> Asked? in
                guard snapshot.credentials[id] != nil else { return nil }
                return Asked(.complete(caller), snapshot, like: asked)
            })
        ask(.upstreamKey(caller.principal.id), .upstreamKey(question), inquiry)
    }
}

extension Exchange {
    /// The provider refuses a DID's own key: the control plane looks whether it is still there, and makes another where it is not. Nobody
    /// waits for that.
    func tellRefusal(of admission: Admission, _ attempt: Attempt, _ outcome: AttemptOutcome) {
        guard case .refused(let error, _) = outcome.ending, error.status == 401, let credential = attempt.candidate.credential else {
            return
        }
        var wish = Weir_V1_UpstreamKeyWish()
        wish.didID = credential.id
        wish.refusedRevision = credential.revision
        loop.questions.ask(.upstreamKey(admission.caller.principal.id), .upstreamKey(wish)) { _ in }
    }
}

extension AttemptOutcome {
    /// What the caller is told whose own key it is.
    var forwardedRejection: Rejection {
        guard case .refused(let error, let wait) = ending else { return rejection }
        switch error.status {
        case 401:
            return Rejection(
                status: 502, fault: .provider, kind: .upstream, code: "upstream_key_refused",
                message: "The provider refused this DID's own key. If it is gone there, another one is made: try again in a moment.",
                retryMilliseconds: 5000)
        case 402:
            return Rejection(
                status: 402, fault: .client, kind: .permission, code: "upstream_limit_reached",
                message: "This DID's own key at the provider has spent what it may, or the account has no credit left.", isPermanent: true)
        default: return Rejection(error, retryMilliseconds: wait)
        }
    }
}

extension Rejection {
    static func needsDID() -> Rejection {
        Rejection(
            status: 401, fault: .client, kind: .authentication, code: "did_required",
            message: "Sign the request with a DID: x-did, x-did-timestamp, x-did-nonce and x-did-signature, or an RFC 9421 signature.")
    }
}
