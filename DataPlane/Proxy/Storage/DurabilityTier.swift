/// What that which was acknowledged survives: a request's end, a commit.
package enum DurabilityTier: String, Sendable, CaseIterable {
    /// The death of the process: the page cache keeps what was written. A power cut may take the last of it.
    case process
    /// Also that of the machine: it is on the disk, by an fsync that all of a moment share.
    case power
}
