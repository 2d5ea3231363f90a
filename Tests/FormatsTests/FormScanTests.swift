import Formats
import Testing

@Suite("Forms of requests")
struct FormScanTests {
    private func scan(_ text: String, boundary: String = "b") throws(FormScan.Violation) -> FormScan {
        let bytes = Array(text.utf8)
        let result: Result<FormScan, FormScan.Violation> = bytes.withUnsafeBytes { bytes in
            do throws(FormScan.Violation) { return .success(try FormScan(bytes, boundary: Array(boundary.utf8))) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func part(_ name: String, _ value: String, _ more: String = "") -> String {
        "--b\r\nContent-Disposition: form-data; name=\"\(name)\"\(more)\r\n\r\n\(value)\r\n"
    }

    @Test func findsWhatDecides() throws {
        let text =
            part("file", "a\r\n--c\r\n\r\nb", "; filename=\"a;b.mp3\"\r\nContent-Type: audio/mpeg") + part("model", "whisper-1")
            + part("n", "3") + part("stream", "true") + part("prompt", "Grüße") + part("image[]", "xyz", "; filename=x") + "--b--\r\n"
        let form = try scan(text)
        let bytes = Array(text.utf8)
        #expect(form.files == 2 && form.fileBytes == 14)
        #expect(String(decoding: bytes[try #require(form.members.model).content], as: UTF8.self) == "whisper-1")
        #expect(String(decoding: bytes[try #require(form.members.prompt)], as: UTF8.self) == "Grüße")
        #expect(form.members.n?.value == 3 && form.members.isStreaming)
        // A form without a model gets one at its begin.
        let added = String(decoding: form.field("model", Array("m".utf8)), as: UTF8.self) + part("prompt", "x") + "--b--"
        #expect(try scan(added).members.model?.content.count == 1)
    }

    @Test func everyPieceOfAFormIsRefusedOrWhole() throws {
        let text = part("model", "m") + part("file", "\r\n--", "; filename=\"f\"") + "--b--\r\n"
        let bytes = Array(text.utf8)
        for length in 0..<bytes.count - 2 {
            #expect(throws: FormScan.Violation.self, "\(length)") { try scan(String(decoding: bytes[..<length], as: UTF8.self)) }
        }
        _ = try scan(String(decoding: bytes.dropLast(2), as: UTF8.self))
        // Nothing that anybody sends may end the process.
        var dice = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var changed = bytes
            for _ in 0..<3 { changed[Int.random(in: 0..<changed.count, using: &dice)] = .random(in: 0...255, using: &dice) }
            _ = changed.withUnsafeBytes { bytes in try? FormScan(bytes, boundary: Array("b".utf8)) }
        }
    }

    /// What is sent on while it comes is read in whatever pieces it comes.
    @Test func readsTheSameAtEverySplit() throws {
        let file = "\r\n--\r\r\n--c\r\nx--b--\r\n-\r\n--\r\n--\r\r\n"
        let text =
            part("model", "whisper-1") + part("prompt", "Gr\r\n--üße\r") + part("a", "")
            + part("file", file, "; filename=\"a%22b;ü\"\r\nContent-Type: audio/mpeg")
            + part("n", "3") + part("image[]", "", "; filename*=UTF-8''x") + part("stream", "TRUE") + "--b--\r\n"
        let bytes = Array(text.utf8)
        let whole = try scan(text)
        #expect(whole.files == 2 && whole.fileBytes == file.utf8.count && whole.members.n?.value == 3 && whole.members.isStreaming)
        func read(_ pieces: [ArraySlice<UInt8>]) throws -> FormScan {
            var form = FormScan(boundary: Array("b".utf8))
            for piece in pieces { try piece.withUnsafeBytes { try form.read($0) } }
            #expect(form.position == bytes.count)
            try form.finish()
            return form
        }
        func isSame(_ form: FormScan) -> Bool {
            form.members == whole.members && form.files == whole.files && form.fileBytes == whole.fileBytes
                && form.modelPart == whole.modelPart
        }
        for cut in 0...bytes.count { #expect(isSame(try read([bytes[..<cut], bytes[cut...]])), "\(cut)") }
        for size in 1...5 {
            #expect(isSame(try read(stride(from: 0, to: bytes.count, by: size).map { bytes[$0..<min($0 + size, bytes.count)] })))
        }
        // Nothing that is no form becomes one by the places where it is cut, and none of what is none ends the process.
        var dice = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var changed = bytes
            for _ in 0..<2 {
                changed[Int.random(in: 0..<changed.count, using: &dice)] = [13, 10, 0x2D, 0x62, 0x22].randomElement(using: &dice)!
            }
            let cut = Int.random(in: 0...changed.count, using: &dice)
            let isForm = changed.withUnsafeBytes { bytes in (try? FormScan(bytes, boundary: Array("b".utf8))) != nil }
            #expect(isForm == ((try? read([changed[..<cut], changed[cut...]])) != nil))
        }
    }

    /// Of a value that is too long for one, and of a header without an end, no more is kept than shows that.
    @Test func keepsLittle() throws {
        var form = FormScan(boundary: Array("b".utf8))
        try Array("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n".utf8).withUnsafeBytes { try form.read($0) }
        let much = [UInt8](repeating: 0x61, count: 100_000)
        for _ in 0..<20 { try much.withUnsafeBytes { try form.read($0) } }
        #expect(throws: FormScan.Violation.self) { try Array("\r\n--b".utf8).withUnsafeBytes { try form.read($0) } }
        form = FormScan(boundary: Array("b".utf8))
        try Array("--b\r\nX: ".utf8).withUnsafeBytes { try form.read($0) }
        #expect(throws: FormScan.Violation.self) { try much.withUnsafeBytes { try form.read($0) } }
    }

    @Test func refusesWhatTwoReadersReadDifferently() {
        for text in [
            part("model", "a") + part("model", "b") + "--b--", part("Model", "a") + "--b--",
            part("model", "a", "; filename=\"m\"") + "--b--",
            part("model", "") + "--b--", part("n", "one") + "--b--", part("n", "000000000000000000010") + "--b--",
            part("mo\\del", "a") + "--b--", " " + part("model", "a") + "--b--",
            part("model", "a") + "--b--x", part("model", "a") + "--b --", part("model", "a", "; name=\"n\"") + "--b--",
            part("model", "a", "\r\nContent-Transfer-Encoding: base64") + "--b--",
            "--b\r\nContent-Disposition: form-data; name=\"model\r\n\r\na\r\n--b--", "--b\r\nContent-Type: x\r\n\r\na\r\n--b--",
            String(repeating: part("x", ""), count: 300) + "--b--",
        ] {
            #expect(throws: FormScan.Violation.self, "\(text.prefix(200))") { try scan(text) }
        }
    }

    /// Of what is sent on while it comes: as far as it goes, and no further than to its first file.
    @Test func readsHowAFormBegins() throws {
        let file = part("file", "abc", "; filename=\"f\"")
        for (text, isFound) in [
            (part("purpose", "x") + part("model", "m") + file, true), (part("model", "m") + file + part("n", "one"), true),
            (part("model", "m") + "--b", true), (part("model", "m") + "--b\r\ncontent-disp", true),
            (file + part("model", "m") + "--b--", false), (part("model", "m"), false), (String(part("model", "m").dropLast()), false),
            ("--b", false),
        ] {
            let body = Array(text.utf8)
            let form = try body.withUnsafeBytes { try FormScan($0, boundary: Array("b".utf8), isBegin: true) }
            #expect((form.members.model != nil) == isFound, "\(text)")
            #expect(form.modelPart.map { Array(body[$0]) } == (isFound ? Array(part("model", "m").utf8) : nil), "\(text)")
        }
        for text in [part("model", "a") + part("model", "b") + file, "--b\r\nnonsense\r\n\r\n", "x"] {
            let body = Array(text.utf8)
            #expect(throws: FormScan.Violation.self) {
                try body.withUnsafeBytes { try FormScan($0, boundary: Array("b".utf8), isBegin: true) }
            }
        }
    }

    @Test func readsTheBoundary() {
        for (type, boundary) in [
            ("multipart/form-data; boundary=abc", "abc"), ("Multipart/Form-Data;charset=utf-8; Boundary=\"a'b:c\"", "a'b:c"),
            ("multipart/form-data", nil), ("multipart/form-data; boundary=", nil), ("multipart/form-data; boundary=\"a b\"", nil),
            ("multipart/form-data; boundary=a; boundary=b", nil), ("multipart/mixed; boundary=a", nil), ("", nil),
            ("multipart/form-data; boundary=" + String(repeating: "a", count: 71), nil),
        ] {
            #expect(FormScan.boundary(of: type) == boundary.map { Array($0.utf8) }, "\(type)")
        }
    }
}
