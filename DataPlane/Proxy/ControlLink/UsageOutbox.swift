/// Where finished usage waits to be shipped. Every call may block on SQLite.
package protocol UsageOutbox: Sendable {
    /// The oldest batches with a number above `sequence`, in order, and the incarnation they are numbered under.
    func batches(after sequence: UInt64, limit: Int) throws -> (incarnation: String, batches: [OutboxBatch])
    /// The control plane has stored everything up to `sequence`: those rows go.
    func acknowledge(through sequence: UInt64, incarnation: String) throws -> UsageOutboxStore.Acknowledged
    /// The control plane has a batch of this number with other contents: from it on everything is numbered anew.
    func fork(at sequence: UInt64, incarnation: String) throws -> UsageOutboxStore.Acknowledged
    /// The control plane lost what it acknowledged: what is left is numbered anew. Answers the new incarnation.
    func restart() throws -> String
    /// Calls `body`, from any thread, when there may be a new batch.
    func onRecords(_ body: @escaping @Sendable () -> Void)
}

extension UsageOutboxStore: UsageOutbox {}
