import Formats
import Primitives
import Testing

@Suite("A provider's credential in an answer")
struct SecretGuardTests {
    static let secret = "sk-sksk-proj-0123456789Qabc"
    static let stars = String(repeating: "*", count: 27)

    static func pass(_ pieces: [[UInt8]]) throws -> String {
        var keeper = SecretGuard(try #require(SecretPattern(secret)))
        var output: [UInt8] = []
        for piece in pieces {
            piece.withUnsafeBytes { bytes in
                if keeper.isClean(bytes) {
                    output.append(contentsOf: bytes)
                } else {
                    keeper.pass(bytes) { output.append(contentsOf: $0) }
                }
            }
        }
        keeper.finish { output.append(contentsOf: $0) }
        #expect(keeper.hasMasked == string(output).contains(stars))
        return string(output)
    }

    @Test(
        "is masked by as many stars, cut anywhere, and nothing else is touched",
        arguments: [
            ("\(secret)", stars), ("a \(secret)\(secret) b", "a \(stars)\(stars) b"), ("sk-\(secret)sk-sk", "sk-\(stars)sk-sk"),
            ("sk-sksk-proj-0123456789Qab", "sk-sksk-proj-0123456789Qab"), ("Q QQ sk-sk", "Q QQ sk-sk"), ("", ""),
            ("text with QQQ and sk-sksk-proj-, sk-sk\(secret)", "text with QQQ and sk-sksk-proj-, sk-sk\(stars)"),
        ])
    func masks(text: String, expected: String) throws {
        let bytes = Array(text.utf8)
        #expect(try Self.pass([bytes]) == expected)
        #expect(try Self.pass(bytes.map { [$0] }) == expected)
        for end in bytes.indices { #expect(try Self.pass(split(bytes, at: [end])) == expected, "cut at \(end)") }
    }

    @Test("is not looked for when it may be a word")
    func short() {
        #expect(SecretPattern("EMPTY") == nil && SecretPattern("") == nil)
    }
}
