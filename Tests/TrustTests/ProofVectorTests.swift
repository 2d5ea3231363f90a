import Crypto
import Foundation
import Primitives
import Testing

@testable import Trust

/// Vectors of others, each in a fixture that names its source.
enum Fixture {
    static func rows(_ name: String) throws -> [[String]] {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/\(name)")
        return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.split(separator: " ").map(String.init) }
    }

    static func bytes(_ hex: String) throws -> [UInt8] { hex == "-" ? [] : try #require(Hex.decode(hex)) }
}

@Suite("Proofs by signature: the vectors of others")
struct ProofVectorTests {
    @Test(arguments: [("ed25519.txt", VerificationKey.Curve.ed25519, 151, 88), ("p256.txt", .p256, 262, 173)])
    func passesWycheproofAndNoNeighbour(file: String, curve: VerificationKey.Curve, count: Int, valid: Int) throws {
        let rows = try Fixture.rows(file)
        #expect(rows.count == count)
        #expect(rows.count { $0[1] == "valid" } == valid)
        for row in rows {
            let key = try? VerificationKey(curve, try Fixture.bytes(row[2]))
            let (message, signature) = (try Fixture.bytes(row[3]), try Fixture.bytes(row[4]))
            let isValid = key?.isValid(signature: signature, over: message) ?? false
            #expect(isValid == (row[1] == "valid"), "number \(row[0])")
            guard let key, isValid else { continue }
            #expect(!key.isValid(signature: signature, over: message + [0]), "number \(row[0]), another message")
            for index in stride(from: 0, to: 64, by: 7) {
                var changed = signature
                // Not the lowest bit: of two vectors, s and its neighbour are each other's negative, and both valid.
                changed[index] ^= 2
                #expect(!key.isValid(signature: changed, over: message), "number \(row[0]), byte \(index)")
            }
        }
    }

    @Test func readsTheDIDsOfOthersAndNoNeighbour() throws {
        let rows = try Fixture.rows("dids.txt")
        #expect(rows.count == 24)
        for row in rows {
            guard row[0] != "refused" else {
                #expect(throws: ProofProblem.self, "\(row[1])") { try DID(row[1]) }
                continue
            }
            let did = try DID(row[1])
            let curve: VerificationKey.Curve = row[0] == "Ed25519" ? .ed25519 : row[0] == "P-256" ? .p256 : .secp256k1
            let key = try VerificationKey(curve, try Fixture.bytes(row[2]))
            #expect(did.proof == .key(key))
            // The same key as a JWK is the same subject by another DID.
            let point = try Fixture.bytes(row[2])
            if point.count != 33 {
                let jwk =
                    curve == .ed25519
                    ? #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(point))"}"#
                    : #"{"kty":"EC","crv":"\#(row[0])","x":"\#(Base64URL.encode(point[1..<33]))","y":"\#(Base64URL.encode(point[33...]))"}"#
                let other = try DID("did:jwk:" + Base64URL.encode(Array(jwk.utf8)))
                #expect(other.fingerprint == did.fingerprint)
                #expect(other != did)
            }
            // One character changed is another key or none, never the same.
            for index in row[1].indices.dropFirst(9) {
                var changed = row[1]
                changed.replaceSubrange(index...index, with: row[1][index] == "2" ? "3" : "2")
                #expect((try? DID(changed))?.fingerprint != did.fingerprint)
            }
        }
    }

    /// The example of the did:jwk method's specification (quartzjer/did-jwk, P-256), and that of an X25519 key.
    @Test func readsTheExamplesOfTheDIDJWKSpecification() throws {
        let p256 =
            "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
        let did = try DID(p256)
        let point = try #require(Base64URL.decode("acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0"))
        guard case .key(let key) = did.proof else { throw ProofProblem("no key") }
        #expect(key.curve == .p256 && Array(key.bytes.dropFirst()) == point)
        #expect(try DID(keyID: p256 + "#0") == did)
        #expect(throws: ProofProblem.self) { try DID(keyID: p256 + "#1") }
        let x25519 =
            "did:jwk:eyJrdHkiOiJPS1AiLCJjcnYiOiJYMjU1MTkiLCJ1c2UiOiJlbmMiLCJ4IjoiM3A3YmZYdDl3YlRUVzJIQzdPUTFOei1EUThoYmVHZE5yZngtRkctSUswOCJ9"
        #expect(throws: ProofProblem.self) { try DID(x25519) }
    }

    /// keccak-256 of nothing and of "abc", and of a message longer than a block, from the Keccak team's and Ethereum's own tests.
    @Test func hashesAsEthereumDoes() {
        #expect(Hex.encode(Keccak256.digest([])) == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
        #expect(Hex.encode(Keccak256.digest(Array("abc".utf8))) == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45")
        // Lengths on both sides of a block's end give different digests, none of them the empty one's.
        let digests = Set((130...280).map { Hex.encode(Keccak256.digest([UInt8](repeating: 97, count: $0))) })
        #expect(digests.count == 151)
    }

    /// Addresses from EIP-55.
    @Test func checksTheSpellingOfAddresses() throws {
        for text in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let address = try EthereumAddress(text)
            #expect(try EthereumAddress(text.lowercased()) == address)
            #expect(try DID("did:pkh:eip155:1:" + text).fingerprint == DID("did:pkh:eip155:137:" + text.lowercased()).fingerprint)
            let typo = text.hasSuffix("d") ? text.dropLast() + "D" : text.replacingOccurrences(of: "B", with: "b")
            #expect(throws: ProofProblem.self) { try EthereumAddress(String(typo)) }
        }
        for bad in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed00", "0xzz"] {
            #expect(throws: ProofProblem.self) { try EthereumAddress(bad) }
        }
        for bad in [
            "did:pkh:eip155:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "did:pkh:eip155:01:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        ] {
            #expect(throws: ProofProblem.self) { try DID(bad) }
        }
    }

    @Test func knowsWhoSignedWithSecp256k1AndNoNeighbour() throws {
        let order = try #require(Hex.decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"))
        for row in try Fixture.rows("secp256k1.txt") {
            let (message, signature) = (try Fixture.bytes(row[2]), try Fixture.bytes(row[3]))
            let did =
                row[0] == "eip191"
                ? try DID("did:pkh:eip155:1:" + row[1])
                : try DID("did:key:z" + Base58.encode([0xe7, 0x01] + Fixture.bytes(row[1])))
            #expect(did.isValid(signature: signature, over: message))
            #expect(!did.isValid(signature: signature, over: message + [0]))
            #expect(!did.isValid(signature: Array(signature.dropLast()), over: message))
            for index in signature.indices {
                var changed = signature
                changed[index] ^= 1
                #expect(!did.isValid(signature: changed, over: message), "\(row[0]), byte \(index)")
            }
            // The other form of the same signature: order - s, which everybody's rules leave out.
            var high = signature
            var borrow = 0
            for index in (32..<64).reversed() {
                let difference = Int(order[index - 32]) - Int(signature[index]) - borrow
                high[index] = UInt8(difference & 255)
                borrow = difference < 0 ? 1 : 0
            }
            if row[0] == "eip191" { high[64] ^= 7 }
            #expect(!did.isValid(signature: high, over: message))
            for zero in [0..<32, 32..<64] {
                var none = signature
                none.replaceSubrange(zero, with: [UInt8](repeating: 0, count: 32))
                #expect(!did.isValid(signature: none, over: message))
                none.replaceSubrange(zero, with: order)
                #expect(!did.isValid(signature: none, over: message))
            }
        }
    }
}
