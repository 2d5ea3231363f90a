import Contract
package import Domain
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Primitives

/// Makes one HTTP/1.1 request a call, over a connection of its own, and reads no more of the answer than its status. A name that leads to
/// a link-local address is refused once it is resolved, before anything is sent.
package struct ProviderProbe: ProviderCaller {
    private static let connectTimeout = TimeAmount.seconds(5)
    /// From the call to the answer's status.
    private static let timeout = TimeAmount.seconds(10)

    package init() {}

    package func call(_ call: ProviderCall) async -> ProviderAnswer {
        let (answers, continuation) = AsyncStream.makeStream(of: ProviderAnswer.self, bufferingPolicy: .bufferingOldest(1))
        let channel: any Channel
        do {
            channel = try await connect(call, continuation)
        } catch {
            return .failure("It cannot be reached: \(Self.words(error)).")
        }
        let timer = channel.eventLoop.scheduleTask(in: Self.timeout) {
            continuation.yield(.failure("It did not answer within \(Self.timeout.nanoseconds / 1_000_000_000) seconds."))
        }
        defer {
            timer.cancel()
            channel.close(promise: nil)
        }
        if let address = channel.remoteAddress?.ipAddress, LocalNetwork.isLinkLocal(host: address) {
            return .failure("The name leads to a link-local address, which is not called.")
        }
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: call.address.path + "/models")
        head.headers = ["host": call.address.authority, "accept": "application/json", "user-agent": "weir-control", "connection": "close"]
        if let header = call.header { head.headers.replaceOrAdd(name: header.name, value: header.value.reveal()) }
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        for await answer in answers { return answer }
        return .failure("The call was given up.")
    }

    private func connect(_ call: ProviderCall, _ answers: AsyncStream<ProviderAnswer>.Continuation) async throws -> any Channel {
        let tls = call.address.isTLS ? try Self.context(call.caPEM) : nil
        let host = call.address.host
        return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(Self.connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(try NIOSSLClientHandler(context: tls, serverHostname: Self.isAddress(host) ? nil : host))
                    }
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(StatusReader(answers))
                }
            }
            .connect(host: host, port: call.address.port).get()
    }

    private static func context(_ caPEM: String) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if !caPEM.isEmpty {
            configuration.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMBytes(Array(caPEM.utf8)))]
        }
        return try NIOSSLContext(configuration: configuration)
    }

    private static func isAddress(_ host: String) -> Bool { (try? SocketAddress(ipAddress: host, port: 0)) != nil }

    /// An error's own words, on one line and not without end. They name hosts and certificates, never what was sent.
    fileprivate static func words(_ error: any Error) -> String {
        String("\(error)".map { $0.isNewline ? " " : $0 }.prefix(300))
    }

    /// Reports the answer's status, or why there is none.
    private final class StatusReader: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart
        private let answers: AsyncStream<ProviderAnswer>.Continuation

        init(_ answers: AsyncStream<ProviderAnswer>.Continuation) { self.answers = answers }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .head(let head) = unwrapInboundIn(data) else { return }
            // 1xx are no answer yet.
            if head.status.code >= 200 { answers.yield(.status(Int(head.status.code))) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            answers.yield(.failure("The connection failed: \(ProviderProbe.words(error))."))
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            answers.yield(.failure("It closed the connection without an answer."))
            context.fireChannelInactive()
        }
    }
}
