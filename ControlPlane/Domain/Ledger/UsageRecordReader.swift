import Contract
import Primitives
import Storage

/// Reads usage records from the wire straight into packed rows: those in which everything is as it ought to be, as nearly always.
///
/// What it does not take is decoded in full and goes by way of `UsageSanitiser`, which says what is in range; so a record with a field that
/// this reader does not know costs more and loses nothing. A test compares the two ways.
struct UsageRecordReader {
    private enum Kind {
        case none
        case text(place: Int, limit: Int)
        /// An integer of 64 bits, a number of an enumeration, an unsigned one of 32 bits, a Boolean.
        case int(place: Int, ClosedRange<Int64>)
        case enumeration(place: Int)
        case unsigned(place: Int, ClosedRange<Int64>)
        case bool(place: Int)
        case version, requestID, traceID, tag
        /// Of the data plane alone.
        case passedOver
    }

    private(set) var rows: PackedRows
    private let template: [Int64]
    private let times: ClosedRange<Int64>
    /// By field: the text that the record before had there.
    private var latest = [Int64](repeating: 0, count: UsageRecordReader.fields.count)
    /// Of lists of tags, as they were sent: the text that is stored for them.
    private var tagTexts: [[Int64]: Int64] = [:]

    /// - Parameter rows: Where what is read is added.
    init(_ rows: PackedRows, dataPlaneID: String, incarnation: String, now: Int64) throws {
        var row = UsageRow()
        row.dataPlaneID = dataPlaneID
        row.incarnation = incarnation
        row.receivedAt = now / 1000
        var rows = rows
        try row.append(to: &rows)
        template = Array(rows.slots.suffix(rows.width))
        rows.removeLast()
        self.rows = rows
        times = UsageSanitiser.times(now: now)
    }

    /// Adds the record's row, not rated.
    /// - Returns: false, nothing being added, for a record that has to be decoded in full.
    mutating func read(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, sequence: Int64, position: Int) -> Bool {
        rows.append(slots: template)
        let row = rows.count - 1
        rows.set(row, UsagePlace.sequence, sequence)
        rows.set(row, UsagePlace.position, Int64(position))
        var reader = WireReader(range)
        var hasID = false
        var tags: [Int64] = []
        while let (number, wire) = reader.tag(bytes) {
            guard number < Self.fields.count, read(Self.fields[number], number, wire, row, &reader, &hasID, &tags, bytes) else {
                rows.removeLast()
                return false
            }
        }
        guard hasID, !reader.hasFailed, times.contains(rows[row, UsagePlace.admittedAt]), setTags(tags, row) else {
            rows.removeLast()
            return false
        }
        return true
    }

    @inline(__always)
    private mutating func read(
        _ field: Kind, _ number: Int, _ wire: Int, _ row: Int, _ reader: inout WireReader, _ hasID: inout Bool, _ tags: inout [Int64],
        _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        switch field {
        case .text(let place, let limit):
            guard wire == 2, let range = reader.block(bytes), range.count <= limit, let text = text(bytes, range, number) else {
                return false
            }
            rows.set(row, place, text)
        case .int(let place, let allowed):
            guard wire == 0, let value = reader.varint(bytes), allowed.contains(Int64(bitPattern: value)) else { return false }
            rows.set(row, place, Int64(bitPattern: value))
        case .enumeration(let place):
            guard wire == 0, let value = reader.varint(bytes), value <= 1000 else { return false }
            rows.set(row, place, Int64(value))
        case .unsigned(let place, let allowed):
            guard wire == 0, let value = reader.varint(bytes), allowed.contains(Int64(UInt32(truncatingIfNeeded: value))) else {
                return false
            }
            rows.set(row, place, Int64(UInt32(truncatingIfNeeded: value)))
        case .bool(let place):
            guard wire == 0, let value = reader.varint(bytes) else { return false }
            rows.set(row, place, value == 0 ? 0 : 1)
        case .version:
            guard wire == 0, let value = reader.varint(bytes), value <= UInt64(Int64.max) else { return false }
            rows.set(row, UsagePlace.configVersion, Int64(value))
        case .requestID:
            guard wire == 2, let range = reader.block(bytes), range.count == 16 else { return false }
            rows.set(row, UsagePlace.requestID, rows.blob(UnsafeRawBufferPointer(rebasing: bytes[range])))
            hasID = true
        case .traceID:
            guard wire == 2, let range = reader.block(bytes) else { return false }
            rows.set(
                row, UsagePlace.traceID, range.count == 16 ? rows.blob(UnsafeRawBufferPointer(rebasing: bytes[range])) : PackedRows.null)
        case .tag:
            guard wire == 2, let range = reader.block(bytes), range.count <= UsageSanitiser.Limits.tagBytes, tags.count < 64,
                let tag = rows.plainText(UnsafeRawBufferPointer(rebasing: bytes[range]))
            else { return false }
            tags.append(tag)
        case .passedOver: reader.skip(wire, bytes)
        case .none: return false
        }
        return true
    }

