package import Primitives
import Synchronization
import Trust

/// The checksum of an export while it is written. Its last line says how many entries there are and the SHA-256 of all bytes before that
/// line: who has the file sees whether all of it came, and came as it was sent. docs/audit.md describes both forms.
package final class AuditExport: Sendable {
    package let query: AuditQuery
    private let state = Mutex((hash: SHA256Stream(), entries: Int64(0)))

    package init(_ query: AuditQuery) { self.query = query }

    /// - Parameter bytes: The next piece as it is sent.
    package func add(_ bytes: [UInt8], entries: Int) {
        state.withLock { state in
            state.hash.add(bytes)
            state.entries += Int64(entries)
        }
    }

    /// The last line: as JSON Lines have it; a table has its members in the columns of an entry.
    package var trailer: JSONValue {
        let (digest, entries) = state.withLock { ($0.hash.hex, $0.entries) }
        return [
            "id": .string("sha256:\(digest)"), "kind": "end", "entries": .int(entries), "sha256": .string(digest),
            "tenant_id": .optional(query.tenantID), "from": .time(query.from), "until": .time(query.to),
            "source": .string(AuditSource.allCases.filter { query.sources.contains($0) }.map(\.rawValue).joined(separator: " ")),
            "action": "export.end", "resource_kind": "export", "resource_id": .string(String(entries)),
        ]
    }
}
