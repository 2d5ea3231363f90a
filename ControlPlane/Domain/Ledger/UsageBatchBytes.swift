package import Contract
import Primitives
import SwiftProtobuf

/// A `weir.v1.UsageBatch` as it was sent: where its records lie, not decoded.
package struct UsageBatchBytes: Sendable {
    package private(set) var incarnation = ""
    package private(set) var sequence: UInt64 = 0
    let bytes: [UInt8]
    /// Of each record, without its tag and length.
    package private(set) var records: [Range<Int>] = []

    /// - Throws: `DomainError.invalid` for what is no batch. Fields that we do not know are passed over.
    package init(_ bytes: [UInt8]) throws(DomainError) {
        self.bytes = bytes
        var reader = WireReader(count: bytes.count)
        var isWhole = true
        var incarnation: Range<Int>?
        bytes.withUnsafeBytes { bytes in
            while let (number, wire) = reader.tag(bytes) {
                switch (number, wire) {
                case (1, 2): incarnation = reader.block(bytes)
                case (2, 0): sequence = reader.varint(bytes) ?? 0
                case (3, 2): if let record = reader.block(bytes) { records.append(record) }
                default: reader.skip(wire, bytes)
                }
            }
            isWhole = !reader.hasFailed
        }
        if let incarnation, isWhole {
            // A text that is none in UTF-8 is no incarnation either: see `UsageIntake.check`.
            self.incarnation = String(validating: bytes[incarnation], as: UTF8.self) ?? ""
        }
        guard isWhole else { throw Self.malformed }
    }

    package init(_ batch: Weir_V1_UsageBatch) throws(DomainError) {
        guard let bytes: [UInt8] = try? batch.serializedBytes() else { throw Self.malformed }
        try self.init(bytes)
    }

    /// Bytes.
    package var size: Int { bytes.count }

    /// A record as it came; empty where there is none.
    func recordBytes(_ place: Int) -> [UInt8] { records.indices.contains(place) ? Array(bytes[records[place]]) : [] }

    /// - Throws: `DomainError.invalid`.
    func record(_ place: Int) throws(DomainError) -> Weir_V1_UsageRecord {
        guard let record = try? Weir_V1_UsageRecord(serializedBytes: recordBytes(place)) else { throw Self.malformed }
        return record
    }

    static let malformed = DomainError.invalid("records", "are not usage records", remedy: "Send a serialised weir.v1.UsageBatch.")
}

/// Reads protobuf's wire format (protobuf.dev/programming-guides/encoding) from bytes that somebody else holds.
struct WireReader {
    private var offset: Int
    private let end: Int
    private(set) var hasFailed = false

    init(count: Int) { self.init(0..<count) }

    init(_ range: Range<Int>) {
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next field's number and wire type; nil at the end, and once something could not be read.
    @inline(__always)
    mutating func tag(_ bytes: UnsafeRawBufferPointer) -> (number: Int, wire: Int)? {
        guard offset < end, !hasFailed, let tag = varint(bytes) else { return nil }
        let number = Int(truncatingIfNeeded: tag >> 3)
        guard tag <= UInt64(UInt32.max), number > 0 else {
            hasFailed = true
            return nil
        }
        return (number, Int(truncatingIfNeeded: tag & 7))
    }

    @inline(__always)
    mutating func varint(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        var (value, shift) = (UInt64(0), UInt64(0))
        while offset < end, shift < 70 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        hasFailed = true
        return nil
    }

    @inline(__always)
    mutating func block(_ bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        guard let length = varint(bytes) else { return nil }
        guard length <= UInt64(end - offset) else {
            hasFailed = true
            return nil
        }
        defer { offset += Int(length) }
        return offset..<offset + Int(length)
    }

    mutating func skip(_ wire: Int, _ bytes: UnsafeRawBufferPointer) {
        switch wire {
        case 0: _ = varint(bytes)
        case 1 where end - offset >= 8: offset += 8
        case 2: _ = block(bytes)
        case 5 where end - offset >= 4: offset += 4
        // Groups belong to an older protobuf, and nobody sends them.
        default: hasFailed = true
        }
    }
}
