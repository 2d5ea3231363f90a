import Testing
import Wire

@Suite("A status line")
struct StatusLineTests {
    @Test("is understood by the parser", arguments: [200, 204, 400, 401, 402, 403, 404, 413, 429, 431, 500, 502, 503, 504, 505])
    func roundTrip(status: Int) throws {
        let line = try #require(StatusLine.text(status))
        let bytes = Array("\(line)content-length: 0\r\n\r\n".utf8)
        var parser = ResponseHeadParser()
        parser.reset(requestMethod: .get)
        #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count))
        #expect(parser.status == status)
    }
}
