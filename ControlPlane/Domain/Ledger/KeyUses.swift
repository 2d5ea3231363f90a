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
    func due(_ rows: [UsageRow]) -> [KeyUse] {
        guard let dataPlaneID = rows.first?.dataPlaneID else { return [] }
        var latest: [String: KeyUse] = [:]
        // By index: an iterator would make a copy of each row, with all its texts.
        for index in rows.indices where !rows[index].keyID.isEmpty {
            // A data plane whose clock is ahead does not use keys in the future.
            let usedAt = min(rows[index].admittedAtMicroseconds / 1000, rows[index].receivedAt)
            if let known = latest[rows[index].keyID], known.usedAt >= usedAt { continue }
            latest[rows[index].keyID] = KeyUse(keyID: rows[index].keyID, tenantID: rows[index].tenantID, usedAt: usedAt)
        }
        return noted.withLock { noted in
            latest.values.filter { use in
                noted[Place(keyID: use.keyID, dataPlaneID: dataPlaneID)].map { use.usedAt >= $0 &+ Self.coarseMilliseconds } ?? true
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
