package import Contract
import Primitives
import SwiftProtobuf
import Trust

/// A `weir.v1.UsageBatch` as it was sent: where its records lie, not decoded.
package struct UsageBatchBytes: Sendable {
    package private(set) var incarnation = ""
    package private(set) var sequence: UInt64 = 0
    let bytes: [UInt8]
    /// Of each record, without its tag and length.
    package private(set) var records: [Range<Int>] = []
    /// Its records are in their tenants' chains.
    private(set) var isChained = false
    private var heads: [Range<Int>] = []

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
                case (50, 2): if let head = reader.block(bytes) { heads.append(head) }
                case (51, 0): isChained = reader.varint(bytes) == 1
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

    /// How far chains go after it, as signed by this data plane. What is none is left out, and its chain stays as it is.
    func heads(of dataPlaneID: String) -> [UsageHead] {
        heads.compactMap { range in
            guard let head = try? Weir_V1_UsageHead(serializedBytes: Array(bytes[range])), let number = Int64(exactly: head.number),
                number <= UsageChain.mostRecords, let link = Digest256(bytes: head.link), UsageChain.isTenant(head.tenantID.utf8)
            else { return nil }
            return UsageHead(
                dataPlaneID: dataPlaneID, incarnation: incarnation, tenantID: head.tenantID, number: number, link: link,
                signedAt: head.signedAtMs, signature: Array(head.signature))
        }
    }

    /// A record as it came; empty where there is none.
    func recordBytes(_ place: Int) -> [UInt8] { records.indices.contains(place) ? Array(bytes[records[place]]) : [] }

    /// - Throws: `DomainError.invalid`.
    func record(_ place: Int) throws(DomainError) -> Weir_V1_UsageRecord {
        guard let record = try? Weir_V1_UsageRecord(serializedBytes: recordBytes(place)) else { throw Self.malformed }
        return record
    }

    static let malformed = DomainError.invalid("records", "are not usage records", remedy: "Send a serialised weir.v1.UsageBatch.")
}
