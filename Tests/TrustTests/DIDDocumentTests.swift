import Crypto
import Foundation
import Primitives
import Testing

@testable import Trust

@Suite("Documents of did:web")
struct DIDDocumentTests {
    private static let text = "did:web:example.org%3A8443:people:ann"
    private let now: Int64 = 1_800_000_000_000
    private let ed25519 = Curve25519.Signing.PrivateKey()
    private let p256 = P256.Signing.PrivateKey()

    private var jwk: String {
        #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(Array(ed25519.publicKey.rawRepresentation)))"}"#
    }
    private var multibase: String { "z" + Base58.encode([0x80, 0x24] + Array(p256.publicKey.compressedRepresentation)) }

    private func method(_ id: String, _ key: String, controller: String = text, more: String = "") -> String {
        #"{"id":"\#(id)","type":"Multikey","controller":"\#(controller)",\#(key)\#(more)}"#
    }
    private var jwkMethod: String { method("#one", #""publicKeyJwk":\#(jwk)"#) }
    private var multikeyMethod: String { method("\(Self.text)#two", #""publicKeyMultibase":"\#(multibase)""#) }

    private func read(_ methods: [String], _ authentication: String, id: String = text) throws -> DIDDocument {
        let json =
            #"{"@context":["x"],"id":"\#(id)","verificationMethod":[\#(methods.joined(separator: ","))],"authentication":\#(authentication)}"#
        return try DIDDocument(Array(json.utf8), of: try DID(Self.text), nowMilliseconds: now)
    }

    @Test("the address of a document, and what is none")
    func addresses() throws {
        for (text, host, path) in [
            ("did:web:example.org", "example.org", "/.well-known/did.json"),
            ("did:web:example.org%3A8443", "example.org:8443", "/.well-known/did.json"),
            (Self.text, "example.org:8443", "/people/ann/did.json"),
        ] {
            #expect(try DID(text).proof == .document(host: host, path: path))
        }
        for text in [
            "did:web:", "did:web:Example.org", "did:web:127.0.0.1", "did:web:example.org%3A0", "did:web:example.org%3A70000",
            "did:web:example.org%3A", "did:web:example.org%3Ax", "did:web:example.org:..", "did:web:example.org::a",
            "did:web:example.org%2Fa",
            "did:web:example.org/a", "did:web:[fd00::1]", "did:web:2130706433", "did:web:user@example.org", "did:web:example.org:a%2Fb",
        ] {
            #expect(throws: ProofProblem.self, "\(text)") { try DID(text) }
        }
    }

    @Test("keys for authentication are taken: named by URL, relative or whole, or standing there")
    func methods() throws {
        let document = try read([jwkMethod, multikeyMethod], ##"["#one","\##(Self.text)#two"]"##)
        #expect(document.methods.map(\.fragment) == ["one", "two"] && document.passedOver.isEmpty)
        let message = Array("message".utf8)
        #expect(document.methods[0].key.isValid(signature: Array(try ed25519.signature(for: message)), over: message))
        #expect(document.methods[1].key.isValid(signature: Array(try p256.signature(for: message).rawRepresentation), over: message))
        #expect(try read([], "[\(jwkMethod)]").methods.map(\.fragment) == ["one"])
        // The same one twice is one.
        #expect(try read([jwkMethod], ##"["#one","#one"]"##).methods.count == 1)
    }

    @Test("a key that is not for authentication, or not the DID's own, is passed over and said so")
    func passedOver() throws {
        let foreign = method("#one", #""publicKeyJwk":\#(jwk)"#, controller: "did:web:evil.example")
        let revoked = method("#one", #""publicKeyJwk":\#(jwk)"#, more: #","revoked":"2020-01-01T00:00:00Z""#)
        let expired = method("#one", #""publicKeyJwk":\#(jwk)"#, more: #","expires":"2020-01-01T00:00:00Z""#)
        let two = method("#one", #""publicKeyJwk":\#(jwk),"publicKeyMultibase":"\#(multibase)""#)
        let exchange = method("#one", #""publicKeyMultibase":"z\#(Base58.encode([0xec, 0x01] + [UInt8](repeating: 9, count: 32)))""#)
        for wrong in [foreign, revoked, expired, two, exchange, method("#one", #""x":1"#), method("did:web:evil.example#one", "\"x\":1")] {
            let document = try read([wrong, multikeyMethod], ##"["#one","#two"]"##)
            #expect(document.methods.map(\.fragment) == ["two"] && document.passedOver.count == 1, "\(wrong)")
        }
        let unnamed = try read([jwkMethod, multikeyMethod], "[]")
        #expect(unnamed.methods.isEmpty && unnamed.passedOver.isEmpty)
        #expect(try read([jwkMethod], ##"["#other","did:web:evil.example#one",7]"##).passedOver.count == 3)
        #expect(
            try read([method("#one", #""publicKeyJwk":\#(jwk)"#, more: #","expires":"2100-01-01T00:00:00Z""#)], ##"["#one"]"##).methods
                .count == 1)
    }

    @Test("what is no document, or another's, is refused")
    func refused() throws {
        #expect(throws: ProofProblem.self) { try read([jwkMethod], ##"["#one"]"##, id: "did:web:evil.example") }
        #expect(throws: ProofProblem.self) { try read([jwkMethod], ##"["#one"]"##, id: Self.text + "/") }
        #expect(throws: ProofProblem.self) { try read([jwkMethod], "7") }
        #expect(throws: ProofProblem.self) { try read([], "[\((0..<9).map { "\"#\($0)\"" }.joined(separator: ","))]") }
        let did = try DID(Self.text)
        for text in [
            "", "[]", "null", "{}", #"{"id":7}"#, "<html>", String(repeating: "[", count: 40_000), String(repeating: " ", count: 70_000),
        ] {
            #expect(throws: ProofProblem.self) { try DIDDocument(Array(text.utf8), of: did, nowMilliseconds: now) }
        }
    }
}
