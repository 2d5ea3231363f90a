extension Migration {
    /// Lists of the entries of all tenants, by when they were posted and by the day they count for, and of one kind.
    static let ledgerLists = Migration(
        320, "ledger_lists",
        indexes: [
            OnlineIndex("ledger_entries_posted", on: "ledger_entries", "posted_at, id"),
            OnlineIndex("ledger_entries_days", on: "ledger_entries", "value_day, posted_at, id"),
            OnlineIndex("ledger_entries_kind", on: "ledger_entries", "kind, posted_at, id"),
        ])
}
