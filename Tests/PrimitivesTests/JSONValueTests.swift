import Primitives
import Testing

@Suite("JSON values")
struct JSONValueTests {
    @Test(
        "what is written reads back the same",
        arguments: [
            JSONValue.null, true, false, 0, -1, .int(.max), .int(.min), "", "plain",
            "quote \" slash \\ line\nend \u{0} \u{7f} ü 🎈 \u{2028}",
            [], [1, "two", nil], [:], ["a": ["b": [1, ["c": .number("1.50e-3")]]], "é": "x"],
        ])
    func roundTrip(value: JSONValue) throws {
        #expect(try JSONValue(parsing: value.bytes) == value)
        #expect(try JSONValue(parsing: value.prettyText) == value)
    }

    @Test("numbers beyond 64 bits keep their digits")
    func bigNumbers() throws {
        #expect(try JSONValue(parsing: "9223372036854775808") == .number("9223372036854775808"))
        #expect(try JSONValue(parsing: "2.50") == .number("2.50"))
        #expect(try JSONValue(parsing: "-0") == .int(0))
    }

    @Test("escapes and surrogate pairs")
    func escapes() throws {
        #expect(try JSONValue(parsing: #""\u00e9\ud83c\udf88\/\b\f""#) == .string("é🎈/\u{8}\u{c}"))
    }

    @Test(
        "what is not JSON is refused with the place",
        arguments: [
            "", " ", "{", "[", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "01", "1.", "1e", "-", "+1", ".5", "tru", "nul", "\"", "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\u12\"", "\"a\nb\"", "1 2", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "NaN",
            "'a'", "\u{FEFF}1",
        ])
    func refused(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test("a string that is not UTF-8 is refused")
    func invalidUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test("nesting beyond the cap is refused, not overflowed")
    func depth() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "{\"a\":", count: 100_000)) }
    }

    @Test("every truncation of a document is refused")
    func truncations() {
        let text = #"{"a":[1,-2.5e3,"x\u00e9",true,null,{"b":false}]}"#
        for length in 0..<text.utf8.count {
            #expect(throws: JSONError.self) { try JSONValue(parsing: text.utf8.prefix(length)) }
        }
    }
}
