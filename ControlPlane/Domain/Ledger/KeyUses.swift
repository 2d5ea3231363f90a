import Storage
import Synchronization

/// When keys were used last, by their records: written once a minute for each key and data plane at most, in the transaction that stores
/// them, so that it is as right as they are and costs next to nothing.
final class KeyUses: Sendable {
    static let coarseMilliseconds: Int64 = 60_000
    /// About 20 MB of ids; beyond, what is remembered is forgotten and written once more.
    private static let capacity = 200_000

    private struct Place: Hashable {
        let keyID: String
        let dataPlaneID: String
    }

    private let noted = Mutex<[Place: Int64]>([:])

    /// What of these records, of one data plane, has to be written.
    func due(_ groups: UsageGroupSums, of rows: PackedRows, _ dataPlaneID: String) -> [KeyUse] {
        // By where the key's id lies.
        var latest: [Int64: (first: Int, usedAt: Int64)] = [:]
        for (first, usedAt) in zip(groups.first, groups.lastUse) {
            let key = rows[first, UsagePlace.keyID]
            if let known = latest[key], known.usedAt >= usedAt { continue }
            latest[key] = (first, usedAt)
        }
        let uses = latest.map { key, use in
            KeyUse(keyID: rows.text(at: key), tenantID: rows.text(at: rows[use.first, UsagePlace.tenantID]), usedAt: use.usedAt)
        }
        return noted.withLock { noted in
            uses.filter { use in
                !use.keyID.isEmpty
                    && noted[Place(keyID: use.keyID, dataPlaneID: dataPlaneID)].map { use.usedAt >= $0 &+ Self.coarseMilliseconds } ?? true
            }
        }
    }

    /// They are committed.
    func remember(_ uses: [KeyUse], of dataPlaneID: String) {
        guard !uses.isEmpty else { return }
        noted.withLock { noted in
            if noted.count + uses.count > Self.capacity { noted = [:] }
            for use in uses { noted[Place(keyID: use.keyID, dataPlaneID: dataPlaneID)] = use.usedAt }
        }
    }
}
