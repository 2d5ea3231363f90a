import Contract
import Primitives
import SwiftProtobuf
import Trust

/// A verifier that trusts one key, and documents that this key signed: the fuzzer changes them, and nothing it makes may be believed.
private struct Deployment {
    let key: SigningKey
    let verifier: DocumentVerifier
    /// Payload digests of what was really signed.
    let signed: [[UInt8]]
    let envelopes: [[UInt8]]

    init() {
        let key = SigningKey(raw: Array(repeating: 7, count: 32)) ?? SigningKey()
        self.key = key
        verifier = DocumentVerifier(
            trust: TrustStore([key.keyID: key.publicKey]), deployment: "d", dataPlaneID: "dp_a", maximumBytes: 1 << 20)
        var signed: [[UInt8]] = []
        var envelopes: [[UInt8]] = []
        for kind in DocumentKind.allCases {
            var header = Weir_V1_Header()
            (header.deployment, header.audience, header.epoch, header.version) = ("d", "dp_a", 1, 5)
            (header.notBeforeMs, header.expiresMs) = (1, 2)
            let payload = Array("payload of \(kind.word)".utf8)
            guard let envelope = try? SignedDocument.sign(kind: kind, header: header, payload: payload, with: key),
                let bytes: [UInt8] = try? envelope.serializedBytes()
            else { continue }
            signed.append(SHA256Digest.of(payload))
            envelopes.append(bytes)
        }
        self.signed = signed
        self.envelopes = envelopes
    }
}

private let deployment = Deployment()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    judge(bytes)
    // The same input as changes to a real document: each pair of bytes is a place and what is put there.
    if let first = bytes.first, !deployment.envelopes.isEmpty {
        var document = deployment.envelopes[Int(first) % deployment.envelopes.count]
        var index = 1
        while index + 1 < bytes.count {
            document[Int(bytes[index]) % document.count] = bytes[index + 1]
            index += 2
        }
        judge(document)
    }
    // What a data plane reads once a signature holds: payloads of every kind, and the configuration's check.
    _ = try? Weir_V1_DirectoryPayload(serializedBytes: bytes)
    _ = try? Weir_V1_RolloutPayload(serializedBytes: bytes)
    _ = try? Weir_V1_HeartbeatPayload(serializedBytes: bytes)
    _ = try? Weir_V1_KeyringPayload(serializedBytes: bytes)
    if let config = try? Weir_V1_ConfigPayload(serializedBytes: bytes) { _ = ConfigValidation.validate(config) }
    return 0
}

private func judge(_ bytes: [UInt8]) {
    guard let document = try? deployment.verifier.verify(bytes) else { return }
    require(deployment.signed.contains(document.digest), "only what the key signed is believed")
    require(SHA256Digest.of(document.payload) == document.digest, "and its payload is the one that was signed")
}
