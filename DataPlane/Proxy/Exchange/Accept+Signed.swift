import Formats
import Primitives
import Wire

/// What a stage needs for callers that sign their requests.
extension Exchange {
    /// Authenticate, for a caller that has signed its request; nil for one that has not.
    func signedCaller(
        _ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer, _ channel: Caller.Channel,
        _ snapshot: RuntimeSnapshot
    ) throws(Rejection) -> PendingCaller? {
        let now = receivedAt / 1000
        guard
            let call = try SignedCall.read(
                head, bytes, dids: loop.dids, nowMilliseconds: now, skewSeconds: loop.signatures.nonces.skewSeconds)
        else { return nil }
        func context(_ address: CallerAddress) -> SignatureContext {
            SignatureContext(
                snapshot: snapshot, loop: loop, channel: channel, dialect: dialect, nowMilliseconds: now, address: address)
        }
        switch call.signer {
        case .key(let id):
            let key = id.flatMap { snapshot.directory.lookup($0) }
            let isLimited = key?.scopes?.origin != nil
            return try Authenticate.key(key, call, context(isLimited ? callerAddress(head, bytes) : .unknown))
        case .did(let did):
            let entry = snapshot.directory.did(named: did.name)
            // How many that nobody knows may prove themselves is bounded by address.
            return try Authenticate.did(did, entry, call, context(entry == nil ? callerAddress(head, bytes) : .unknown))
        }
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
