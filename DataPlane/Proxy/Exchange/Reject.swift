import Formats
import Logging

/// Answers that are not a provider's: the one road of every rejection, and what Weir knows by itself.
extension Exchange {
    /// Answers with an error in the dialect of the API. When the request was admitted, its record is written first.
    /// - Parameter outcome: of the attempt that this is the consequence of.
    func reject(_ rejection: Rejection, after outcome: AttemptOutcome? = nil) {
        loop.metrics.rejections[Int(rejection.fault.rawValue)] &+= 1
        let rejection = dialect.adapted(rejection)
        let body = dialect.errorBody(rejection, requestID)
        var head = ReplyHead(status: rejection.status, length: .known(Int64(body.count)), requestID: requestID)
        head.configVersion = configVersion
        head.closesConnection = rejection.closesConnection
        head.fields = rejection.fields + answerFields
        head.standings = standings
        sink.begin(head)
        body.withUnsafeBytes { sink.write($0) }
        switch stage {
        case .journaling(let admission, let attempt), .attempting(let admission, let attempt):
            if rejection.fault != .client { log(rejection, attempt, outcome) }
            conclude(admission, attempt, outcome, Verdict(rejection), isWhole: true)
        case .idle, .receiving, .asking, .lookingUp, .limiting, .reserving, .queued, .delivering, .recording:
            if rejection.fault != .client { log(rejection, nil, nil) }
            noteRefusal(rejection)
            finish(isWhole: true)
        }
    }

    /// A request without a usage record is told of otherwise. What was answered by a provider has one.
    private func noteRefusal(_ rejection: Rejection) {
        var caller = admission?.caller
        switch stage {
        case .receiving(let asked?):
            if case .complete(let known) = asked.authentication { caller = known }
            caller = asked.caller ?? caller
        case .lookingUp(let run): caller = run.caller
        default: break
        }
        loop.endpointStates.refusals.note(
            principal: caller?.principal, channel: caller.map { "\($0.channel.word)" } ?? "", model: admission?.requested.name ?? "",
            requestID, rejection, address: sink.peer ?? "", atMilliseconds: receivedAt / 1000)
    }

    /// What the caller's dialect has besides, and what it went on without. Empty, and so without storage, for most answers.
    var answerFields: [ReplyHead.Field] {
        var fields = dialect == .openAI ? [] : dialect.fields(requestID)
        if !degraded.isEmpty { fields.append(.init(name: "x-weir-degraded", value: Array(degraded.joined(separator: ", ").utf8))) }
        return fields
    }

    /// What went wrong on our side or the provider's, with what the operator needs and nothing of the request's content.
    private func log(_ rejection: Rejection, _ attempt: Attempt?, _ outcome: AttemptOutcome?) {
        loop.failureLog.record(logger: loop.logger, now: loop.nowMicroseconds, code: "\(rejection.code)") {
            [
                "request": "\(requestID)", "code": "\(rejection.code)", "status": "\(rejection.status)",
                "detail": "\(rejection.detail ?? "")", "endpoint": "\(attempt?.candidate.endpoint.id ?? "")",
                "upstream_status": "\(outcome?.providerStatus ?? 0)", "attempts": "\(sums.attempts)",
            ]
        }
    }

    func answer(_ answer: LocalAnswer) {
        var head = ReplyHead(
            status: answer.status, length: answer.body.isEmpty ? .none : .known(Int64(answer.body.count)), requestID: requestID)
        head.configVersion = answer.configVersion
        head.fields = answerFields + answer.fields
        head.standings = standings
        sink.begin(head)
        answer.body.withUnsafeBytes { sink.write($0) }
        finish(isWhole: true)
    }
}
