import Foundation
import Primitives

/// A SHA-256 digest by value: as it lies in memory, without an allocation.
package struct Digest256: Hashable, Sendable {
    private var words: SHA256Digest.Words

    /// Nil unless there are 32 bytes.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == SHA256Digest.byteCount else { return nil }
        words = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
    }

    private init(_ words: SHA256Digest.Words) { self.words = words }

    package init?(hex: String) {
        guard hex.utf8.count == 64, let bytes = Hex.decode(hex) else { return nil }
        self.init(bytes: bytes)
    }

    package static func of(_ bytes: UnsafeRawBufferPointer) -> Digest256 { Digest256(SHA256Digest.digest(bytes)) }

    package static func of(_ bytes: [UInt8]) -> Digest256 { bytes.withUnsafeBytes { of($0) } }

    package func append(to out: inout [UInt8]) { withUnsafeBytes(of: words) { out.append(contentsOf: $0) } }

    package var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }
    package var hex: String { Hex.encode(bytes) }

    package static func == (a: Digest256, b: Digest256) -> Bool { a.words == b.words }

    package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// The chain of one tenant's usage records at one data plane, in one life of its database (incarnation). docs/invoices.md has the bytes, so
/// that anybody can check a bill.
///
/// A record is split: the **bill** is what a tenant is charged by and is shown; the **rest** (where the request went, how long it took) is the
/// operator's, and only its digest is shown.
package enum UsageChain {
    /// More records than any chain has: counting on from a number that somebody signed or wrote stays far from where integers end.
    package static let mostRecords: Int64 = 1 << 53

    /// Of the bill, by the number of `weir.v1.UsageRecord`; a field that is not listed, one that a later release brings included, is the rest's.
    private static let billFields: (UInt64, UInt64) = {
        var fields: (UInt64, UInt64) = (0, 0)
        for number in [1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 19, 20, 25, 26, 27, 28, 29, 30, 31, 44] { fields.0 |= 1 << UInt64(number) }
        for number in 100...104 { fields.1 |= 1 << UInt64(number - 64) }
        return fields
    }()

    @inline(__always)
    fileprivate static func isOfBill(_ number: Int, _ fields: (UInt64, UInt64)) -> Bool {
        if number < 64 { return fields.0 >> UInt64(number) & 1 != 0 }
        return number < 128 && fields.1 >> UInt64(number - 64) & 1 != 0
    }

    fileprivate static var fields: (UInt64, UInt64) { billFields }

    /// Whose chain a record can be in: 1 to 64 printable characters without spaces. Others, which no data plane of ours writes, are in none.
    package static func isTenant(_ id: some Collection<UInt8>) -> Bool {
        (1...64).contains(id.count) && id.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// What stands before the first record.
    package static func genesis(dataPlaneID: String, incarnation: String, tenantID: String) -> Digest256 {
        .of(Array("weir usage chain v1\u{0}\(dataPlaneID)\u{0}\(incarnation)\u{0}\(tenantID)".utf8))
    }

    /// What stands after a record.
    @inline(__always)
    package static func link(_ previous: Digest256, _ record: UsageDigests) -> Digest256 {
        withUnsafeBytes(of: (previous, record.bill, record.rest)) { .of($0) }
    }
}

/// What a record counts by in its chain.
package struct UsageDigests: Hashable, Sendable {
    package let bill: Digest256
    package let rest: Digest256

    package init(bill: Digest256, rest: Digest256) {
        self.bill = bill
        self.rest = rest
    }
}

/// Splits records, one after the other, into what is billed and the rest. Its two buffers are used again.
package struct UsageSplitter {
    /// Of the record read last.
    package private(set) var bill: [UInt8] = []
    private var rest: [UInt8] = []
    /// Whose it is: the last field 2, as protobuf has it; where it lies in the record. Empty: nobody's.
    package private(set) var tenant = 0..<0

    package init() {}

    /// - Parameter record: A serialised `weir.v1.UsageRecord`.
    /// - Returns: nil for what is none.
    package mutating func read(_ record: UnsafeRawBufferPointer) -> UsageDigests? {
        bill.removeAll(keepingCapacity: true)
        rest.removeAll(keepingCapacity: true)
        tenant = 0..<0
        let fields = UsageChain.fields
        var reader = WireReader(count: record.count)
        // Fields of one side that stand together are copied together.
        var (start, isBill) = (0, true)
        var offset = 0
        while let (number, wire) = reader.tag(record) {
            let isOfBill = UsageChain.isOfBill(number, fields)
            if isOfBill != isBill {
                take(record, start..<offset, isBill)
                (start, isBill) = (offset, isOfBill)
            }
            if number == 2, wire == 2 {
                tenant = reader.block(record) ?? 0..<0
            } else {
                reader.skip(wire, record)
            }
            offset = reader.offset
        }
        guard !reader.hasFailed else { return nil }
        take(record, start..<record.count, isBill)
        return UsageDigests(bill: .of(bill), rest: .of(rest))
    }

    private mutating func take(_ record: UnsafeRawBufferPointer, _ range: Range<Int>, _ isBill: Bool) {
        let part = UnsafeRawBufferPointer(rebasing: record[range])
        if isBill { bill.append(contentsOf: part) } else { rest.append(contentsOf: part) }
    }
}

/// How far a chain goes, with the data plane's signature.
package struct UsageHead: Hashable, Sendable {
    /// DSSE's payload type.
    package static let type = "application/vnd.weir.usage-head.v1"

    package let dataPlaneID: String
    package let incarnation: String
    package let tenantID: String
    /// Records in the chain.
    package let number: Int64
    /// Of the last of them.
    package let link: Digest256
    /// Unix milliseconds, by the data plane's clock.
    package let signedAt: Int64
    package private(set) var signature: [UInt8]

    package init(
        dataPlaneID: String, incarnation: String, tenantID: String, number: Int64, link: Digest256, signedAt: Int64, signature: [UInt8] = []
    ) {
        self.dataPlaneID = dataPlaneID
        self.incarnation = incarnation
        self.tenantID = tenantID
        self.number = number
        self.link = link
        self.signedAt = signedAt
        self.signature = signature
    }

    private var body: [UInt8] {
        Array("\(dataPlaneID)\u{0}\(incarnation)\u{0}\(tenantID)\u{0}\(number)\u{0}\(link.hex)\u{0}\(signedAt)".utf8)
    }

    /// - Throws: `TrustError.signing`.
    package func signed(by key: IdentityKey) throws(TrustError) -> UsageHead {
        var head = self
        head.signature = try key.sign(type: Self.type, body: body)
        return head
    }

    package func isSigned(by publicKey: [UInt8]) -> Bool {
        TrustStore.verify(publicKey: publicKey, type: Self.type, body: body, signature: signature)
    }
}
