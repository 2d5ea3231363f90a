import Contract
import Foundation
import NIOCore
import Primitives
import Testing
import Trust

@testable import Proxy

/// Files that are larger than what is held of a body: they go to the provider as they come.
@Suite("Files on their way to a provider", .timeLimit(.minutes(10)))
struct UploadTests {
    static let made = RawProvider.Answer.json(200, #"{"object":"file","id":"file-Abc","filename":"a.bin","bytes":400000}"#)
    static let content = String(repeating: "0123456789abcdef", count: 25_000)

    private func fixture(_ endpoints: [String], change: (inout ProxySettings) -> Void = { _ in }) async throws -> ProxyFixture {
        let proxy = try await ProxyFixture(
            models: ["keeper"], endpoints: endpoints, change: change,
            adjustConfig: { $0.models[0].capabilities = ["chat", "files"] })
        var secrets = Weir_V1_SealedSecrets()
        let secret = String(repeating: "ab", count: 32)
        secrets.secrets = [try proxy.snapshots.sealed(secret, id: SealedCredentialBinding.resourceKeyID, provider: "")]
        await proxy.store.apply(secrets)
        return proxy
    }

    private func form(_ extra: String = "") -> (head: String, body: String) {
        let body =
            "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\(extra)--b\r\n"
            + "content-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n\(Self.content)\r\n--b--\r\n"
        return ("content-type: multipart/form-data; boundary=b", body)
    }

    /// The request's head and the first 100,000 bytes of its body, and the rest.
    private func request(_ proxy: ProxyFixture, _ extra: String = "", length: Int? = nil) -> (begin: String, rest: String) {
        let (type, body) = form(extra)
        let head =
            "POST /v1/files HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\n\(type)\r\n"
            + "content-length: \(length ?? body.utf8.count)\r\n\r\n"
        return (head + body.prefix(100_000), String(body.dropFirst(100_000)))
    }

    private func connected(_ provider: RawProvider) async throws {
        while provider.connectionCount == 0 { try await ProxyFixture.pause() }
    }

    @Test func areSentOnAsTheyCome() async throws {
        let provider = try await RawProvider.start(Self.made)
        let proxy = try await fixture([provider.url])
        let named = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nkeeper\r\n"
        let (begin, rest) = request(proxy, named)
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(begin)
        // Nothing more has come, and the provider is being told already.
        try await connected(provider)
        try await client.send(String(rest.prefix(150_000)))
        try await client.send(String(rest.dropFirst(150_000)))
        // The next request of the connection follows at once.
        try await client.send(
            "GET /v1/models HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\nconnection: close\r\n\r\n")
        let text = String(decoding: try await client.readToEnd(), as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 200") && text.contains(#""id":"file-w1-"#) && !text.contains("file-Abc"))
        #expect(text.components(separatedBy: "HTTP/1.1 200").count == 3 && text.contains(#""keeper""#))
        // All of it, but for the field that the provider does not know.
        let sent = try #require(provider.requests.first)
        let body = form().body
        #expect(sent.hasPrefix("POST /v1/files HTTP/1.1\r\n") && sent.contains("content-length: \(body.utf8.count)\r\n"))
        #expect(sent.hasSuffix("\r\n\r\n" + body))
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .completed && record.capability == .files && record.attempts == 1)
        #expect(record.requestBytes == form(named).body.utf8.count && record.inputTokens == 0 && record.flags == 0)
    }

    @Test func goToTheNextEndpointWhileAllThatWasSentIsHeld() async throws {
        let refusing = try await RawProvider.start(.good)
        // A provider that is stopped has no address any more.
        let gone = refusing.url
        await refusing.stop()
        let second = try await RawProvider.start(Self.made)
        let proxy = try await fixture([gone, second.url])
        let (begin, rest) = request(proxy)
        let response = try await proxy.raw(begin.replacing("host: w\r\n", with: "host: w\r\nconnection: close\r\n") + rest)
        #expect(response.status == 200)
        let record = try #require(try await proxy.finish().first)
        #expect(record.attempts == 2 && record.endpointID == "ep_1")
    }

    @Test func costNothingWhenTheirProviderBreaksOff() async throws {
        // It reads the head, and goes.
        let provider = try await RawProvider.start(readsBodies: false) { _ in .raw("", end: .reset) }
        let proxy = try await fixture([provider.url])
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(request(proxy).begin)
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 502 && response.errorCode == "provider_unreachable", "\(response.text)")
        #expect(response.header("connection") == "close")
        // A client that sends a byte now and then brings that about, and must not shut the endpoint for everybody.
        #expect(BreakerReport.states(proxy.server.health).isEmpty)
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.costNano == 0 && record.errorOrigin == .provider)
    }

    @Test func takeThePlaceOfAConnectionThatRests() async throws {
        let provider = try await RawProvider.start { $0 == 1 ? Self.made : .good }
        let proxy = try await fixture([provider.url]) { $0.maxUpstreamConnections = 1 }
        #expect(try await proxy.chat("keeper").status == 200)
        let (begin, rest) = request(proxy)
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(
            begin + rest + "GET /v1/models HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\nconnection: close\r\n\r\n")
        // Nobody waits until the one that rests is too old.
        #expect(RawResponse(try await client.readToEnd()).status == 200)
        #expect(try await proxy.chat("keeper").status == 200)
        #expect(try await proxy.finish().allSatisfy { $0.status == .completed })
    }

    @Test func areRefusedBeforeTheirEnd() async throws {
        let provider = try await RawProvider.start(readsBodies: false) { _ in
            .json(400, #"{"error":{"message":"Invalid purpose.","type":"invalid_request_error","param":"purpose","code":null}}"#)
        }
        let proxy = try await fixture([provider.url])
        let client = try await RawClient.connect(port: proxy.server.port)
        let (begin, rest) = request(proxy)
        client.push(begin + rest.prefix(100_000))
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 400 && response.text.contains("Invalid purpose."))
        // The rest of the body would be read as another request.
        #expect(response.header("connection") == "close")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.costNano == 0)
    }

    @Test func waitForAProviderThatTakesNothing() async throws {
        let provider = try await RawProvider.start(readsBodies: false) { _ in .raw("", end: .silence) }
        let second = try await RawProvider.start(Self.made)
        let proxy = try await fixture([provider.url, second.url]) { $0.upstreamIdleTimeout = 1000 }
        let client = try await RawClient.connect(port: proxy.server.port)
        let rest = String(repeating: Self.content, count: 75)
        let (begin, _) = request(proxy, length: 100_000 + rest.utf8.count)
        client.push(begin + rest)
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 504 && response.errorCode == "provider_timeout", "\(response.text)")
        // Not all of it was taken from the client: the connection is of no more use.
        #expect(response.header("connection") == "close")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.costNano == 0)
        // What has gone on is held no more, and cannot be sent to another one.
        #expect(record.attempts == 1 && second.connectionCount == 0)
    }

    @Test func mayBeLeft() async throws {
        let provider = try await RawProvider.start(Self.made)
        let proxy = try await fixture([provider.url])
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(request(proxy).begin)
        try await connected(provider)
        await client.close()
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.costNano == 0 && record.errorCode == "client_disconnected")
        #expect(provider.requests.isEmpty)
    }

    @Test func doNotComeForEver() async throws {
        let provider = try await RawProvider.start(Self.made)
        let proxy = try await fixture([provider.url]) { $0.bodyTimeout = 3000 }
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(request(proxy).begin)
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 408 && response.errorCode == "request_timeout")
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorCode == "request_timeout" && record.costNano == 0 && provider.requests.isEmpty)
    }

    @Test func haveABound() async throws {
        let proxy = try await fixture(["http://SIMULATOR/v1"]) { $0.maxUploadBytes = 200_000 }
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(request(proxy).begin)
        #expect(RawResponse(try await client.readToEnd()).status == 413)
        #expect(try await proxy.finish().isEmpty)
    }
}
