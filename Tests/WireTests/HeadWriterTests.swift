import Testing
import Wire

@Suite("A head that is written")
struct HeadWriterTests {
    @Test("is the same into an array and into fixed memory")
    func sameInBoth() {
        var array: [UInt8] = []
        array.appendStatusLine(200)
        array.appendStatusLine(599)
        array.appendField("content-length", decimal: 1_234_567_890_123)
        array.appendField("x", "y")
        array.append(decimal: 0)
        array.append(decimal: .min)
        array.append(decimal: .max)
        array.appendChunkHeader(0xDEAD_BEEF)
        array.append(hex: .max)
        array.appendLastChunk()
        var memory = [UInt8](repeating: 0, count: 512)
        let count = memory.withUnsafeMutableBytes { buffer in
            var writer = HeadWriter(buffer)
            writer.appendStatusLine(200)
            writer.appendStatusLine(599)
            writer.appendField("content-length", decimal: 1_234_567_890_123)
            writer.appendField("x", "y")
            writer.append(decimal: 0)
            writer.append(decimal: .min)
            writer.append(decimal: .max)
            writer.appendChunkHeader(0xDEAD_BEEF)
            writer.append(hex: .max)
            writer.appendLastChunk()
            #expect(!writer.overflowed)
            return writer.count
        }
        let expected =
            "HTTP/1.1 200 OK\r\nHTTP/1.1 599 \r\ncontent-length: 1234567890123\r\nx: y\r\n0-92233720368547758089223372036854775807"
            + "deadbeef\r\nffffffffffffffff0\r\n\r\n"
        #expect(String(decoding: array, as: UTF8.self) == expected)
        #expect(Array(memory[..<count]) == array)
    }

    @Test("never goes beyond its memory")
    func overflow() {
        var memory = [UInt8](repeating: 0x2A, count: 8)
        memory.withUnsafeMutableBytes { buffer in
            var writer = HeadWriter(UnsafeMutableRawBufferPointer(rebasing: buffer[..<4]))
            writer.append("abc")
            writer.append("de")
            #expect(writer.overflowed && writer.count == 3)
            writer.append(0x64 as UInt8)
            writer.append(0x65 as UInt8)
            #expect(writer.count == 4)
        }
        #expect(memory == Array("abcd****".utf8))
    }

    @Test("is understood by the parser", arguments: [200, 204, 400, 401, 402, 403, 404, 413, 429, 431, 500, 502, 503, 504, 505, 599])
    func roundTrip(status: Int) {
        var bytes: [UInt8] = []
        bytes.appendStatusLine(status)
        bytes.appendField("content-length", decimal: 0)
        bytes.append("\r\n")
        var parser = ResponseHeadParser()
        parser.reset(requestMethod: .get)
        #expect(bytes.withUnsafeBytes { parser.parse($0) } == .complete(headBytes: bytes.count))
        #expect(parser.status == status)
    }
}
