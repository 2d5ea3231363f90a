import Testing

@testable import Primitives

@Suite("Primitives")
struct PrimitivesTests {
    @Test func base32RoundTripsAndHasOneTextForOneValue() {
        var generator = SeededGenerator(seed: 1)
        for length in 0...40 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            #expect(Base32.decode(Base32.encode(bytes)) == bytes)
            #expect(Hex.decode(Hex.encode(bytes)) == bytes)
            #expect(Base58.decode(Base58.encode(bytes), maximumCount: bytes.count) == bytes)
            #expect(bytes.isEmpty || Base58.decode(Base58.encode([1] + bytes), maximumCount: bytes.count) == nil)
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
        #expect(Hex.decode("AfF0") == [0xAF, 0xF0] && Hex.decode("abc") == nil && Hex.decode("0g") == nil && Hex.decode("-1") == nil)
        // draft-msporny-base58-03 §5
        #expect(Base58.decode("2NEpo7TZRRrLZSi2U", maximumCount: 12) == Array("Hello World!".utf8))
        #expect(
            Base58.decode("11233QC4", maximumCount: 9) == [0, 0, 0x28, 0x7f, 0xb4, 0xcd] && Base58.decode("1l", maximumCount: 9) == nil)
        #expect(Base32.encode(Array("foobar".utf8)) == "mzxw6ytboi")  // RFC 4648 §10
        #expect(Base64.encode(Array("fooba".utf8)) == "Zm9vYmE=")
        // A stray bit in the padding, an impossible length, a capital.
        #expect(Base32.decode("mz") == nil && Base32.decode("mzx") == nil && Base32.decode("MZXQ") == nil)
        #expect(Base32.decode("my") == [0x66] && Base32.decode("mz") == nil)
        #expect(Base64URL.decode("Zm9=") == nil && Base64URL.decode("a+b/") == nil)
    }

    @Test func crc32IsTheUsualOne() {
        #expect(CRC32.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let whole = CRC32.checksum(bytes)
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            #expect(CRC32.checksum(Array(bytes[cut...]), seed: CRC32.checksum(Array(bytes[..<cut]))) == whole)
        }
    }

    /// Machines have instructions for long stretches, from some place on, and tables for the rest.
    @Test func checksumsOfEveryLengthAreTheDefinitions() {
        let bytes = (0..<400).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 3) }
        var expected: UInt32 = 0xFFFF_FFFF
        for length in 0...bytes.count {
            if length > 0 {
                expected ^= UInt32(bytes[length - 1])
                for _ in 0..<8 { expected = expected & 1 == 1 ? expected >> 1 ^ 0xEDB8_8320 : expected >> 1 }
            }
            #expect(CRC32.checksum(Array(bytes[..<length])) == ~expected, "\(length) bytes")
            let cut = length * 2 / 3
            #expect(CRC32.checksum(Array(bytes[cut..<length]), seed: CRC32.checksum(Array(bytes[..<cut]))) == ~expected, "cut at \(cut)")
        }
    }

    @Test func keysRefuseEverySingleTypingError() throws {
        let key = VirtualKeyText.generate(prefix: "weir", idSuffix: KeyID.random().suffix)
        let parsed = try #require(VirtualKeyText(parsing: key.text, prefix: "weir"))
        #expect(parsed.idSuffix == key.idSuffix && "\(key)" == "<redacted>")
        let characters = Array(key.text)
        for index in characters.indices {
            var changed = characters
            changed[index] = changed[index] == "a" ? "b" : "a"
            #expect(VirtualKeyText(parsing: String(changed), prefix: "weir") == nil)
        }
        for length in 0..<characters.count { #expect(VirtualKeyText(parsing: String(characters[..<length]), prefix: "weir") == nil) }
        #expect(VirtualKeyText(parsing: key.text, prefix: "wadm") == nil)
    }

    @Test func identifiersAreOfOneKind() throws {
        let id = TenantID.random()
        #expect(try TenantID.parse(id.rawValue) == id)
        #expect(throws: InvalidIdentifier.self) { try ProjectID.parse(id.rawValue) }
        #expect(throws: InvalidIdentifier.self) { try TenantID.parse("ten_short") }
        var generator = SeededGenerator(seed: 2)
        let request = RequestID.random(using: &generator)
        #expect(RequestID(text: request.text) == request && RequestID(bytes: request.bytes) == request)
        #expect(request.text.utf8.count == 30)
    }

    @Test(arguments: [
        ("2.50", 2_500_000_000), ("0.000000075", 75), ("-1", -1_000_000_000), ("0.1000000000", 100_000_000),
        ("9223372036.854775807", Int64.max),
    ])
    func readsDollars(text: String, nano: Int64) {
        #expect(NanoDollars(decimal: text)?.rawValue == nano)
        #expect(NanoDollars(decimal: NanoDollars(nano).decimalString)?.rawValue == nano)
    }

    @Test(arguments: ["", ".", "1.", ".5", "1e3", "0.0000000001", "9223372036.854775808", "99999999999999999999", "+1", "1,5", "--1", " 1"])
    func refusesWhatIsNoAmount(text: String) { #expect(NanoDollars(decimal: text) == nil) }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T04:05:06Z", 1_795_233_906_000), ("2024-02-29T23:59:59.5Z", 1_709_251_199_500),
        ("2026-11-21T06:05:06+02:00", 1_795_233_906_000), ("1969-12-31T23:59:59.999Z", -1),
    ])
    func readsTimes(text: String, milliseconds: Int64) {
        #expect(RFC3339.milliseconds(text) == milliseconds)
        #expect(RFC3339.milliseconds(RFC3339.string(milliseconds: milliseconds)) == milliseconds)
    }

    @Test(arguments: [
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-21", "2026-11-21T25:00:00Z", "2026-11-21T04:05:06", "x",
        "2026-11-21T04:05:06.Z",
    ])
    func refusesWhatIsNoTime(text: String) { #expect(RFC3339.milliseconds(text) == nil) }

    @Test func secretsDoNotPrint() {
        let secret = Secret("sk-very-secret")
        var dumped = ""
        dump(secret, to: &dumped)
        #expect(!"\(secret) \(String(reflecting: secret)) \(dumped)".contains("very"))
        #expect(ConstantTime.equal([1, 2], [1, 2]) && !ConstantTime.equal([1, 2], [1, 3]) && !ConstantTime.equal([1], [1, 2]))
    }
}
