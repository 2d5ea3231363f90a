import Contract
import NIOCore
import NIOPosix
import NIOSSL
import Primitives
import Simulator
import Testing
import X509

@testable import Proxy

@Suite("Connecting to a provider", .timeLimit(.minutes(10)))
struct ConnectTests {
    /// A listener that does with each connection what it is told to.
    private static func listen(_ initialize: @escaping @Sendable (any Channel) throws -> Void) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try initialize(channel) } }
            .bind(host: "127.0.0.1", port: 0)
            .get()
    }

    /// What came of one attempt to connect with TLS: the failure's words, or nil.
    private static func attempt(_ listener: any Channel, ca: String = "", timeout: Int64 = 5000) async throws -> (String, String)? {
        let port = try #require(listener.localAddress?.port)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let found = try await loop.flatSubmit { () -> EventLoopFuture<[String]> in
            let promise = loop.makePromise(of: [String].self)
            let transport = Transport(eventLoop: loop, tls: ClientTLS())
            let origin = Transport.Origin(host: "127.0.0.1", port: port, isTLS: true, caPEM: ca)
            transport.connect(to: origin, timeout: timeout, user: Nobody()) { failure in
                promise.succeed(failure.map { [$0.reason, $0.remedy] } ?? [])
            }
            return promise.futureResult
        }.get()
        try await listener.close()
        return found.count == 2 ? (found[0], found[1]) : nil
    }

    private final class Nobody: ByteStreamUser {
        func opened(_ stream: any ByteStream) { stream.close() }
        func received(_ bytes: ByteBuffer) {}
        func writabilityChanged(isWritable: Bool) {}
        func ended(_ failure: StreamFailure?) {}
    }

    @Test func goesNowhereButWhereANameMayLead() throws {
        let networks = try #require(NetworkList("10.0.0.0/8,169.254.9.9"))
        for (address, configured, open) in [
            ("203.0.114.1", true, true), ("10.1.2.3", true, true), ("192.168.1.1", true, false), ("127.0.0.1", true, false),
            ("::1", true, false), ("169.254.169.254", false, false), ("fe80::1", false, false), ("::ffff:169.254.169.254", false, false),
            ("169.254.9.9", false, true), ("2606:4700::1", true, true), ("fd00::1", true, false), ("64:ff9b::a9fe:a9fe", false, false),
        ] {
            let bytes = try #require(NetworkList.bytes(address))
            #expect((AddressReach.configured.refusal(of: bytes) == nil) == configured, "\(address)")
            #expect((AddressReach.public(and: networks).refusal(of: bytes) == nil) == open, "\(address)")
        }
    }

    @Test func isDoneWhenTLSIs() async throws {
        let authority = try TestAuthority()
        let context = try authority.server()
        let listener = try await Self.listen { try $0.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) }
        #expect(try await Self.attempt(listener, ca: authority.pem) == nil)
    }

    @Test func saysThatACertificateIsNotTrustedAndWhatToDo() async throws {
        let context = try TestAuthority().server()
        let listener = try await Self.listen { try $0.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) }
        let failure = try #require(try await Self.attempt(listener))
        #expect(failure.0.contains("127.0.0.1 is not trusted") && failure.1.contains("ca_pem"), "\(failure)")
    }

    @Test func saysThatACertificateHasExpired() async throws {
        let authority = try TestAuthority()
        let context = try authority.server(days: -2)
        let listener = try await Self.listen { try $0.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) }
        let failure = try #require(try await Self.attempt(listener, ca: authority.pem))
        #expect(failure.0.contains("expired on 20") && failure.1.contains("renewed"), "\(failure)")
    }

    @Test func saysThatACertificateIsForAnotherName() async throws {
        let authority = try TestAuthority()
        let context = try authority.server(for: .dnsName("elsewhere.test"))
        let listener = try await Self.listen { try $0.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) }
        let failure = try #require(try await Self.attempt(listener, ca: authority.pem))
        #expect(failure.0.contains("for other names"), "\(failure)")
    }

    @Test func saysThatAPortSpeaksNoTLS() async throws {
        let listener = try await Self.listen { channel in
            channel.writeAndFlush(ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"), promise: nil)
        }
        let failure = try #require(try await Self.attempt(listener))
        #expect(failure.0.contains("does not speak TLS") && failure.1.contains("http://"), "\(failure)")
    }

    @Test func saysThatThePeerHungUpDuringTheHandshake() async throws {
        let listener = try await Self.listen { channel in channel.close(promise: nil) }
        let failure = try #require(try await Self.attempt(listener))
        #expect(failure.0.contains("closed"), "\(failure)")
    }

    @Test func takesNoLongerWithTLSThanItsTimeAllows() async throws {
        let listener = try await Self.listen { _ in }
        let failure = try #require(try await Self.attempt(listener, timeout: 300))
        #expect(failure.0 == "no TLS handshake in time")
    }

    @Test func goesOnFromASilentEndpointAfterTheTimeToConnect() async throws {
        let silent = try await Self.listen { _ in }
        let port = try #require(silent.localAddress?.port)
        let proxy = try await ProxyFixture(
            models: ["sim-in5-out2"], endpoints: ["https://127.0.0.1:\(port)/v1", "http://SIMULATOR/v1"]
        ) {
            $0.connectTimeout = 300
            $0.firstByteTimeout = 600_000
            $0.endpointCooldown = 600_000
        }
        let clock = ContinuousClock()
        let began = clock.now
        #expect(try await proxy.chat("sim-in5-out2").status == 200)
        // The time to the first byte, which a request that was sent would have, is ten minutes.
        #expect(clock.now - began < .seconds(300))
        // It is tried last for a while: the next request goes to the other at once.
        #expect(try await proxy.chat("sim-in5-out2").status == 200)
        let records = try await proxy.finish()
        #expect(records.map(\.endpointID) == ["ep_1", "ep_1"])
        #expect(records.map(\.attempts).sorted() == [1, 2])
        try await silent.close()
    }

    @Test func chargesNothingForAHandshakeThatFailed() async throws {
        let context = try TestAuthority().server()
        let listener = try await Self.listen { try $0.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) }
        let port = try #require(listener.localAddress?.port)
        let proxy = try await ProxyFixture(models: ["sim-in5-out2"], endpoints: ["https://127.0.0.1:\(port)/v1"])
        let answer = try await proxy.chat("sim-in5-out2")
        #expect(answer.status == 502 && answer.errorCode == "provider_unreachable", "\(answer.text)")
        let record = try #require(try await proxy.finish().first)
        #expect(!record.sentUpstream && record.costNano == 0 && record.inputTokens == 0 && record.flags == 0)
        try await listener.close()
    }
}
