import Formats
import Primitives
import Trust

/// The first stage: who is calling. A typing error costs a checksum, everything else one hash and one lookup.
enum Authenticate {
    private static let prefix: StaticString = "weir_"
    private static let idLength = 16
    private static let secretLength = 52
    private static let checksumLength = 7
    /// Length of a whole key.
    static let keyLength = 5 + idLength + 1 + secretLength + checksumLength

    /// - Parameters:
    ///   - presented: the value of Authorization (`Bearer …`) or of x-api-key / api-key (the key alone); nil when absent.
    ///   - memory: of the connection.
    static func caller(
        presented: UnsafeRawBufferPointer?, isBearer: Bool, memory: inout PresentedKey, channel: Caller.Channel, dialect: Dialect,
        directory: Directory,
        nowMilliseconds: Int64
    ) throws(Rejection) -> Authentication {
        guard let presented, !presented.isEmpty else { throw .missingKey() }
        let text = isBearer ? try withoutScheme(presented) : presented
        guard text.count == keyLength, ByteScan.begins(text, with: prefix), text[5 + idLength] == UInt8(ascii: "_") else {
            throw .invalidKey("That is not a Weir key: they look like weir_… and have \(keyLength) characters.")
        }
        if !memory.holds(text) {
            guard hasValidChecksum(text) else {
                throw .invalidKey("The key has a typing error: its checksum does not match. Copy it again.")
            }
            guard let id = IDBits(suffix: UnsafeRawBufferPointer(rebasing: text[5..<5 + idLength])) else {
                throw .invalidKey("That is not a Weir key.")
            }
            memory.keep(text, id)
        }
        guard let (id, digest) = memory.found, let key = directory.lookup(id) else { throw unknown() }
        let verdict = key.verdict(presented: digest, nowMilliseconds: nowMilliseconds)
        return .complete(
            try caller(key, verdict, proof: .virtualKey, channel: channel, dialect: dialect, directory: directory, nowMilliseconds))
    }

    /// The caller that a key stands for, however its holder has proved himself.
    @inline(__always)  // Else a key's whole entry is copied for the call.
    static func caller(
        _ key: KeyEntry, _ verdict: KeyEntry.Verdict, proof: Caller.Proof, channel: Caller.Channel, dialect: Dialect, directory: Directory,
        _ nowMilliseconds: Int64
    ) throws(Rejection) -> Caller {
        switch verdict {
        case .accepted: break
        case .wrongSecret: throw unknown()
        case .rotatedAway: throw .invalidKey("The key was rotated and its grace period is over. Use the new one.")
        case .expired: throw .invalidKey("The key has expired. Ask for a new one.")
        case .keyDisabled: throw .invalidKey("The key was revoked.")
        case .projectDisabled: throw .forbidden("project_disabled", "The key's project is disabled.")
        case .tenantDisabled: throw .forbidden("tenant_disabled", "The key's tenant is disabled.")
        }
        if let user = key.user { try checkUser(directory.user(user), of: "key", nowMilliseconds) }
        if let scopes = key.scopes, !scopes.allows(channel: channel.rawValue) {
            throw .forbidden("channel_not_allowed", "The key may not be used on the \(channel.rawValue) channel.")
        }
        return Caller(
            principal: Principal(kind: .key, id: key.id, tenant: key.tenant, project: key.project, user: key.user), proof: proof,
            channel: channel, dialect: dialect, scopes: key.scopes, isCandidate: key.isCandidate)
    }

    /// Whether a user who is asked for, or who pays, may be served now.
    static func checkUser(_ user: UserEntry?, of what: StaticString, _ nowMilliseconds: Int64) throws(Rejection) {
        guard let user, !user.disabled else { throw .forbidden("user_disabled", "The \(what)'s user is unknown or disabled.") }
        guard user.hasPaid(nowMilliseconds: nowMilliseconds) else {
            throw .forbidden("payment_expired", "What was paid for the \(what)'s user has run out.")
        }
    }

    /// Whether what was presented claims to be a key of ours.
    @inline(__always)
    static func isKey(_ presented: UnsafeRawBufferPointer?, isBearer: Bool) -> Bool {
        guard let presented else { return false }
        guard isBearer else { return ByteScan.begins(presented, with: prefix) }
        guard presented.count > 12, let text = bearer(presented) else { return false }
        return ByteScan.begins(text, with: prefix)
    }

    /// The same words for a key that is not there and for a wrong secret: nobody learns which ids exist.
    private static func unknown() -> Rejection { .invalidKey("Incorrect API key provided. Check that it is whole and was not revoked.") }

    private static func withoutScheme(_ value: UnsafeRawBufferPointer) throws(Rejection) -> UnsafeRawBufferPointer {
        guard value.count > 7 else { throw .missingKey() }
        guard let text = bearer(value) else { throw .invalidKey("The Authorization header has to be: Bearer weir_…") }
        return text
    }

    /// What follows `Bearer `; nil for another scheme.
    @inline(__always)
    private static func bearer(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard ByteScan.beginsIgnoringCase(value, with: "bearer ") else { return nil }
        var start = 7
        while start < value.count, value[start] == UInt8(ascii: " ") { start += 1 }
        return UnsafeRawBufferPointer(rebasing: value[start...])
    }

    /// The last seven characters are base32 of the CRC-32 of all before them.
    private static func hasValidChecksum(_ text: UnsafeRawBufferPointer) -> Bool {
        let body = text.count - checksumLength
        var crc = UInt64(CRC32.checksum(UnsafeRawBufferPointer(rebasing: text[..<body]))) << 3
        for index in stride(from: text.count - 1, through: body, by: -1) {
            if text[index] != Base32.digit(UInt8(truncatingIfNeeded: crc & 31)) { return false }
            crc >>= 5
        }
        return true
    }
}

/// The key that a connection presented last, and what it was found to be: nearly every request of a connection presents the same one, and
/// need not be hashed again. Whether that key may be used is asked anew each time.
struct PresentedKey {
    private var text: [UInt8] = []
    private(set) var found: (id: IDBits, digest: DigestWords)?

    /// Whether `text` is that key. Takes as long whatever they differ in: before a proxy's connection others may have been.
    func holds(_ text: UnsafeRawBufferPointer) -> Bool {
        guard found != nil, text.count == self.text.count else { return false }
        var difference: UInt8 = 0
        self.text.withUnsafeBytes { known in
            for index in known.indices { difference |= known[index] ^ text[index] }
        }
        return difference == 0
    }

    mutating func keep(_ text: UnsafeRawBufferPointer, _ id: IDBits) {
        let words = SHA256Digest.words(of: text)
        found = (id, DigestWords(words.0, words.1, words.2, words.3))
        self.text = Array(text)
    }
}
