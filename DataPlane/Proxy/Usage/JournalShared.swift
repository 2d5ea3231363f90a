import Glibc
package import Synchronization

/// One file of the journal, as the threads that share it see it. The loop appends and publishes; the folder reads what is published;
/// the keeper makes, syncs, closes and, for those never used, removes files.
package final class JournalSegment: Sendable {
    package let name: SegmentName
    package let salt: UInt32
    package let capacity: Int
    let path: String
    let file: JournalFile
    /// Bytes that count. Written by the loop after the bytes themselves.
    package let committed = Atomic<Int>(0)
    /// No more bytes will come. Written by the loop after the last change of `committed`.
    package let closed = Atomic<Bool>(false)
    /// Bytes known to be on the disk; the keeper's own.
    let synced = Atomic<Int>(0)
    /// Folded, and kept under another name to be used again.
    let isRecycled = Atomic<Bool>(false)

    init(name: SegmentName, salt: UInt32, capacity: Int, path: String, file: JournalFile) {
        self.name = name
        self.salt = salt
        self.capacity = capacity
        self.path = path
        self.file = file
    }
}

/// What one loop's journal shares with the threads behind it.
package final class JournalLane: Sendable {
    struct State {
        var taken = false
        var nextNumber: UInt64 = 1
        /// Ready for use, oldest first.
        var spares: [JournalSegment] = []
        /// In use or waiting to be folded, in the order of their numbers.
        var segments: [JournalSegment] = []
        /// Spares of no use any more.
        var discarded: [JournalSegment] = []
        /// Folded, and unlinked or renamed; their descriptors are to be closed, or used again.
        var finished: [JournalSegment] = []
        var onLoop: (@Sendable (@escaping @Sendable () -> Void) -> Void)?
        var nudge: (@Sendable () -> Void)?
    }

    package let loop: Int
    let state = Mutex(State())
    /// Spares that the loop has not used up: those above and those it has taken over.
    let spares = Atomic<Int>(0)
    /// Those above, so that the loop need not take the lock to find none.
    let offered = Atomic<Int>(0)
    let openRequests = Atomic<Int>(0)
    /// Completions that the loop holds in memory because writing them failed.
    let held = Atomic<Int>(0)
    /// How many more intents the loop could take when it last looked.
    let room = Atomic<Int>(0)
    /// Bytes flushed since the start, and how many of them are on the disk.
    let flushed = Atomic<UInt64>(0)
    let synced = Atomic<UInt64>(0)
    /// Up to where whoever asked for syncing wants it, and up to where it failed.
    let syncWanted = Atomic<UInt64>(0)
    let syncFailed = Atomic<UInt64>(0)
    /// errno of the last write that failed; 0 when the last one succeeded.
    let writeError = Atomic<Int32>(0)
    let counters = JournalCounters()

    init(loop: Int) { self.loop = loop }

    func segments() -> [JournalSegment] { state.withLock { $0.segments } }
}

/// Counts since the start; written by one loop.
final class JournalCounters: Sendable {
    let intents = Atomic<UInt64>(0)
    let completions = Atomic<UInt64>(0)
    let refused = Atomic<UInt64>(0)
    let writes = Atomic<UInt64>(0)
    let failedWrites = Atomic<UInt64>(0)
    let skippedProgress = Atomic<UInt64>(0)
    let strayCompletions = Atomic<UInt64>(0)
}

/// Where all loops' journals stand, for `/metrics`.
package struct JournalTotals: Sendable, Hashable {
    // Since the start.
    package var intents: UInt64 = 0
    package var completions: UInt64 = 0
    /// Intents that were not taken.
    package var refused: UInt64 = 0
    package var writes: UInt64 = 0
    package var failedWrites: UInt64 = 0
    package var writtenBytes: UInt64 = 0
    /// Progress records left out for lack of space.
    package var skippedProgress: UInt64 = 0
    /// Completions of requests that were not open: a fault of the caller, ignored.
    package var strayCompletions: UInt64 = 0

    // Now.
    package var openRequests = 0
    /// Completions in memory only, because writing them failed.
    package var heldCompletions = 0
    /// On the disk, by segments in use, waiting to be folded or kept ready.
    package var reservedBytes = 0
}

