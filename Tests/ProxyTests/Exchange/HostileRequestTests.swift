import Contract
import Foundation
import Primitives
import Testing

@testable import Proxy

@Suite("Requests that are wrong, hostile or slow", .timeLimit(.minutes(10)))
struct HostileRequestTests {
    @Test func refusesKeysWithAReason() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let none = try await proxy.send("POST /v1/chat/completions", body: "{}", authorised: false)
        #expect(none.status == 401 && none.errorCode == "missing_api_key")
        var typo = Array(proxy.key)
        typo[30] = typo[30] == "a" ? "b" : "a"
        let wrong = try await proxy.send("GET /v1/models", headers: ["authorization: Bearer \(String(typo))"], authorised: false)
        #expect(wrong.status == 401 && wrong.field("message")?.contains("checksum") == true)
        let stranger = VirtualKeyText.generate(prefix: "weir", idSuffix: KeyID.random().suffix).text
        let unknown = try await proxy.send("GET /v1/models", headers: ["authorization: Bearer \(stranger)"], authorised: false)
        // The right id with another secret is answered in the same words.
        let forged = VirtualKeyText.generate(prefix: "weir", idSuffix: String(proxy.key.dropFirst(5).prefix(16))).text
        let guessed = try await proxy.send("GET /v1/models", headers: ["x-api-key: \(forged)"], authorised: false)
        #expect(unknown.status == 401 && unknown.body == guessed.body)
        #expect(try await proxy.send("GET /v1/models", headers: ["api-key: \(proxy.key)"], authorised: false).status == 200)
        #expect(try await proxy.finish().isEmpty)
    }

    @Test func passesOverAnEmptyLineBehindABody() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let line = "GET /health/live HTTP/1.1\r\nhost: w\r\n"
        let answers = try await proxy.raw("\r\n" + line + "\r\n\r\n" + line + "connection: close\r\n\r\n")
        #expect(answers.text.components(separatedBy: "HTTP/1.1 200 OK").count == 3, "\(answers.text)")
        _ = try await proxy.finish()
    }

    @Test func answersAHeadThatDoesNotComeWholeWhateverTheOneBeforeItWas() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.headTimeout = 300 }
        let answers = try await proxy.raw("HEAD /health/live HTTP/1.1\r\nhost: w\r\n\r\nPOST /v1/ch")
        let late = RawResponse(Array(answers.text.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n").utf8))
        #expect(late.status == 408 && late.errorCode == "request_timeout", "\(answers.text)")
        _ = try await proxy.finish()
    }

    @Test(arguments: [
        ("{}", "missing_required_parameter"), ("{\"model\":5}", "invalid_json"), ("{\"model\":\"sim-ok\",", "invalid_json"),
        ("[1]", "invalid_json"), ("{\"model\":\"sim-ok\",\"model\":\"sim-b\"}", "invalid_json"),
        ("{\"model\":\"sim-ok\",\"max_tokens\":1001}", "max_tokens_too_large"),
        ("{\"model\":\"sim-ok\",\"stream\":\"yes\"}", "invalid_json"),
    ])
    func refusesBodiesBeforeAnythingIsSent(body: String, code: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let answer = try await proxy.send("POST /v1/chat/completions", body: body)
        #expect(answer.status == 400 && answer.errorCode == code)
        #expect(try await proxy.finish().isEmpty)
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
    ])
    func closesOnMalformedHTTP(text: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let answer = try await proxy.raw(text)
        #expect([400, 501, 505].contains(answer.status), "\(answer.status)")
        #expect(answer.header("connection") == "close")
        #expect(answer.errorCode == "malformed_request")
        #expect(try await proxy.chat("sim-ok").status == 200)
        _ = try await proxy.finish()
    }

    @Test func answersPipelinedRequestsInOrder() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"])
        let body = #"{"model":"sim-in1-out1","messages":[]}"#
        let one =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n"
        let answer = try await proxy.raw(one + "\r\n" + body + one + "\r\n" + body + one + "connection: close\r\n\r\n" + body)
        #expect(answer.text.components(separatedBy: "HTTP/1.1 200 OK").count == 4)
        #expect(try await proxy.finish().count == 3)
    }

    @Test func takesAChunkedBody() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"])
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ntransfer-encoding: chunked\r\n"
            + "connection: close\r\n\r\n"
        let answer = try await proxy.raw(head + "a\r\n{\"model\":\"\r\n1c\r\nsim-in1-out1\",\"messages\":[]}\r\n0\r\n\r\n")
        #expect(answer.status == 200, "\(answer.text)")
        let broken = try await proxy.raw(head + "zz\r\n")
        #expect(broken.status == 400 && broken.header("connection") == "close")
        #expect(try await proxy.finish().count == 1)
    }

    @Test func refusesBodiesAboveTheLimitByTheirHead() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.maxBodyBytes = 2000 }
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\n"
        #expect(try await proxy.raw(head + "content-length: 2001\r\n\r\n").status == 413)
        let chunked = head + "transfer-encoding: chunked\r\n\r\n7d1\r\n" + String(repeating: " ", count: 2001) + "\r\n0\r\n\r\n"
        #expect(try await proxy.raw(chunked).status == 413)
        #expect(try await proxy.finish().isEmpty)
    }

    @Test func givesUpOnAByteNowAndThen() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) {
            // Long enough for a busy machine to send the first bytes.
            $0.headTimeout = 2000
            $0.bodyTimeout = 200
        }
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: 10\r\n"
        #expect(try await proxy.raw(head).status == 408)
        #expect(try await proxy.raw(head + "\r\n{").status == 408)
        #expect(try await proxy.finish().isEmpty)
    }

    @Test func answersHeadWithoutABodyAndHTTP10WithItsEnd() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks4"])
        let head = try await proxy.send("HEAD /v1/models")
        #expect(head.status == 200 && head.body.isEmpty && head.header("content-length") != "0")
        let body = #"{"model":"sim-chunks4","messages":[],"stream":true}"#
        let old = try await proxy.raw(
            "POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer \(proxy.key)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        #expect(old.status == 200 && old.header("transfer-encoding") == nil)
        #expect(old.body.hasSuffix("data: [DONE]\n\n"))
        #expect(try await proxy.finish().count == 1)
    }

    @Test func answers503WhileNothingIsConfigured() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"], rollsOut: false)
        let answer = try await proxy.chat("sim-ok")
        #expect(answer.status == 503 && answer.errorCode == "not_configured" && answer.header("retry-after") != nil)
        #expect(try await proxy.send("GET /health/ready").status == 503)
        #expect(try await proxy.send("GET /health/live").status == 200)
        #expect(try await proxy.finish().isEmpty)
    }
}
