import Crypto
import Foundation
import Primitives
import Trust

/// What verifying a signed request costs, from reading the DID to the verdict: processor time of one thread, the best of five rounds.
@main
enum SignatureBench {
    static func main() throws {
        let request = SignedRequest(
            method: Array("POST".utf8), host: Array("weir.example".utf8), path: Array("/v1/chat/completions".utf8), query: [])
        let body = [UInt8](repeating: UInt8(ascii: "a"), count: 1000)
        func bytes(_ scheme: SignedRequest.Scheme, _ identity: String) -> [UInt8] {
            request.canonicalBytes(
                scheme, identity: identity, timestamp: "1764108000", nonce: "0123456789abcdef0123456789abcdef",
                bodyDigest: SHA256Digest.of(body))
        }
        let secret = Array(SigningSecrets.generate().reveal().utf8)
        let tag = RequestMAC.of(bytes(.hmac, keyID), secret: secret)
        measure("HMAC-SHA256") { RequestMAC.isValid(tag, over: bytes(.hmac, keyID), secret: secret) }

        let ed25519 = Curve25519.Signing.PrivateKey()
        let first = "did:key:z" + Base58.encode([0xed, 0x01] + Array(ed25519.publicKey.rawRepresentation))
        let one = Array(try ed25519.signature(for: bytes(.did, first)))
        measure("did:key, Ed25519") { try DID(first).isValid(signature: one, over: bytes(.did, first)) }

        let p256 = P256.Signing.PrivateKey()
        let second = "did:key:z" + Base58.encode([0x80, 0x24] + Array(p256.publicKey.compressedRepresentation))
        let two = Array(try p256.signature(for: bytes(.did, second)).rawRepresentation)
        measure("did:key, P-256") { try DID(second).isValid(signature: two, over: bytes(.did, second)) }

        for line in try String(contentsOfFile: "Tests/TrustTests/Fixtures/secp256k1.txt", encoding: .utf8).split(separator: "\n") {
            let row = line.split(separator: " ").map(String.init)
            guard let message = Hex.decode(row[2]), let signature = Hex.decode(row[3]), row[0] == "eip191" || row[0] == "ecdsa" else {
                continue
            }
            let did =
                row[0] == "eip191" ? "did:pkh:eip155:1:" + row[1] : "did:key:z" + Base58.encode([0xe7, 0x01] + (Hex.decode(row[1]) ?? []))
            guard shown.insert(row[0]).inserted else { continue }
            measure(row[0] == "eip191" ? "did:pkh, EIP-191" : "did:key, secp256k1") {
                try DID(did).isValid(signature: signature, over: message)
            }
        }
    }

    static let keyID = KeyKind.example
    nonisolated(unsafe) static var shown: Set<String> = []

    static func measure(_ name: String, _ verify: () throws -> Bool) {
        var best = Double.infinity
        for _ in 0..<5 {
            let start = processorSeconds()
            var count = 0
            while processorSeconds() - start < 0.2 {
                for _ in 0..<50 {
                    guard (try? verify()) == true else {
                        print("\(name): does not verify")
                        return
                    }
                }
                count += 50
            }
            best = min(best, (processorSeconds() - start) / Double(count))
        }
        print("\(name): \(Int(1 / best)) requests a second of one core, \(Int(best * 1e6)) µs each")
    }

    static func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
