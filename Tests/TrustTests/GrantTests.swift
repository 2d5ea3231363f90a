import Crypto
import Foundation
import Primitives
import Testing

@testable import Trust

@Suite("Grants")
struct GrantTests {
    private static let now: Int64 = 1_764_108_000_000
    private let key = Curve25519.Signing.PrivateKey()
    private var issuer: String { "did:key:z" + Base58.encode([0xed, 0x01] + Array(key.publicKey.rawRepresentation)) }

    private func grant(
        header: String = #"{"alg":"EdDSA","typ":"weir-grant+jwt"}"#, _ claims: String = "", expires: Int64 = 1_764_108_060,
        issuer: String? = nil
    ) throws -> String {
        let payload = #"{"iss":"\#(issuer ?? self.issuer)","sub":"key_aaaaaaaaaaaaaaaa","jti":"grant-0001","exp":\#(expires)\#(claims)}"#
        let signed = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
        return signed + "." + Base64URL.encode(Array(try key.signature(for: Array(signed.utf8))))
    }

    @Test func readsWhatItsIssuerSigned() throws {
        let grant = try Grant(grant(#","models":["gpt-small"],"iat":1764107000,"nbf":1764107000"#), nowMilliseconds: Self.now)
        #expect(grant.issuer.text == issuer && grant.subject == "key_aaaaaaaaaaaaaaaa" && grant.id == "grant-0001")
        #expect(grant.models == ["gpt-small"] && grant.expires == 1_764_108_060)
        #expect(try Grant(self.grant(), nowMilliseconds: Self.now).models == nil)
        let amount = try Grant(self.grant(#","amount":"2.50""#), nowMilliseconds: Self.now)
        #expect(amount.amount == 2_500_000_000 && grant.amount == nil && amount.budgetID == grant.budgetID)
        #expect(amount.budgetID.rawValue.hasPrefix("bgt_") && (try? BudgetID.parse(amount.budgetID.rawValue)) != nil)
    }

    @Test func readsOneOfP256() throws {
        let key = P256.Signing.PrivateKey()
        let issuer = "did:key:z" + Base58.encode([0x80, 0x24] + Array(key.publicKey.compressedRepresentation))
        let payload = #"{"iss":"\#(issuer)","sub":"key_a","jti":"grant-0001","exp":1764108060}"#
        let signed = Base64URL.encode(Array(#"{"alg":"ES256","typ":"weir-grant+jwt"}"#.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
        let signature = Base64URL.encode(Array(try key.signature(for: Array(signed.utf8)).rawRepresentation))
        #expect(try Grant(signed + "." + signature, nowMilliseconds: Self.now).issuer.text == issuer)
    }

    @Test func refusesTheRest() throws {
        let other = "did:key:z" + Base58.encode([0xed, 0x01] + Array(Curve25519.Signing.PrivateKey().publicKey.rawRepresentation))
        for bad in [
            try grant(expires: 1_764_108_000), try grant(expires: 1_764_108_060_000), try grant() + "=",
            try grant(#","nbf":1764108001"#), try grant(#","nbf":1e300"#), try grant(issuer: other),
            try grant(header: #"{"alg":"none","typ":"weir-grant+jwt"}"#), try grant(header: #"{"alg":"ES256","typ":"weir-grant+jwt"}"#),
            try grant(header: #"{"alg":"EdDSA","typ":"JWT"}"#), try grant(header: #"{"alg":"EdDSA","typ":"weir-grant+jwt","crit":["x"]}"#),
            try grant(#","models":[]"#), try grant(#","models":[1]"#), try grant(#","max_usd":"2.00""#), try grant(#","amount":2.5"#),
            try grant(#","amount":"-1""#),
            try grant(#","amount":"1e3""#), try grant(#","amount":"1000001""#), try grant(#","amount":null"#),
            try grant(issuer: "did:web:a"),
            try grant(issuer: "did:pkh:eip155:1:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), "a.b.c", "..", "",
            String(repeating: "a", count: 5000),
        ] {
            #expect(throws: ProofProblem.self, "\(bad)") { try Grant(bad, nowMilliseconds: Self.now) }
        }
        let good = Array(try grant().utf8)
        for index in stride(from: 0, to: good.count, by: 3) where good[index] != UInt8(ascii: ".") {
            var changed = good
            changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(throws: ProofProblem.self) { try Grant(String(decoding: changed, as: UTF8.self), nowMilliseconds: Self.now) }
        }
    }
}
