import Synchronization
import Telemetry

/// Breakers as the operator sees them.
enum BreakerReport {
    static func word(_ state: Breaker.State) -> String {
        switch state {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half_open"
        }
    }

    static func write(_ health: UpstreamHealth, to out: inout PrometheusText) {
        out.one(
            "weir_proxy_breaker_openings_total", "counter", "Times that an endpoint, or a credential at one, was left alone.",
            health.openings.load(ordering: .relaxed))
        out.family(
            "weir_proxy_breaker_state", "gauge",
            "1 for each breaker that is not closed, by its state. An empty credential is the endpoint as a whole.")
        let open = health.openBreakers().sorted { ($0.key.endpoint, $0.key.credential ?? "") < ($1.key.endpoint, $1.key.credential ?? "") }
        // Whether it can be reached, and whether it serves, is one thing where no credential is sent.
        var last: UpstreamHealth.BreakerKey?
        for (key, state) in open where last?.endpoint != key.endpoint || (last?.credential ?? "") != (key.credential ?? "") {
            last = key
            out.sample(
                "weir_proxy_breaker_state", [("endpoint", key.endpoint), ("credential", key.credential ?? ""), ("state", word(state))],
                UInt64(1))
        }
    }

    /// The worst state of each endpoint that is not closed everywhere, by id.
    static func states(_ health: UpstreamHealth) -> [String: String] {
        var states: [String: String] = [:]
        for (key, state) in health.openBreakers() {
            if case .open = state {
                states[key.endpoint] = word(state)
            } else if states[key.endpoint] == nil {
                states[key.endpoint] = word(state)
            }
        }
        return states
    }
}
