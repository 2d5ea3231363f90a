import Testing

@testable import Proxy

@Suite("A compressed answer", .timeLimit(.minutes(10)))
struct InflaterTests {
    static let text = Array(#"{"choices":[{"message":{"content":"hello hello hello"}}]}"#.utf8)
    static let deflated: [UInt8] = [
        171, 86, 74, 206, 200, 207, 76, 78, 45, 86, 178, 138, 174, 86, 202, 77, 45, 46, 78, 76, 79, 85, 178, 170, 86, 74, 206, 207, 43, 73,
        205,
        43, 81, 178, 82, 202, 72, 205, 201, 201, 87, 64, 34, 149, 106, 107, 99, 107, 1,
    ]
    static let gzipped: [UInt8] = [31, 139, 8, 0, 0, 0, 0, 0, 2, 3] + deflated + [126, 151, 206, 112, 57, 0, 0, 0]
    static let framed: [UInt8] = [120, 156] + deflated + [76, 67, 20, 153]

    /// The text, or why there is none.
    static func inflate(_ pieces: [[UInt8]], _ coding: Inflater.Coding) -> Result<[UInt8], Inflater.Failure> {
        let inflater = Inflater(coding)
        var output: [UInt8] = []
        do throws(Inflater.Failure) {
            for piece in pieces {
                let failure: Inflater.Failure? = piece.withUnsafeBytes { bytes in
                    do throws(Inflater.Failure) {
                        try inflater.inflate(bytes) { output.append(contentsOf: $0) }
                        return nil
                    } catch {
                        return error
                    }
                }
                if let failure { throw failure }
            }
            try inflater.finish()
            return .success(output)
        } catch {
            return .failure(error)
        }
    }

    @Test(
        "is what it was before, cut anywhere",
        arguments: [(gzipped, .gzip), (framed, .deflate), (deflated, .deflate)] as [([UInt8], Inflater.Coding)])
    func roundTrip(bytes: [UInt8], coding: Inflater.Coding) {
        #expect(Self.inflate([bytes], coding) == .success(Self.text))
        #expect(Self.inflate(bytes.map { [$0] }, coding) == .success(Self.text))
        for end in 1..<bytes.count {
            #expect(Self.inflate([Array(bytes[..<end]), Array(bytes[end...])], coding) == .success(Self.text))
            #expect(Self.inflate([Array(bytes[..<end])], coding) == .failure(.truncated))
        }
        #expect(Self.inflate([], coding) == .success([]))
    }

    @Test("may be of several members")
    func members() {
        #expect(Self.inflate([Self.gzipped + Self.gzipped], .gzip) == .success(Self.text + Self.text))
        #expect(Self.inflate([Self.gzipped, Self.gzipped], .gzip) == .success(Self.text + Self.text))
    }

    @Test("is refused when it is none")
    func malformed() {
        #expect(Self.inflate([Self.text], .gzip) == .failure(.malformed))
        #expect(Self.inflate([Self.framed + [0]], .deflate) == .failure(.malformed))
        var damaged = Self.gzipped
        damaged[60] ^= 1
        #expect(Self.inflate([damaged], .gzip) == .failure(.malformed))
    }

    @Test("is refused when a piece of it grows beyond all measure")
    func bomb() {
        // 1,032 zeros to a byte of a block that repeats the longest match (RFC 1951 §3.2.5): a start, and then matches without end.
        let bomb: [UInt8] = [120, 156, 236, 193, 1, 1, 0, 0, 0, 128, 144, 254, 175, 238, 8, 10] + [UInt8](repeating: 0, count: 8192)
        #expect(Self.inflate([bomb], .deflate) == .failure(.tooLarge))
    }

    @Test(
        "has a coding that is known by its names",
        arguments: [("gzip", true), ("X-GZIP", true), ("deflate", true), ("br", false), ("gzip, br", false), ("", false)])
    func names(name: String, isKnown: Bool) {
        #expect((Array(name.utf8).withUnsafeBytes { Inflater.Coding($0) } != nil) == isKnown)
    }
}
