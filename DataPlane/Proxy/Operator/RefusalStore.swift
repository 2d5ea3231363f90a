import Contract
import Dispatch
import Foundation
import GRDB
import Logging
import Primitives
import SwiftProtobuf
import Synchronization

/// Keeps what of refused requests the control plane has not heard for the process after this one: `kill -9` costs the last two seconds of
/// them, and a restart none. Written by the thread that makes reports, and only when something of it is new.
final class RefusalStore: Sendable {
    private let store: LocalStore
    private let logger: Logger
    private let queue = DispatchQueue(label: "weir.refusals")
    /// The requests of those that are written down.
    private let written: Mutex<[Data]>

    /// - Parameter refusals: Gets what the process before left. What cannot be read is nothing.
    init(store: LocalStore, refusals: RequestRefusals, logger: Logger) {
        self.store = store
        self.logger = logger
        let bytes = try? store.read { try Data.fetchOne($0, sql: "SELECT report FROM refusals_untold WHERE place = 0") }
        let left = bytes.flatMap { try? Weir_V1_StatusReport(serializedBytes: $0) }?.refusals ?? []
        written = Mutex(left.map(\.requestID))
        refusals.restore(left)
    }

    /// - Parameter refusals: All that a report tells of them.
    func save(_ refusals: [Weir_V1_Refusal]) async {
        let ids = refusals.map(\.requestID)
        guard written.withLock({ $0 != ids }) else { return }
        var report = Weir_V1_StatusReport()
        report.refusals = refusals
        do {
            let bytes: Data = try report.serializedBytes()
            try await queue.blocking { [store] in
                try store.write { db in
                    try db.execute(sql: "INSERT OR REPLACE INTO refusals_untold (place, report) VALUES (0, ?)", arguments: [bytes])
                }
            }
            written.withLock { $0 = ids }
        } catch {
            logger.warning("refused requests are not kept", metadata: ["reason": "\(error)"])
        }
    }
}

extension LocalMigration {
    static let refusalsUntold = LocalMigration(
        name: "0290 refusals untold",
        sql: """
            -- What the control plane may not have heard of refused requests: one row, the report that would say it.
            CREATE TABLE refusals_untold (place INTEGER PRIMARY KEY, report BLOB NOT NULL);
            """)
}
