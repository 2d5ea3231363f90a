import Crypto
import Foundation
import Primitives
import Testing

@testable import Trust

@Suite("Signed requests")
struct SignedRequestTests {
    private static let request = SignedRequest(
        method: Array("POST".utf8), host: Array("API.example.org:8080".utf8), path: Array("/v1/chat/completions".utf8),
        query: Array("b=2&a=1&a=%20&".utf8))

    private static func canonical(_ request: SignedRequest = request, _ scheme: SignedRequest.Scheme = .hmac, nonce: String = "n")
        -> [UInt8]
    {
        request.canonicalBytes(scheme, identity: "key_a", timestamp: "1764108000", nonce: nonce, bodyDigest: SHA256Digest.of([]))
    }

    /// The bytes as docs/signing.md has them.
    @Test func writesTheDocumentedBytes() {
        #expect(
            String(decoding: Self.canonical(), as: UTF8.self) == """
                weir-hmac-sha256-v1
                POST
                api.example.org:8080
                /v1/chat/completions
                &a=%20&a=1&b=2
                key_a
                1764108000
                n
                e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
                """)
        #expect(Self.canonical(Self.request, .did).starts(with: Array("weir-did-v1\n".utf8)))
    }

    @Test func authenticatesWithHMAC() {
        let secret = Array("secret".utf8)
        let tag = RequestMAC.of(Self.canonical(), secret: secret)
        #expect(RequestMAC.isValid(tag, over: Self.canonical(), secret: secret))
        #expect(!RequestMAC.isValid(tag, over: Self.canonical(nonce: "m"), secret: secret))
        #expect(!RequestMAC.isValid(tag, over: Self.canonical(), secret: Array("other".utf8)))
        #expect(!RequestMAC.isValid(Array(tag.dropLast()), over: Self.canonical(), secret: secret))
    }

    @Test func takesWholeSecondsNearTheClock() throws {
        let now: Int64 = 1_764_108_000_500
        for good in ["1764108000", "1764108300", "1764107700"] { try SignatureTime.check(good, nowMilliseconds: now, skewSeconds: 300) }
        func message(_ text: String) -> String {
            do throws(ProofProblem) {
                try SignatureTime.check(text, nowMilliseconds: now, skewSeconds: 300)
                return ""
            } catch { return error.message }
        }
        #expect(message("1764107388").contains("612 s behind this server's clock"))
        #expect(message("1764108612").contains("612 s ahead of"))
        #expect(message("1764108000500").contains("milliseconds"))
        for bad in ["", "1764108000.5", "1.764108e9", "-5", "+1764108000", "01764108000", "0x1", " 1764108000", "9223372036854775808"] {
            #expect(!message(bad).isEmpty, "\(bad)")
        }
        #expect(throws: ProofProblem.self) { try SignatureTime.check(seconds: .min + 1, nowMilliseconds: now, skewSeconds: 300) }
    }

    @Test func takesNoncesThatSomebodyCouldHaveDrawn() throws {
        func check(_ nonce: String) throws(ProofProblem) {
            let bytes = Array(nonce.utf8)
            let result = bytes.withUnsafeBytes { bytes in
                Result { () throws(ProofProblem) in try SignatureNonce.check(bytes) }
            }
            try result.get()
        }
        try check("0123456789abcdef")
        for bad in ["", "short", "0123456789abcde ", String(repeating: "x", count: 129), "0123456789abcdéf"] {
            #expect(throws: ProofProblem.self) { try check(bad) }
        }
    }

    @Test func refusesKeysThatAnybodyCanSignFor() {
        let order8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
        for hex in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080", order8, String(order8.dropLast(2)) + "85",
            // y = 2²⁵⁵ − 19 + 1, another spelling of 1, and 2²⁵⁵ − 1.
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ] {
            #expect(throws: ProofProblem.self, "\(hex)") { try VerificationKey(.ed25519, #require(Hex.decode(hex))) }
        }
    }

    @Test func knowsOneSpellingOfAKey() throws {
        let key = P256.Signing.PrivateKey().publicKey
        let compressed = try VerificationKey(.p256, Array(key.compressedRepresentation))
        #expect(try VerificationKey(.p256, Array(key.x963Representation)) == compressed)
        func did(_ code: [UInt8], _ bytes: [UInt8]) -> String { "did:key:z" + Base58.encode(code + bytes) }
        #expect(try DID(did([0x80, 0x24], Array(key.compressedRepresentation))).proof == .key(compressed))
        // The uncompressed point, an overlong code, another curve's code, a byte more or less, and base58's leading ones.
        let ed25519 = Array(Curve25519.Signing.PrivateKey().publicKey.rawRepresentation)
        for bad in [
            did([0x80, 0x24], Array(key.x963Representation)), did([0xed, 0x81, 0x00], ed25519), did([0xed, 0x01], ed25519 + [0]),
            did([0xed, 0x01], Array(ed25519.dropLast())), did([0xe7, 0x01], ed25519), did([0x80, 0x24], ed25519),
            did([0xec, 0x01], ed25519),
            "did:key:z1" + Base58.encode([0xed, 0x01] + ed25519), "did:key:z", "did:key:", "did:key:m" + Base64.encode(ed25519),
            "did:key:z" + String(repeating: "2", count: 500), "did:example:1", "did:key", "key:z", did([0xed, 0x01], ed25519) + "#x",
        ] {
            #expect(throws: ProofProblem.self, "\(bad)") { try DID(bad) }
        }
        let text = did([0xed, 0x01], ed25519)
        #expect(try DID(keyID: text + "#" + text.dropFirst(8)) == DID(text))
        #expect(throws: ProofProblem.self) { try DID(keyID: text + "#other") }
    }

    @Test func refusesJWKsThatAreNotForSigning() throws {
        let x = Base64URL.encode(Array(Curve25519.Signing.PrivateKey().publicKey.rawRepresentation))
        func did(_ json: String) throws(ProofProblem) -> DID { try DID("did:jwk:" + Base64URL.encode(Array(json.utf8))) }
        let plain = try did(#"{"kty":"OKP","crv":"Ed25519","x":"\#(x)"}"#)
        let full = try did(#"{"x":"\#(x)","kty":"OKP","crv":"Ed25519","use":"sig","key_ops":["verify"],"alg":"EdDSA"}"#)
        #expect(plain.fingerprint == full.fingerprint)
        for bad in [
            #"{"kty":"OKP","crv":"Ed25519","x":"\#(x)","use":"enc"}"#,
            #"{"kty":"OKP","crv":"Ed25519","x":"\#(x)","key_ops":["deriveKey"]}"#,
            #"{"kty":"OKP","crv":"Ed25519","x":"\#(x)","alg":"ES256"}"#, #"{"kty":"OKP","crv":"Ed25519","x":"\#(x)","d":"\#(x)"}"#,
            #"{"kty":"OKP","crv":"X25519","x":"\#(x)"}"#, #"{"kty":"EC","crv":"P-256","x":"\#(x)","y":"\#(x)"}"#,
            #"{"kty":"OKP","crv":"Ed25519","x":"\#(x)="}"#, #"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, #"{"kty":"OKP","crv":"Ed25519"}"#,
            #"{"kty":"oct","k":"AAAA"}"#, #"{"kty":"RSA"}"#, "[]", "{", #"{"kty":"OKP","kty":"EC","crv":"Ed25519","x":"\#(x)"}"#,
        ] {
            #expect(throws: ProofProblem.self, "\(bad)") { try did(bad) }
        }
    }

    @Test func knowsTheDocumentOfADIDWeb() throws {
        #expect(try DID("did:web:example.org").proof == .document(host: "example.org", path: "/.well-known/did.json"))
        #expect(try DID("did:web:example.org%3A8443:people:ann").proof == .document(host: "example.org:8443", path: "/people/ann/did.json"))
        for bad in [
            "did:web:", "did:web:Example.org", "did:web:a:..:b", "did:web:a::b", "did:web:a%2Fb", "did:web:a:b%2F", "did:web:user@a",
        ] {
            #expect(throws: ProofProblem.self, "\(bad)") { try DID(bad) }
        }
    }
}
