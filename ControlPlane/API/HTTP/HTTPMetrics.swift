import HTTPTypes
package import Telemetry

/// Counts and times of HTTP requests by route. Every series is made when the process starts, from the list of routes: a caller
/// cannot make new ones by inventing paths.
package struct HTTPMetrics: Sendable {
    private struct Series: Sendable {
        let statusClasses: [Counter]
        let duration: Histogram
    }

    private let series: [String: Series]
    private let unmatched: Series

    package init(_ registry: MetricsRegistry, routes: [APIRoute]) {
        func make(_ route: String, _ method: String) -> Series {
            Series(
                statusClasses: (1...5).map { digit in
                    registry.counter(
                        "weir_control_http_requests_total", help: "HTTP requests answered.",
                        labels: [("route", route), ("method", method), ("status", "\(digit)xx")])
                },
                duration: registry.histogram(
                    "weir_control_http_request_duration_seconds", help: "Time from a request's head to its answer.",
                    labels: [("route", route), ("method", method)], buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]))
        }
        var series: [String: Series] = [:]
        for route in routes { series[Self.name(route)] = make(route.pattern, route.method.rawValue) }
        self.series = series
        unmatched = make("none", "any")
    }

    package func record(_ route: APIRoute?, status: Int, microseconds: Int64) {
        let series = route.flatMap { self.series[Self.name($0)] } ?? unmatched
        let index = status / 100 - 1
        if series.statusClasses.indices.contains(index) { series.statusClasses[index].increment() }
        series.duration.observe(Double(microseconds) / 1e6)
    }

    private static func name(_ route: APIRoute) -> String { "\(route.method.rawValue) \(route.pattern)" }
}
