import Synchronization

/// Does what an event loop must not wait for: makes segments ahead of their use, syncs them in groups, closes and removes those that are
/// done with. One thread calls `step`, woken by the loops; tests call it themselves.
package struct JournalKeeper: Sendable {
    private let shared: JournalShared

    package init(shared: JournalShared) { self.shared = shared }

    /// One round over all loops.
    package func step() {
        for lane in shared.lanes {
            clear(lane)
            if lane.state.withLock({ $0.taken }) { Self.prepareSpares(shared, lane) }
            let synced = synchronize(lane)
            if synced || lane.held.load(ordering: .relaxed) > 0 { nudge(lane) }
        }
    }

    /// Everything on the disk, whether somebody waits for it or not; for a shutdown.
    package func synchronizeAll() {
        for lane in shared.lanes {
            lane.syncWanted.store(lane.flushed.load(ordering: .acquiring), ordering: .releasing)
            _ = synchronize(lane)
        }
    }

    private func nudge(_ lane: JournalLane) {
        let (hop, nudge) = lane.state.withLock { ($0.onLoop, $0.nudge) }
        if let hop, let nudge { hop(nudge) }
    }

    // MARK: Spares

    /// As many spares as the open requests' completions could need, and one.
    static func prepareSpares(_ shared: JournalShared, _ lane: JournalLane) {
        let settings = shared.settings
        let perSpare = max(1, (settings.segmentBytes - SegmentHeader.bytes) / (JournalFrame.headerBytes + settings.completionReserve))
        let wanted = 1 + (lane.openRequests.load(ordering: .relaxed) + perSpare - 1) / perSpare
        // Before the first segment is in use there is none to write to.
        let first = lane.state.withLock { $0.nextNumber == 1 } ? 1 : 0
        while lane.spares.load(ordering: .relaxed) < wanted + first {
            let isRoom = shared.bytes.load(ordering: .relaxed) + settings.segmentBytes <= settings.maximumBytes
            guard isRoom || shared.recycled.withLock({ !$0.isEmpty }) else {
                shared.spareError.store(-1, ordering: .relaxed)
                return
            }
            let number = lane.state.withLock { state in
                defer { state.nextNumber &+= 1 }
                return state.nextNumber
            }
            let name = SegmentName(boot: shared.boot, loop: UInt32(lane.loop), number: number)
            let path = "\(shared.directory)/\(name)"
            do {
                let file = try nextFile(shared, path)
                if settings.durability == .power { try? shared.files.synchronizeDirectory(shared.directory) }
                let segment = JournalSegment(name: name, salt: shared.salt, capacity: settings.segmentBytes, path: path, file: file)
                lane.state.withLock { state in
                    state.spares.append(segment)
                    lane.spares.wrappingAdd(1, ordering: .relaxed)
                    lane.offered.store(state.spares.count, ordering: .relaxed)
                }
                shared.spareError.store(0, ordering: .relaxed)
            } catch {
                shared.spareError.store(error.code, ordering: .relaxed)
                return
            }
        }
        shared.spareError.store(0, ordering: .relaxed)
    }

    /// All zeros: one that was used before, or a new one.
    private static func nextFile(_ shared: JournalShared, _ path: String) throws(JournalFileError) -> JournalFile {
        if let file = takeRecycled(shared, as: path) { return file }
        let size = shared.settings.segmentBytes
        let file = try shared.files.create(path, reserving: size)
        shared.bytes.wrappingAdd(size, ordering: .relaxed)
        return shared.settings.mapsSegments ? shared.files.map(file, length: size) : file
    }

    /// - Returns: nil when there is none, or none that could be renamed.
    private static func takeRecycled(_ shared: JournalShared, as path: String) -> JournalFile? {
        while let recycled = shared.recycled.withLock({ $0.popLast() }) {
            do {
                try shared.files.rename(recycled.path, to: path)
                shared.recycling.wrappingSubtract(1, ordering: .relaxed)
                return recycled.file
            } catch {
                drop(recycled, shared)
            }
        }
        return nil
    }

    private static func drop(_ recycled: RecycledFile, _ shared: JournalShared) {
        try? shared.files.remove(recycled.path)
        shared.files.close(recycled.file)
        shared.recycling.wrappingSubtract(1, ordering: .relaxed)
        shared.bytes.wrappingSubtract(shared.settings.segmentBytes, ordering: .relaxed)
    }

    // MARK: Syncing

    /// - Returns: whether somebody may have waited for the outcome.
    private func synchronize(_ lane: JournalLane) -> Bool {
        let wanted = lane.syncWanted.load(ordering: .acquiring)
        guard wanted > lane.synced.load(ordering: .relaxed), wanted > lane.syncFailed.load(ordering: .relaxed) else { return false }
        // Taken first: whatever was flushed by now lies in the files looked at below.
        let point = lane.flushed.load(ordering: .acquiring)
        var failure: Int32 = 0
        for segment in lane.segments() {
            let length = segment.committed.load(ordering: .acquiring)
            if length <= segment.synced.load(ordering: .relaxed) { continue }
            do {
                try shared.files.synchronize(segment.file)
                segment.synced.store(length, ordering: .relaxed)
            } catch {
                // The kernel may have dropped the pages, and a second fsync would say that all is well: what was asked for up to here is
                // answered with a failure, and the loop goes on in another segment.
                failure = error.code
                segment.synced.store(length, ordering: .relaxed)
            }
        }
        shared.syncError.store(failure, ordering: .relaxed)
        if failure == 0 {
            lane.synced.store(point, ordering: .releasing)
        } else {
            lane.syncFailed.store(point, ordering: .releasing)
        }
        return true
    }

    // MARK: Clearing away

    private func clear(_ lane: JournalLane) {
        let (discarded, finished) = lane.state.withLock { state in
            if !state.taken {
                // Made while the loop's journal was being closed.
                state.discarded += state.spares
                state.spares = []
            }
            defer {
                state.discarded = []
                state.finished = []
            }
            return (state.discarded, state.finished)
        }
        recycle(finished.filter { $0.isRecycled.load(ordering: .acquiring) })
        for segment in finished where !segment.isRecycled.load(ordering: .acquiring) { shared.files.close(segment.file) }
        for segment in discarded {
            do {
                try shared.files.remove(segment.path)
                shared.files.close(segment.file)
                shared.bytes.wrappingSubtract(segment.capacity, ordering: .relaxed)
            } catch {
                lane.state.withLock { $0.discarded.append(segment) }
            }
        }
    }

    /// Makes files of folded segments ready to be used again.
    private func recycle(_ segments: [JournalSegment]) {
        if !segments.isEmpty {
            // The new names first: a machine that loses its power must not come back with a segment's name on zeros.
            let isSafe = (try? shared.files.synchronizeDirectory(shared.directory)) != nil
            for segment in segments {
                let recycled = RecycledFile(path: segment.path + RecycledFile.suffix, file: segment.file)
                if isSafe, (try? shared.files.truncate(segment.file, to: 0)) != nil {
                    shared.recycled.withLock { $0.append(recycled) }
                } else {
                    Self.drop(recycled, shared)
                }
            }
        }
        if shared.lanes.allSatisfy({ !$0.state.withLock({ $0.taken }) }) {
            while let recycled = shared.recycled.withLock({ $0.popLast() }) { Self.drop(recycled, shared) }
        }
    }
}
