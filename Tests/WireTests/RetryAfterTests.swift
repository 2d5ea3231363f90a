import Primitives
import Testing
import Wire

@Suite("Retry-After")
struct RetryAfterTests {
    /// 1994-11-06T08:49:00.500Z.
    static let now: Int64 = 784_111_740_500

    static func read(_ field: String?, milliseconds: String? = nil, now: Int64 = now) -> Int64? {
        func withBytes<R>(_ text: String?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
            guard let text else { return body(nil) }
            return Array(text.utf8).withUnsafeBytes { body($0) }
        }
        return withBytes(field) { field in
            withBytes(milliseconds) { milliseconds in
                RetryAfter.milliseconds(retryAfter: field, retryAfterMilliseconds: milliseconds, nowMilliseconds: now)
            }
        }
    }

    @Test(
        "is read in all forms and never shortened",
        arguments: [
            ("2", 2000), ("0", 0), ("1.5", 1500), ("1.0001", 1001), ("0.5", 500), ("86400", 86_400_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 36_500), ("Sunday, 06-Nov-94 08:49:37 GMT", 36_500), ("Sun Nov  6 08:49:37 1994", 36_500),
            ("Sun, 06 Nov 1994 08:48:00 GMT", 0), ("99999999999999999999", RetryAfter.longestMilliseconds),
            ("", nil), ("-1", nil), ("soon", nil), ("1e3", nil), (".5", nil), ("1.2.3", nil), ("Sun, 06 Foo 1994 08:49:37 GMT", nil),
            ("Sun, 06 Nov 1994 08:49:37 CET", nil), ("Sun, 06 Nov 1994 8:49:37 GMT", nil), ("Sun, 32 Nov 1994 08:49:37 GMT", nil),
        ] as [(String, Int64?)])
    func forms(field: String, expected: Int64?) {
        #expect(Self.read(field) == expected)
    }

    @Test("is overruled by retry-after-ms, where that can be read")
    func milliseconds() {
        #expect(Self.read("9", milliseconds: "2500") == 2500)
        #expect(Self.read(nil, milliseconds: "0.5") == 1)
        #expect(Self.read("9", milliseconds: "x") == 9000)
        #expect(Self.read(nil) == nil)
    }

    @Test("as a date is read back as it is written", arguments: [0, 784_111_777, 951_782_400, 4_102_444_799] as [Int64])
    func roundTrip(seconds: Int64) {
        let text = HTTPDate.string(unixSeconds: seconds)
        #expect(Array(text.utf8).withUnsafeBytes { HTTPDate.seconds($0, nowSeconds: seconds) } == seconds)
    }

    @Test("of two digits a year is the nearest that is not more than fifty years ahead")
    func shortYears() {
        let in2026: Int64 = 1_795_600_000_000
        #expect(Self.read("Sunday, 06-Nov-94 08:49:37 GMT", now: in2026) == 0)
        #expect(Self.read("Friday, 27-Nov-26 00:00:00 GMT", now: 1_795_651_200_000) == 86_400_000)
    }

    @Test("in whole seconds is rounded up", arguments: [(0, 0), (1, 1), (1000, 1), (1001, 2), (2500, 3)] as [(Int64, Int)])
    func seconds(milliseconds: Int64, expected: Int) {
        #expect(RetryAfter.seconds(fromMilliseconds: milliseconds) == expected)
    }
}
