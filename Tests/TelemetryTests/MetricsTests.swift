import Telemetry
import Testing

@Suite("Metrics")
struct MetricsTests {
    @Test("the text is Prometheus's, families by name, labels escaped")
    func text() {
        let registry = MetricsRegistry()
        registry.counter("b_total", help: "Counts\nthings \\ more.", labels: [("path", "a\"b\\c\nd")]).increment(by: 3)
        registry.gauge("a_value", help: "A value.").set(1.5)
        registry.gauge("c_value", help: "Asked for.") { 7 }
        #expect(
            registry.text == """
                # HELP a_value A value.
                # TYPE a_value gauge
                a_value 1.5
                # HELP b_total Counts\\nthings \\\\ more.
                # TYPE b_total counter
                b_total{path="a\\"b\\\\c\\nd"} 3
                # HELP c_value Asked for.
                # TYPE c_value gauge
                c_value 7

                """)
    }

    @Test("a histogram counts each bucket with those below it")
    func histogram() {
        let registry = MetricsRegistry()
        let histogram = registry.histogram("h_seconds", help: "H.", labels: [("k", "v")], buckets: [0.5, 0.1, .infinity])
        for value in [0.1, 0.2, 3, .nan] { histogram.observe(value) }
        let lines = registry.text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
        #expect(
            lines.prefix(3) == [
                "h_seconds_bucket{k=\"v\",le=\"0.1\"} 1", "h_seconds_bucket{k=\"v\",le=\"0.5\"} 2",
                "h_seconds_bucket{k=\"v\",le=\"+Inf\"} 3",
            ])
        #expect(lines.last == "h_seconds_count{k=\"v\"} 3")
    }

    @Test("the same name and labels are the same series, and a name keeps its type")
    func sameSeries() {
        let registry = MetricsRegistry()
        registry.counter("x_total", help: "X.", labels: [("a", "1")]).increment()
        registry.counter("x_total", help: "X.", labels: [("a", "1")]).increment()
        registry.gauge("x_total", help: "X.").set(99)
        #expect(registry.text.hasSuffix("# TYPE x_total counter\nx_total{a=\"1\"} 2\n"))
    }

    @Test("increments from many tasks are all counted")
    func concurrent() async {
        let counter = Counter()
        let gauge = Gauge()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<10_000 {
                        counter.increment()
                        gauge.add(1)
                    }
                }
            }
        }
        #expect(counter.current == 80_000)
        #expect(gauge.current == 80_000)
    }
}
