import Formats
import Foundation
import Logging
package import Primitives
import Trust

/// What judging a signature needs beside the request.
struct SignatureContext {
    /// What is in force: who is known, and the signing secrets.
    var snapshot: RuntimeSnapshot
    let loop: LoopContext
    let channel: Caller.Channel
    let dialect: Dialect
    let nowMilliseconds: Int64
    /// Of the client, where it is known; for keys that are limited to some, and for DIDs that nobody knows.
    let address: CallerAddress

    var directory: Directory { snapshot.directory }
    var desk: SignatureDesk { loop.signatures }
}

extension Authenticate {
    // MARK: HMAC

    /// A key that signed its request. What the head alone decides is decided here; the signature once the body is whole.
    static func key(_ key: KeyEntry?, _ call: SignedCall, _ context: SignatureContext) throws(Rejection) -> PendingCaller {
        let secret = key.flatMap { context.snapshot.credentials.signingSecret(of: $0.id) }
        if let key, let until = context.desk.freezes.frozenUntil(key.id, nowMilliseconds: context.nowMilliseconds) {
            throw .frozen(until: until, nowMilliseconds: context.nowMilliseconds)
        }
        if let key { try context.address.check(key.scopes) }
        return PendingCaller { body in
            do throws(Rejection) {
                let signed = try call.checked(body)
                // The same words for a key that is not there, one without a signing secret, and a wrong signature.
                guard let key, let secret, secret.isValid(call.signature, over: signed, nowMilliseconds: context.nowMilliseconds) else {
                    if let key, secret != nil, context.desk.freezes.failed(key.id, nowMilliseconds: context.nowMilliseconds) {
                        context.froze(key.id)
                    }
                    throw call.wrong(signed, "the key id, and that the key has this signing secret")
                }
                let caller = try Self.caller(
                    key, key.standing(nowMilliseconds: context.nowMilliseconds), proof: .hmac, channel: context.channel,
                    dialect: context.dialect, directory: context.directory, context.nowMilliseconds)
                try context.take(call.nonce, of: key.tenant.bits)
                return .success(caller)
            } catch {
                return .failure(error)
            }
        }
    }

    // MARK: DIDs

    /// A DID that signed its request.
    /// - Parameter entry: nil: it is not registered.
    static func did(
        _ caller: CallingDID, _ entry: DIDEntry?, _ call: SignedCall, _ context: SignatureContext
    ) throws(Rejection) -> PendingCaller {
        // Before its signature is verified, which costs the most: who is not registered makes nobody compute, unless a tenant takes it.
        guard let entry else {
            // The keys of a did:web are known once it is registered and its document was read.
            guard !caller.did.proof.isDocument, context.directory.tenant(taking: caller.did.text, signingFor: call.host) != nil else {
                throw .unknownDID(caller.did)
            }
            return PendingCaller(newcomer: Newcomer(caller: caller, call: call, context: context)) { _ in
                .failure(.unknownDID(caller.did))
            }
        }
        guard !entry.disabled else { throw .forbidden("did_disabled", "The DID is disabled.") }
        guard !entry.tenant.disabled else { throw .forbidden("tenant_disabled", "The DID's tenant is disabled.") }
        context.loop.dids.keep(caller)
        let methods = caller.did.proof.isDocument ? try methods(of: entry, call, context.directory) : []
        return PendingCaller { body in
            do throws(Rejection) {
                let signed = try call.checked(body)
                if let user = entry.user { try checkUser(context.directory.user(user), of: "DID", context.nowMilliseconds) }
                guard
                    methods.isEmpty
                        ? caller.did.isValid(signature: call.signature, over: signed)
                        : methods.contains(where: { $0.key.isValid(signature: call.signature, over: signed) })
                else { throw call.wrong(signed, "the DID and its key") }
                try context.take(call.nonce, of: entry.tenant.bits)
                return .success(
                    Caller(
                        principal: Principal(kind: .did, id: entry.id, tenant: entry.tenant, project: nil, user: entry.user), proof: .did,
                        channel: context.channel, dialect: context.dialect, scopes: nil, isCandidate: false))
            } catch {
                return .failure(error)
            }
        }
    }

    /// The keys of a did:web's document that fit what the request names; one at least.
    private static func methods(
        of entry: DIDEntry, _ call: SignedCall, _ directory: Directory
    ) throws(Rejection) -> [DIDDocument.Method] {
        let methods = directory.methods(of: entry)
        guard !methods.isEmpty else {
            throw .forbidden(
                "did_without_keys",
                "No key is known of this DID: its document was not read yet, cannot be read, or has none for authentication. An "
                    + "administrator sees why (weir did get).")
        }
        let fitting = methods.filter { method in
            (call.method == nil || call.method == method.fragment)
                && (call.algorithm == nil || call.algorithm == method.key.curve.messageAlgorithm)
        }
        guard !fitting.isEmpty else {
            throw .invalidSignature(
                "The DID's document has no key for authentication \(call.method.map { "#\($0.prefix(100))" } ?? "") of that algorithm. A key "
                    + "that was added a moment ago is known after some minutes.")
        }
        return fitting
    }
}

