import Contract
import GRDB
import Primitives
import SwiftProtobuf
import Synchronization

/// Takes over what earlier boots left in the journal's directory, then closes the requests that died with them. May itself be killed
/// anywhere and run again: what a transaction took over is marked in the same transaction, and a file goes only after that.
final class JournalRecovery {
    private let estimate: @Sendable (Weir_V1_UsageRecord) -> [UInt8]
    private let report: @Sendable (String) -> Void
    /// How often a segment could not be read. After a few times it is left for the next boot, so that the others get their turn.
    private var failures: [SegmentName: Int] = [:]
    private let patience = 5

    init(estimate: @escaping @Sendable (Weir_V1_UsageRecord) -> [UInt8], report: @escaping @Sendable (String) -> Void) {
        self.estimate = estimate
        self.report = report
    }

    func run(_ folder: JournalFolder, _ reader: SegmentReader) throws {
        let shared = folder.shared
        let names = try shared.files.list(shared.directory)
        for name in names where name.hasSuffix(RecycledFile.suffix) {
            let segment = SegmentName(parsing: String(name.dropLast(RecycledFile.suffix.count)))
            // Put aside to be used again by a process that is gone: there is nothing in it that counts.
            if let segment, segment.boot != shared.boot { try? shared.files.remove("\(shared.directory)/\(name)") }
        }
        let found = names.compactMap(SegmentName.init(parsing:)).filter { $0.boot != shared.boot }
        let positions = try folder.database.read(UsageTables.positions)
        let groups = Dictionary(grouping: found) { Writer(boot: $0.boot, loop: $0.loop) }
        for writer in groups.keys.sorted(by: { ($0.boot, $0.loop) < ($1.boot, $1.loop) }) {
            try replay((groups[writer] ?? []).sorted { $0.number < $1.number }, positions, folder, reader)
        }
        let left = Set(try shared.files.list(shared.directory))
        try folder.database.write { db in
            for segment in positions.keys where !left.contains(segment) { try UsageTables.removePosition(db, segment) }
        }
        try handOutKept(folder)
        try closePending(folder)
    }

    /// Notes that a version of this program that did not know them had to keep.
    private func handOutKept(_ folder: JournalFolder) throws {
        let nowMs = folder.clock.nowMilliseconds()
        for kind in try folder.database.read(UsageTables.keptKinds) where folder.isTaken(kind) {
            while true {
                let isDone = try folder.database.write { db in
                    let kept = try UsageTables.kept(db, kind, limit: 500)
                    guard let last = kept.last else { return true }
                    _ = try folder.deliver(RecordBuffer(), kept.map(\.note), nowMs, in: db)
                    try UsageTables.removeKept(db, kind, through: last.number)
                    return false
                }
                if isDone { break }
            }
        }
    }

    private struct Writer: Hashable {
        var boot: UInt64
        var loop: UInt32
    }

    private struct Old {
        var name: SegmentName
        var file: JournalFile
        var size: Int
        var header: SegmentHeader?
    }

    // MARK: Replaying

    /// All segments of one loop of one boot, in order.
    private func replay(
        _ names: [SegmentName], _ positions: [String: Int], _ folder: JournalFolder, _ reader: SegmentReader
    ) throws {
        let files = folder.shared.files
        var segments: [Old] = []
        defer { for segment in segments { files.close(segment.file) } }
        // Files go in order, because a segment's header says how much of the one before counts: once one has to stay, so do the rest.
        var staying: UInt64?
        for name in names {
            if let segment = try attempt(name, { () throws(JournalFileError) in try open(name, folder) }) {
                segments.append(segment)
            } else {
                staying = min(staying ?? name.number, name.number)
            }
        }
        let headers = segments.compactMap(\.header)
        // A header names the segment before its own. When one names an older segment than this, this one was given up in the tick it was
        // begun in, and nothing in it counts.
        func wasGivenUp(_ number: UInt64) -> Bool { headers.contains { $0.number > number && $0.previousNumber < number } }
        let valid = headers.filter { !wasGivenUp($0.number) }
        for segment in segments {
            let path = "\(folder.shared.directory)/\(segment.name)"
            let isGivenUp = wasGivenUp(segment.name.number)
            if !isGivenUp, let salt = segment.header?.salt ?? headers.first?.salt, segment.size > SegmentHeader.bytes {
                let accepted = valid.filter { $0.previousNumber == segment.name.number }.map { Int(clamping: $0.previousLength) }.min()
                let limit = min(segment.size, accepted ?? segment.size)
                let done = try attempt(segment.name) { () throws in
                    try replay(segment, salt, positions[segment.name.description], limit, accepted != nil, folder, reader)
                    return true
                }
                if done == nil {
                    staying = min(staying ?? segment.name.number, segment.name.number)
                    continue
                }
            } else if segment.header == nil, segment.size > 0, !isGivenUp {
                try keepUnreadable(segment, folder, reader)
            }
            if let staying, staying < segment.name.number { continue }
            do {
                try files.remove(path)
            } catch {
                staying = segment.name.number
                report("usage journal \(segment.name) is taken over but cannot be removed: \(error)")
            }
        }
    }

    /// - Returns: nil when it failed often enough to go on without.
    private func attempt<R>(_ name: SegmentName, _ body: () throws -> R) throws -> R? {
        do {
            return try body()
        } catch let error as JournalFileError {
            failures[name, default: 0] += 1
            if failures[name, default: 0] < patience { throw error }
            report("usage journal \(name) cannot be read (\(error)) and is left for the next start; its records are not counted until then")
            return nil
        }
    }

