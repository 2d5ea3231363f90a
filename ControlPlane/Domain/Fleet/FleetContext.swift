import Contract
import Foundation
package import Primitives
package import Storage
package import Trust

/// What the services that deal with data planes stand on.
package struct FleetContext: Sendable {
    package let domain: DomainContext
    /// Encrypts the private signing keys; the keys of sessions and challenges are derived from it.
    package let cipher: AtRestCipher
    /// The deployment's name, the same on every replica; in the header of each document.
    package let deployment: String
    /// Data planes below it are refused.
    package let minimumVersion: SoftwareVersion

    package init(domain: DomainContext, cipher: AtRestCipher, deployment: String, minimumVersion: SoftwareVersion) {
        self.domain = domain
        self.cipher = cipher
        self.deployment = deployment
        self.minimumVersion = minimumVersion
    }

    /// Reads the deployment's name, which the very first start decides: `name`, or an invented one.
    /// - Throws: `DatabaseError`.
    package static func establish(
        domain: DomainContext, cipher: AtRestCipher, minimumVersion: SoftwareVersion, name: String? = nil
    ) async throws -> FleetContext {
        let proposed = name ?? "weir-" + Base32.encode(SecureRandom.bytes(10))
        let stored = try await domain.database.transaction(as: .all, isolation: .serializable) { c in
            try FleetStateTable.value(c, "deployment") ?? FleetStateTable.putIfAbsent(c, "deployment", Array(proposed.utf8))
        }
        return FleetContext(
            domain: domain, cipher: cipher, deployment: String(decoding: stored, as: UTF8.self), minimumVersion: minimumVersion)
    }

    // What data planes are told when the database fails is one thing: try again. So every failure that may pass becomes
    // `DomainError.unavailable`, not only a server that cannot be reached.

    func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
        try await translated { try await domain.database.read(as: scope, body) }
    }

    /// A serializable transaction; after it has committed, `topics` are raised.
    func write<R: Sendable>(
        as scope: TenantScope, raising topics: ChangeSignal.Topic..., body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        let attempt = IdempotentAttempt.current
        let result = try await translated {
            try await domain.database.transaction(as: scope, isolation: .serializable) { c in
                try attempt?.commit(c)
                return try body(c)
            }
        }
        for topic in topics { domain.signal.raise(topic) }
        return result
    }

    /// A transaction for what was observed: single statements that need no order among each other.
    func observe<R: Sendable>(
        as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R
    ) async throws -> R {
        try await translated { try await domain.database.transaction(as: scope, isolation: .readCommitted, body) }
    }

    private func translated<R: Sendable>(_ work: () async throws -> R) async throws -> R {
        do {
            return try await work()
        } catch let error as DatabaseError where error.isTransient || error == .closed {
            throw DomainError.unavailable(detail: "The database does not answer.")
        }
    }

    /// - Throws: `FleetRefusal.dataPlaneTooOld` for a version below the minimum or one that cannot be read.
    package func checkVersion(_ text: String) throws(FleetRefusal) {
        guard let version = SoftwareVersion(text) else {
            throw .dataPlaneTooOld(
                "the data plane's version \"\(text.prefix(32))\" cannot be read; this control plane takes \(minimumVersion) or later")
        }
        guard version >= minimumVersion else {
            throw .dataPlaneTooOld(
                "the data plane's version \(version) is below \(minimumVersion), the oldest this control plane takes: upgrade weir-proxy")
        }
    }
}

/// Why a data plane is turned away, in words for the person who reads its log.
package enum FleetRefusal: Error, Hashable, Sendable {
    /// The enrolment token, the nonce, the signature or the session is none of ours, used or expired.
    case unauthenticated(String)
    case revoked
    case dataPlaneTooOld(String)
    case invalid(String)
}

extension DomainError {
    /// Whether what failed may succeed by itself when it is tried again: the database is away, busy or slow.
    package static func isTemporary(_ error: any Error) -> Bool {
        switch error {
        case DomainError.unavailable: true
        case let error as DatabaseError: error.isTransient
        default: false
        }
    }
}

/// Names of the counters (`CountersTable`) that the fleet reads or takes.
package enum FleetCounter {
    package static let epoch = "epoch"
    package static let directory = "directory"
    package static let config = "config"
    package static let rollout = "rollout"
    package static let credentials = "credentials"
    package static let bans = "bans"
    package static let keyring = "keyring"
    package static let heartbeat = "heartbeat"
    /// Raised when a data plane's standing changes: its status or its tenants.
    package static let dataPlanes = "data_planes"

    /// The epoch in force; 1 until somebody raises it.
    package static func epoch(_ c: any SQLConnection) throws -> Int64 { max(try CountersTable.current(c, epoch), 1) }

    /// The version of a document that is made for one data plane: its counter's value at the read, unless the data plane has seen a document
    /// of that version: then the next value.
    /// - Parameters:
    ///   - covered: that value.
    ///   - held: what the data plane says that it holds.
    /// - Throws: `FleetRefusal` when it holds a version that this control plane has not come to.
    static func newVersion(
        _ c: any SQLConnection, of kind: DocumentKind, from counter: String, covered: Int64, for dataPlaneID: String, epoch: Int64,
        held: DocumentMark?
    ) throws -> Int64 {
        let latest = try IssuedDocumentsTable.latest(c, dataPlaneID: dataPlaneID, kind: kind.word, epoch: epoch)
        var seen = latest?.version ?? 0
        if let held, held.epoch == epoch { seen = max(seen, held.version) }
        var version = max(covered, 1)
        if version <= seen { version = try CountersTable.next(c, counter) }
        guard version > seen else {
            throw FleetRefusal.invalid(
                "it holds \(kind.word) version \(seen), this control plane is at \(version): was the database restored from a backup? "
                    + "Then raise the epoch")
        }
        return version
    }
}
