import Crypto
import Foundation
import Primitives
import Testing

@testable import Trust

/// RFC 9421, appendix B: the messages and signatures as they stand there, and their neighbours.
@Suite("HTTP message signatures")
struct MessageSignatureTests {
    private static let digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    private static let body = #"{"hello": "world"}"#

    private static func message(
        method: String = "POST", authority: String = "example.com", path: String = "/foo", query: String? = "param=Value&Pet=dog",
        status: Int? = nil,
        _ fields: [String: [String]] = [
            "date": ["Tue, 20 Apr 2021 02:07:55 GMT"], "content-type": ["application/json"], "content-digest": [digest],
            "content-length": ["18"],
        ]
    ) -> SignableMessage {
        SignableMessage(method: method, authority: authority, path: path, query: query, status: status) { fields[$0] ?? [] }
    }

    private static var response: SignableMessage {
        message(
            status: 200,
            [
                "content-type": ["application/json"], "content-length": ["23"],
                "content-digest": ["sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"],
            ])
    }

    private static let p256Key = "A6iFWGVSwqz2Rxh4z9ewk1tP_g_S38NBJI6he8QeBYrw"
    private static let ed25519Key = "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"
    private static let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="

    struct Example: Sendable, CustomTestStringConvertible {
        let section: String
        let input: String
        let signature: String
        let lines: [String]
        var testDescription: String { section }
    }

