import Primitives
import Storage
import Trust

/// A record of a chain: what its data plane signed of it, and what was made of it here.
struct SignedUsage: Hashable, Sendable {
    enum State: UInt8, Sendable {
        case charged = 0
        /// Its request was reported, and charged, before.
        case repeated = 1
        /// Its data plane may not report it: charged to nobody unless it is released.
        case apart = 2
    }

    /// The bill's fields of a `weir.v1.UsageRecord`, as they were signed.
    var bill: [UInt8]
    /// Digest of the other fields.
    var rest: Digest256
    var state: State
    /// Nano-dollars; 0 where it is not charged.
    var chargedNano: Int64
    /// Of use, days since 1970.
    var day: Int64
}

/// Some records of a chain as one row keeps them: each its state (a byte), what was charged and the day (varints), the digest of the rest, and
/// the bill behind its length (a varint).
struct SignedUsageWriter {
    private(set) var bytes: [UInt8] = []
    private(set) var count = 0
    private(set) var days: ClosedRange<Int64> = 0...0

    mutating func append(_ bill: some Collection<UInt8>, rest: Digest256, _ state: SignedUsage.State, chargedNano: Int64, day: Int64) {
        bytes.append(state.rawValue)
        Varint.append(UInt64(max(0, chargedNano)), to: &bytes)
        Varint.append(UInt64(max(0, day)), to: &bytes)
        rest.append(to: &bytes)
        Varint.append(UInt64(bill.count), to: &bytes)
        bytes.append(contentsOf: bill)
        days = count == 0 ? day...day : min(days.lowerBound, day)...max(days.upperBound, day)
        count += 1
    }

    /// Nil for what nobody of us wrote.
    static func read(_ bytes: [UInt8]) -> [SignedUsage]? {
        bytes.withUnsafeBytes { raw in
            var records: [SignedUsage] = []
            var offset = 0
            while offset < raw.count {
                guard let state = SignedUsage.State(rawValue: raw[offset]) else { return nil }
                var reader = WireReader(offset + 1..<raw.count)
                guard let charged = reader.varint(raw), let day = reader.varint(raw), raw.count - reader.offset >= SHA256Digest.byteCount,
                    let rest = Digest256(bytes: raw[reader.offset..<reader.offset + SHA256Digest.byteCount])
                else { return nil }
                reader = WireReader(reader.offset + SHA256Digest.byteCount..<raw.count)
                guard let bill = reader.block(raw) else { return nil }
                records.append(
                    SignedUsage(
                        bill: Array(raw[bill]), rest: rest, state: state, chargedNano: Int64(clamping: charged), day: Int64(clamping: day)))
                offset = reader.offset
            }
            return records
        }
    }
}
