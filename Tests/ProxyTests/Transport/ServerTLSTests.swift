import Foundation
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Telemetry
import Testing

@testable import Proxy

@Suite("The certificate that applications see", .timeLimit(.minutes(3)))
struct ServerTLSTests {
    /// Files of a pair in a folder of the test's own.
    private final class PairFiles: Sendable {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-tls-\(UUID().uuidString)")
        var certificate: String { folder.appendingPathComponent("tls.crt").path }
        var key: String { folder.appendingPathComponent("tls.key").path }
        var files: ServerTLS.Files { .init(certificate: certificate, key: key) }

        init(_ pair: (certificate: String, key: String)) throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try write(pair)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        func write(_ pair: (certificate: String, key: String)) throws {
            try write(certificate: pair.certificate)
            try write(key: pair.key)
        }

        /// As whoever renews it does: another file in its place.
        func write(certificate text: String) throws { try Data(text.utf8).write(to: URL(filePath: certificate), options: .atomic) }
        func write(key text: String) throws { try Data(text.utf8).write(to: URL(filePath: key), options: .atomic) }
    }

    /// A data plane with TLS, and the name in the certificate that a client sees.
    private static func proxy(_ files: PairFiles) async throws -> ProxyFixture {
        try await ProxyFixture(models: ["sim-ok", "sim-chunks3"]) {
            $0.tlsCertificate = files.certificate
            $0.tlsKey = files.key
        }
    }

    private static func handshake(_ proxy: ProxyFixture, _ authority: TestAuthority, protocols: [String] = ["h2"]) async throws -> String? {
        let name = Mutex<String?>(nil)
        let context = try authority.client(protocols: protocols)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                }
            }
            .connect(host: "127.0.0.1", port: proxy.server.port).get()
        while name.withLock({ $0 }) == nil, channel.isActive {
            let leaf = try await channel.eventLoop.submit {
                try? channel.pipeline.syncOperations.nioSSL_peerCertificate().flatMap { String(describing: $0) }
            }.get()
            name.withLock { $0 = leaf }
            try await ProxyFixture.pause()
        }
        try? await channel.close()
        return name.withLock { $0 }
    }

    @Test func servesBothProtocolsByWhatIsAgreedOn() async throws {
        let authority = try TestAuthority()
        let files = try PairFiles(try authority.issue())
        let proxy = try await Self.proxy(files)
        let client = try await FrameClient.connect(proxy, tls: try authority.client(protocols: ["h2"]))
        client.ask(1, "sim-chunks3", streaming: true)
        let answer = try await client.answer(1)
        #expect(answer.status == 200 && answer.body.hasSuffix("data: [DONE]\n\n"))
        await client.close()
        // Whoever agreed on HTTP/1.1, or on nothing, and speaks HTTP/2 is not understood.
        for protocols in [["http/1.1"], []] {
            let other = try await FrameClient.connect(proxy, tls: try authority.client(protocols: protocols))
            try await other.waitForEnd()
            #expect(other.frames.isEmpty)
        }
        #expect(await proxy.server.sums().metrics.http2Connections == 1)
        // In the clear there is nothing.
        #expect(try await !proxy.send("GET /v1/models").text.contains("HTTP/"))
        while await proxy.server.sums().metrics.handshakeFailures == 0 { try await ProxyFixture.pause() }
        #expect(try await proxy.finish().count == 1)
    }

    @Test func servesARenewedPairWithoutARestart() async throws {
        let authority = try TestAuthority()
        let files = try PairFiles(try authority.issue(name: "first"))
        let proxy = try await Self.proxy(files)
        let tls = try #require(proxy.server.tls)
        let client = try await FrameClient.connect(proxy, tls: try authority.client(protocols: ["h2"]))
        client.push(.headers(1, client.head("GET", "/v1/models"), ends: true))
        #expect(try await client.answer(1).status == 200)
        let before = try await Self.handshake(proxy, authority)

        let second = try authority.issue(name: "second", days: 30)
        try files.write(certificate: second.certificate)
        // Half of the pair is there: nothing happens at the first look, and what the second finds is refused.
        tls.look()
        #expect(tls.standing.refusals == 0 && tls.standing.reloads == 0)
        tls.look()
        #expect(tls.standing.refusals == 1 && tls.warning()?.contains("is not served") == true)
        #expect(try await Self.handshake(proxy, authority) == before)
        try files.write(key: second.key)
        tls.look()
        tls.look()
        tls.look()
        #expect(tls.standing.reloads == 1 && tls.standing.refusal == nil && tls.warning() == nil)
        let after = try await Self.handshake(proxy, authority)
        #expect(after != nil && after != before)
        // Who was connected stays so.
        client.push(.headers(3, client.head("GET", "/v1/models"), ends: true))
        #expect(try await client.answer(3).status == 200)
        let metrics = await proxy.page("/metrics").body
        #expect(metrics.contains("weir_proxy_tls_reloads_total{outcome=\"served\"} 1\n"))
        #expect(metrics.contains("weir_proxy_tls_reloads_total{outcome=\"refused\"} 1\n"))
        await client.close()
        _ = try await proxy.finish()
    }

    @Test func refusesANewPairThatCannotBeUsed() throws {
        let authority = try TestAuthority()
        let first = try authority.issue(days: 40)
        let files = try PairFiles(first)
        let log = CapturingSink()
        let tls = try ServerTLS(files.files, offersHTTP2: true, logger: .structured("test", level: .info, sink: log))
        let served = tls.context
        let other = try authority.issue()
        let expired = try authority.issue(days: -1)
        for (pair, word) in [
            (("", first.key), "no certificate"), ((first.certificate, "no key"), "no private key"), ((first.certificate, other.key), "key"),
            ((expired.certificate, expired.key), "expired"),
        ] {
            try files.write(pair)
            tls.reload()
            #expect(tls.context === served && tls.standing.refusal?.contains(word) == true, "\(word): \(tls.standing)")
            #expect(!log.lines.joined().contains("PRIVATE KEY"))
        }
        #expect(tls.standing.refusals == 4 && log.lines.joined().contains("cannot be used"))
        try FileManager.default.removeItem(atPath: files.key)
        tls.reload()
        #expect(tls.context === served && tls.standing.refusals == 5)
        try files.write(first)
        tls.reload()
        #expect(tls.context !== served && tls.standing.refusal == nil && tls.standing.reloads == 1 && tls.warning() == nil)
        // A look at what is served already reads nothing.
        tls.look()
        tls.look()
        #expect(tls.standing.reloads == 1)
    }

    @Test func saysWhenItExpires() throws {
        let authority = try TestAuthority()
        let files = try PairFiles(try authority.issue(days: 40))
        let tls = try ServerTLS(files.files, offersHTTP2: false, logger: .structured("test", level: .info, sink: CapturingSink()))
        let now = Int(Date().timeIntervalSince1970)
        #expect(tls.warning(nowSeconds: now) == nil)
        #expect(tls.warning(nowSeconds: now + 30 * 86_400)?.contains("expires on") == true)
        #expect(tls.warning(nowSeconds: now + 41 * 86_400)?.contains("expired on") == true)
    }

    @Test func doesNotStartWithoutAPair() throws {
        #expect(throws: ServerTLS.Problem.self) {
            try ServerTLS(
                .init(certificate: "/nowhere/tls.crt", key: "/nowhere/tls.key"), offersHTTP2: true,
                logger: .structured("test", level: .info, sink: CapturingSink()))
        }
    }
}
