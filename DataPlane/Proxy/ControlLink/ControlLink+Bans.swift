import Contract
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import NIOCore
import NIOPosix
import Primitives

/// The lane of the bans.
extension ControlLink {
    /// A control plane that knows of no bans is asked again after this many milliseconds.
    private static let unknownMilliseconds: Int64 = 300_000
    /// Of one message; what is more is told with the next.
    private static let maximumFreezes = 100

    func runBans() async {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var backoff = Backoff()
        while !Task.isCancelled {
            let start = MonotonicClock.nowMicroseconds()
            var pause: Int64?
            do {
                try await watchBans(at: address, group)
            } catch let error as RPCError where error.code == .unimplemented {
                pause = Self.unknownMilliseconds
            } catch {
                // The link says why the control plane is not there.
                logger.debug("no stream of bans", metadata: ["reason": "\(FleetConnection.text(error))"])
            }
            try? await backoff.wait(since: start, milliseconds: pause)
        }
        try? await group.shutdownGracefully()
    }

    private func watchBans(at address: FleetAddress, _ group: MultiThreadedEventLoopGroup) async throws {
        let transport = try FleetConnection.transport(to: address, authorityPEM: enrollment.authorityPEM, group: group)
        try await FleetConnection.run(transport) { client in
            let fleet = Weir_V1_Fleet.Client(wrapping: client)
            let session = try await self.openSession(fleet)
            // The link acts on it.
            guard !session.hasRevocation else { throw RPCError(code: .unimplemented, message: "revoked") }
            defer { client.beginGracefulShutdown() }
            let (messages, queue) = AsyncStream<Weir_V1_SubscribeRequest>.makeStream()
            defer { queue.finish() }
            var hello = Weir_V1_SubscribeRequest()
            hello.hello.version = weirVersion.description
            hello.hello.takesKillSwitches = true
            hello.hello.held = [self.snapshots.bans.mark].compactMap { $0 }
            queue.yield(hello)
            let freezes = self.freezes
            let tell: @Sendable () -> Void = {
                let now = SystemClock().nowMilliseconds()
                let untold = freezes.untold(nowMilliseconds: now, maximum: Self.maximumFreezes)
                guard !untold.isEmpty else { return }
                var message = Weir_V1_SubscribeRequest()
                message.freezes.freezes = untold.map { frozen in
                    var freeze = Weir_V1_Freeze()
                    freeze.keyID = String(decoding: frozen.key.bytes(prefix: KeyEntry.idPrefix), as: UTF8.self)
                    freeze.remainingMs = frozen.until - now
                    return freeze
                }
                queue.yield(message)
            }
            freezes.onFreeze(tell)
            defer { freezes.onFreeze(nil) }
            tell()
            let request = StreamingClientRequest<Weir_V1_SubscribeRequest>(
                metadata: ["authorization": "Bearer \(session.session)"]
            ) { writer in
                for await message in messages { try await writer.write(message) }
            }
            try await fleet.bans(request: request, options: FleetConnection.streamOptions) { response in
                for try await message in response.messages {
                    guard case .document(let envelope) = message.message else { continue }
                    var answer = Weir_V1_SubscribeRequest()
                    answer.acknowledgement = await self.snapshots.bans.apply(envelope, trust: self.snapshots.trusted)
                    queue.yield(answer)
                }
            }
            throw RPCError(code: .unavailable, message: "the control plane ended the stream of bans")
        }
    }
}
