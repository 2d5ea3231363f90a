import Contract
import Telemetry

/// What the fleet's streams count, for `/metrics`.
final class FleetMetrics: Sendable {
    private let sent: [DocumentKind: Counter]
    private let refused: [DocumentKind: Counter]
    let sentBytes: Counter
    let usageBatches: Counter
    let usageRecords: Counter
    let usageRetries: Counter

    init(_ registry: MetricsRegistry, hub: FleetHub) {
        func perKind(_ name: String, _ help: String) -> [DocumentKind: Counter] {
            Dictionary(
                uniqueKeysWithValues: DocumentKind.allCases.map { ($0, registry.counter(name, help: help, labels: [("kind", $0.word)])) })
        }
        sent = perKind("weir_fleet_documents_sent_total", "Signed documents sent to data planes.")
        refused = perKind("weir_fleet_documents_refused_total", "Signed documents that data planes refused.")
        sentBytes = registry.counter("weir_fleet_document_bytes_total", help: "Payload bytes of the documents sent.")
        usageBatches = registry.counter("weir_fleet_usage_batches_total", help: "Batches of usage acknowledged.")
        usageRecords = registry.counter("weir_fleet_usage_records_total", help: "Usage records in acknowledged batches.")
        usageRetries = registry.counter("weir_fleet_usage_retries_total", help: "Attempts to store a batch that failed and were repeated.")
        registry.gauge("weir_fleet_connected_data_planes", help: "Data planes subscribed to this replica.") { [weak hub] in
            Double(hub?.subscriptions ?? 0)
        }
        registry.gauge(
            "weir_fleet_refused_credentials",
            help: "Provider credentials that their provider refuses, as the data planes subscribed to this replica say; counted at each."
        ) { [weak hub] in Double(hub?.refusedCredentials ?? 0) }
        registry.gauge(
            "weir_fleet_failing_endpoints",
            help: "Endpoints that fail, as the data planes subscribed to this replica say; counted at each."
        ) { [weak hub] in Double(hub?.failingEndpoints ?? 0) }
    }

    func sent(_ kind: DocumentKind, bytes: Int) {
        sent[kind]?.increment()
        sentBytes.increment(by: UInt64(clamping: bytes))
    }

    func refused(_ kind: DocumentKind) { refused[kind]?.increment() }
}
