import Contract
import Formats
import Logging
import NIOCore
import Primitives
import Wire

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

/// Failures in the log, at most ten a second of a kind and loop: a provider that is down must not fill the disk as well.
struct FailureLog {
    private var windowStart: Int64 = 0
    private var counts: [String: Int] = [:]

    mutating func record(logger: Logger, now: Int64, code: String, metadata: () -> Logger.Metadata) {
        if now - windowStart >= 1_000_000 {
            for (code, count) in counts where count > 10 {
                logger.warning("more requests failed the same way", metadata: ["code": "\(code)", "not_logged": "\(count - 10)"])
            }
            counts.removeAll(keepingCapacity: true)
            windowStart = now
        }
        counts[code, default: 0] += 1
        if counts[code, default: 0] <= 10 { logger.warning("a request failed", metadata: metadata()) }
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

extension ByteBuffer {
    /// `HTTP/1.1 200 OK` and its line end.
    mutating func writeStatusLine(_ status: Int) {
        if let line = StatusLine.text(status) {
            writeStaticString(line)
        } else {
            writeStaticString("HTTP/1.1 ")
            writeDecimal(status)
            writeStaticString(" \r\n")
        }
    }
}
