import Formats
import Testing

@Suite("Names of files in a request")
struct FileReferencesTests {
    private func ids(_ body: String) -> [String]? {
        let bytes = Array(body.utf8)
        return bytes.withUnsafeBytes { body in
            FileReferences.find(in: body)?.map { found in
                // What stands in the body is what was found, but for escapes.
                let written = String(decoding: body[found.range], as: UTF8.self)
                #expect(written.contains("\\") || written == String(decoding: found.id, as: UTF8.self))
                return String(decoding: found.id, as: UTF8.self)
            }
        }
    }

    @Test func areFoundWhereverAProviderReadsThem() {
        #expect(ids(#"{"messages":[{"content":[{"type":"file","file":{"file_id":"a"}},{"file" : { "file_id" : "b" }}]}]}"#) == ["a", "b"])
        #expect(ids(#"{"input":[{"content":[{"type":"input_file","file_id":"a"},{"type":"input_image","file_id":"b"}]}]}"#) == ["a", "b"])
        #expect(ids(#"{"input":"x","tools":[{"type":"code_interpreter","container":{"file_ids":["a","b"]}}]}"#) == ["a", "b"])
        #expect(ids(#"{"images":[{"file_id":"a"}],"mask":{"file_id":"b"}}"#) == ["a", "b"])
        #expect(ids(#"{"prompt":{"variables":{"x":{"type":"input_file","file_id":"a"}}}}"#) == ["a"])
        // Given twice: whichever the provider reads has been looked at.
        #expect(ids(#"{"file":{"file_id":"a","file_id":"b"}}"#) == ["a", "b"])
    }

    @Test func noSpellingHidesThem() {
        #expect(ids(#"{"file":{"file\u005fid":"a"}}"#) == ["a"])
        #expect(ids(#"{"file":{"\u0066ile_id":"\u0066ile-1"}}"#) == ["file-1"])
        #expect(ids(#"{"x":"\\","file":{"f\u0069le_id":"a"}}"#) == ["a"])
        #expect(ids("\u{FEFF}" + #"{"file_id":"a"}"#) == ["a"])
        #expect(ids(#"{"file_id":""}"#) == [""])
        // As Go's `encoding/json` reads names.
        #expect(ids("{\"file\":{\"File_ID\":\"a\"},\"x\":{\"FILE_IDS\":[\"b\"],\"file_id\u{17F}\":[\"c\"]}}") == ["a", "b", "c"])
    }

    @Test func noOthersAre() {
        #expect(ids(#"{"messages":[{"content":"the \"file_id\": \"a\" of it"}]}"#) == [])
        #expect(ids(#"{"file_id":null,"x":{"file_id":{"type":"string"}},"file_ids":7}"#) == [])
        // A tool's schema and what it was called with, what a provider found, and notes are nobody's files.
        #expect(
            ids(#"{"tools":[{"function":{"parameters":{"default":{"file_id":"a"}}}},{"input_schema":{"const":{"file_id":"a"}}}]}"#) == [])
        #expect(ids(#"{"messages":[{"content":[{"type":"tool_use","input":{"file_id":"a"}}]}]}"#) == [])
        #expect(
            ids(#"{"input":[{"content":[{"annotations":[{"file_id":"a"}]}]},{"results":[{"file_id":"a"}]}],"metadata":{"file_id":"a"}}"#)
                == [])
    }

    @Test func whatCannotBeReadHasNone() {
        #expect(ids(#"{"file_id":"a""#) == nil)
        #expect(ids(#"{"file_id":"a"}}"#) == ["a"])
        #expect(ids(String(repeating: "[", count: 200) + #"{"file_id":"a"}"# + String(repeating: "]", count: 200)) == nil)
        #expect(ids("") == [])
    }
}
