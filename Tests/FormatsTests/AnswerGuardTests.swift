import Testing

@testable import Formats

@Suite("What a workflow keeps out of answers")
struct AnswerGuardTests {
    /// In pieces that end at each of these places.
    private func pass(_ text: String, _ patterns: AnswerPatterns, cuts: [Int] = []) -> String {
        var guarding = AnswerGuard(patterns)
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var from = 0
        for cut in cuts + [bytes.count] {
            out += Array(bytes[from..<cut]).withUnsafeBytes { guarding.pass($0) }
            from = cut
        }
        return String(decoding: out + guarding.finish(), as: UTF8.self)
    }

    private func stars(_ text: String) -> String { String(repeating: "*", count: text.utf8.count) }

    @Test("a host of the inside is masked by as many stars, wherever the answer is cut")
    func host() throws {
        let host = "vllm-7.prod.internal"
        let patterns = try #require(AnswerPatterns(host: host, isStrict: false))
        let text =
            "data: {\"provider\":\"VLLM-7.prod.internal\",\"u\":\"http:\\/\\/\(host):8000\\/v1\",\"t\":\"a\\n\(host). x\(host) \(host).org\"}\n\n"
        let wanted =
            "data: {\"provider\":\"\(stars(host))\",\"u\":\"http:\\/\\/\(stars(host)):8000\\/v1\",\"t\":\"a\\n\(stars(host)). x\(host) \(host).org\"}\n\n"
        for cut in 0...text.utf8.count { #expect(pass(text, patterns, cuts: [cut]) == wanted, "cut at \(cut)") }
        #expect(pass(text, patterns, cuts: Array(1..<text.utf8.count)) == wanted)
        // At this level nothing else is looked for.
        #expect(pass("10.0.0.1 db.corp", patterns) == "10.0.0.1 db.corp")
        // A name that everybody knows tells nothing.
        #expect(AnswerPatterns(host: "api.openai.com", isStrict: false) == nil)
        #expect(AnswerPatterns(host: "10.1.2.3", isStrict: false) != nil)
    }

    @Test(arguments: [
        "sk-proj-abcdefghij0123456789", "sk-or-v1-0123456789abcdef0123456789abcdef", "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyzAB",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "10.0.0.1", "192.168.1.20", "172.20.3.4", "db-1.svc", "build.corp",
        "/srv/app/engine/worker.py", "/home/svc/src/main.go:88", "/app/dist/server.js:12:5",
    ])
    func whatLooksLikeTheInsideIsMaskedStrictly(_ word: String) throws {
        let patterns = try #require(AnswerPatterns(host: "api.openai.com", isStrict: true))
        let text = "{\"x\":\"see \(word), \\\"\(word)\\\" or\\n\(word)\"}"
        #expect(pass(text, patterns) == text.replacing(word, with: stars(word)), "\(pass(text, patterns))")
        #expect(pass(text, patterns, cuts: Array(1..<text.utf8.count)) == text.replacing(word, with: stars(word)))
    }

    @Test(arguments: [
        "sk-learn-contrib-examples-of-code", "127.0.0.1", "8.8.8.8", "10.0.0", "1.2.3.4.5", "300.0.0.1", "api.openai.com",
        "/v1/chat/completions",
        "main.py", "https://example.org/a/b.html", "AKIA", "eyJ", "version-10.0.0.1-beta", "localhost", String(repeating: "a1", count: 400),
    ])
    func whatDoesNotStays(_ word: String) throws {
        let patterns = try #require(AnswerPatterns(host: "api.openai.com", isStrict: true))
        let text = "{\"x\":\"see \(word), \(word)\"}"
        #expect(pass(text, patterns, cuts: [20]) == text)
    }
}
