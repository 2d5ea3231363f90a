import Telemetry

/// One loop's count of attempts by model, endpoint, configuration version and what they came to. Touched on that loop alone.
///
/// Bounded: above `maximumSeries` everything new is counted as "other", and the versions that are no longer held are counted together as
/// "older".
final class AttemptMetrics {
    /// Of model, endpoint and version, a loop. Some thirty numbers each.
    static let maximumSeries = 1000

    struct Key: Hashable, Sendable {
        var model: String
        var endpoint: String
        var provider: String
        var version: String

        static let other = Key(model: "other", endpoint: "other", provider: "other", version: "other")
    }

    struct Counts: Sendable {
        /// By `AttemptResult.labels`.
        var results = [UInt64](repeating: 0, count: AttemptResult.labels.count)
        /// Sums, in microseconds, and how many attempts they are made of.
        var duration: UInt64 = 0
        var timeToFirstByte: UInt64 = 0
        var firstBytes: UInt64 = 0

        var attempts: UInt64 { results.reduce(0, &+) }
        var failures: UInt64 { AttemptResult.failureIndices.reduce(0) { $0 &+ results[$1] } }

        static func += (a: inout Counts, b: Counts) {
            for index in a.results.indices { a.results[index] &+= b.results[index] }
            a.duration &+= b.duration
            a.timeToFirstByte &+= b.timeToFirstByte
            a.firstBytes &+= b.firstBytes
        }
    }

    /// The series of the attempts that are made now. It holds what it is looked up by, so that no other object can take its place.
    private final class Series {
        let model: CompiledModel
        let endpoint: CompiledEndpoint
        let version: UInt64
        var counts = Counts()

        init(model: CompiledModel, endpoint: CompiledEndpoint, version: UInt64) {
            self.model = model
            self.endpoint = endpoint
            self.version = version
        }
    }

    private struct Place: Hashable {
        let model: ObjectIdentifier
        let endpoint: ObjectIdentifier
        let version: UInt64
    }

    private var series: [Place: Series] = [:]
    /// The one that was counted into last: most requests go where the one before them went.
    private var latest: Series?
    /// What is no longer counted into: older versions, and what found no room.
    private var past: [Key: Counts] = [:]

    func count(
        _ model: CompiledModel, _ endpoint: CompiledEndpoint, version: UInt64, _ result: AttemptResult, duration: Int64, firstByte: Int64?
    ) {
        if let latest, latest.model === model, latest.endpoint === endpoint, latest.version == version {
            return Self.add(&latest.counts, result, duration, firstByte)
        }
        let place = Place(model: ObjectIdentifier(model), endpoint: ObjectIdentifier(endpoint), version: version)
        guard let series = series[place] ?? make(place, model, endpoint, version) else {
            return Self.add(&past[.other, default: Counts()], result, duration, firstByte)
        }
        latest = series
        Self.add(&series.counts, result, duration, firstByte)
    }

    private func make(_ place: Place, _ model: CompiledModel, _ endpoint: CompiledEndpoint, _ version: UInt64) -> Series? {
        guard series.count + past.count < Self.maximumSeries else { return nil }
        let made = Series(model: model, endpoint: endpoint, version: version)
        series[place] = made
        return made
    }

    private static func add(_ counts: inout Counts, _ result: AttemptResult, _ duration: Int64, _ firstByte: Int64?) {
        counts.results[result.labelIndex] &+= 1
        counts.duration &+= UInt64(max(0, duration))
        guard let firstByte else { return }
        counts.timeToFirstByte &+= UInt64(max(0, firstByte))
        counts.firstBytes &+= 1
    }

    /// Lets go of versions that are no longer held; what was counted of them stays counted.
    func keep(versions: Set<UInt64>) {
        latest = nil
        for (place, series) in series where !versions.contains(place.version) {
            self.series[place] = nil
            let key = Key(
                model: series.model.name, endpoint: series.endpoint.id, provider: series.endpoint.providerID, version: "older")
            let hasRoom = past[key] != nil || past.count < Self.maximumSeries / 2
            past[hasRoom ? key : .other, default: Counts()] += series.counts
        }
    }

    /// Everything counted so far.
    var all: [Key: Counts] {
        var all = past
        for series in series.values {
            let key = Key(
                model: series.model.name, endpoint: series.endpoint.id, provider: series.endpoint.providerID, version: "\(series.version)")
            all[key, default: Counts()] += series.counts
        }
        return all
    }

    /// The sums over the loops as Prometheus families.
    static func write(_ all: [Key: Counts], to out: inout PrometheusText) {
        let sorted = all.sorted { ($0.key.model, $0.key.endpoint, $0.key.version) < ($1.key.model, $1.key.endpoint, $1.key.version) }
        func labels(_ key: Key) -> PrometheusText.Labels {
            [("model", key.model), ("endpoint", key.endpoint), ("provider", key.provider), ("config_version", key.version)]
        }
        out.family("weir_proxy_attempts_total", "counter", "Attempts by model, endpoint, configuration version and what they came to.")
        for (key, counts) in sorted {
            for (index, count) in counts.results.enumerated() where count > 0 {
                out.sample("weir_proxy_attempts_total", labels(key) + [("status", AttemptResult.labels[index])], count)
            }
        }
        out.family("weir_proxy_attempt_duration_seconds", "summary", "From the beginning of an attempt to its end.")
        for (key, counts) in sorted {
            out.sample("weir_proxy_attempt_duration_seconds_sum", labels(key), Double(counts.duration) / 1_000_000)
            out.sample("weir_proxy_attempt_duration_seconds_count", labels(key), counts.attempts)
        }
        out.family("weir_proxy_attempt_first_byte_seconds", "summary", "From the beginning of an attempt to the provider's first byte.")
        for (key, counts) in sorted where counts.firstBytes > 0 {
            out.sample("weir_proxy_attempt_first_byte_seconds_sum", labels(key), Double(counts.timeToFirstByte) / 1_000_000)
            out.sample("weir_proxy_attempt_first_byte_seconds_count", labels(key), counts.firstBytes)
        }
    }
}
