import Contract
import Foundation
import NIOCore
import Primitives
import Testing

@testable import Proxy

/// Forms of sound and images that are larger than what is held of a body: they go to the provider as they come, once a model is named.
@Suite("Forms on their way to a provider", .timeLimit(.minutes(10)))
struct FormUploadTests {
    static let text = RawProvider.Answer.json(200, #"{"text":"hi"}"#)
    /// Some of it looks like boundaries.
    static let content = String(repeating: "0123456789abcdef\r\n--\r\n--c\r\r\n-b--\r\n", count: 8000)

    private func fixture(
        _ endpoints: [String], upstream: String = "", change: (inout ProxySettings) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        try await ProxyFixture(
            models: ["whisper", "painter"], endpoints: endpoints, upstreamModel: upstream, change: change,
            adjustConfig: {
                $0.models[0].capabilities = ["audio"]
                $0.models[1].capabilities = ["images"]
                $0.prices[1].perImage = 1000
            })
    }

    private func part(_ name: String, _ value: String, _ more: String = "") -> String {
        "--b\r\nContent-Disposition: form-data; name=\"\(name)\"\(more)\r\n\r\n\(value)\r\n"
    }

    private var file: String { part("file", Self.content, "; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg") }

    private func head(_ proxy: ProxyFixture, _ length: Int, _ path: String = "/v1/audio/transcriptions") -> String {
        "POST \(path) HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-type: multipart/form-data; boundary=b\r\n"
            + "content-length: \(length)\r\n\r\n"
    }

    private let next = "GET /v1/models HTTP/1.1\r\nhost: w\r\nconnection: close\r\nauthorization: Bearer "

    @Test func areSentOnAsTheyCome() async throws {
        let provider = try await RawProvider.start(Self.text)
        let proxy = try await fixture([provider.url], upstream: "whisper-large-v3")
        let form = part("model", "whisper") + file + part("language", "en") + part("prompt", "x") + "--b--\r\n"
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(head(proxy, form.utf8.count) + form.prefix(100_000))
        // The provider is being told, and most of it has not been sent.
        while provider.connectionCount == 0 { try await ProxyFixture.pause() }
        var rest = form.dropFirst(100_000)
        // What comes in pieces of any size comes through.
        var size = 1
        while !rest.isEmpty {
            try await client.send(String(rest.prefix(size)))
            rest = rest.dropFirst(size)
            size = min(size * 3 + 1, 40_000)
        }
        try await client.send(next + proxy.key + "\r\n\r\n")
        let answer = String(decoding: try await client.readToEnd(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 200") && answer.components(separatedBy: "HTTP/1.1 200").count == 3, "\(answer)")
        let sent = try #require(provider.requests.first)
        let expected = form.replacing("\r\n\r\nwhisper\r\n", with: "\r\n\r\nwhisper-large-v3\r\n")
        #expect(sent.contains("content-length: \(expected.utf8.count)\r\n") && sent.hasSuffix("\r\n\r\n" + expected))
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .completed && record.capability == .audio && record.requestBytes == form.utf8.count)
        // By the bytes of the file and of the prompt, as of a form that is held.
        let tokens = Int64(Self.content.utf8.count / 8000 * 10 + 1)
        #expect(record.inputTokens == tokens && record.estimatedInputTokens == tokens)
    }

    @Test func areHeldWhereAFileComesFirst() async throws {
        let refusing = try await RawProvider.start(.json(500, #"{"error":{"message":"no"}}"#))
        let second = try await RawProvider.start(Self.text)
        let proxy = try await fixture([refusing.url, second.url]) { $0.maxBodyBytes = 400_000 }
        let form = file + part("model", "whisper") + "--b--\r\n"
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(head(proxy, form.utf8.count).replacing("host: w", with: "host: w\r\nconnection: close") + form)
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 200, "\(response.text)")
        // All of it could be sent once more.
        #expect(second.requests.first?.hasSuffix(form) == true)
        // One that is larger than what may be held is told what to do.
        let large = part("file", Self.content + Self.content, "; filename=a") + part("model", "whisper") + "--b--\r\n"
        let other = try await RawClient.connect(port: proxy.server.port)
        other.push(head(proxy, large.utf8.count) + large)
        let refused = RawResponse(try await other.readToEnd())
        #expect(refused.status == 413 && refused.text.contains("model before the file"), "\(refused.text)")
        #expect(try await proxy.finish().map(\.attempts) == [2])
    }

    @Test func areNotSentTwiceOnceSomethingHasGone() async throws {
        let refusing = try await RawProvider.start(.json(500, #"{"error":{"message":"no"}}"#))
        let second = try await RawProvider.start(Self.text)
        let proxy = try await fixture([refusing.url, second.url])
        let form = part("model", "whisper") + part("file", Self.content + Self.content, "; filename=a") + "--b--\r\n"
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(head(proxy, form.utf8.count).replacing("host: w", with: "host: w\r\nconnection: close") + form)
        #expect(RawResponse(try await client.readToEnd()).status == 502)
        #expect(try await proxy.finish().map(\.attempts) == [1] && second.connectionCount == 0)
    }

    /// What follows the file changes nothing that was decided, and none of it reaches a provider whole.
    @Test func areBrokenOffWhereTheirRestIsNoForm() async throws {
        let provider = try await RawProvider.start(Self.text)
        let proxy = try await fixture([provider.url])
        for rest in [
            part("model", "painter") + "--b--\r\n", part("Model", "x") + "--b--\r\n", part("n", "many") + "--b--\r\n", "", "--b--\r\nmore",
            part("x", "y", "\r\nContent-Transfer-Encoding: base64") + "--b--", "--b\r\n" + String(repeating: "x", count: 20_000),
            String(repeating: part("x", "y"), count: 300) + "--b--",
        ] {
            let form = part("model", "whisper") + file + rest
            let client = try await RawClient.connect(port: proxy.server.port)
            client.push(head(proxy, form.utf8.count).replacing("host: w", with: "host: w\r\nconnection: close") + form)
            let response = RawResponse(try await client.readToEnd())
            #expect(response.status == 400 && response.errorCode == "invalid_form", "\(rest.prefix(50)): \(response.text)")
            #expect(response.text.contains("invalid_request_error"))
        }
        #expect(provider.requests.isEmpty)
        let records = try await proxy.finish()
        #expect(
            records.count == 8 && records.allSatisfy { $0.costNano == 0 && $0.errorCode == "invalid_form" && $0.errorOrigin == .client })
    }

    @Test func costNothingBeforeTheyAreWhole() async throws {
        let provider = try await RawProvider.start(Self.text)
        let proxy = try await fixture([provider.url])
        let form = part("model", "whisper") + file + "--b--\r\n"
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(head(proxy, form.utf8.count) + form.dropLast(1))
        while provider.connectionCount == 0 { try await ProxyFixture.pause() }
        await client.close()
        while await proxy.server.activeRequests() > 0 { try await ProxyFixture.pause() }
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.errorCode == "client_disconnected" && record.inputTokens == 0 && record.costNano == 0)
        #expect(provider.requests.isEmpty && BreakerReport.states(proxy.server.health).isEmpty)
    }

    /// A provider that knows better before it has heard all is believed at once.
    @Test func areRefusedBeforeTheirEnd() async throws {
        let provider = try await RawProvider.start(readsBodies: false) { _ in
            .json(401, #"{"error":{"message":"Wrong key.","type":"invalid_request_error","code":"invalid_api_key"}}"#)
        }
        let proxy = try await fixture([provider.url])
        let form = part("model", "whisper") + part("file", Self.content + Self.content, "; filename=a") + "--b--\r\n"
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(head(proxy, form.utf8.count) + form.prefix(150_000))
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 502 && response.errorCode == "provider_credential_refused", "\(response.text)")
        #expect(response.header("connection") == "close")
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.costNano == 0 && record.inputTokens == 0)
    }

    /// What is read behind the file counts in what is charged.
    @Test func saysBehindItsFileHowManyImages() async throws {
        let provider = try await RawProvider.start(.stream([#"{"type":"image_edit.completed","b64_json":"aGk="}"#]))
        let proxy = try await fixture([provider.url])
        let fields = part("stream", "true") + part("n", "2") + part("prompt", "Make it night")
        let form = part("model", "painter") + part("image", Self.content, "; filename=a") + fields + "--b--\r\n"
        let client = try await RawClient.connect(port: proxy.server.port)
        client.push(head(proxy, form.utf8.count, "/v1/images/edits").replacing("host: w", with: "host: w\r\nconnection: close") + form)
        let response = RawResponse(try await client.readToEnd())
        #expect(response.status == 200 && response.text.contains("image_edit.completed"), "\(response.text)")
        let record = try #require(try await proxy.finish().first)
        #expect(record.costNano == 2000 && record.images == 2)
    }
}
