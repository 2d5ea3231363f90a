package import Contract
import GRDB
package import Logging
package import Primitives
import Synchronization

/// The journal of all loops, the folder behind it and the outbox, put together for one process: what the data plane's start makes once.
package final class UsagePipeline: Sendable {
    package let shared: JournalShared
    package let outbox: UsageOutboxStore
    package let counters = UsageCounters()
    package let folder: JournalFolder
    package let keeper: JournalKeeper
    private let state = Mutex(State())
    private let clock: any WallClock
    private let logger: Logger

    /// Called once: everything that earlier processes left in the journal is folded.
    private let recovered: @Sendable () -> Void

    private struct State {
        var isRecovered = false
        var workers: [BackgroundWorker] = []
        /// What the last fold was refused with; nil when it succeeded.
        var failure: String?
        var failures = 0
        /// When the journal was last found folded to its end, Unix milliseconds.
        var foldedAt: Int64?
    }

    private static let keeperPause = 100
    /// Each fold ends in an fsync, and wakes the shipper and behind it the control plane's intake: few large ones cost less than many small.
    private static let foldPause = 500
    private static let longestPause = 5000

    /// Reads nothing of the journal yet: what earlier boots left is replayed by the first fold, while the loops already serve.
    /// - Parameters:
    ///   - journalDirectory: of its own, beside the database on the same machine; made when missing.
    ///   - signer: as whom usage is signed; nil: it is not.
    ///   - estimate: see `JournalFolder`.
    package init(
        store: LocalStore, journalDirectory: String, settings: JournalSettings, loops: Int, participants: [any FoldParticipant] = [],
        recovered: @escaping @Sendable () -> Void = {}, logger: Logger, clock: any WallClock = SystemClock(),
        files: any JournalFiles = PosixJournalFiles(), signer: UsageSigner? = nil,
        estimateInterrupted estimate: @escaping @Sendable (Weir_V1_UsageRecord) -> [UInt8]
    ) throws {
        self.logger = logger
        self.clock = clock
        self.recovered = recovered
        // A batch that was shipped must not come back with another content under the same number, and a segment goes once SQLite has it:
        // neither may depend on the machine keeping its power. A few commits a second, on this thread, can afford the fsync.
        try store.queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
        shared = try JournalShared(directory: journalDirectory, settings: settings, loops: loops, files: files)
        outbox = try UsageOutboxStore(database: store.queue, counters: counters, incarnation: store.incarnation, signer: signer)
        keeper = JournalKeeper(shared: shared)
        folder = JournalFolder(
            shared: shared, database: store.queue, outbox: outbox, counters: counters, participants: participants, clock: clock,
            estimate: estimate, report: { logger.error("\($0)") })
    }

    /// The journal of one loop. Makes its first segments: call it before the loop serves.
    /// - Parameter hop: runs a closure on the loop's thread.
    package func journal(
        loop: Int, hop: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) throws(JournalError) -> UsageJournal {
        try UsageJournal(directory: shared.directory, loop: loop, settings: shared.settings, shared: shared, hop: hop)
    }

    /// Starts the two threads. Until then nothing is folded.
    package func start() {
        state.withLock { state in
            guard state.workers.isEmpty else { return }
            state.workers = [
                BackgroundWorker(name: "weir-keeper", signal: shared.keeperSignal) { [keeper] in
                    keeper.step()
                    return Self.keeperPause
                },
                BackgroundWorker(name: "weir-folder", signal: shared.folderSignal) { [self] in fold() },
            ]
        }
    }

    /// Folds what is left and ends the threads; after the loops' journals were closed. What SQLite refuses stays in the journal for the
    /// next boot. Blocks.
    package func stop() {
        let workers = state.withLock { state in
            defer { state.workers = [] }
            return state.workers
        }
        for worker in workers.reversed() { worker.stop() }
        if shared.settings.durability == .power { keeper.synchronizeAll() }
        do {
            while try !folder.foldOnce().isDrained {}
            try outbox.sign(everything: true, clock.nowMilliseconds())
        } catch {
            logger.error("usage records stay in the journal until the next start: \(error)")
        }
        keeper.step()
    }

    /// For how long what ended has waited to be told: whatever ended before was acknowledged. Nil: nobody knows just now.
    package func lagMilliseconds() async -> Int64? {
        guard let foldedAt = state.withLock({ $0.foldedAt }) else { return nil }
        var known = foldedAt
        if counters.outboxRows.load(ordering: .relaxed) > 0 {
            guard let oldest = try? await outbox.oldestMilliseconds() else { return nil }
            // What is in a batch ended between two folds.
            known = min(known, oldest - Int64(Self.foldPause))
        }
        return max(0, clock.nowMilliseconds() - known)
    }

    /// Whether what earlier processes left is being read at the moment: until then no signature is taken, and nothing that has limits or budgets
    /// is let in. False where reading fails, which `health` says: then other requests are served all the same.
    package var isRecovering: Bool { state.withLock { !$0.workers.isEmpty && !$0.isRecovered && $0.failure == nil } }

    /// What is wrong with taking usage down, for `/health/ready`; empty when all is well.
    package var health: [String] {
        var problems: [String] = []
        switch shared.state {
        case .ok: break
        case .degraded(let reason), .refusing(let reason): problems.append(reason)
        }
        if let failure = state.withLock({ $0.failure }) {
            problems.append("usage records cannot be moved to the local database: \(failure)")
        }
        return problems
    }

    /// - Returns: the milliseconds to the next fold.
    private func fold() -> Int {
        do {
            let begunAt = clock.nowMilliseconds()
            while try !folder.foldOnce().isDrained {}
            try outbox.sign(everything: false, begunAt)
            if !state.withLock({ $0.isRecovered }) { recovered() }
            let hasRecovered = state.withLock { state in
                defer {
                    state.isRecovered = true
                    state.foldedAt = begunAt
                    state.failure = nil
                    state.failures = 0
                }
                return state.failures > 0
            }
            if hasRecovered { logger.notice("usage records are moved to the local database again") }
            return Self.foldPause
        } catch {
            counters.failedFolds.wrappingAdd(1, ordering: .relaxed)
            let (isFirst, failures) = state.withLock { state in
                state.failure = "\(error)"
                state.failures += 1
                return (state.failures == 1, state.failures)
            }
            if isFirst { logger.error("usage records cannot be moved to the local database and stay in the journal: \(error)") }
            return min(Self.longestPause, Self.foldPause << min(failures, 8))
        }
    }
}
