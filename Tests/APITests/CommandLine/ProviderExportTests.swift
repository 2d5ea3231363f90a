import Primitives
import Testing

@testable import weir

@Suite("A provider's export")
struct ProviderExportTests {
    private func lines(_ text: String) throws -> [JSONValue] { try ProviderExport.lines(Array(text.utf8)) }

    @Test("is CSV as spreadsheets write it, line by line")
    func csv() throws {
        let text =
            "\u{FEFF}Model,Day,Input Tokens,Note,cost\r\n\"gpt, large\",2026-11-03T00:00:00Z,12,\"a \"\"b\"\"\",0.10\r\n\r\n"
            + "gpt-small,,,,\r\n"
        #expect(
            try lines(text) == [
                ["model": "gpt, large", "day": "2026-11-03", "input_tokens": 12, "cost": "0.10"], ["model": "gpt-small"],
            ])
        #expect(try lines(#"[{"model": "m", "requests": 1}]"#) == [["model": "m", "requests": 1]])
    }

    @Test(
        "what is none is refused, with its line",
        arguments: [
            ("", nil), ("a,b\n1,2\n", 1), ("model,requests\nm,1\nm,1.5\n", 3), ("model,requests\nm,one\n", 2), ("[{", nil), ("[1", nil),
        ] as [(String, Int?)])
    func refused(text: String, line: Int?) throws {
        do {
            _ = try lines(text)
            Issue.record("was taken")
        } catch let fault as FileFault {
            #expect(fault.line == line)
        }
    }
}
