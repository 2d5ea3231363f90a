import Contract
import Domain
import GRPCCore
import Logging
import Primitives
import Synchronization

/// The gRPC service that data planes call (`fleet.proto`).
struct FleetService: Weir_V1_Fleet.ServiceProtocol {
    /// Changes of the signing key that a revoked data plane is led through.
    private static let maximumKeyrings = 64

    private let services: FleetServices
    private let enrollment: EnrollmentService
    private let hub: FleetHub
    private let settings: FleetSettings
    private let metrics: FleetMetrics
    private let recalls: LeaseRecalls
    private let logger: Logger

    init(
        services: FleetServices, enrollment: EnrollmentService, hub: FleetHub, settings: FleetSettings, metrics: FleetMetrics,
        recalls: LeaseRecalls, logger: Logger
    ) {
        self.recalls = recalls
        self.services = services
        self.enrollment = enrollment
        self.hub = hub
        self.settings = settings
        self.metrics = metrics
        self.logger = logger
    }

    // MARK: Without a session

    func enroll(
        request: ServerRequest<Weir_V1_EnrollRequest>, context: ServerContext
    ) async throws -> ServerResponse<Weir_V1_EnrollResponse> {
        try await translated("enrolment", peer: context.remotePeer) {
            let response = try await enrollment.enroll(request.message)
            logger.info("data plane enrolled", metadata: ["data_plane": "\(response.dataPlaneID)", "region": "\(response.region)"])
            return ServerResponse(message: response)
        }
    }

    func challenge(
        request: ServerRequest<Weir_V1_ChallengeRequest>, context: ServerContext
    ) async throws -> ServerResponse<Weir_V1_ChallengeResponse> {
        try await translated("challenge", peer: context.remotePeer) {
            var response = Weir_V1_ChallengeResponse()
            response.nonce = .init(try services.sessions.challenge(dataPlaneID: request.message.dataPlaneID))
            return ServerResponse(message: response)
        }
    }

    func openSession(
        request: ServerRequest<Weir_V1_OpenSessionRequest>, context: ServerContext
    ) async throws -> ServerResponse<Weir_V1_OpenSessionResponse> {
        try await translated("session", peer: context.remotePeer) {
            let opened = try await services.sessions.open(request.message)
            var response = opened.response
            if let revocation = opened.revocation {
                let id = request.message.dataPlaneID
                response.revocation = try await services.factory.revocation(for: id, revokedAt: revocation.revokedAt)
                // It may have slept through changes of the signing key.
                response.keyrings = try await services.factory.keyrings(
                    afterEpoch: revocation.keyringEpoch, version: revocation.keyringVersion, limit: Self.maximumKeyrings
                ).map(\.envelope)
                logger.notice("a revoked data plane was told so; its usage is taken and kept apart", metadata: ["data_plane": "\(id)"])
            }
            return ServerResponse(message: response)
        }
    }

    // MARK: Streams

