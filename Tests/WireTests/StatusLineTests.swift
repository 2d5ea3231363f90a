import Testing
import Wire

@Suite("A status line")
struct StatusLineTests {
    @Test("is understood by the parser and stays below the version's reach", arguments: 100...599)
    func roundTrip(status: Int) throws {
        guard let line = StatusLine.text(status), status >= 200 else { return }
        let bytes = Array("\(line)content-length: 0\r\n\r\n".utf8)
        var parser = ResponseHeadParser()
        parser.reset(requestMethod: .get)
        #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count))
        #expect(parser.status == status)
    }
}
