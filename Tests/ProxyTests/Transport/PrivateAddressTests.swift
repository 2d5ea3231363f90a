import Contract
import NIOCore
import NIOPosix
import Primitives
import Telemetry
import Testing

@testable import Proxy

@Suite("Endpoints that may call public addresses alone", .timeLimit(.minutes(10)))
struct PrivateAddressTests {
    /// Endpoints at these addresses; those of `guarded` may call public addresses alone.
    private func proxy(
        _ urls: [String], guarded: Set<Int>, log: (any LogSink)? = nil, change: (inout ProxySettings) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        try await ProxyFixture(models: ["m"], endpoints: urls, log: log, change: change) { _ in
        } adjustConfig: { config in
            for index in guarded { config.endpoints[index].publicAddressesOnly = true }
        }
    }

    @Test(
        "what a name or an address leads to is judged when it is connected to: nothing is sent or charged, and the operator hears why",
        arguments: ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "127.1"])
    func refused(host: String) async throws {
        let provider = try await RawProvider.start(.good)
        let log = CapturingSink()
        let proxy = try await proxy(["http://\(host):\(provider.port)/v1"], guarded: [0], log: log)
        let answer = try await proxy.chat("m")
        #expect(answer.status == 502 && answer.errorCode == "endpoint_not_allowed", "\(answer.text)")
        #expect(!answer.text.contains("127.0.0.1") && !answer.text.contains("::1"), "\(answer.text)")
        let trouble = try #require(proxy.server.endpointStates.troubles.endpoints["ep_0"])
        #expect(trouble.last.words.hasPrefix("it leads to the loopback address "), "\(trouble.last.words)")
        #expect(proxy.server.endpointStates.warnings.first?.contains("weir endpoint update … --private-addresses true") == true)
        #expect(log.lines.contains { $0.contains("--private-addresses true") })
        let record = try #require(try await proxy.finish().first)
        #expect(!record.sentUpstream && record.costNano == 0 && record.flags == 0 && record.errorCode == "endpoint_not_allowed")
        #expect(provider.connectionCount == 0)
    }

    @Test("the next candidate is tried; a connection that one endpoint may have is not another's")
    func candidates() async throws {
        let provider = try await RawProvider.start(.good)
        let url = "http://127.0.0.1:\(provider.port)/v1"
        let proxy = try await proxy([url, url], guarded: [0])
        for _ in 0..<2 { #expect(try await proxy.chat("m").status == 200) }
        let endpoints = try #require(proxy.store.current.configs[1]?.endpoints)
        #expect(endpoints["ep_0"]?.pool != endpoints["ep_1"]?.pool)
        let records = try await proxy.finish()
        #expect(records.map(\.endpointID) == ["ep_1", "ep_1"] && records.map(\.attempts).sorted() == [1, 2])
    }

    @Test("link-local addresses are never called, whatever an endpoint says")
    func linkLocal() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let reason = try await loop.flatSubmit { () -> EventLoopFuture<String?> in
            let promise = loop.makePromise(of: String?.self)
            let origin = Transport.Origin(host: "169.254.169.254", port: 80, isTLS: false, caPEM: "")
            Transport(eventLoop: loop, tls: ClientTLS()).connect(to: origin, timeout: 60_000, user: Nobody()) {
                promise.succeed($0?.reason)
            }
            return promise.futureResult
        }.get()
        #expect(reason == "it leads to the link-local address 169.254.169.254")
    }

    @Test("a data plane calls the hosts alone that its operator names", arguments: [true, false])
    func hosts(isNamed: Bool) async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await proxy(["http://127.0.0.1:\(provider.port)/v1"], guarded: []) {
            $0.providerHosts = ["*.example.com", isNamed ? "127.0.0.1:\(provider.port)" : "127.0.0.1:1"]
        }
        let answer = try await proxy.chat("m")
        #expect(answer.status == (isNamed ? 200 : 502) && answer.errorCode == (isNamed ? nil : "endpoint_not_allowed"), "\(answer.text)")
        #expect(proxy.server.endpointStates.warnings.contains { $0.contains("--provider-hosts") } == !isNamed)
        #expect(provider.connectionCount == (isNamed ? 1 : 0))
        _ = try await proxy.finish()
    }
}

private final class Nobody: ByteStreamUser {
    func opened(_ stream: any ByteStream) { stream.close() }
    func received(_ bytes: ByteBuffer) {}
    func writabilityChanged(isWritable: Bool) {}
    func ended(_ failure: StreamFailure?) {}
}
