import Testing
import Wire

@Suite("A response head")
struct ResponseHeadTests {
    struct Case: Sendable {
        let text: String
        let violation: HTTPViolation
    }

    @Test(
        "that is ambiguous or malformed is refused, however it is split",
        arguments: [
            Case(text: "HTTP/1.1 2000 OK\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/1.1 20 OK\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/1.1 099 Low\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/1.1 600 High\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/1.1  200 OK\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/2.0 200 OK\r\n\r\n", violation: .unsupportedVersion),
            Case(text: "ICY 200 OK\r\n\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "hello\nworld, this is no HTTP at all\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", violation: .bareLF),
            Case(text: "HTTP/1.1 200\nContent-Length: 0\r\n\r\n", violation: .bareLF),
            Case(text: "HTTP/1.1 200 O\rK\r\n\r\n", violation: .bareCR),
            Case(text: "HTTP/1.1 200 O\0K\r\n\r\n", violation: .malformedStatusLine),
            Case(text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", violation: .repeatedContentLength),
            Case(text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", violation: .lengthAndTransferEncoding),
            Case(text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", violation: .unsupportedTransferEncoding),
            Case(text: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", violation: .transferEncodingOnHTTP10),
            Case(text: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", violation: .obsoleteFolding),
            Case(text: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", violation: .unexpectedUpgrade),
        ])
    func refuses(_ hostile: Case) {
        let bytes = Array(hostile.text.utf8)
        for pieces in [[]] + (1..<bytes.count).map({ [$0] }) + [Array(1..<bytes.count)] {
            var parser = ResponseHeadParser()
            parser.reset(requestMethod: .post)
            #expect(
                deliver(bytes, pieceEnds: pieces) { parser.parse($0) } == .invalid(hostile.violation),
                "\(pieces.count) \(pieces.first ?? 0)")
        }
    }

    struct Framed: Sendable {
        let text: String
        var method = HTTPMethod.post
        let framing: BodyFraming
        let keepAlive: Bool
    }

    @Test(
        "says how its body ends",
        arguments: [
            Framed(text: "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", framing: .length(12), keepAlive: true),
            Framed(text: "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", framing: .chunked, keepAlive: true),
            Framed(text: "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", framing: .chunked, keepAlive: false),
            Framed(text: "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", framing: .untilClose, keepAlive: false),
            Framed(text: "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n", framing: .length(12), keepAlive: false),
            Framed(text: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", framing: .length(0), keepAlive: true),
            Framed(text: "HTTP/1.1 204 No Content\r\n\r\n", framing: .none, keepAlive: true),
            Framed(text: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", framing: .none, keepAlive: false),
            Framed(text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n", framing: .none, keepAlive: true),
            Framed(text: "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", method: .head, framing: .none, keepAlive: true),
            Framed(text: "HTTP/1.1 100 Continue\r\n\r\n", framing: .none, keepAlive: true),
        ])
    func frames(_ framed: Framed) {
        let bytes = Array(framed.text.utf8)
        for pieces in [[], Array(1..<bytes.count)] {
            var parser = ResponseHeadParser()
            parser.reset(requestMethod: framed.method)
            #expect(deliver(bytes, pieceEnds: pieces) { parser.parse($0) } == .complete(bytes.count))
            #expect(parser.framing == framed.framing)
            #expect(parser.keepAlive == framed.keepAlive)
        }
    }

    @Test("of an interim response is followed by the next after a reset")
    func interim() {
        let bytes = Array(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}"
                .utf8)
        var parser = ResponseHeadParser()
        parser.reset(requestMethod: .post)
        var at = 0
        while case .complete(let length) = bytes[at...].withUnsafeBytes({ parser.parse($0) }) {
            at += length
            guard parser.isInformational else { break }
            parser.reset(requestMethod: .post)
        }
        #expect(parser.status == 429)
        #expect(text(Array(bytes[37...]), parser.reasonPhrase) == "Too Many Requests")
        #expect(parser.first(.retryAfter).map { text(Array(bytes[37...]), $0.value) } == "7")
        #expect(at == bytes.count - 2)
    }
}
