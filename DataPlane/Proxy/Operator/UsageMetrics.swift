import Synchronization

extension UsagePipeline {
    /// Name (without prefix), help, value: for `/metrics`.
    var metrics: [(name: String, help: String, value: UInt64)] {
        func gauge(_ value: Int) -> UInt64 { UInt64(max(0, value)) }
        let totals = shared.totals
        return [
            ("intents_total", "Intents written to the journal.", totals.intents),
            ("completions_total", "Completions written to the journal.", totals.completions),
            ("refused_intents_total", "Requests refused because their usage could not be kept.", totals.refused),
            ("journal_writes_total", "Writes to the journal.", totals.writes),
            ("journal_failed_writes_total", "Writes to the journal that failed.", totals.failedWrites),
            ("journal_bytes", "Bytes reserved by journal segments.", gauge(totals.reservedBytes)),
            ("folded_records_total", "Records moved to the outbox.", counters.foldedRecords.load(ordering: .relaxed)),
            ("failed_folds_total", "Folds that SQLite refused.", counters.failedFolds.load(ordering: .relaxed)),
            (
                "interrupted_records_total", "Records of requests that an earlier process left open.",
                counters.interruptedRecords.load(ordering: .relaxed)
            ),
            ("damaged_places_total", "Damaged places found in the journal.", counters.damagedPlaces.load(ordering: .relaxed)),
            (
                "journal_unknown_entries_total", "Entries of the journal that only a later version knows, kept or passed over.",
                counters.unknownNotes.load(ordering: .relaxed)
            ),
            (
                "acknowledged_batches_total", "Batches that the control plane has stored.",
                counters.acknowledgedBatches.load(ordering: .relaxed)
            ),
            ("pending", "Requests without a completion yet, in SQLite.", gauge(counters.pending.load(ordering: .relaxed))),
            ("outbox_batches", "Batches waiting for the control plane.", gauge(counters.outboxRows.load(ordering: .relaxed))),
            ("outbox_bytes", "Their size.", gauge(counters.outboxBytes.load(ordering: .relaxed))),
        ]
    }
}
