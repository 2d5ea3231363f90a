import Testing

@testable import Formats

@Suite("What a body says to those who look at it")
struct SearchBoundTests {
    private func most(_ text: String) throws -> Int64 {
        let bytes = Array(text.utf8)
        return try bytes.withUnsafeBytes { body in
            SearchBound.most(try #require(try? ChatRequestScan.scan(body, maxDepth: 64)), of: body)
        }
    }

    @Test("searches are bounded by what the request itself says, not by what stands somewhere in it")
    func bounds() throws {
        let tool = #""tools":[{"type":"web_search"}]"#
        #expect(try most(#"{"model":"m"}"#) == 0)
        #expect(try most("{\(tool)}") == SearchBound.unbounded)
        #expect(try most("{\(tool),\"max_tool_calls\":3}") == 3)
        #expect(try most("{\"metadata\":{\"max_tool_calls\":0},\(tool)}") == SearchBound.unbounded)
        #expect(try most("{\"max_tool_calls\":0,\(tool),\"max_tool_calls\":9}") == 9)
        #expect(try most(#"{"tools":[{"type":"web_search_20250305","max_uses":2}],"max_tool_calls":-5}"#) == 0)
        #expect(try most(#"{"tools":[{"type":"web_search_20250305","max_uses":2}],"max_tool_calls":99999999999999999999}"#) == 2)
    }

    @Test("of two members of one name the last one counts")
    func doubled() throws {
        let bytes = Array(#"{"temperature":0.5,"top_p":1,"temperature":2}"#.utf8)
        try bytes.withUnsafeBytes { body in
            let found = try #require(BodyMembers(body)?.value("temperature"))
            #expect(String(decoding: body[found], as: UTF8.self) == "2")
        }
    }
}