    func subscribe(
        request: StreamingServerRequest<Weir_V1_SubscribeRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Weir_V1_SubscribeResponse> {
        let dataPlane = try await admit(request.metadata, context)
        return StreamingServerResponse { writer in
            let connection = "con_" + Base32.encode(SecureRandom.bytes(10))
            try await supervised(dataPlane.id, connection: connection, context) { stream in
                try await serve(dataPlane, connection: connection, stream, request.messages, writer)
            }
            return [:]
        }
    }

    private func serve(
        _ dataPlane: AdmittedDataPlane, connection: String, _ stream: FleetHub.Stream,
        _ messages: RPCAsyncSequence<Weir_V1_SubscribeRequest, any Error>, _ writer: RPCWriter<Weir_V1_SubscribeResponse>
    ) async throws {
        var iterator = messages.makeAsyncIterator()
        guard case .hello(let hello)? = try await iterator.next()?.message else {
            throw RPCError(code: .invalidArgument, message: "the first message has to be a hello")
        }
        try services.context.checkVersion(hello.version)
        try await services.dataPlanes.connected(dataPlane.id, replica: settings.replica, connection: connection, hello: hello)
        stream.isRecorded.store(true, ordering: .releasing)
        logger.info("data plane connected", metadata: ["data_plane": "\(dataPlane.id)", "version": "\(hello.version.prefix(32))"])
        let subscription = Subscription(
            dataPlane, hello: hello, stream: stream, hub: hub, services: services, settings: settings, metrics: metrics,
            logger: logger)
        let rest = UncheckedIterator(iterator)
        let result = await Result {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await subscription.send(writer) }
                group.addTask {
                    var iterator = rest.iterator
                    while let message = try await iterator.next() { try await subscription.receive(message) }
                }
                // Either side ending ends the stream: the data plane that stops reading its answers has left.
                try await group.next()
                group.cancelAll()
            }
        }
        logger.info("data plane disconnected", metadata: ["data_plane": "\(dataPlane.id)"])
        // Also when the task is cancelled: a task of its own is not.
        await Task { try? await services.dataPlanes.disconnected(dataPlane.id, connection: connection) }.value
        try result.get()
    }

    /// Only what is called otherwise than by `UsageReceiver`, which stands before it.
    func reportUsage(
        request: StreamingServerRequest<Weir_V1_UsageBatch>, context: ServerContext
    ) async throws -> StreamingServerResponse<Weir_V1_UsageAck> {
        try await takeUsage(
            request.metadata, RPCAsyncSequence(wrapping: request.messages.map { try UsageBatchBytes($0) }), context)
    }

    func takeUsage(
        _ metadata: Metadata, _ messages: RPCAsyncSequence<UsageBatchBytes, any Error>, _ context: ServerContext
    ) async throws -> StreamingServerResponse<Weir_V1_UsageAck> {
        let dataPlane = try await admit(metadata, context, revokedToo: true)
        return StreamingServerResponse { writer in
            try await supervised(dataPlane.id, connection: nil, outlivesRevocation: dataPlane.isRevoked, context) { _ in
                let intake = UsageStream(
                    dataPlaneID: dataPlane.id, store: services.storeUsage, patience: settings.intakePatience, metrics: metrics,
                    logger: logger)
                try await intake.take(messages) { try await writer.write($0) }
            }
            return [:]
        }
    }

    func bans(
        request: StreamingServerRequest<Weir_V1_SubscribeRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Weir_V1_SubscribeResponse> {
        let dataPlane = try await admit(request.metadata, context)
        return StreamingServerResponse { writer in
            try await supervised(dataPlane.id, connection: nil, context) { stream in
                var iterator = request.messages.makeAsyncIterator()
                guard case .hello(let hello)? = try await iterator.next()?.message else {
                    throw RPCError(code: .invalidArgument, message: "the first message has to be a hello")
                }
                try services.context.checkVersion(hello.version)
                let bans = BanStream(
                    hello, stream: stream, hub: hub, services: services, settings: settings, metrics: metrics, logger: logger)
                let rest = UncheckedIterator(iterator)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await bans.send(writer) }
                    group.addTask {
                        var iterator = rest.iterator
                        while let message = try await iterator.next() { try await bans.receive(message) }
                    }
                    try await group.next()
                    group.cancelAll()
                }
            }
            return [:]
        }
    }

    func ask(
        request: StreamingServerRequest<Weir_V1_Question>, context: ServerContext
    ) async throws -> StreamingServerResponse<Weir_V1_Answer> {
        let dataPlane = try await admit(request.metadata, context)
        return StreamingServerResponse { writer in
            try await supervised(dataPlane.id, connection: nil, context) { _ in
                let questions = QuestionStream(dataPlaneID: dataPlane.id, services: services, logger: logger)
                try await questions.answer(request.messages, writer)
            }
            return [:]
        }
    }

    func lease(
        request: StreamingServerRequest<Weir_V1_LeaseRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Weir_V1_LeaseGrant> {
        let dataPlane = try await admit(request.metadata, context)
        return StreamingServerResponse { writer in
            try await supervised(dataPlane.id, connection: nil, context) { _ in
                try await LeaseStream(dataPlaneID: dataPlane.id, leases: services.leases, recalls: recalls, logger: logger).serve(
                    request.messages, writer)
            }
            return [:]
        }
    }

    // MARK: -

    /// Whose stream it is, from "authorization: Bearer <session>".
    private func admit(
        _ metadata: Metadata, _ context: ServerContext, revokedToo: Bool = false
    ) async throws -> AdmittedDataPlane {
        try await translated("stream", peer: context.remotePeer) {
            guard let header = metadata[stringValues: "authorization"].first(where: { _ in true }), header.hasPrefix("Bearer ") else {
                throw FleetRefusal.unauthenticated("a session is needed: authorization: Bearer <session>")
            }
            let id = try services.sessions.verify(String(header.dropFirst("Bearer ".count)))
            return try await services.dataPlanes.admitted(id, revokedToo: revokedToo)
        }
    }

    /// Runs `body` until it ends, the caller leaves, the server shuts down or the hub ends the stream.
    private func supervised(
        _ dataPlaneID: String, connection: String?, outlivesRevocation: Bool = false, _ context: ServerContext,
        _ body: @escaping @Sendable (FleetHub.Stream) async throws -> Void
    ) async throws {
        let stream = FleetHub.Stream(dataPlaneID: dataPlaneID, connection: connection, outlivesRevocation: outlivesRevocation)
        let number = hub.add(stream)
        defer { hub.remove(number) }
        try await translated("stream", peer: context.remotePeer) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await body(stream) }
                group.addTask { try await stream.waitForEnd() }
                group.addTask {
                    try await context.cancellation.cancelled
                    throw RPCError(code: .unavailable, message: "the control plane is shutting down or the caller has left")
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
    }

    /// Turns our errors into gRPC's. What is nobody's fault but ours is logged here and not explained to the caller.
    private func translated<R>(_ what: String, peer: String, _ body: () async throws -> R) async throws -> R {
        do {
            return try await body()
        } catch let error as RPCError {
            throw error
        } catch let refusal as FleetRefusal {
            let error = RPCError(refusal)
            logger.notice("\(what) refused", metadata: ["peer": "\(peer)", "code": "\(error.code)", "reason": "\(error.message)"])
            throw error
        } catch let error as DomainError {
            if case .unavailable(let detail) = error { throw RPCError(code: .unavailable, message: detail) }
            throw RPCError(code: .failedPrecondition, message: "\(what) refused")
        } catch is CancellationError {
            throw RPCError(code: .unavailable, message: "the control plane is shutting down")
        } catch {
            logger.error("\(what) failed", metadata: ["peer": "\(peer)", "error": "\(error)"])
            throw RPCError(code: .internalError, message: "\(what) failed: see the control plane's log")
        }
    }
}

/// Hands an iterator on to the one task that uses it from then on.
private struct UncheckedIterator<Iterator>: @unchecked Sendable {
    let iterator: Iterator
    init(_ iterator: Iterator) { self.iterator = iterator }
}

extension Result where Failure == any Error {
    fileprivate init(catching body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
