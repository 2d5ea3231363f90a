import Testing
import Wire

@Suite("A request head")
struct RequestHeadTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let bytes: [UInt8]
        let violation: HTTPViolation
        var testDescription: String { name }

        init(_ name: String, _ violation: HTTPViolation, _ bytes: [UInt8]) {
            self.name = name
            self.bytes = bytes
            self.violation = violation
        }

        init(_ name: String, _ violation: HTTPViolation, _ text: String) {
            self.init(name, violation, Array(text.utf8))
        }
    }

    static let hostile: [Case] = [
        // Start line.
        Case("no method", .invalidMethod, " / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("method with a slash", .invalidMethod, "G/T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("method with NUL", .invalidMethod, "GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("long method", .invalidMethod, String(repeating: "A", count: 40) + " / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("TLS hello", .invalidMethod, [0x16, 0x03, 0x01, 0x02, 0x00, 0x0A]),
        Case("two spaces after the method", .malformedRequestLine, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("two spaces before the version", .malformedVersion, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("space in the target", .malformedVersion, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("tab before the target", .invalidMethod, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("trailing space", .malformedRequestLine, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        Case("control in the target", .invalidTarget, "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("non-ASCII in the target", .invalidTarget, "GET /é HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("DEL in the target", .invalidTarget, "GET /\u{7F} HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("backslash in the target", .invalidTarget, "GET \\a HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("fragment", .fragmentInTarget, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("cut percent encoding", .invalidPercentEncoding, "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("wrong percent encoding", .invalidPercentEncoding, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("encoded NUL", .invalidPercentEncoding, "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("relative target", .unsupportedTarget, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("authority form", .unsupportedTarget, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        Case("asterisk with GET", .unsupportedTarget, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("absolute form of another scheme", .unsupportedTarget, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("absolute form without a host", .unsupportedTarget, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("absolute form with user information", .unsupportedTarget, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("absolute form for another host", .hostMismatch, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("HTTP/0.9", .http09, "GET /\r\n\r\n"),
        Case("HTTP/1.2", .unsupportedVersion, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        Case("HTTP/3.0", .unsupportedVersion, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
        Case("HTTP/2 preface", .http2Preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Case("HTTP/2.0 in words", .http2Preface, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        Case("version in lower case", .malformedVersion, "GET / http/1.1\r\nHost: a\r\n\r\n"),
        Case("version without minor", .malformedVersion, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
        Case("version with two digits", .malformedRequestLine, "GET / HTTP/1.11\r\nHost: a\r\n\r\n"),
        Case("bare LF after the request line", .bareLF, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        Case("bare CR in the request line", .bareCR, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
        Case("two empty lines first", .invalidMethod, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case("LF first", .bareLF, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        // Lines.
        Case("space before the first field", .leadingWhitespace, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        Case("folded field", .obsoleteFolding, "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
        Case("field folded with a tab", .obsoleteFolding, "GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n"),
        Case("space before the colon", .spaceBeforeColon, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        Case("tab before the colon", .spaceBeforeColon, "GET / HTTP/1.1\r\nContent-Length\t: 5\r\nHost: a\r\n\r\n"),
        Case("no colon", .missingColon, "GET / HTTP/1.1\r\nHost\r\n\r\n"),
        Case("empty name", .emptyFieldName, "GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n"),
        Case("space in the name", .spaceBeforeColon, "GET / HTTP/1.1\r\nHo st: a\r\n\r\n"),
        Case("NUL in the name", .invalidFieldName, "GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n"),
        Case("non-ASCII name", .invalidFieldName, "GET / HTTP/1.1\r\nHöst: a\r\n\r\n"),
        Case("parenthesis in the name", .invalidFieldName, "GET / HTTP/1.1\r\nA(b): a\r\nHost: a\r\n\r\n"),
        Case("NUL in a value", .controlInFieldValue, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        Case("DEL in a value", .controlInFieldValue, "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7F}b\r\n\r\n"),
        Case("vertical tab in a value", .controlInFieldValue, "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{B}b\r\n\r\n"),
        Case(
            "control far in a value", .controlInFieldValue,
            "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 45))\u{1}\r\n\r\n"),
        Case("bare LF after a field", .bareLF, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
        Case("bare CR in a value", .bareCR, "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"),
        Case("LF LF at the end", .bareLF, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        Case("CR without LF at the end", .bareCR, "GET / HTTP/1.1\r\nHost: a\r\n\rX\n"),
        // Fields.
        Case("no Host", .missingHost, "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"),
        Case("two Hosts", .repeatedHost, "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
        Case("two Hosts in HTTP/1.0", .repeatedHost, "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"),
        Case("empty Host", .invalidHost, "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
        Case("Host with a path", .invalidHost, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        Case("Host with a user", .invalidHost, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        Case("two hosts in one Host", .invalidHost, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        Case("two Authorizations", .repeatedField, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nauthorization: b\r\n\r\n"),
        Case("two api-keys", .repeatedField, "GET / HTTP/1.1\r\nHost: a\r\napi-key: a\r\nApi-Key: b\r\n\r\n"),
        Case("two Content-Types", .repeatedField, "GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n"),
        Case("unknown expectation", .unknownExpectation, "GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n"),
        Case("Connection that is no list of tokens", .invalidConnection, "GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n"),
        Case(
            "Connection takes the key out", .connectionNamesEndToEndField,
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nConnection: close, authorization\r\n\r\n"),
        Case(
            "Connection with too many options", .invalidConnection,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: \(String(repeating: "a,", count: 33))\r\n\r\n"),
        // Framing.
        Case(
            "both framings", .lengthAndTransferEncoding,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Case(
            "both framings, other order", .lengthAndTransferEncoding,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
        Case("two lengths", .repeatedContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        Case("list of lengths", .invalidContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"),
        Case("length with a plus", .invalidContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"),
        Case("negative length", .invalidContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n"),
        Case("hexadecimal length", .invalidContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n"),
        Case("length with a space", .invalidContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n"),
        Case("empty length", .invalidContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
        Case("length beyond 63 bits", .contentLengthOverflow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n"),
        Case(
            "length of forty digits", .contentLengthOverflow,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(String(repeating: "9", count: 40))\r\n\r\n"),
        Case("gzip, chunked", .unsupportedTransferEncoding, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        Case(
            "chunked twice in one", .unsupportedTransferEncoding,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
        Case("identity", .unsupportedTransferEncoding, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
        Case("quoted chunked", .unsupportedTransferEncoding, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
        Case("chunked with a vertical tab", .controlInFieldValue, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{B}chunked\r\n\r\n"),
        Case("empty coding", .unsupportedTransferEncoding, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
        Case(
            "two codings", .repeatedTransferEncoding,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Case("chunked in HTTP/1.0", .transferEncodingOnHTTP10, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ]

    @Test("that is ambiguous or malformed is refused with its reason, however it is split", arguments: hostile)
    func refuses(_ hostile: Case) {
        let bytes = hostile.bytes
        #expect(outcome(bytes, []) == .invalid(hostile.violation))
        #expect(outcome(bytes, Array(1...bytes.count)) == .invalid(hostile.violation), "a byte at a time")
        for split in 1..<bytes.count {
            #expect(outcome(bytes, [split]) == .invalid(hostile.violation), "split at \(split)")
        }
        #expect(!hostile.violation.reason.isEmpty)
        #expect((400...599).contains(hostile.violation.status))
    }

    private func outcome(_ bytes: [UInt8], _ pieceEnds: [Int]) -> Outcome {
        var parser = RequestHeadParser()
        return deliver(bytes, pieceEnds: pieceEnds) { parser.parse($0) }
    }

    @Test("as an SDK sends it is read, however it is split")
    func readsTypical() {
        let bytes = head(
            "POST /v1/chat/completions?a=b&c HTTP/1.1", "Host: api.example.com:8080", "Accept-Encoding: gzip, deflate",
            "Connection: keep-alive, X-Private", "AUTHORIZATION:   Bearer weir_abc  ", "Content-Type: application/json",
            "content-length: 1024",
            "X-Private: 1", "OpenAI-Beta: assistants=v2", "X-Empty:", "X-Text: a\tb \u{E9}", "traceparent: 00-1-2-01")
        for pieces in [[]] + (1..<bytes.count).map({ [$0] }) + [Array(1..<bytes.count)] {
            var parser = RequestHeadParser()
            #expect(deliver(bytes + Array("body".utf8), pieceEnds: pieces + [bytes.count]) { parser.parse($0) } == .complete(bytes.count))
            #expect(parser.method == .post)
            #expect(text(bytes, parser.methodRange) == "POST")
            #expect(text(bytes, parser.target) == "/v1/chat/completions?a=b&c")
            #expect(text(bytes, parser.path) == "/v1/chat/completions")
            #expect(text(bytes, parser.query) == "a=b&c")
            #expect(parser.minorVersion == 1)
            #expect(parser.contentLength == 1024)
            #expect(parser.hasBody && !parser.isChunked && parser.keepAlive && !parser.expectsContinue)
            #expect(parser.fields.count == 11)
            #expect(parser.first(.authorization).map { text(bytes, $0.value) } == "Bearer weir_abc")
            #expect(parser.first(.host).map { text(bytes, $0.value) } == "api.example.com:8080")
            #expect(parser.first(.openAIBeta).map { text(bytes, $0.value) } == "assistants=v2")
            #expect(parser.first(.traceparent) != nil && parser.first(.xAPIKey) == nil && parser.first(.other) == nil)
            #expect(parser.fields.filter(\.isHopByHop).map { text(bytes, $0.name) } == ["Connection", "X-Private"])
            #expect(parser.fields.map { text(bytes, $0.value) }.contains(""))
            #expect(parser.fields.map { text(bytes, $0.value) }.contains("a\tb \u{E9}"))
        }
    }

    struct Framing: Sendable {
        let lines: [String]
        let keepAlive: Bool
        let hasBody: Bool
        let chunked: Bool
        let expects: Bool
    }

    @Test(
        "says whether there is a body and whether the connection stays",
        arguments: [
            Framing(lines: ["GET / HTTP/1.1", "Host: a"], keepAlive: true, hasBody: false, chunked: false, expects: false),
            Framing(
                lines: ["GET / HTTP/1.1", "Host: a", "Connection: Close"], keepAlive: false, hasBody: false, chunked: false, expects: false),
            Framing(lines: ["GET / HTTP/1.0"], keepAlive: false, hasBody: false, chunked: false, expects: false),
            Framing(lines: ["GET / HTTP/1.0", "Connection: Keep-Alive"], keepAlive: true, hasBody: false, chunked: false, expects: false),
            Framing(
                lines: ["GET / HTTP/1.1", "Host: a", "Connection: keep-alive,,close"], keepAlive: false, hasBody: false, chunked: false,
                expects: false),
            Framing(
                lines: ["POST / HTTP/1.1", "Host: a", "Content-Length: 0"], keepAlive: true, hasBody: false, chunked: false, expects: false),
            Framing(
                lines: ["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: Chunked", "Expect: 100-Continue"], keepAlive: true, hasBody: true,
                chunked: true, expects: true),
            Framing(
                lines: ["POST / HTTP/1.1", "Host: a", "Content-Length:\t007 ", "Expect: 100-continue"], keepAlive: true, hasBody: true,
                chunked: false, expects: true),
            Framing(
                lines: ["GET / HTTP/1.1", "Host: a", "Expect: 100-continue"], keepAlive: true, hasBody: false, chunked: false,
                expects: false),
        ])
    func frames(_ framing: Framing) {
        let bytes = Array((framing.lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        var parser = RequestHeadParser()
        #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count))
        #expect(parser.keepAlive == framing.keepAlive)
        #expect(parser.hasBody == framing.hasBody)
        #expect(parser.isChunked == framing.chunked)
        #expect(parser.expectsContinue == framing.expects)
    }

    @Test("in absolute form gives the path behind the authority")
    func absoluteForm() {
        for (target, path, query) in [
            ("http://a.example/v1/models?x", "/v1/models", "x"), ("HTTPS://A.example", "", ""), ("http://a.example?q=/x", "", "q=/x"),
        ] {
            let bytes = head("GET \(target) HTTP/1.1", "Host: a.example")
            var parser = RequestHeadParser()
            #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count))
            #expect(text(bytes, parser.path) == path)
            #expect(text(bytes, parser.query) == query)
        }
    }

    @Test("may follow one empty line, and another head the first")
    func reuse() {
        var parser = RequestHeadParser()
        let first = Array("\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".utf8)
        #expect(first.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: first.count))
        #expect(parser.method == .options)
        parser.reset()
        let second = head("DELETE /x HTTP/1.0")
        #expect(second.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: second.count))
        #expect(parser.method == .delete && parser.fields.isEmpty && !parser.has(.host) && !parser.keepAlive)
    }

    @Test("recognises methods only in upper case")
    func methods() {
        let methods: [(String, HTTPMethod)] = [
            ("GET", .get), ("PUT", .put), ("POST", .post), ("HEAD", .head), ("PATCH", .patch), ("DELETE", .delete), ("OPTIONS", .options),
            ("get", .other), ("TRACE", .other), ("PROPFIND", .other),
        ]
        for (name, method) in methods {
            var parser = RequestHeadParser()
            let bytes = head("\(name) / HTTP/1.1", "Host: a")
            #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count))
            #expect(parser.method == method)
        }
    }

    @Test("beyond its bounds is refused as soon as they are passed")
    func bounds() {
        let limits = HTTPLimits(maxHeadBytes: 512, maxFields: 3, maxTargetBytes: 100)
        func result(_ bytes: [UInt8]) -> ParseStep {
            var parser = RequestHeadParser(limits: limits)
            return bytes.withUnsafeBytes { parser.parse($0) }
        }
        #expect(result(head("GET /\(String(repeating: "a", count: 100)) HTTP/1.1", "Host: a")) == .invalid(.targetTooLong))
        #expect(result(Array("GET /\(String(repeating: "a", count: 200))".utf8)) == .invalid(.targetTooLong))
        #expect(result(head("GET / HTTP/1.1", "Host: a", "B: b", "C: c", "D: d")) == .invalid(.tooManyFields))
        #expect(result(Array("GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 600))".utf8)) == .invalid(.headTooLarge))
        #expect(result(Array("GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 300))".utf8)) == .needMore)
        #expect(result(head("GET / HTTP/1.1", "Host: a") + [UInt8](repeating: 0x61, count: 5_000)) == .complete(headBytes: 27))
        #expect(result([]) == .needMore)
    }

    @Test("names are recognised in any case, and only whole")
    func knownFields() {
        for known in KnownField.allCases {
            guard let name = known.name.map({ "\($0)" }) else { continue }
            for spelling in [name, name.uppercased(), name.capitalized] {
                let value = known == .contentLength ? "0" : known == .transferEncoding ? "chunked" : known == .expect ? "100-continue" : "a"
                var lines = ["GET / HTTP/1.1", "\(spelling): \(value)"]
                if known != .host { lines.append("Host: a") }
                let bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
                var parser = RequestHeadParser()
                #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count), "\(spelling)")
                #expect(parser.fields.first?.known == known, "\(spelling)")
                let isThere = parser.has(known)
                #expect(isThere)
            }
            for wrong in ["x" + name, name + "x", "~" + name.dropFirst()] where wrong != "x-api-key" {
                let bytes = head("GET / HTTP/1.1", "\(wrong): a", "Host: a")
                var parser = RequestHeadParser()
                #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count), "\(wrong)")
                #expect(parser.fields.first?.known == .other, "\(wrong)")
            }
        }
    }
}

extension String {
    fileprivate var capitalized: String {
        split(separator: "-", omittingEmptySubsequences: false).map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: "-")
    }
}