extension SignatureContext {
    /// Takes a nonce for good, so that it is known after a restart as well.
    fileprivate func take(_ nonce: RequestID, of tenant: IDBits) throws(Rejection) {
        switch desk.nonces.take(nonce, of: tenant, nowMilliseconds: nowMilliseconds) {
        case .taken:
            // Written with the intent, before the request leaves.
            let until = desk.nonces.expiry(nowMilliseconds: nowMilliseconds)
            do throws(JournalRefusal) { try NonceNote.write(nonce, until: until, tenant: tenant, to: loop.journal) } catch {
                throw .usageNotStorable("a nonce could not be written")
            }
            loop.scheduleTick()
        case .used:
            throw Rejection(
                status: 401, fault: .client, kind: .authentication, code: "nonce_reused",
                message: "This nonce was used before. Each request needs a new one, also when it is sent again.")
        case .full:
            throw Rejection(
                status: 503, fault: .weir, kind: .server, code: "too_many_nonces",
                message: "The gateway has no room for more signed requests just now. Try again with a new nonce.", retryMilliseconds: 5000)
        case .notReady:
            throw Rejection(
                status: 503, fault: .weir, kind: .server, code: "starting",
                message: "The gateway has just started and is still reading which nonces were used. Try again.", retryMilliseconds: 1000)
        }
    }

    fileprivate func froze(_ key: IDBits) {
        loop.logger.warning(
            "a key was frozen: too many wrong signatures came in its name",
            metadata: ["key": "\(String(decoding: key.bytes(prefix: KeyEntry.idPrefix), as: UTF8.self))"])
    }
}

extension SignedCall {
    func checked(_ body: UnsafeRawBufferPointer) throws(Rejection) -> [UInt8] {
        do throws(ProofProblem) { return try signedBytes(body) } catch { throw .invalidSignature(error.message) }
    }

    /// Tells what was computed: a digest of the caller's own bytes shows where the two differ, and nothing else.
    func wrong(_ signed: [UInt8], _ check: String) -> Rejection {
        let shown: String
        switch form {
        case .canonical(let request): shown = "host \(request.host.prefix(100))"
        case .message: shown = "its signature base"
        }
        return .invalidSignature(
            "The signature does not match. Check \(check), and that you signed what was sent: the SHA-256 of the bytes to be signed, with "
                + "\(shown), is \(Hex.encode(SHA256Digest.of(signed))) here.")
    }
}

extension Rejection {
    static func unknownDID(_ did: DID) -> Rejection {
        .forbidden("unknown_did", "This DID is not registered. Ask an administrator of your tenant to add it: \(did.text.prefix(200))")
    }

    fileprivate static func frozen(until: Int64, nowMilliseconds: Int64) -> Rejection {
        Rejection(
            status: 403, fault: .client, kind: .permission, code: "key_frozen",
            message: "Too many wrong signatures came in this key's name. It is frozen until \(RFC3339.string(milliseconds: until)).",
            retryMilliseconds: until - nowMilliseconds)
    }
}

/// From where a request comes, as far as that can be told.
struct CallerAddress {
    /// The peer, or behind proxies that are trusted the right-most hop that is not; nil: not known.
    let address: String?
    /// The host of Origin, else of Referer: what a browser says, and only a browser says truly.
    let domain: String?

    static let unknown = CallerAddress(address: nil, domain: nil)

    /// - Throws: for a key that is limited to other networks or domains.
    func check(_ scopes: KeyScopes?) throws(Rejection) {
        guard let scopes, let limits = scopes.origin else { return }
        if let networks = limits.networks, !(address.map(networks.contains) ?? false) {
            throw .forbidden("address_not_allowed", "The key may not be used from \(address ?? "an address that is not known").")
        }
        if let domains = limits.domains {
            guard let domain else {
                throw .forbidden("domain_not_allowed", "The key is limited to pages of some domains, and the request has no Origin header.")
            }
            let isAllowed = domains.contains { $0.hasPrefix("*.") ? domain.hasSuffix($0.dropFirst()) : domain == $0 }
            guard isAllowed else { throw .forbidden("domain_not_allowed", "The key may not be used by pages of \(domain.prefix(100)).") }
        }
    }

    /// `https://app.example:8443/page` → `app.example`.
    static func host(_ origin: String) -> String? {
        guard let start = origin.range(of: "://")?.upperBound else { return nil }
        let rest = origin[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = rest.hasPrefix("[") ? rest.prefix { $0 != "]" } + "]" : rest.prefix { $0 != ":" }
        return host.isEmpty ? nil : host.lowercased()
    }
}

/// What a key is limited to by where its requests come from; nil members are unrestricted.
package struct OriginLimits: Sendable, Hashable {
    package let networks: NetworkList?
    package let domains: Set<String>?
}
