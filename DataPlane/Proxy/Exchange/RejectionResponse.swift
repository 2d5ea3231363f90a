import Contract
import Formats
import Logging
import NIOCore
import Primitives

/// The one place where a `Rejection` becomes an HTTP answer.
enum RejectionResponse {
    static func encode(_ rejection: Rejection, front: FrontHandler, exchange: Exchange, withBody: Bool) -> ByteBuffer {
        let body = OpenAIErrors.body(
            message: rejection.message, type: rejection.kind.rawValue, param: rejection.param,
            code: rejection.providerCode ?? "\(rejection.code)")
        var out = front.allocator.buffer(capacity: 384 + body.count)
        out.writeStatusLine(rejection.status)
        out.writeStaticString("content-type: application/json\r\ncontent-length: ")
        out.writeDecimal(body.count)
        out.writeStaticString("\r\n")
        if let seconds = rejection.retryAfter {
            out.writeStaticString("retry-after: ")
            out.writeDecimal(seconds)
            out.writeStaticString("\r\n")
        }
        if let line = rejection.extraHeader { out.writeStaticString(line) }
        if rejection.status == 401 { out.writeStaticString("www-authenticate: Bearer\r\n") }
        front.writeCommonFields(&out, requestID: exchange.requestID, configVersion: exchange.config?.versionText ?? [])
        out.writeStaticString("\r\n")
        if withBody { out.writeBytes(body) }
        return out
    }

    /// What went wrong on our side or the provider's, with what the operator needs and nothing of the request's content.
    static func log(_ rejection: Rejection, _ exchange: Exchange) {
        exchange.loop.failureLog.record(logger: exchange.loop.logger, now: exchange.loop.nowMicroseconds, code: "\(rejection.code)") {
            [
                "request": "\(exchange.requestID)", "code": "\(rejection.code)", "status": "\(rejection.status)",
                "detail": "\(rejection.detail ?? "")", "endpoint": "\(exchange.attempt?.target.endpoint.id ?? "")",
                "upstream_status": "\(exchange.upstreamStatus)", "attempts": "\(exchange.attempts)",
            ]
        }
    }
}

extension Exchange {
    /// A request that could not even be read: it gets an id, so that its answer can be talked about.
    func refuseMalformed() {
        reset()
        requestID = loop.requestIDs.next(milliseconds: loop.clock.nowMilliseconds())
        startedAt = loop.readClock()
        phase = .receiving
    }

    func finish(rejecting rejection: Rejection, with answer: ByteBuffer) {
        statusSent = rejection.status
        guard settlement == .intent else {
            _ = front.write(answer)
            front.exchangeEnded()
            return
        }
        phase = .settling
        held = answer
        endReached = true
        settle(Outcome(isFailure: true, origin: rejection.fault, code: rejection.code))
        loop.endAfterJournal(self)
    }
}
