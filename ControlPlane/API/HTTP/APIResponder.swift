package import Domain
import HTTPTypes
package import Hummingbird
package import Logging
import NIOCore
import Nouns
package import Primitives
import ServiceLifecycle
package import Telemetry

/// Where a request came from, beside what Hummingbird itself keeps.
package struct APIContext: RequestContext, RemoteAddressRequestContext {
    package var coreContext: CoreRequestContextStorage
    package let remoteAddress: SocketAddress?

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

/// The spine of an HTTP request: find the route, authenticate, authorise, read the body, call the handler, turn what it throws
/// into a problem document, and write one access line. Nothing is read from the body before the caller is known.
package struct APIResponder: HTTPResponder {
    /// Far above every legitimate admin request, far below what would hurt. A route that takes more says so.
    package static let bodyLimitBytes = 1 << 20

    package struct Limits: Sendable {
        /// Until an answer has to be there: above the database's statement timeout, below what clients and proxies wait.
        package var answerDeadline: Duration = .seconds(40)
        /// Requests in work at one time. A database that hangs fills them; then callers are told at once.
        package var requestsInWork = 256

        package init() {}
    }

    private let routes: RouteTable
    private let authentication: Authentication
    private let metrics: HTTPMetrics
    private let logger: Logger
    private let limits: Limits
    private let inWork: Gauge
    private let idempotency: Idempotency?
    private let reports = ReportGate()
    private let refusals: RefusalRecord?
    private let trustedProxies: TrustedProxies

    /// - Parameter idempotency: nil: a request that comes again is done again.
    package init(
        routes: RouteTable, authentication: Authentication, audit: AuditLog? = nil, idempotency: IdempotencyService? = nil,
        trustedProxies: TrustedProxies = .none, metrics: MetricsRegistry, logger: Logger, limits: Limits = Limits()
    ) {
        self.limits = limits
        self.idempotency = idempotency.map { Idempotency(service: $0, logger: logger) }
        self.trustedProxies = trustedProxies
        refusals = audit.map { RefusalRecord($0, metrics: metrics) }
        inWork = metrics.gauge("weir_control_http_requests_in_work", help: "Requests that are being worked on.")
        self.routes = routes
        self.authentication = authentication
        self.metrics = HTTPMetrics(metrics, routes: routes.routes)
        self.logger = logger
    }

    package func respond(to request: Request, context: APIContext) async throws -> Response {
        let started = MonotonicClock.nowMicroseconds()
        var generator = SystemRandomNumberGenerator()
        let exchange = Exchange(
            requestID: RequestID.random(using: &generator).text,
            remoteAddress: trustedProxies.client(
                peer: context.remoteAddress?.ipAddress ?? "", forwardedFor: request.headers[values: .xForwardedFor]))
        let path = request.uri.path
        let form = request.headers[RequestForm.field] ?? RequestForm.problem(target: request.head.path ?? "")
        let found = form == nil ? routes.find(request.method == .head ? .get : request.method, path) : .nothing

        let answer: APIResponse
        var caller = Caller.anonymous
        switch found {
        case .route(let route, let parameters):
            do {
                caller = try await withinDeadline(route) { try await authentication.caller(for: route.access, request, exchange) }
                answer = try await handle(request, route, parameters, caller, exchange)
            } catch {
                let problem = problem(for: error, exchange)
                await refusals?.note(request.method, path, route, caller, problem, exchange)
                answer = problem.response(requestID: exchange.requestID)
            }
        case .otherMethods(let methods):
            let problem = Problem.methodNotAllowed(request.method.rawValue, allowed: methods.map(\.rawValue))
            answer = problem.response(requestID: exchange.requestID)
        case .nothing:
            let problem = form.map(Problem.ambiguous) ?? Problem.unknownPath(path)
            answer = problem.response(requestID: exchange.requestID)
        }

        let elapsed = MonotonicClock.nowMicroseconds() - started
        metrics.record(found.route, status: answer.status.code, microseconds: elapsed)
        log(request, found.route, answer, caller, exchange, microseconds: elapsed)
        return finished(answer, request, exchange)
    }

    private func handle(
        _ request: Request, _ route: APIRoute, _ parameters: [String: String], _ caller: Caller, _ exchange: Exchange
    ) async throws -> APIResponse {
        if let early = route.beforeBody {
            let path = request.uri.path
            if let answer = try await withinDeadline(route, { try await early(request.headers, path) }) { return answer }
        }
        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: route.bodyLimitBytes)
        } catch is NIOTooManyBytesError {
            throw DomainError.tooLarge(limitBytes: route.bodyLimitBytes)
        } catch {
            throw BodyCutOff()
        }
        let read = APIRequest(
            method: request.method, path: request.uri.path, parameters: parameters,
            query: try QueryParameters(parsing: request.uri.query.map { $0[...] }), body: Array(body.readableBytesView),
            ifMatch: request.headers[.ifMatch].map(IfMatch.init(header:)), caller: caller, requestID: exchange.requestID,
            headers: request.headers, remoteAddress: exchange.remoteAddress)
        let key = request.headers[.idempotencyKey]
        return try await withinDeadline(route) { [reports] in
            if route.isReport { return try await reports.run(for: caller) { try await route.handler(read) } }
            guard route.method == .post, let key, let idempotency else { return try await route.handler(read) }
            return try await idempotency.once(key, read, uri: request.uri.string, handler: route.handler)
        }
    }

    /// Work that waits for the database, but no longer than a caller should. Probes have deadlines of their own and are always let in.
    private func withinDeadline<R: Sendable>(_ route: APIRoute, _ work: @escaping @Sendable () async throws -> R) async throws -> R {
        if route.access == .open { return try await work() }
        inWork.add(1)
        let task = Task { [inWork] in
            defer { inWork.add(-1) }
            guard inWork.current <= Double(limits.requestsInWork) else {
                throw DomainError.unavailable(detail: "Too many requests are waiting for the database.")
            }
            return try await work()
        }
        guard let result = try await Deadline.wait(for: task, atMost: limits.answerDeadline) else {
            throw DomainError.unavailable(
                detail: "The database took too long. What was asked for may still happen: look before you ask again.")
        }
        return result
    }

    /// The body did not come as the head said: the client left, or sent what is no HTTP. Nothing of ours has failed.
    private struct BodyCutOff: Error {}

    private func problem(for error: any Error, _ exchange: Exchange) -> Problem {
        if error is BodyCutOff { return .bodyCutOff }
        if error is CancellationError { return Problem(.unavailable(detail: "The control plane is stopping.")) }
        if let error = DomainError(translating: error) { return Problem(error) }
        logger.error(
            "request failed", metadata: ["request_id": .string(exchange.requestID), "error": .string(String(describing: error))])
        return .internalError
    }

    private func finished(_ answer: APIResponse, _ request: Request, _ exchange: Exchange) -> Response {
        var answer = answer
        answer.headers[.xRequestID] = exchange.requestID
        answer.headers[.cacheControl] = answer.headers[.cacheControl] ?? "no-store"
        answer.headers[.xContentTypeOptions] = "nosniff"
        if answer.status == .ok, let tag = answer.headers[.eTag], request.headers[.ifNoneMatch] == tag, request.method != .post {
            answer.status = .notModified
            answer.body = []
        }
        if request.method == .head || answer.status == .notModified {
            return Response(status: answer.status, headers: answer.headers)
        }
        if let next = answer.events {
            let first = answer.body
            let body = ResponseBody { writer in
                try await writer.write(ByteBuffer(bytes: first))
                while !Task.isShuttingDownGracefully, let bytes = try await next() {
                    if !bytes.isEmpty { try await writer.write(ByteBuffer(bytes: bytes)) }
                }
                try await writer.finish(nil)
            }
            return Response(status: answer.status, headers: answer.headers, body: body)
        }
        guard let more = answer.more else {
            return Response(
                status: answer.status, headers: answer.headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
        }
        let first = answer.body
        let body = ResponseBody { writer in
            try await writer.write(ByteBuffer(bytes: first))
            var after: Cursor? = more.after
            while after != nil {
                let (bytes, next) = try await more.piece(after)
                try await writer.write(ByteBuffer(bytes: bytes))
                after = next
            }
            try await writer.finish(nil)
        }
        return Response(status: answer.status, headers: answer.headers, body: body)
    }

    /// One line a request. The path goes in without its query, and no header or body ever does.
    private func log(
        _ request: Request, _ route: APIRoute?, _ answer: APIResponse, _ caller: Caller, _ exchange: Exchange, microseconds: Int64
    ) {
        var metadata: Logger.Metadata = [
            "request_id": .string(exchange.requestID), "method": .string(String(request.method.rawValue.prefix(32))),
            "path": .string(String(request.uri.path.prefix(512))), "status": .stringConvertible(answer.status.code),
            "duration_us": .stringConvertible(microseconds), "remote_address": .string(exchange.remoteAddress),
        ]
        switch caller {
        case .anonymous: break
        case .admin(let actor): metadata["actor"] = .string(actor.id)
        case .key(let caller): metadata["key"] = .string(caller.keyID.rawValue)
        }
        // Probes and scrapes come every few seconds from several sides: they would bury the rest.
        logger.log(level: route?.access == .open ? .debug : .info, "request", metadata: metadata)
    }
}

/// What belongs to one request and its answer.
package struct Exchange: Sendable {
    package let requestID: String
    /// The peer's address as the socket knows it, or what a trusted proxy says; others that claim another are not believed.
    package let remoteAddress: String
}

extension HTTPField.Name {
    static var xRequestID: Self { Self("x-request-id") ?? .date }
    static var xForwardedFor: Self { Self("x-forwarded-for") ?? .date }
}

extension RouteTable {
    package enum Found: Sendable {
        case route(APIRoute, parameters: [String: String])
        /// The path exists for these methods only.
        case otherMethods([HTTPRequest.Method])
        case nothing

        package var route: APIRoute? {
            if case .route(let route, _) = self { route } else { nil }
        }
    }

    /// The route that answers; where several fit, the one with the fewest parameters, so that a fixed word wins over `{id}`.
    package func find(_ method: HTTPRequest.Method, _ path: String) -> Found {
        let matches = routes.compactMap { route in route.match(path).map { (route: route, parameters: $0) } }
        let best = matches.filter { $0.route.method == method }.min { $0.parameters.count < $1.parameters.count }
        if let best { return .route(best.route, parameters: best.parameters) }
        return matches.isEmpty ? .nothing : .otherMethods(matches.map(\.route.method))
    }
}
