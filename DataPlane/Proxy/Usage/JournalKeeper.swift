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
            guard shared.bytes.load(ordering: .relaxed) + settings.segmentBytes <= settings.maximumBytes else {
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
                let file = try shared.files.create(path, reserving: settings.segmentBytes)
                if settings.durability == .power { try? shared.files.synchronizeDirectory(shared.directory) }
                let segment = JournalSegment(name: name, salt: shared.salt, capacity: settings.segmentBytes, path: path, file: file)
                shared.bytes.wrappingAdd(settings.segmentBytes, ordering: .relaxed)
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
        for segment in finished { shared.files.close(segment.file) }
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
}
