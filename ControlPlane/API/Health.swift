package import Domain
import HTTPTypes
import Primitives
package import Telemetry

/// What probes and Prometheus ask. Open to whoever reaches the listener; none of it names a customer.
package struct HealthRoutes: RouteGroup {
    let health: HealthService
    let metrics: MetricsRegistry

    package func addRoutes(to table: inout RouteTable) {
        // Alive as long as it answers: a database that is gone is no reason to be restarted.
        table.get("/health/live", .open) { _ in .json(["status": "ok"]) }

        table.get("/health/ready", .open) { _ in
            let report = await health.report()
            return .json(
                [
                    "status": report.ready ? "ok" : "not_ready", "database": .string(report.database),
                    "warnings": .strings(report.warnings),
                ],
                status: report.ready ? .ok : .serviceUnavailable)
        }

        table.get("/metrics", .open) { _ in .text(metrics.text, contentType: PrometheusText.contentType) }
    }
}
