import Synchronization

/// Reads stretches of segments into a fold plan. Owns the memory for that; used by one thread.
final class SegmentReader {
    /// More than the largest frame.
    static let chunkBytes = 1 << 20

    private let files: any JournalFiles
    private let directory: String
    private let counters: UsageCounters
    private let report: @Sendable (String) -> Void
    private let chunk: UnsafeMutableRawBufferPointer

    init(files: any JournalFiles, directory: String, counters: UsageCounters, report: @escaping @Sendable (String) -> Void) {
        self.files = files
        self.directory = directory
        self.counters = counters
        self.report = report
        chunk = .allocate(byteCount: Self.chunkBytes, alignment: 16)
    }

    deinit { chunk.deallocate() }

    /// How a segment may end.
    enum Ending {
        /// All bytes up to the limit were accepted once: whatever is not a frame was damaged later.
        case accepted
        /// The process died: the last frames may be torn.
        case maybeTorn
    }

    /// Reads at most one chunk (all of the rest after a damaged place) into `plan`.
    /// - Returns: how far; `to` when everything was read.
    func read(
        _ file: JournalFile, _ name: SegmentName, salt: UInt32, from: Int, to limit: Int, ending: Ending, into plan: inout FoldPlan
    ) throws(JournalFileError) -> Int {
        guard from < limit else { return limit }
        let wanted = min(limit - from, chunk.count)
        let count = try files.read(file, into: UnsafeMutableRawBufferPointer(rebasing: chunk[0..<wanted]), at: from)
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[0..<count])
        // A file shorter than it was: the machine lost power with durability `process`. What is missing is gone.
        let isLast = count < wanted || from + count == limit
        let end = plan.read(bytes, salt: salt, isLast: isLast) { range in
            quarantine(name, at: from + range.lowerBound, UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
        switch end {
        case .at(let consumed) where consumed > 0 || isLast:
            return isLast ? limit : from + consumed
        case .damaged(let offset) where isLast:
            tail(name, at: from + offset, UnsafeRawBufferPointer(rebasing: bytes[offset...]), ending)
            return limit
        case .at(let offset), .damaged(let offset):
            return try readRest(file, name, salt: salt, from: from + offset, to: limit, ending: ending, into: &plan)
        }
    }

    /// After a damaged place whose end is not in sight: everything up to the limit at once. Rare, so it may take its memory.
    private func readRest(
        _ file: JournalFile, _ name: SegmentName, salt: UInt32, from: Int, to limit: Int, ending: Ending, into plan: inout FoldPlan
    ) throws(JournalFileError) -> Int {
        let rest = UnsafeMutableRawBufferPointer.allocate(byteCount: limit - from, alignment: 16)
        defer { rest.deallocate() }
        let count = try files.read(file, into: rest, at: from)
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(rest)[0..<count])
        let end = plan.read(bytes, salt: salt, isLast: true) { range in
            quarantine(name, at: from + range.lowerBound, UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
        if case .damaged(let offset) = end {
            tail(name, at: from + offset, UnsafeRawBufferPointer(rebasing: bytes[offset...]), ending)
        }
        return limit
    }

    /// The end of a segment that is not a frame.
    private func tail(_ name: SegmentName, at offset: Int, _ bytes: UnsafeRawBufferPointer, _ ending: Ending) {
        if JournalFrame.isZero(bytes) { return }
        switch ending {
        case .accepted: quarantine(name, at: offset, bytes)
        case .maybeTorn: counters.tornTails.wrappingAdd(1, ordering: .relaxed)
        }
    }

    /// Keeps a copy of bytes that are no frames beside the journal, for those who want to know, and goes on.
    func quarantine(_ name: SegmentName, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        counters.damagedPlaces.wrappingAdd(1, ordering: .relaxed)
        let path = "\(directory)/\(name).\(offset).damaged"
        var outcome = "a copy is in \(path)"
        do {
            let file = try files.create(path, reserving: 0)
            defer { files.close(file) }
            var done = 0
            while done < bytes.count {
                done += try files.write(file, UnsafeRawBufferPointer(rebasing: bytes[(bytes.startIndex + done)...]), at: done)
            }
        } catch {
            outcome = "no copy could be kept (\(error))"
        }
        report("usage journal \(name) is damaged: \(bytes.count) bytes at \(offset) are no records and were passed over; \(outcome)")
    }
}
