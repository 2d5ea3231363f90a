/// Sizes are in bytes.
package struct JournalSettings: Sendable, Hashable {
    /// Of one file. A file is reserved on the disk before it is used.
    package var segmentBytes: Int = 2 << 20
    /// Of all files of all loops. Reached only while SQLite takes nothing; then requests are refused.
    package var maximumBytes: Int = 1 << 30
    /// The largest completion, for which each intent reserves the space: room for some eight attempts beside the last one.
    package var completionReserve: Int = 2048
    /// The largest intent or progress record.
    package var maximumRecordBytes: Int = 16 << 10
    package var durability: DurabilityTier = .process
    /// Segments are written through memory where the file system allows it, and used again.
    package var mapsSegments = true

    package init() {}

    /// - Returns: what is wrong with these values for so many loops, or nil.
    package func problem(loops: Int) -> String? {
        let smallest = SegmentHeader.bytes + 4 * (JournalFrame.headerBytes + maximumRecordBytes)
        if loops < 1 { return "a journal needs at least one loop" }
        if completionReserve < 64 || completionReserve > maximumRecordBytes {
            return "the completion reserve must be between 64 bytes and the largest record (\(maximumRecordBytes))"
        }
        if maximumRecordBytes > JournalFrame.maximumPayload { return "the largest record may be \(JournalFrame.maximumPayload) bytes" }
        if segmentBytes < smallest || segmentBytes > 256 << 20 {
            return "a journal segment must have between \(smallest) bytes and 256 MiB"
        }
        if maximumBytes / segmentBytes < 2 * loops {
            return "the journal's maximum must hold two segments for each of \(loops) loops: \(2 * loops) x \(segmentBytes) bytes"
        }
        return nil
    }
}

/// The journal cannot be opened.
package enum JournalError: Error, CustomStringConvertible {
    case settings(String)
    case file(JournalFileError)
    /// The loop has a journal already, or there is no such loop.
    case loop(Int)

    package var description: String {
        switch self {
        case .settings(let problem): problem
        case .file(let error): "the usage journal's directory cannot be used: \(error)"
        case .loop(let loop): "loop \(loop) has a usage journal already, or none"
        }
    }
}

/// Why a record was not taken. Nothing of it is in the journal.
package enum JournalRefusal: Error, Hashable, CustomStringConvertible {
    /// There is no reserved space for it and for its completion: the disk is full, or the journal has reached its maximum.
    case full
    /// The last write failed with this `errno`. Completions accepted before are held in memory and tried again.
    case failing(code: Int32)
    case recordTooLarge
    /// A request with this id is under way.
    case duplicate

    /// Stable, for logs and metrics.
    package var code: String {
        switch self {
        case .full: "journal_full"
        case .failing: "journal_failing"
        case .recordTooLarge: "journal_record_too_large"
        case .duplicate: "journal_duplicate_request"
        }
    }

    package var description: String { code }
}

/// For `/health/ready`.
package enum JournalState: Hashable, Sendable {
    case ok
    /// Requests are still accepted; they will not be for long if this stays.
    case degraded(String)
    /// Requests are refused before anything is sent upstream.
    case refusing(String)
}
