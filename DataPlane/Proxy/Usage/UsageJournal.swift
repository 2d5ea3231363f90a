import Glibc
package import Primitives
import Synchronization

/// Where an event loop writes down which requests it admits and how they end. One per loop, used on that loop's thread only.
///
/// Everything of a loop's tick is buffered and written by `flush` at once: copied to the segment's mapping, or with one write(2). Nothing
/// that a record covers may leave before that.
/// An intent reserves the space of its completion, so a completion is never refused: `slots(...) >= open requests` always holds, where a
/// slot is room for one completion of the largest size in space that is already reserved on the disk. The loop opens, syncs, closes and
/// removes no files: `JournalKeeper` does, and has the next segment ready before this one is used up.
package final class UsageJournal {
    package let settings: JournalSettings
    private let shared: JournalShared
    private let lane: JournalLane

    private var buffer = JournalBuffer()
    private var parts: [JournalPart] = []
    private var tail: JournalTail?
    /// The last segment that the folder knows of.
    private var registered: JournalTail?
    private var spares: [JournalSegment] = []
    /// Requests with an intent and no completion, those of this tick included.
    private var open: Set<RequestID> = []
    /// Intents of this tick and where their frames begin in the buffer.
    private var tickIntents: [(id: RequestID, offset: Int)] = []
    private var tickCompletions = 0
    /// Frames of completions that could not be written; while there are any, nothing is buffered and no intent is taken.
    private var held: [UInt8] = []
    private var heldCount = 0
    private var lastError: Int32 = 0
    private var sinceFold = 0
    private var waiting: [(point: UInt64, body: (Bool) -> Void)] = []
    private var closed = false

    /// The most bytes of a completion.
    let completionReserve: Int
    private let completionFrame: Int
    private let foldVolume = 4 << 20

    /// - Parameters:
    ///   - loop: its index, 0 and up.
    ///   - hop: runs a closure on the loop's thread.
    package init(
        directory: String, loop: Int, settings: JournalSettings, shared: JournalShared,
        hop: (@Sendable (@escaping @Sendable () -> Void) -> Void)? = nil
    ) throws(JournalError) {
        guard shared.lanes.indices.contains(loop), shared.directory == directory, shared.settings == settings else { throw .loop(loop) }
        lane = shared.lanes[loop]
        let free = lane.state.withLock { state in
            defer { state.taken = true }
            return !state.taken
        }
        guard free else { throw .loop(loop) }
        self.shared = shared
        self.settings = settings
        completionFrame = JournalFrame.headerBytes + settings.completionReserve
        completionReserve = settings.completionReserve
        let confined = LoopConfined(self)
        lane.state.withLock { state in
            state.onLoop = hop
            state.nudge = { confined.value?.nudged() }
        }
        // The first segments are made here, before the loop serves; a full disk is met again, and reported, when a request comes.
        JournalKeeper.prepareSpares(shared, lane)
        takeSpares()
        publishRoom()
    }

    package var durability: DurabilityTier { settings.durability }
    package var hasBuffered: Bool { buffer.count > 0 || heldCount > 0 }
    /// Requests with an intent and no completion.
    package var openRequests: Int { open.count }

    // MARK: Records

    /// Takes the intent of a request that is about to be sent upstream, once `flush` has succeeded.
    package func intent(_ id: RequestID, _ record: UnsafeRawBufferPointer) throws(JournalRefusal) {
        guard heldCount == 0 else { throw refuse(lastError == 0 ? .full : .failing(code: lastError)) }
        guard record.count <= settings.maximumRecordBytes else { throw refuse(.recordTooLarge) }
        if spares.isEmpty { takeSpares() }
        let size = JournalFrame.headerBytes + record.count
        if !fits(size, leaving: open.count + 1) {
            takeSpares()
            guard fits(size, leaving: open.count + 1) else { throw refuse(.full) }
        }
        guard open.insert(id).inserted else { throw refuse(.duplicate) }
        guard let offset = append(.intent, id, record) else {
            open.remove(id)
            throw refuse(.full)
        }
        tickIntents.append((id, offset))
    }

    /// Everything known so far about how a request ends, in case nobody lives to say more. Each replaces the one before, and a completion
    /// replaces them all. Left out when there is no room to spare.
    package func progress(_ id: RequestID, _ record: UnsafeRawBufferPointer) {
        guard heldCount == 0, record.count <= settings.maximumRecordBytes, open.contains(id),
            fits(JournalFrame.headerBytes + record.count, leaving: open.count), append(.progress, id, record) != nil
        else {
            lane.counters.skippedProgress.wrappingAdd(1, ordering: .relaxed)
            return
        }
    }

    /// The second half of a request's record. At most `completionReserve` bytes; the caller trims what is longer.
    package func completion(_ id: RequestID, _ record: UnsafeRawBufferPointer) {
        guard open.remove(id) != nil, record.count <= JournalFrame.maximumPayload else {
            lane.counters.strayCompletions.wrappingAdd(1, ordering: .relaxed)
            return
        }
        tickCompletions += 1
        if heldCount > 0 || append(.completion, id, record) == nil { hold(id, record) }
    }

    /// Takes down something that is no part of a request's record: for the `FoldParticipant` whose kind it is. It counts once `flush` has
    /// succeeded; when that throws it is gone, like the intents of the tick.
    package func note(_ kind: JournalFrame.Kind, _ subject: RequestID, _ payload: UnsafeRawBufferPointer) throws(JournalRefusal) {
        assert(!kind.isRecord && kind.rawValue != 0)
        guard heldCount == 0 else { throw refuse(lastError == 0 ? .full : .failing(code: lastError)) }
        guard payload.count <= settings.maximumRecordBytes else { throw refuse(.recordTooLarge) }
        let size = JournalFrame.headerBytes + payload.count
        if !fits(size, leaving: open.count) { takeSpares() }
        guard fits(size, leaving: open.count), append(kind, subject, payload) != nil else { throw refuse(.full) }
    }

    /// Takes an intent back that was not flushed yet, because the request was refused after all.
    /// - Returns: false when it was flushed: then the request needs a completion like any other.
    @discardableResult
    package func abandon(_ id: RequestID) -> Bool {
        guard open.contains(id), let index = tickIntents.lastIndex(where: { $0.id == id }), let base = buffer.base else {
            return false
        }
        JournalFrame.void(base + tickIntents[index].offset, salt: shared.salt)
        tickIntents.remove(at: index)
        open.remove(id)
        return true
    }

    // MARK: Writing

    /// Writes everything buffered since the last call with one write (two in the tick that begins a new segment).
    ///
    /// When it throws, no intent of this tick is in the journal, nor the completion of one: none of those requests may be sent, and the
    /// journal has forgotten them. Completions of earlier requests are kept, and written by a later call if this one could not.
    package func flush() throws(JournalRefusal) {
        let retried = heldCount > 0
        if retried { releaseHeld() }
        guard let error = writeParts() else { return }
        undo(error)
        if retried { throw .failing(code: error.code) }
        // What is left over are completions, and another segment may still take them.
        releaseHeld()
        if let second = writeParts() { undo(second) }
        throw .failing(code: error.code)
    }

    /// Writes what is left and gives the segments back. The journal takes nothing afterwards.
    package func close() {
        guard !closed else { return }
        try? flush()
        closed = true
        registered?.segment.closed.store(true, ordering: .releasing)
        lane.state.withLock { state in
            state.discarded += spares
            if let tail, tail !== registered { state.discarded.append(tail.segment) }
            state.discarded += state.spares
            state.spares = []
            state.onLoop = nil
            state.nudge = nil
            state.taken = false
        }
        spares = []
        tail = nil
        lane.offered.store(0, ordering: .relaxed)
        lane.spares.store(0, ordering: .relaxed)
        let waiters = waiting
        waiting = []
        for waiter in waiters { waiter.body(false) }
        shared.keeperSignal.raise()
        shared.folderSignal.raise()
    }

    /// - Returns: nil, and everything buffered counts; or the error, and nothing is changed.
    private func writeParts() -> JournalFileError? {
        guard buffer.count > 0, let base = buffer.base else { return nil }
        for (index, part) in parts.enumerated() {
            let end = index + 1 < parts.count ? parts[index + 1].start : buffer.count
            var done = part.start
            while done < end {
                let rest = UnsafeRawBufferPointer(start: base + done, count: end - done)
                do {
                    done += try shared.files.write(part.tail.segment.file, rest, at: part.tail.committed + done - part.start)
                } catch {
                    return error
                }
            }
        }
        commitParts()
        return nil
    }

    private func commitParts() {
        for part in parts {
            let tail = part.tail
            tail.committed = tail.planned
            if tail !== registered {
                registered?.segment.closed.store(true, ordering: .releasing)
                lane.state.withLock { $0.segments.append(tail.segment) }
                registered = tail
            }
            tail.segment.committed.store(tail.committed, ordering: .releasing)
        }
        let counters = lane.counters
        counters.intents.wrappingAdd(UInt64(tickIntents.count), ordering: .relaxed)
        counters.completions.wrappingAdd(UInt64(tickCompletions), ordering: .relaxed)
        counters.writes.wrappingAdd(UInt64(parts.count), ordering: .relaxed)
        lane.flushed.wrappingAdd(UInt64(buffer.count), ordering: .releasing)
        if lastError != 0 {
            lastError = 0
            lane.writeError.store(0, ordering: .relaxed)
        }
        sinceFold += buffer.count
        if sinceFold >= foldVolume {
            sinceFold = 0
            shared.folderSignal.raise()
        }
        if parts.count > 1 { shared.keeperSignal.raise() }
        clearTick()
        publishRoom()
    }

    private func clearTick() {
        buffer.clear()
        parts.removeAll(keepingCapacity: true)
        tickIntents.removeAll(keepingCapacity: true)
        tickCompletions = 0
    }

    /// After a failed write: cuts the files back to what counts, forgets the tick's intents and keeps the completions of earlier ones.
    private func undo(_ error: JournalFileError) {
        lastError = error.code
        lane.writeError.store(error.code, ordering: .relaxed)
        lane.counters.failedWrites.wrappingAdd(1, ordering: .relaxed)
        for part in parts.reversed() {
            let tail = part.tail
            do {
                try shared.files.truncate(tail.segment.file, to: tail.committed)
            } catch {
                // Only the header of a later segment can say that what is left there does not count, so that is where all goes from now
                // on; not to the segment before either, about whose length the header left here may be wrong.
                tail.tainted = true
                registered?.tainted = true
            }
            tail.planned = tail.committed
            tail.reserved = false
            tail.retired = true
            if tail !== registered {
                lane.state.withLock { $0.discarded.append(tail.segment) }
                if self.tail === tail { self.tail = nil }
            }
        }
        if tail == nil, let registered { tail = registered }
        keepCompletions()
        for (id, _) in tickIntents { open.remove(id) }
        lane.counters.refused.wrappingAdd(UInt64(tickIntents.count), ordering: .relaxed)
        clearTick()
        lane.held.store(heldCount, ordering: .relaxed)
        publishRoom()
        shared.keeperSignal.raise()
    }

    /// Copies the frames of completions whose intents were written in an earlier tick from the buffer to `held`.
    private func keepCompletions() {
        guard let base = buffer.base else { return }
        let refused = Set(tickIntents.map(\.id))
        for (index, part) in parts.enumerated() {
            let end = index + 1 < parts.count ? parts[index + 1].start : buffer.count
            var offset = part.start + (part.tail.committed == 0 ? SegmentHeader.bytes : 0)
            while offset < end {
                let frame = UnsafeRawPointer(base + offset)
                let size = JournalFrame.headerBytes + JournalFrame.length(frame)
                if JournalFrame.kind(frame) == .completion, !refused.contains(JournalFrame.id(frame)) {
                    held.append(contentsOf: UnsafeRawBufferPointer(start: frame, count: size))
                    heldCount += 1
                }
                offset += size
            }
        }
    }

    private func hold(_ id: RequestID, _ record: UnsafeRawBufferPointer) {
        let start = held.count
        held.append(contentsOf: repeatElement(0, count: JournalFrame.headerBytes + record.count))
        held.withUnsafeMutableBytes { bytes in
            if let base = bytes.baseAddress { JournalFrame.write(.completion, id, record, salt: shared.salt, to: base + start) }
        }
        heldCount += 1
        lane.held.store(heldCount, ordering: .relaxed)
    }

    /// Buffers the completions held in memory again, as many as there is room for.
    private func releaseHeld() {
        let frames = held
        held = []
        heldCount = 0
        frames.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var offset = 0
            while offset < bytes.count {
                let id = JournalFrame.id(base + offset)
                let payload = UnsafeRawBufferPointer(
                    start: base + offset + JournalFrame.headerBytes, count: JournalFrame.length(base + offset))
                if heldCount > 0 || append(.completion, id, payload) == nil { hold(id, payload) }
                offset += JournalFrame.headerBytes + payload.count
            }
        }
        lane.held.store(heldCount, ordering: .relaxed)
    }

    // MARK: Space

    /// Would a frame of `size` bytes leave `count` slots for completions?
    private func fits(_ size: Int, leaving count: Int) -> Bool {
        let perSpare = (settings.segmentBytes - SegmentHeader.bytes) / completionFrame
        if let tail, !tail.retired, tail.planned + size <= tail.capacity {
            let here = tail.reserved ? (tail.capacity - tail.planned - size) / completionFrame : 0
            return here + spares.count * perSpare >= count
        }
        guard !spares.isEmpty, SegmentHeader.bytes + size <= settings.segmentBytes else { return false }
        return (settings.segmentBytes - SegmentHeader.bytes - size) / completionFrame + (spares.count - 1) * perSpare >= count
    }

    /// Puts a frame into the buffer, for this segment or the next.
    /// - Returns: where it begins in the buffer; nil when neither has room.
    private func append(_ kind: JournalFrame.Kind, _ id: RequestID, _ record: UnsafeRawBufferPointer) -> Int? {
        guard !closed else { return nil }
        let size = JournalFrame.headerBytes + record.count
        let target: JournalTail
        if let tail, !tail.retired, tail.planned + size <= tail.capacity {
            target = tail
        } else if let next = nextSegment(size) {
            target = next
        } else if let tail, !tail.tainted, tail.planned + size <= tail.capacity {
            target = tail  // It failed before and there is no other: better than nothing.
        } else {
            return nil
        }
        if parts.last?.tail !== target { begin(target) }
        let offset = buffer.count
        guard let frame = buffer.extend(size) else { return nil }
        JournalFrame.write(kind, id, record, salt: shared.salt, to: frame)
        target.planned += size
        return offset
    }

    private func nextSegment(_ size: Int) -> JournalTail? {
        if spares.isEmpty { takeSpares() }
        guard let segment = spares.first, SegmentHeader.bytes + size <= segment.capacity else { return nil }
        spares.removeFirst()
        lane.spares.wrappingSubtract(1, ordering: .relaxed)
        return JournalTail(segment)
    }

    /// Starts a part of the tick for `target`, with the header when the segment is new.
    private func begin(_ target: JournalTail) {
        parts.append(JournalPart(tail: target, start: buffer.count))
        guard target.planned == 0 else { return }
        let name = target.segment.name
        let header = SegmentHeader(
            loop: name.loop, boot: name.boot, number: name.number, salt: target.segment.salt,
            previousNumber: tail?.segment.name.number ?? 0, previousLength: UInt64(tail?.planned ?? 0))
        if let start = buffer.extend(SegmentHeader.bytes) { header.write(to: start) }
        target.planned = SegmentHeader.bytes
        tail = target
    }

    private func takeSpares() {
        guard lane.offered.load(ordering: .relaxed) > 0 else { return }
        lane.state.withLock { state in
            spares += state.spares
            state.spares.removeAll(keepingCapacity: true)
            lane.offered.store(0, ordering: .relaxed)
        }
    }

    private func publishRoom() {
        let perSpare = (settings.segmentBytes - SegmentHeader.bytes) / completionFrame
        var slots = spares.count * perSpare
        if let tail, tail.reserved { slots += (tail.capacity - tail.planned) / completionFrame }
        lane.room.store(slots - open.count - 1, ordering: .relaxed)
        lane.openRequests.store(open.count, ordering: .relaxed)
    }

    private func refuse(_ refusal: JournalRefusal) -> JournalRefusal {
        lane.counters.refused.wrappingAdd(1, ordering: .relaxed)
        switch refusal {
        case .full:
            publishRoom()
            lane.room.store(min(0, lane.room.load(ordering: .relaxed)), ordering: .relaxed)
            shared.keeperSignal.raise()
        case .failing: shared.keeperSignal.raise()
        case .recordTooLarge, .duplicate: break
        }
        return refusal
    }

    // MARK: Power

    /// What `whenSynced` takes to mean: everything flushed so far.
    package func syncPoint() -> UInt64 { lane.flushed.load(ordering: .relaxed) }

    /// Calls `body` on this loop once everything up to `point` is on the disk (true), or when syncing failed (false). With durability
    /// `process` it calls it at once.
    package func whenSynced(_ point: UInt64, _ body: @escaping (Bool) -> Void) {
        if settings.durability == .process { return body(true) }
        if closed || point <= lane.syncFailed.load(ordering: .acquiring) { return body(false) }
        if point <= lane.synced.load(ordering: .acquiring) { return body(true) }
        waiting.append((point, body))
        lane.syncWanted.store(max(point, lane.syncWanted.load(ordering: .relaxed)), ordering: .releasing)
        shared.keeperSignal.raise()
    }

    /// The keeper has news: something was synced, or a write should be tried again.
    private func nudged() {
        if heldCount > 0 { try? flush() }
        let failed = lane.syncFailed.load(ordering: .acquiring)
        let synced = lane.synced.load(ordering: .acquiring)
        if failed > synced, let tail, tail.committed > 0 { tail.retired = true }
        var ready: [(point: UInt64, body: (Bool) -> Void)] = []
        waiting.removeAll { waiter in
            guard waiter.point <= max(synced, failed) else { return false }
            ready.append(waiter)
            return true
        }
        for waiter in ready { waiter.body(waiter.point > failed) }
    }
}
