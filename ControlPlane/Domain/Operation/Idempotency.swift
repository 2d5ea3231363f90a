import Primitives
import Storage
package import Trust

/// One attempt at a request that may come again. While it is worked on, every transaction of the domain first notes that it stands:
/// a change and the fact that it was made are there together or not at all.
package struct IdempotentAttempt: Sendable {
    @TaskLocal package static var current: IdempotentAttempt?

    let id: String
    let actorID: String
    let key: String

    /// - Throws: `DomainError.conflict` when another attempt has taken the request over.
    func commit(_ c: any SQLConnection) throws {
        guard try IdempotencyTable.commit(c, attempt: id, actorID: actorID, key: key) else {
            throw DomainError.conflict(
                "Idempotency-Key", "is being worked on by a later attempt", remedy: "Send the request again to learn what came of it.")
        }
    }
}

/// Answers a request that was sent again with what the first one was answered, for a day.
package struct IdempotencyService: Sendable {
    package static let retentionMilliseconds: Int64 = 86_400_000
    /// An attempt that has neither changed anything nor ended after this time is dead: no request may take so long.
    static let attemptMilliseconds: Int64 = 120_000

    package enum Beginning: Sendable {
        /// Do it.
        case attempt(IdempotentAttempt)
        /// It was done: what was answered.
        case answered([UInt8])
        /// It was done, and the answer was lost before it could be kept.
        case answerLost
        /// Another attempt at the same is under way.
        case underWay
        /// The key was used for something else.
        case otherRequest
    }

    private let domain: DomainContext
    private let cipher: AtRestCipher

    package init(_ domain: DomainContext, cipher: AtRestCipher) {
        self.domain = domain
        self.cipher = cipher
    }

    /// - Parameter request: everything that makes the request what it is.
    package func begin(_ actor: Actor, key: String, request: [UInt8]) async throws -> Beginning {
        let now = domain.clock.nowMilliseconds()
        let row = IdempotencyRow(
            actorID: actor.id, key: key, fingerprint: SHA256Digest.of(request), attempt: Base32.encode(SecureRandom.bytes(10)),
            createdAt: now)
        let attempt = IdempotentAttempt(id: row.attempt, actorID: row.actorID, key: key)
        return try await domain.observe(as: .all) { c in
            try IdempotencyTable.purge(c, before: now - Self.retentionMilliseconds)
            if try IdempotencyTable.insert(c, row) { return .attempt(attempt) }
            guard let found = try IdempotencyTable.find(c, actorID: row.actorID, key: key) else { return .underWay }
            guard found.fingerprint == row.fingerprint else { return .otherRequest }
            if let answer = found.answer {
                return (try? cipher.decrypt(answer, aad: Self.binding(attempt))).map { .answered($0) } ?? .answerLost
            }
            if found.createdAt > now - Self.attemptMilliseconds { return .underWay }
            if found.committed { return .answerLost }
            return try IdempotencyTable.takeOver(c, row, from: found.attempt) ? .attempt(attempt) : .underWay
        }
    }

    /// Keeps what was answered.
    package func finish(_ attempt: IdempotentAttempt, answer: [UInt8]) async throws {
        // It may hold a secret that is shown this once.
        let encrypted = try cipher.encrypt(answer, aad: Self.binding(attempt))
        try await domain.observe(as: .all) { [cipher] c in
            try IdempotencyTable.answer(
                c, attempt: attempt.id, actorID: attempt.actorID, key: attempt.key, encrypted, masterKeyID: cipher.keyID)
        }
    }

    /// Forgets an attempt that was refused or failed, unless its change stands.
    package func abandon(_ attempt: IdempotentAttempt) async throws {
        try await domain.observe(as: .all) { c in
            try IdempotencyTable.forget(c, attempt: attempt.id, actorID: attempt.actorID, key: attempt.key)
        }
    }

    private static func binding(_ attempt: IdempotentAttempt) -> [UInt8] { binding(actorID: attempt.actorID, key: attempt.key) }
    static func binding(actorID: String, key: String) -> [UInt8] { Array("idempotency\0\(actorID)\0\(key)".utf8) }
}