    private func open(_ name: SegmentName, _ folder: JournalFolder) throws(JournalFileError) -> Old {
        let files = folder.shared.files
        let file = try files.openForReading("\(folder.shared.directory)/\(name)")
        do {
            let size = try files.size(file)
            let header = try withUnsafeTemporaryAllocation(byteCount: SegmentHeader.bytes, alignment: 8) { bytes in
                let read = Result { () throws(JournalFileError) in try files.read(file, into: bytes, at: 0) }
                return read.map { SegmentHeader(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[0..<$0])) }
            }.get()
            let matches = header.map { $0.boot == name.boot && $0.loop == name.loop && $0.number == name.number } ?? false
            return Old(name: name, file: file, size: try end(file, size, files), header: matches ? header : nil)
        } catch {
            files.close(file)
            throw error
        }
    }

    /// Behind this are zeros alone: a file may be as long as what was reserved for it, and most of those that were left were not begun.
    private func end(_ file: JournalFile, _ size: Int, _ files: any JournalFiles) throws(JournalFileError) -> Int {
        guard size > 0 else { return 0 }
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: min(size, 256 << 10), alignment: 16)
        defer { chunk.deallocate() }
        var upper = size
        while upper > 0 {
            let lower = max(0, upper - chunk.count)
            let count = try files.read(file, into: UnsafeMutableRawBufferPointer(rebasing: chunk[..<(upper - lower)]), at: lower)
            if !JournalFrame.isZero(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[..<count])) {
                // The last frame may itself end with zeros.
                return min(size, upper + JournalFrame.headerBytes + JournalFrame.maximumPayload)
            }
            upper = lower
        }
        return 0
    }

    private func replay(
        _ segment: Old, _ salt: UInt32, _ stored: Int?, _ limit: Int, _ wasFinished: Bool, _ folder: JournalFolder, _ reader: SegmentReader
    ) throws {
        var position = max(stored ?? SegmentHeader.bytes, SegmentHeader.bytes)
        var plan = FoldPlan()
        while position < limit {
            let next = try reader.read(
                segment.file, segment.name, salt: salt, from: position, to: limit, ending: wasFinished ? .accepted : .maybeTorn, into: &plan
            )
            position = next
            plan.positions.append((segment.name.description, position))
            _ = try folder.commit(&plan)
            plan.reset()
        }
    }

    /// Neither its header nor another segment of the same boot says what a frame looks like in it.
    private func keepUnreadable(_ segment: Old, _ folder: JournalFolder, _ reader: SegmentReader) throws {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: segment.size, alignment: 8)
        defer { bytes.deallocate() }
        let count = try folder.shared.files.read(segment.file, into: bytes, at: 0)
        let content = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[0..<count])
        // A header alone, torn: the process died with its first write, which nobody had relied on yet.
        if JournalFrame.isZero(UnsafeRawBufferPointer(rebasing: content.dropFirst(SegmentHeader.bytes))) {
            if !JournalFrame.isZero(content) { folder.counters.tornTails.wrappingAdd(1, ordering: .relaxed) }
        } else {
            reader.quarantine(segment.name, at: 0, content)
        }
    }

    // MARK: Closing

    /// Ends every request that an earlier process left open: it failed, and what became of it is not known. Nothing of this boot is
    /// folded yet, so all pending intents are of earlier ones.
    private func closePending(_ folder: JournalFolder) throws {
        let nowMs = folder.clock.nowMilliseconds()
        while true {
            let pending = try folder.database.read { try UsageTables.pending($0, limit: 500) }
            if pending.isEmpty { break }
            var records = RecordBuffer()
            for one in pending {
                let suffix = ending(one)
                one.bytes.withUnsafeBytes { record in suffix.withUnsafeBytes { records.append(one.id, record, $0) } }
            }
            let change = try folder.database.write { db in
                for one in pending { try UsageTables.removePending(db, one.id) }
                return try folder.deliver(records, [], nowMs, in: db)
            }
            folder.outbox.added(change)
            folder.counters.interruptedRecords.wrappingAdd(UInt64(pending.count), ordering: .relaxed)
            folder.counters.foldedRecords.wrappingAdd(UInt64(pending.count), ordering: .relaxed)
        }
        folder.counters.pending.store(0, ordering: .relaxed)
    }

    /// The fields that end a record as interrupted, and the estimate of what it cost.
    private func ending(_ pending: UsageTables.Pending) -> [UInt8] {
        var record = (try? Weir_V1_UsageRecord(serializedBytes: pending.bytes)) ?? Weir_V1_UsageRecord()
        let isReadable = !record.requestID.isEmpty
        let flags = UsageFlags(rawValue: record.flags).union([.interrupted, .estimated])
        record.status = .failed
        record.errorOrigin = .weir
        record.errorCode = "interrupted"
        record.flags = flags.rawValue
        var encoder = UsageEncoder(capacity: 128)
        encoder.always(.status, UInt64(Weir_V1_UsageStatus.failed.rawValue))
        encoder.always(.errorOrigin, UInt64(Weir_V1_ErrorOrigin.weir.rawValue))
        encoder.field(.errorCode, "interrupted")
        encoder.always(.flags, UInt64(flags.rawValue))
        return encoder.buffer + (isReadable ? estimate(record) : [])
    }
}