    /// Most records have the text that the one before had.
    @inline(__always)
    private mutating func text(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ number: Int) -> Int64? {
        let text = UnsafeRawBufferPointer(rebasing: bytes[range])
        if rows.holds(latest[number], text) { return latest[number] }
        guard let reference = rows.plainText(text) else { return nil }
        latest[number] = reference
        return reference
    }

    private mutating func setTags(_ tags: [Int64], _ row: Int) -> Bool {
        guard !tags.isEmpty else { return true }
        if let known = tagTexts[tags] {
            rows.set(row, UsagePlace.tags, known)
            return true
        }
        let texts = tags.map { rows.text(at: $0) }
        let kept = UsageTags.fitting(texts)
        // What does not fit is left out, and the record says so.
        guard kept.count == Set(texts).count else { return false }
        var text = JSONValue.strings(kept).text
        let reference = text.withUTF8 { rows.text(UnsafeRawBufferPointer($0)) }
        if tagTexts.count < 10_000 { tagTexts[tags] = reference }
        rows.set(row, UsagePlace.tags, reference)
        return true
    }

    // MARK: After reading

    mutating func set(_ row: Int, _ place: Int, _ slot: Int64) { rows.set(row, place, slot) }

    mutating func setText(_ row: Int, _ place: Int, _ text: String) {
        var text = text
        rows.set(row, place, text.withUTF8 { rows.text(UnsafeRawBufferPointer($0)) })
    }

    mutating func append(_ row: UsageRow) throws { try row.append(to: &rows) }

    // MARK: What is where

    /// By the number of the field.
    private static let fields: [Kind] = {
        typealias Limits = UsageSanitiser.Limits
        let (tokens, durations, sizes) = (0...Limits.tokens, 0...Limits.durationMicroseconds, 0...Limits.bytes)
        func id(_ place: Int) -> Kind { .text(place: place, limit: Limits.identifierBytes) }
        let known: [Contract.UsageField: Kind] = [
            .requestID: .requestID, .traceID: .traceID, .tags: .tag, .configVersion: .version,
            .tenantID: id(UsagePlace.tenantID), .projectID: id(UsagePlace.projectID), .keyID: id(UsagePlace.keyID),
            .routeID: id(UsagePlace.routeID), .channel: id(UsagePlace.channel), .appID: id(UsagePlace.appID),
            .userID: id(UsagePlace.userID), .ownerID: id(UsagePlace.ownerID), .errorCode: id(UsagePlace.errorCode),
            .endpointID: id(UsagePlace.endpointID), .providerID: id(UsagePlace.providerID), .credentialID: id(UsagePlace.credentialID),
            .priceID: id(UsagePlace.priceID), .model: .text(place: UsagePlace.model, limit: Limits.nameBytes),
            .upstreamModel: .text(place: UsagePlace.upstreamModel, limit: Limits.nameBytes),
            .did: .text(place: UsagePlace.did, limit: Limits.didBytes),
            .dialect: .text(place: UsagePlace.dialect, limit: Limits.dialectBytes),
            .capability: .enumeration(place: UsagePlace.capability), .status: .enumeration(place: UsagePlace.status),
            .errorOrigin: .enumeration(place: UsagePlace.errorOrigin), .streaming: .bool(place: UsagePlace.streaming),
            .sentUpstream: .bool(place: UsagePlace.sentUpstream), .admittedAtUs: .int(place: UsagePlace.admittedAt, 0...Int64.max),
            .httpStatus: .unsigned(place: UsagePlace.httpStatus, 0...Limits.httpStatus),
            .upstreamStatus: .unsigned(place: UsagePlace.upstreamStatus, 0...Limits.httpStatus),
            .attempts: .unsigned(place: UsagePlace.attempts, 0...Limits.attempts),
            .flags: .unsigned(place: UsagePlace.flags, 0...Int64(UInt32.max)), .costNano: .int(place: UsagePlace.costNano, 0...Limits.cost),
            .estimatedInputTokens: .int(place: UsagePlace.estimatedInputTokens, tokens),
            .inputTokens: .int(place: UsagePlace.inputTokens, tokens), .outputTokens: .int(place: UsagePlace.outputTokens, tokens),
            .cachedInputTokens: .int(place: UsagePlace.cachedInputTokens, tokens),
            .cacheWriteTokens: .int(place: UsagePlace.cacheWriteTokens, tokens),
            .reasoningTokens: .int(place: UsagePlace.reasoningTokens, tokens), .latencyUs: .int(place: UsagePlace.latency, durations),
            .timeToFirstByteUs: .int(place: UsagePlace.timeToFirstByte, durations),
            // What became of slices is told by the lease stream.
            .likelyCostNano: .passedOver, .likelyTokens: .passedOver, .progressRecords: .passedOver, .holds: .passedOver,
            .extensions: .passedOver, .charges: .passedOver,
            .requestBytes: .int(place: UsagePlace.requestBytes, sizes), .responseBytes: .int(place: UsagePlace.responseBytes, sizes),
        ]
        var fields = [Kind](repeating: .none, count: Int(known.keys.map(\.rawValue).max() ?? 0) + 1)
        for (field, kind) in known { fields[Int(field.rawValue)] = kind }
        return fields
    }()
}
