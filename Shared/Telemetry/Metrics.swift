import Synchronization

/// A number that only rises. Incrementing is one relaxed atomic addition.
package final class Counter: Sendable {
    private let value = Atomic<UInt64>(0)

    package init() {}

    @inline(__always)
    package func increment(by amount: UInt64 = 1) { value.wrappingAdd(amount, ordering: .relaxed) }

    package var current: UInt64 { value.load(ordering: .relaxed) }
}

/// A number that goes up and down.
package final class Gauge: Sendable {
    private let bits = Atomic<UInt64>(0)

    package init() {}

    package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    package func add(_ amount: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (done, seen) = bits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if done { return }
            old = seen
        }
    }

    package var current: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
}

/// How observations spread over fixed buckets. Observing is a search over a few bounds and two atomic operations.
package final class Histogram: Sendable {
    /// Upper bounds, rising; what lies above the last falls into +Inf.
    package let bounds: [Double]
    private let buckets: [Counter]
    private let sum = Gauge()

    package init(buckets bounds: [Double]) {
        let rising = Set(bounds.filter(\.isFinite)).sorted()
        self.bounds = rising
        buckets = (0...rising.count).map { _ in Counter() }
    }

    /// NaN is ignored.
    package func observe(_ value: Double) {
        guard !value.isNaN else { return }
        let index = bounds.firstIndex { value <= $0 } ?? bounds.count
        buckets[index].increment()
        sum.add(value)
    }

    /// Counts of the buckets, each including those below it; the last is the count of all.
    package var cumulativeCounts: [UInt64] {
        var total: UInt64 = 0
        return buckets.map { bucket in
            total &+= bucket.current
            return total
        }
    }

    package var total: Double { sum.current }
}

/// All metrics of a process. Made when the process starts and handed to whatever counts: series are created then, with their
/// labels, and kept by who increments them, so that nothing is looked up on a hot path.
package final class MetricsRegistry: Sendable {
    package typealias Labels = PrometheusText.Labels

    private enum Series: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        /// Asked when the metrics are read.
        case computed(@Sendable () -> Double)
        case histogram(Histogram)

        var type: String {
            switch self {
            case .counter: "counter"
            case .gauge, .computed: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    private struct Family: Sendable {
        let help: String
        let type: String
        /// In the order of creation; the key is the labels as they are written.
        var series: [(labels: String, series: Series)] = []
    }

    private let families = Mutex<[String: Family]>([:])
    private let collectors = Mutex<[@Sendable (inout PrometheusText) -> Void]>([])

    package init() {}

    /// The counter of this name and these labels; made when it is not there yet.
    package func counter(_ name: String, help: String, labels: Labels = []) -> Counter {
        if case .counter(let counter) = register(name, help, labels, or: .counter(Counter())) { counter } else { Counter() }
    }

    package func gauge(_ name: String, help: String, labels: Labels = []) -> Gauge {
        if case .gauge(let gauge) = register(name, help, labels, or: .gauge(Gauge())) { gauge } else { Gauge() }
    }

    /// A gauge whose value is asked for when the metrics are read; it must answer quickly. The first one of a name stays.
    package func gauge(_ name: String, help: String, labels: Labels = [], value: @escaping @Sendable () -> Double) {
        _ = register(name, help, labels, or: .computed(value))
    }

    package func histogram(_ name: String, help: String, labels: Labels = [], buckets: [Double]) -> Histogram {
        let made = Histogram(buckets: buckets)
        return if case .histogram(let histogram) = register(name, help, labels, or: .histogram(made)) { histogram } else { made }
    }

    /// The series that is registered under this name and these labels. A name belongs to one type: a series of another type is
    /// handed back without being registered, so it counts for nobody, and the family stays readable.
    private func register(_ name: String, _ help: String, _ labels: Labels, or series: Series) -> Series {
        let written = PrometheusText.written(labels)
        let name = PrometheusText.clean(name)
        return families.withLock { families in
            var family = families[name] ?? Family(help: help, type: series.type)
            guard family.type == series.type else { return series }
            if let present = family.series.first(where: { $0.labels == written }) { return present.series }
            family.series.append((written, series))
            families[name] = family
            return series
        }
    }

    /// Adds families that are worked out when the metrics are read, behind all others. Must answer quickly.
    package func collect(_ body: @escaping @Sendable (inout PrometheusText) -> Void) { collectors.withLock { $0.append(body) } }

    /// Families in the order of their names, then what collectors add.
    package var text: String {
        let snapshot = families.withLock { $0 }
        var out = PrometheusText()
        for (name, family) in snapshot.sorted(by: { $0.key < $1.key }) {
            out.family(name, family.type, family.help)
            for (labels, series) in family.series {
                switch series {
                case .counter(let counter): out.sample(name, written: labels, "\(counter.current)")
                case .gauge(let gauge): out.sample(name, written: labels, PrometheusText.number(gauge.current))
                case .computed(let value): out.sample(name, written: labels, PrometheusText.number(value()))
                case .histogram(let histogram):
                    out.histogram(
                        name, written: labels, bounds: histogram.bounds, counts: histogram.cumulativeCounts, sum: histogram.total)
                }
            }
        }
        for collector in collectors.withLock({ $0 }) { collector(&out) }
        return out.text
    }
}