    static let requests = [
        Example(
            section: "B.2.1", input: #"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
            signature: "", lines: []),
        Example(
            section: "B.2.2",
            input:
                #"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
            signature: "", lines: [#""@authority": example.com"#, #""content-digest": \#(digest)"#, #""@query-param";name="Pet": dog"#]),
        Example(
            section: "B.2.3",
            input:
                #"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
            signature: "",
            lines: [
                #""date": Tue, 20 Apr 2021 02:07:55 GMT"#, #""@method": POST"#, #""@path": /foo"#, #""@query": ?param=Value&Pet=dog"#,
                #""@authority": example.com"#, #""content-type": application/json"#, #""content-digest": \#(digest)"#,
                #""content-length": 18"#,
            ]),
        Example(
            section: "B.2.5", input: #"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
            signature: "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
            lines: [#""date": Tue, 20 Apr 2021 02:07:55 GMT"#, #""@authority": example.com"#, #""content-type": application/json"#]),
        Example(
            section: "B.2.6",
            input:
                #"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
            signature: "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
            lines: [
                #""date": Tue, 20 Apr 2021 02:07:55 GMT"#, #""@method": POST"#, #""@path": /foo"#, #""@authority": example.com"#,
                #""content-type": application/json"#, #""content-length": 18"#,
            ]),
    ]

    private static func parse(_ input: String, _ signature: String) throws -> MessageSignature {
        let label = input.prefix { $0 != "=" }
        return try #require(try MessageSignature.parse(input: input, signature: "\(label)=:\(signature):").first)
    }

    private static func isValid(_ signature: MessageSignature, _ base: [UInt8]) throws -> Bool {
        switch signature.keyID {
        case "test-key-ed25519":
            try VerificationKey(.ed25519, #require(Base64URL.decode(ed25519Key))).isValid(signature: signature.signature, over: base)
        case "test-key-ecc-p256":
            try VerificationKey(.p256, #require(Base64URL.decode(p256Key))).isValid(signature: signature.signature, over: base)
        case "test-shared-secret": RequestMAC.isValid(signature.signature, over: base, secret: try #require(Base64.decode(secret)))
        default: true
        }
    }

    @Test(arguments: requests)
    func makesTheBaseOfTheRFCAndVerifies(example: Example) throws {
        let signature = try Self.parse(example.input, example.signature)
        let base = try signature.base(over: Self.message())
        let last = "\"@signature-params\": " + example.input.drop { $0 != "=" }.dropFirst()
        #expect(String(decoding: base, as: UTF8.self) == (example.lines + [last]).joined(separator: "\n"))
        #expect(try Self.isValid(signature, base))
        guard !example.signature.isEmpty else { return }
        // What is covered and changed is noticed, by one byte of the base or of the signature.
        for index in base.indices {
            var changed = base
            changed[index] ^= 1
            #expect(try !Self.isValid(signature, changed))
        }
        for change in [
            Self.message(authority: "example.org"),
            Self.message(["date": ["Tue, 20 Apr 2021 02:07:56 GMT"], "content-type": ["application/json"], "content-length": ["18"]]),
        ] {
            #expect(try !Self.isValid(signature, signature.base(over: change)))
        }
        let other = example.input.replacingOccurrences(of: "1618884473", with: "1618884474")
        #expect(try !Self.isValid(Self.parse(other, example.signature), Self.parse(other, example.signature).base(over: Self.message())))
    }

    @Test func verifiesTheResponseOfB24() throws {
        let signature = try Self.parse(
            #"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
            "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==")
        #expect(try Self.isValid(signature, signature.base(over: Self.response)))
        #expect(throws: ProofProblem.self) { try signature.base(over: Self.message()) }
    }

    @Test func verifiesTheProxiedRequestOfB3() throws {
        let certificate =
            ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:"
        let signature = try Self.parse(
            #"ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256""#,
            "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==")
        let message = Self.message(authority: "service.internal.example", ["client-cert": [certificate]])
        #expect(try Self.isValid(signature, signature.base(over: message)))
        let other = Self.message(authority: "service.internal.example", ["client-cert": [certificate + " "]])
        #expect(try !Self.isValid(signature, signature.base(over: other)))
    }

    /// B.4: what proxies may change, and what they may not.
    @Test func verifiesTheTransformationsOfB4() throws {
        let signature = try Self.parse(
            #"transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#,
            "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==")
        func isValid(_ method: String, _ authority: String, _ query: String, _ accept: [String]) throws -> Bool {
            let message = Self.message(
                method: method, authority: authority, path: "/demo", query: query, ["accept": accept, "date": ["x"]])
            return try Self.isValid(signature, signature.base(over: message))
        }
        #expect(try isValid("GET", "example.org", "name1=Value1&Name2=value2", ["application/json", "*/*"]))
        #expect(try isValid("GET", "example.org", "name1=Value1&Name2=value2&param=added", ["application/json", "*/*"]))
        #expect(try isValid("GET", "example.org", "", ["application/json, */*"]))
        #expect(try !isValid("POST", "example.com", "", ["application/json", "*/*"]))
        #expect(try !isValid("GET", "example.org", "", ["*/*", "application/json"]))
    }

    @Test func refusesWhatItDoesNotUnderstand() throws {
        for (input, signature) in [
            ("sig", "sig=:AA==:"), ("sig=1", "sig=:AA==:"), ("sig=(", "sig=:AA==:"), (#"sig=("a""b")"#, "sig=:AA==:"), ("sig=()", "sig=1"),
            ("sig=()", "other=:AA==:"), (#"sig=("a");created=1.5"#, "sig=:AA==:"), (#"sig=("a");created="1""#, "sig=:AA==:"),
            (#"sig=("a");keyid=token"#, "sig=:AA==:"), ("sig=(),", "sig=:AA==:"), ("sig=();created=1618884473000000000", "sig=:AA==:"),
            (#"sig=("\u0007")"#, "sig=:AA==:"),
        ] {
            #expect(throws: ProofProblem.self, "\(input)") { try MessageSignature.parse(input: input, signature: signature) }
        }
        for components in [
            #""@method" "@method""#, #""@target-uri""#, #""@unknown""#, #""absent""#, #""date";sf"#, #""Date""#, #""@query-param""#,
            #""@query-param";name="none""#, #"date"#,
        ] {
            let signature = try Self.parse("s=(\(components))", "AA==")
            #expect(throws: ProofProblem.self, "\(components)") { try signature.base(over: Self.message()) }
        }
        // Spaces between components are no part of the base.
        #expect(
            try Self.parse(#"s=( "date"   "@method" );created=1"#, "AA==").base(over: Self.message())
                == Self.parse(#"s=("date" "@method");created=1"#, "AA==").base(over: Self.message()))
    }

    @Test func comparesTheDigestsOfABody() throws {
        func check(_ field: String, _ body: String) throws(ProofProblem) {
            let bytes = Array(body.utf8)
            let result = bytes.withUnsafeBytes { pointer -> ProofProblem? in
                do throws(ProofProblem) { try ContentDigest.check(field, body: pointer) } catch { return error }
                return nil
            }
            if let result { throw result }
        }
        try check(Self.digest, Self.body)
        // RFC 9530, appendix B.1.
        try check("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", Self.body + "\n")
        try check("md5=:AA==:, " + Self.digest, Self.body)
        for (field, body) in [
            (Self.digest, Self.body + "\n"), ("", Self.body), ("md5=:AA==:", Self.body), ("sha-512=1", Self.body),
            (Self.digest + ", sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", Self.body),
        ] {
            #expect(throws: ProofProblem.self, "\(field)") { try check(field, body) }
        }
    }
}
