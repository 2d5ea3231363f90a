package import Synchronization

/// What happened to usage records since the start, and what waits. Read by `/metrics`.
package final class UsageCounters: Sendable {
    package let foldedRecords = Atomic<UInt64>(0)
    package let folds = Atomic<UInt64>(0)
    package let failedFolds = Atomic<UInt64>(0)
    /// Sum of the folds' durations, and the last one's.
    package let foldMicroseconds = Atomic<UInt64>(0)
    package let lastFoldMicroseconds = Atomic<UInt64>(0)
    /// Records closed as interrupted because an earlier process died.
    package let interruptedRecords = Atomic<UInt64>(0)
    /// Places in the journal that were no records although records followed.
    package let damagedPlaces = Atomic<UInt64>(0)
    package let tornTails = Atomic<UInt64>(0)
    /// Completions whose intent was lost in a damaged place.
    package let orphanCompletions = Atomic<UInt64>(0)
    /// Entries of kinds that this version does not know, kept or passed over.
    package let unknownNotes = Atomic<UInt64>(0)
    package let newIncarnations = Atomic<UInt64>(0)
    package let acknowledgedBatches = Atomic<UInt64>(0)

    // Gauges.
    /// Intents in SQLite without a completion.
    package let pending = Atomic<Int>(0)
    package let outboxRows = Atomic<Int>(0)
    package let outboxBytes = Atomic<Int>(0)

    package init() {}
}
