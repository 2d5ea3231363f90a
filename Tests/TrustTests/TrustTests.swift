import Primitives
import Testing
import Trust

@Suite("Trust")
struct TrustTests {
    @Test func signsTypeAndBodyTogether() throws {
        let key = SigningKey()
        let store = TrustStore([key.keyID: key.publicKey])
        let signature = try key.sign(type: "a", body: Array("body".utf8))
        #expect(store.verify(keyID: key.keyID, type: "a", body: Array("body".utf8), signature: signature))
        #expect(!store.verify(keyID: key.keyID, type: "b", body: Array("body".utf8), signature: signature))
        #expect(!store.verify(keyID: key.keyID, type: "a", body: Array("bodz".utf8), signature: signature))
        #expect(!store.verify(keyID: key.keyID, type: "a", body: Array("body".utf8), signature: Array(signature.dropLast())))
        #expect(!store.verify(keyID: "sk_other", type: "a", body: Array("body".utf8), signature: signature))
        // The example of DSSE's protocol document.
        let encoded = PreAuthenticationEncoding.encode(type: "http://example.com/HelloWorld", body: Array("hello world".utf8))
        #expect(String(decoding: encoded, as: UTF8.self) == "DSSEv1 29 http://example.com/HelloWorld 11 hello world")
    }

    /// Against swift-crypto's, over every length around the ends of blocks.
    @Test func digestsAsFIPSHasIt() {
        let text = (0..<260).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for count in 0...text.count {
            var stream = SHA256Stream()
            stream.add(text[..<count])
            #expect(Hex.encode(SHA256Digest.of(text[..<count])) == stream.hex)
            #expect(Digest256.of(Array(text[..<count])).hex == stream.hex)
        }
        // The first example of FIPS 180-4's test vectors, word by word.
        let words = Array("abc".utf8).withUnsafeBytes { SHA256Digest.words(of: $0) }
        #expect(words.0 == 0xba78_16bf_8f01_cfea)
        #expect(words.1 == 0x4141_40de_5dae_2223)
        #expect(words.2 == 0xb003_61a3_9617_7a9c)
        #expect(words.3 == 0xb410_ff61_f200_15ad)
    }

    @Test func believesNoKeyUnderAForeignName() {
        let (mine, other) = (SigningKey(), SigningKey())
        #expect(TrustStore([mine.keyID: other.publicKey]).keys.isEmpty)
        #expect(TrustStore([mine.keyID: [1, 2, 3]]).keys.isEmpty)
        #expect(SigningKey(raw: [1, 2]) == nil)
        #expect(SigningKey(raw: mine.raw)?.keyID == mine.keyID)
    }

    @Test func opensOnlyWhatIsBoundToTheSameRow() throws {
        let key = SealingKey()
        let (encapsulated, ciphertext) = try Sealing.seal(Array("sk-secret".utf8), to: key.publicKey, aad: [1])
        #expect(try Sealing.open(ciphertext, encapsulatedKey: encapsulated, with: key, aad: [1]) == Array("sk-secret".utf8))
        #expect(throws: TrustError.opening) { try Sealing.open(ciphertext, encapsulatedKey: encapsulated, with: key, aad: [2]) }
        #expect(throws: TrustError.opening) { try Sealing.open(ciphertext, encapsulatedKey: encapsulated, with: SealingKey(), aad: [1]) }
        for index in ciphertext.indices {
            var changed = ciphertext
            changed[index] ^= 1
            #expect(throws: TrustError.opening) { try Sealing.open(changed, encapsulatedKey: encapsulated, with: key, aad: [1]) }
        }
        #expect(throws: TrustError.badKey) { try Sealing.seal([1], to: [1, 2, 3], aad: []) }
    }

    @Test func encryptsAtRestForOneRow() throws {
        let cipher = try #require(AtRestCipher(masterKey: SecureRandom.bytes(32)))
        let box = try cipher.encrypt(Array("secret".utf8), aad: Array("cred_a".utf8))
        #expect(try cipher.decrypt(box, aad: Array("cred_a".utf8)) == Array("secret".utf8))
        #expect(throws: TrustError.opening) { try cipher.decrypt(box, aad: Array("cred_b".utf8)) }
        #expect(throws: TrustError.opening) { try cipher.decrypt(Array(box.dropLast()), aad: Array("cred_a".utf8)) }
        #expect(throws: TrustError.opening) { try cipher.decrypt([], aad: []) }
        #expect(try cipher.encrypt([1], aad: []) != cipher.encrypt([1], aad: []))
        #expect(cipher.derivedKey(purpose: "a") != cipher.derivedKey(purpose: "b"))
        #expect(AtRestCipher(masterKey: [1]) == nil)
    }

    @Test func sessionTokensSayWhoAndUntilWhen() {
        let codec = StatementCodec(key: SecureRandom.bytes(32), purpose: "session")
        let token = SessionToken(dataPlaneID: .random(), expiresMilliseconds: 5)
        let text = token.encoded(with: codec)
        #expect(SessionToken(text, codec: codec) == token)
        #expect(
            SessionToken(text + "a", codec: codec) == nil && SessionToken("", codec: codec) == nil
                && SessionToken("a.b", codec: codec) == nil)
        #expect(SessionToken(text, codec: StatementCodec(key: SecureRandom.bytes(32), purpose: "session")) == nil)
        #expect(codec.verify(StatementCodec(key: SecureRandom.bytes(32), purpose: "other").issue([1])) == nil)
    }
}
