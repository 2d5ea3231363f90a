/// Counts durations in buckets whose width is 1/128 of their value: percentiles are right to 0.8 % from a microsecond to hours.
/// (The idea of HdrHistogram; nanoseconds in, no allocation after the start.)
package struct LatencyHistogram: Sendable {
    private static let subBucketBits = 7
    private static let subBuckets = 1 << subBucketBits

    private var counts: [UInt64]
    package private(set) var count: UInt64 = 0
    package private(set) var maximumNanoseconds: Int64 = 0
    private var sum: Double = 0

    package init() { counts = Array(repeating: 0, count: (64 - Self.subBucketBits + 1) * Self.subBuckets) }

    /// Negative durations count as zero.
    package mutating func record(nanoseconds: Int64) {
        let value = max(0, nanoseconds)
        counts[Self.bucket(value)] += 1
        count += 1
        sum += Double(value)
        maximumNanoseconds = max(maximumNanoseconds, value)
    }

    package mutating func merge(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        sum += other.sum
        maximumNanoseconds = max(maximumNanoseconds, other.maximumNanoseconds)
    }

    package var meanNanoseconds: Double { count == 0 ? 0 : sum / Double(count) }

    /// The smallest recorded value, to the bucket's width, that `percent` of all do not exceed; 0 when nothing was recorded.
    package func percentile(_ percent: Double) -> Int64 {
        guard count > 0 else { return 0 }
        let wanted = UInt64((Double(count) * min(max(percent, 0), 100) / 100).rounded(.up))
        var seen: UInt64 = 0
        for (index, bucket) in counts.enumerated() where bucket > 0 {
            seen += bucket
            if seen >= max(1, wanted) { return min(Self.highestValue(index), maximumNanoseconds) }
        }
        return maximumNanoseconds
    }

    /// Below 128 each value has a bucket; above, each power of two has 128 of them.
    private static func bucket(_ value: Int64) -> Int {
        guard value >= Int64(subBuckets) else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount - subBucketBits
        return (exponent + 1) * subBuckets + Int(value >> Int64(exponent)) - subBuckets
    }

    private static func highestValue(_ bucket: Int) -> Int64 {
        guard bucket >= subBuckets else { return Int64(bucket) }
        let exponent = bucket / subBuckets - 1
        let lowest = Int64(bucket % subBuckets + subBuckets) << Int64(exponent)
        // In this order: the highest bucket ends at Int64.max, and one more would trap.
        return lowest + ((1 << Int64(exponent)) - 1)
    }
}
