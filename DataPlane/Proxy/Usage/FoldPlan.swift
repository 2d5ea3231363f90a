package import GRDB
package import Primitives

/// Finished records in the form of an outbox row's blob: for each one the tag of `UsageBatch.records`, its length and its bytes.
struct RecordBuffer {
    struct Entry {
        var id: RequestID
        var start: Int
        var body: Int
        var end: Int
    }

    private(set) var bytes: [UInt8] = []
    private(set) var entries: [Entry] = []

    /// Field 3, length-delimited.
    private static let tag: UInt8 = 3 << 3 | 2

    mutating func append(_ id: RequestID, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) {
        let start = bytes.count
        bytes.append(Self.tag)
        Varint.append(UInt64(first.count &+ second.count), to: &bytes)
        let body = bytes.count
        bytes.append(contentsOf: first)
        bytes.append(contentsOf: second)
        entries.append(Entry(id: id, start: start, body: body, end: bytes.count))
    }

    mutating func reset() {
        bytes.removeAll(keepingCapacity: bytes.capacity <= 2 << 20)
        entries.removeAll(keepingCapacity: entries.capacity <= 16 << 10)
    }
}

/// A frame of the journal that is no part of a request's record.
package struct JournalNote: Hashable, Sendable {
    package var kind: JournalFrame.Kind
    package var subject: RequestID
    package var payload: [UInt8]
}

/// The records of one transaction, for those who count along, and the notes that are theirs.
package struct FoldedRecords {
    let buffer: RecordBuffer
    /// Of the participant's own kinds, each loop's in its order.
    package let notes: [JournalNote]

    package var count: Int { buffer.entries.count }

    /// - Parameter body: gets each record as the bytes of a `weir.v1.UsageRecord`, valid during the call.
    package func forEach(_ body: (RequestID, UnsafeRawBufferPointer) throws -> Void) rethrows {
        try buffer.bytes.withUnsafeBytes { bytes in
            for entry in buffer.entries {
                try body(entry.id, UnsafeRawBufferPointer(rebasing: bytes[entry.body..<entry.end]))
            }
        }
    }
}

/// Somebody whose counters (quotas, leases, rates) change together with the records: in the same transaction or not at all.
package protocol FoldParticipant: Sendable {
    /// Which notes of the journal are this one's; no other participant has the same.
    var kinds: Set<JournalFrame.Kind> { get }
    /// Called on the folder's thread within the transaction; what it throws rolls everything back, and the same records come again.
    /// Each record and each note comes exactly once in a transaction that is committed.
    func fold(_ records: FoldedRecords, in database: Database) throws
}

extension FoldParticipant {
    package var kinds: Set<JournalFrame.Kind> { [] }
}

/// What a stretch of the journal comes down to, put together without the database.
struct FoldPlan {
    struct Open {
        var intent: [UInt8]
        var progress: [UInt8]?
    }

    /// Whose intent and completion both lie in the stretch.
    var records = RecordBuffer()
    /// Intents without a completion so far.
    var opened: [RequestID: Open] = [:]
    /// Of requests whose intents were folded before.
    var progressed: [RequestID: [UInt8]] = [:]
    var ended: [(id: RequestID, completion: [UInt8])] = []
    /// What is no part of a record.
    var notes: [JournalNote] = []
    /// How far each segment is folded once this is committed.
    var positions: [(segment: String, position: Int)] = []

    private struct Place {
        var intent: Range<Int>
        var progress: Range<Int>
    }

    /// Intents of the bytes being read that have no completion yet.
    private var places: [RequestID: Place] = [:]

    mutating func reset() {
        records.reset()
        opened.removeAll(keepingCapacity: false)
        progressed.removeAll(keepingCapacity: false)
        ended.removeAll(keepingCapacity: false)
        notes.removeAll(keepingCapacity: false)
        positions.removeAll(keepingCapacity: true)
        places.removeAll(keepingCapacity: true)
    }

    enum End {
        /// All whole frames were read; what is left of one, from here on, comes with more bytes.
        case at(Int)
        /// A damaged place begins here, and no whole frame follows in these bytes.
        case damaged(at: Int)
    }

    /// Reads frames from `bytes`, beginning at a frame.
    /// - Parameters:
    ///   - isLast: nothing follows these bytes, so a frame that is cut off is a damaged one.
    ///   - skipped: gets each damaged place that a whole frame follows.
    mutating func read(_ bytes: UnsafeRawBufferPointer, salt: UInt32, isLast: Bool, skipped: (Range<Int>) -> Void) -> End {
        defer { settle(bytes) }
        var offset = 0
        while offset < bytes.count {
            switch JournalFrame.look(at: offset, of: bytes, salt: salt) {
            case .frame(let kind, let size):
                take(kind, bytes, offset, size)
                offset += size
            case .incomplete where !isLast:
                return .at(offset)
            case .incomplete, .damaged:
                if JournalFrame.isZero(UnsafeRawBufferPointer(rebasing: bytes[offset...])) { return .damaged(at: offset) }
                guard let next = JournalFrame.nextFrame(from: offset + 1, of: bytes, salt: salt) else { return .damaged(at: offset) }
                skipped(offset..<next)
                offset = next
            }
        }
        return .at(offset)
    }

    private mutating func take(_ kind: JournalFrame.Kind, _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ size: Int) {
        guard let base = bytes.baseAddress else { return }
        let id = JournalFrame.id(base + offset)
        let payload = offset + JournalFrame.headerBytes..<offset + size
        func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
        switch kind {
        case .intent:
            places[id] = Place(intent: payload, progress: 0..<0)
        case .progress:
            if places[id] != nil {
                places[id]?.progress = payload
            } else if opened[id] != nil {
                opened[id]?.progress = [UInt8](slice(payload))
            } else {
                progressed[id] = [UInt8](slice(payload))
            }
        case .completion:
            if let place = places.removeValue(forKey: id) {
                records.append(id, slice(place.intent), slice(payload))
            } else if let open = opened.removeValue(forKey: id) {
                open.intent.withUnsafeBytes { records.append(id, $0, slice(payload)) }
            } else {
                progressed[id] = nil
                ended.append((id, [UInt8](slice(payload))))
            }
        case .void:
            break
        default:
            notes.append(JournalNote(kind: kind, subject: id, payload: [UInt8](slice(payload))))
        }
    }

    /// Copies what has to outlive the bytes.
    private mutating func settle(_ bytes: UnsafeRawBufferPointer) {
        for (id, place) in places {
            opened[id] = Open(
                intent: [UInt8](bytes[place.intent]), progress: place.progress.isEmpty ? nil : [UInt8](bytes[place.progress]))
        }
        places.removeAll(keepingCapacity: true)
    }
}
