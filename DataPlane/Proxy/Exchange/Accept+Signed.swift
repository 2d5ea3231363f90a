import Logging
import Primitives
import Wire

/// What a stage needs for callers that sign their requests.
extension Exchange {
    func signedCall(_ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer) throws(Rejection) -> SignedCall? {
        try SignedCall.read(head, bytes, nowMilliseconds: receivedAt / 1000, skewSeconds: loop.signatures.nonces.skewSeconds)
    }

    func signatureContext(
        _ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer, _ channel: Caller.Channel,
        _ snapshot: RuntimeSnapshot, _ call: SignedCall
    ) -> SignatureContext {
        let (loop, now) = (loop, receivedAt / 1000)
        let isLimited = call.keyID.flatMap { snapshot.directory.lookup($0)?.scopes?.origin } != nil
        return SignatureContext(
            directory: snapshot.directory, credentials: snapshot.credentials, desk: loop.signatures, channel: channel, dialect: .openAI,
            nowMilliseconds: now, address: isLimited ? callerAddress(head, bytes) : CallerAddress(address: nil, domain: nil),
            remember: { nonce, tenant in
                let note = NonceNote.write(until: loop.signatures.nonces.expiry(nowMilliseconds: now), tenant: tenant)
                do throws(JournalRefusal) {
                    // Written with the intent, before the request leaves.
                    let result: Result<Void, JournalRefusal> = note.withUnsafeBytes { bytes in
                        do throws(JournalRefusal) { return .success(try loop.journal.note(.nonce, nonce, bytes)) } catch {
                            return .failure(error)
                        }
                    }
                    try result.get()
                } catch {
                    return false
                }
                loop.scheduleTick()
                return true
            },
            froze: { key in
                loop.logger.warning(
                    "a key was frozen: too many wrong signatures came in its name",
                    metadata: ["key": "\(String(decoding: key.bytes(prefix: KeyEntry.idPrefix), as: UTF8.self))"])
            })
    }

    func callerAddress(_ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer) -> CallerAddress {
        var forwarded: [String] = []
        head.forEach(.xForwardedFor) { forwarded.append(String(decoding: bytes[$0.value], as: UTF8.self)) }
        let origin = head.text("origin", bytes) ?? head.text("referer", bytes)
        return CallerAddress(
            address: sink.peer.map { loop.signatures.proxies.client(peer: $0, forwardedFor: forwarded) },
            domain: origin.flatMap { CallerAddress.host($0) })
    }
}
