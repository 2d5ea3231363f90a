import Primitives
import Testing
import Wire

@Suite("The chunked coding")
struct ChunkedTests {
    /// What a decoder, or the reference, makes of a body.
    enum Result: Equatable {
        case ended(payload: [UInt8], consumed: Int)
        case open(payload: [UInt8])
        case invalid(HTTPViolation)
    }

    static func decode(_ pieces: [[UInt8]]) -> Result {
        var decoder = ChunkedDecoder()
        var payload: [UInt8] = []
        var before = 0
        for piece in pieces {
            var end: Result?
            piece.withUnsafeBytes { bytes in
                var at = 0
                loop: while true {
                    switch decoder.next(bytes, from: at) {
                    case .data(let range):
                        payload += bytes[range]
                        at = range.upperBound
                    case .needMore(let consumed):
                        #expect(consumed == bytes.count)
                        break loop
                    case .end(let consumed):
                        end = .ended(payload: payload, consumed: before + consumed)
                        break loop
                    case .invalid(let violation):
                        end = .invalid(violation)
                        break loop
                    }
                }
            }
            if let end { return end }
            before += piece.count
        }
        return .open(payload: payload)
    }

    static func split(_ bytes: [UInt8], at ends: [Int]) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var start = 0
        for end in ends + [bytes.count] where end > start {
            pieces.append(Array(bytes[start..<end]))
            start = end
        }
        return pieces
    }

    struct Case: Sendable {
        let text: String
        let violation: HTTPViolation
    }

    @Test(
        "refuses what is malformed or too large, however it is split",
        arguments: [
            Case(text: "\r\n", violation: .invalidChunkSize),
            Case(text: "x\r\n", violation: .invalidChunkSize),
            Case(text: "-1\r\n", violation: .invalidChunkSize),
            Case(text: "+1\r\n", violation: .invalidChunkSize),
            Case(text: " 1\r\na\r\n", violation: .invalidChunkSize),
            Case(text: "1 \r\na\r\n", violation: .invalidChunkSize),
            Case(text: "1\t;a\r\n", violation: .invalidChunkSize),
            Case(text: "0x1\r\na\r\n", violation: .invalidChunkSize),
            Case(text: "1_0\r\n", violation: .invalidChunkSize),
            Case(text: ";a\r\n", violation: .invalidChunkSize),
            Case(text: "1\na\r\n", violation: .chunkSizeLineEnding),
            Case(text: "1\ra\r\n", violation: .chunkSizeLineEnding),
            Case(text: "1;a\na\r\n", violation: .chunkSizeLineEnding),
            Case(text: "1;a\rb\r\n", violation: .chunkSizeLineEnding),
            Case(text: "1;a\0b\r\n", violation: .invalidChunkExtension),
            Case(text: "1;\(String(repeating: "a", count: 300))\r\n", violation: .chunkExtensionTooLong),
            Case(
                text: String(repeating: "1;\(String(repeating: "a", count: 200))\r\nx\r\n", count: 100), violation: .chunkExtensionTooLong),
            Case(text: "8000000000000000\r\n", violation: .chunkSizeOverflow),
            Case(text: "FFFFFFFFFFFFFFFF\r\n", violation: .chunkSizeOverflow),
            Case(text: "00000000000000001\r\n", violation: .chunkSizeOverflow),
            Case(text: "1\r\naa\r\n", violation: .chunkDataEnding),
            Case(text: "1\r\na\n0\r\n\r\n", violation: .chunkDataEnding),
            Case(text: "1\r\na\rx", violation: .chunkDataEnding),
            Case(text: "0\r\n\n", violation: .bareLF),
            Case(text: "0\r\n\rx", violation: .bareCR),
            Case(text: "0\r\n a: b\r\n\r\n", violation: .obsoleteFolding),
            Case(text: "0\r\na : b\r\n\r\n", violation: .spaceBeforeColon),
            Case(text: "0\r\n: b\r\n\r\n", violation: .emptyFieldName),
            Case(text: "0\r\nab\r\n\r\n", violation: .missingColon),
            Case(text: "0\r\na(: b\r\n\r\n", violation: .invalidFieldName),
            Case(text: "0\r\na: b\0\r\n\r\n", violation: .controlInFieldValue),
            Case(text: "0\r\na: b\n\r\n", violation: .bareLF),
            Case(text: "0\r\na: b\r\r\n", violation: .bareCR),
            Case(text: "0\r\nContent-Length: 5\r\n\r\n", violation: .forbiddenTrailer),
            Case(text: "0\r\nTransfer-Encoding: chunked\r\n\r\n", violation: .forbiddenTrailer),
            Case(text: "0\r\nauthorization: x\r\n\r\n", violation: .forbiddenTrailer),
            Case(text: "0\r\n\(String(repeating: "a: b\r\n", count: 40))\r\n", violation: .trailerTooLarge),
            Case(text: "0\r\na: \(String(repeating: "b", count: 9_000))\r\n\r\n", violation: .trailerTooLarge),
        ])
    func refuses(_ hostile: Case) {
        let bytes = Array(hostile.text.utf8)
        #expect(Self.decode([bytes]) == .invalid(hostile.violation))
        #expect(Self.decode(bytes.map { [$0] }) == .invalid(hostile.violation), "a byte at a time")
        for split in stride(from: 1, to: bytes.count, by: max(1, bytes.count / 200)) {
            #expect(Self.decode(Self.split(bytes, at: [split])) == .invalid(hostile.violation), "split at \(split)")
        }
    }

    @Test("ends behind its trailers, and not a byte later")
    func ends() {
        let bytes = Array("5;name=\"va lue\"\r\nhello\r\n00A\r\n0123456789\r\n000\r\nX-Sum: 1\tb\r\nServer: x\r\n\r\nGET / HTTP/1.1".utf8)
        let expected = Result.ended(payload: Array("hello0123456789".utf8), consumed: bytes.count - 14)
        for pieces in [[bytes], bytes.map { [$0] }] + (1..<bytes.count).map({ Self.split(bytes, at: [$0]) }) {
            #expect(Self.decode(pieces) == expected)
        }
    }

    @Test("stays ended")
    func staysEnded() {
        var decoder = ChunkedDecoder()
        func feed(_ text: String) -> ChunkStep {
            Array(text.utf8).withUnsafeBytes { decoder.next($0, from: 0) }
        }
        #expect(feed("1") == .needMore(consumed: 1))
        #expect(feed("\r\n") == .needMore(consumed: 2))
        #expect(feed("a") == .data(0..<1))
        #expect(feed("\r\n0\r\n\r\n") == .end(consumed: 7))
        #expect(feed("x") == .end(consumed: 0))
        #expect(feed("") == .end(consumed: 0))
    }

    /// A reader of whole bodies, written for plainness.
    static func reference(_ bytes: [UInt8]) -> Result? {
        var at = 0
        var payload: [UInt8] = []
        func line() -> String? {
            guard let end = bytes[at...].firstIndex(of: 0x0D), end + 1 < bytes.count, bytes[end + 1] == 0x0A else { return nil }
            defer { at = end + 2 }
            return String(decoding: bytes[at..<end], as: UTF8.self)
        }
        while let size = line() {
            guard let count = Int(size.prefix { $0 != ";" }, radix: 16) else { return nil }
            if count == 0 {
                while let trailer = line() {
                    if trailer.isEmpty { return .ended(payload: payload, consumed: at) }
                }
                return nil
            }
            guard at + count + 2 <= bytes.count else { return nil }
            payload += bytes[at..<(at + count)]
            guard bytes[at + count] == 0x0D, bytes[at + count + 1] == 0x0A else { return nil }
            at += count + 2
        }
        return nil
    }

    @Test("gives what a plain reader gives, for seeded bodies in seeded pieces", arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func differential(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            var body: [UInt8] = []
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let count = Int.random(in: 1...40, using: &random)
                var size = String(count, radix: 16, uppercase: Bool.random(using: &random))
                if Bool.random(using: &random) { size = "0" + size }
                if Int.random(in: 0..<4, using: &random) == 0 { size += ";x=\"y\"" }
                body += Array("\(size)\r\n".utf8)
                body += (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                body += [0x0D, 0x0A]
            }
            body += Array("0\r\n\r\n".utf8)
            if Int.random(in: 0..<3, using: &random) == 0 {
                // Damage that may or may not matter.
                body[Int.random(in: 0..<body.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let whole = Self.decode([body])
            var ends = Set<Int>()
            for _ in 0..<Int.random(in: 0...6, using: &random) { ends.insert(Int.random(in: 0..<body.count, using: &random)) }
            let split = Self.decode(Self.split(body, at: ends.sorted()))
            #expect(whole == split, "seed \(seed)")
            if case .ended = whole {
                #expect(Self.reference(body) == whole, "seed \(seed)")
            }
        }
    }
}
