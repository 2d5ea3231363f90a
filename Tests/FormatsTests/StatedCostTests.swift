import Testing

@testable import Formats

@Suite("Costs that providers state")
struct StatedCostTests {
    @Test(arguments: [
        ("0.00014", 140_000), ("1.4e-05", 14_000), ("0", 0), ("0.0", 0), ("-0", 0), ("1", 1_000_000_000), ("1250e-06", 1_250_000),
        ("1E2", 100_000_000_000),
        // What is less than we count is rounded up: it did cost something.
        ("0.0000000001", 1), ("1e-400", 1), ("0.123456789123456789123", 123_456_790),
        ("1000000", UsageReading.costCap),
    ])
    func readsDollars(text: String, nano: Int64) {
        let usage = Array(#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"cost":\#(text)}"#.utf8)
        let reading = usage.withUnsafeBytes { UsageParser.parse($0) }
        #expect(reading?.costNano == nano)
        #expect(reading?.flags.contains(.invalid) == false)
        #expect(reading?.inputTokens == 3 && reading?.outputTokens == 4)
    }

    @Test(arguments: ["-0.5", #""0.1""#, "true", "[1]", "{}", "1e400", "1000000.1", "99999999999999999999999"])
    func takesWhatIsNoCostForNone(text: String) {
        let usage = Array(#"{"prompt_tokens":3,"completion_tokens":4,"cost":\#(text)}"#.utf8)
        let reading = usage.withUnsafeBytes { UsageParser.parse($0) }
        #expect(reading?.costNano == nil && reading?.flags.contains(.invalid) == true)
    }

    @Test func saysNothingWhereNothingIsStated() {
        for text in [#"{"prompt_tokens":3,"completion_tokens":4}"#, #"{"prompt_tokens":3,"completion_tokens":4,"cost":null}"#] {
            let reading = Array(text.utf8).withUnsafeBytes { UsageParser.parse($0) }
            #expect(reading?.costNano == nil && reading?.flags == [])
        }
    }
}
