import Formats
import Logging

/// The one place where a `Rejection` becomes an answer.
extension Exchange {
    /// Answers with an error in the dialect of the API. When the request was admitted, its record is written first.
    func reject(_ rejection: Rejection) {
        loop.metrics.rejections[Int(rejection.fault.rawValue)] &+= 1
        if rejection.fault != .client { log(rejection) }
        let body = OpenAIErrors.body(
            message: rejection.message, type: rejection.kind.rawValue, param: rejection.param,
            code: rejection.providerCode ?? "\(rejection.code)")
        var head = ReplyHead(status: rejection.status, length: .known(Int64(body.count)), requestID: requestID)
        head.configVersion = config?.versionText ?? []
        head.closesConnection = rejection.closesConnection
        if let seconds = rejection.retryAfter { head.fields.append(.init(name: "retry-after", value: Array(String(seconds).utf8))) }
        if let methods = rejection.allow { head.fields.append(.init(name: "allow", value: Array(methods.utf8))) }
        if rejection.status == 401 { head.fields.append(.init(name: "www-authenticate", value: Array("Bearer".utf8))) }
        statusSent = rejection.status
        sink.begin(head)
        body.withUnsafeBytes { sink.write($0) }
        guard settlement == .intent else {
            sink.end()
            return
        }
        phase = .settling
        endReached = true
        settle(Outcome(isFailure: true, origin: rejection.fault, code: rejection.code))
        loop.endAfterJournal(self)
    }

    /// What went wrong on our side or the provider's, with what the operator needs and nothing of the request's content.
    private func log(_ rejection: Rejection) {
        loop.failureLog.record(logger: loop.logger, now: loop.nowMicroseconds, code: "\(rejection.code)") {
            [
                "request": "\(requestID)", "code": "\(rejection.code)", "status": "\(rejection.status)",
                "detail": "\(rejection.detail ?? "")", "endpoint": "\(attempt?.target.endpoint.id ?? "")",
                "upstream_status": "\(upstreamStatus)", "attempts": "\(attempts)",
            ]
        }
    }

    /// Answers with what Weir knows by itself.
    func answer(_ answer: LocalAnswer) {
        var head = ReplyHead(status: answer.status, length: .known(Int64(answer.body.count)), requestID: requestID)
        head.configVersion = answer.configVersion
        statusSent = answer.status
        sink.begin(head)
        answer.body.withUnsafeBytes { sink.write($0) }
        sink.end()
    }

    /// A request that could not even be read: it gets an id, so that its answer can be talked about.
    func refuseMalformed() {
        reset()
        requestID = loop.requestIDs.next(milliseconds: loop.clock.nowMilliseconds())
        startedAt = loop.readClock()
        phase = .receiving
    }
}