/// A file of a folded segment, ready to become another one.
struct RecycledFile: Sendable {
    static let suffix = ".recycled"

    var path: String
    var file: JournalFile
}

/// What all loops' journals of one boot have in common.
package final class JournalShared: Sendable {
    package let directory: String
    package let settings: JournalSettings
    package let files: any JournalFiles
    package let boot: UInt64
    let salt: UInt32
    package let lanes: [JournalLane]
    let keeperSignal = WakeSignal()
    package let folderSignal = WakeSignal()
    /// Reserved on the disk by all files of this boot.
    package let bytes = Atomic<Int>(0)
    /// Files that were folded and are all zeros again, under names that are no segment's.
    let recycled = Mutex<[RecycledFile]>([])
    /// Those, and those on their way there.
    let recycling = Atomic<Int>(0)
    /// errno of the last spare that could not be made (0: none, or it succeeded since); -1: the journal has its maximum size.
    let spareError = Atomic<Int32>(0)
    /// errno of the last fsync that failed; 0 when the last one succeeded.
    let syncError = Atomic<Int32>(0)

    /// - Parameter boot: a number that no earlier boot of this directory used; drawn at random.
    package init(
        directory: String, settings: JournalSettings, loops: Int, files: any JournalFiles = PosixJournalFiles(),
        boot: UInt64 = .random(in: 1...UInt64.max), salt: UInt32 = .random(in: 1...UInt32.max)
    ) throws(JournalError) {
        if let problem = settings.problem(loops: loops) { throw .settings(problem) }
        do { try files.makeDirectory(directory) } catch { throw .file(error) }
        self.directory = directory
        self.settings = settings
        self.files = files
        self.boot = boot
        self.salt = salt
        lanes = (0..<loops).map { JournalLane(loop: $0) }
    }

    /// The worst of what the loops and the keeper last saw.
    package var state: JournalState {
        var waiting: String?
        for lane in lanes where lane.state.withLock({ $0.taken }) {
            if lane.held.load(ordering: .relaxed) > 0 {
                return .refusing("writing the usage journal fails: \(Self.text(lane.writeError.load(ordering: .relaxed)))")
            }
            if lane.room.load(ordering: .relaxed) <= 0, lane.offered.load(ordering: .relaxed) == 0 {
                waiting = "the usage journal has no room for a request"
            }
        }
        let spare = spareError.load(ordering: .relaxed)
        let reason = spare == -1 ? "it has its maximum size and SQLite does not take it over" : Self.text(spare)
        if let waiting { return .refusing(spare == 0 ? waiting : "\(waiting): \(reason)") }
        if spare != 0 { return .degraded("the usage journal cannot be extended: \(reason)") }
        let sync = syncError.load(ordering: .relaxed)
        if sync != 0 { return .degraded("syncing the usage journal to the disk fails: \(Self.text(sync))") }
        return .ok
    }

    /// Over all loops, since the start.
    package var totals: JournalTotals {
        var totals = JournalTotals()
        for lane in lanes {
            let counters = lane.counters
            totals.intents &+= counters.intents.load(ordering: .relaxed)
            totals.completions &+= counters.completions.load(ordering: .relaxed)
            totals.refused &+= counters.refused.load(ordering: .relaxed)
            totals.writes &+= counters.writes.load(ordering: .relaxed)
            totals.failedWrites &+= counters.failedWrites.load(ordering: .relaxed)
            totals.skippedProgress &+= counters.skippedProgress.load(ordering: .relaxed)
            totals.strayCompletions &+= counters.strayCompletions.load(ordering: .relaxed)
            totals.writtenBytes &+= lane.flushed.load(ordering: .relaxed)
            totals.openRequests += lane.openRequests.load(ordering: .relaxed)
            totals.heldCompletions += lane.held.load(ordering: .relaxed)
        }
        totals.reservedBytes = bytes.load(ordering: .relaxed)
        return totals
    }

    package func total(_ counter: KeyPath<JournalTotals, UInt64>) -> UInt64 { totals[keyPath: counter] }

    private static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}
