import Contract
import Formats
import NIOCore
import Primitives

/// What a DID may ask about itself: `GET /api/v1/usage`, `limits`, `audit` and `health`, and `GET /`.
enum OwnQuestion: Equatable {
    /// What the control plane knows: a data plane has no history, and its own part of a budget or limit only. The query is as it was sent.
    case told(Report, query: String)
    case health
    case root

    enum Report {
        case usage, limits, audit

        func question(_ own: Weir_V1_OwnUsage) -> Weir_V1_Question.OneOf_Question {
            switch self {
            case .usage: .ownUsage(own)
            case .limits: .ownLimits(own)
            case .audit: .ownAudit(own)
            }
        }
    }
}

extension Exchange {
    /// How many tokens a request has, where no provider of its model counts them: an estimate of Weir's own. It is no call of a provider's, so
    /// nothing of it is recorded, reserved or charged; of its limits it holds only what it is counted by while it is answered.
    /// - Returns: nil where a provider is to be asked.
    func ownCount(_ admission: Admission) throws(Rejection) -> LocalAnswer? {
        guard admission.route.targets.allSatisfy({ $0.endpoint.dialect(for: admission.caller.dialect, .countTokens) == nil }) else {
            return nil
        }
        let count: Int64
        do throws(TranslationRefusal) {
            count = try MessagesTokenCount.estimate(admission.members, of: Array(admission.body.readableBytesView))
        } catch {
            throw .untranslatable(error)
        }
        var answer = LocalAnswer(body: Array(#"{"input_tokens":\#(count)}"#.utf8))
        answer.configVersion = admission.config.versionText
        answer.fields = [ReplyHead.Field(name: "x-weir-estimated", value: Array("true".utf8))]
        return answer
    }

    func answer(_ question: OwnQuestion, _ asked: Asked, _ caller: Caller) throws(Rejection) {
        let principal = caller.principal
        guard principal.kind == .did, principal.delegate == nil else { throw .needsDID() }
        let id = String(decoding: principal.id.bytes(prefix: DIDEntry.idPrefix), as: UTF8.self)
        switch question {
        case .told(let report, let query):
            var own = Weir_V1_OwnUsage()
            own.didID = id
            own.query = query
            let inquiry = Inquiry(
                body: ByteBuffer(), deadline: questionDeadline, late: "control_plane_unavailable", told: { LocalAnswer(body: $0) })
            ask(.own(requestID), report.question(own), inquiry)
        case .health: answer(LocalAnswer(body: Array(JSONValue.object(health(id, asked, caller)).text.utf8)))
        case .root:
            let object: JSONObject = [
                "service": "weir", "version": .string(weirVersion.description), "did_id": .string(id),
                "paths": .strings([
                    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/api/v1/usage", "/api/v1/limits",
                    "/api/v1/audit", "/api/v1/health", "\(Forward.prefix)/*",
                ]),
            ]
            answer(LocalAnswer(body: Array(JSONValue.object(object).text.utf8)))
        }
    }

    /// Told without the control plane, which may be away.
    private func health(_ id: String, _ asked: Asked, _ caller: Caller) -> JSONObject {
        let config = asked.snapshot.config(isCandidate: caller.isCandidate, nowMs: receivedAt / 1000)
        return [
            "status": .string(config == nil ? "degraded" : "ok"), "did_id": .string(id), "tenant_id": .string(caller.tenant.id),
            "user_id": caller.principal.user.map { .string(String(decoding: $0.bytes(prefix: UserEntry.idPrefix), as: UTF8.self)) }
                ?? .null,
            "config_version": config.map { .int(Int64(clamping: $0.version)) } ?? .null,
            "upstream_key": .bool(asked.snapshot.credentials[id] != nil),
            "control_plane": .string(loop.questions.isOpen ? "ok" : "away"),
        ]
    }
}
