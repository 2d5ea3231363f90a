import Formats
import Primitives
import Telemetry

/// What the operator is told, put together from all parts at the moment of asking.
package final class OperatorStatus: Sendable {
    struct Page: Sendable {
        var status: Int
        var contentType: String
        var body: String
    }

    private let server: ProxyServer
    private let snapshots: SnapshotStore
    private let pipeline: UsagePipeline
    private let quarantined: [String]

    package init(server: ProxyServer, snapshots: SnapshotStore, pipeline: UsagePipeline, quarantined: [String]) {
        self.server = server
        self.snapshots = snapshots
        self.pipeline = pipeline
        self.quarantined = quarantined
    }

    func page(_ path: String) async -> Page {
        switch path {
        case "/health/live": Page(status: 200, contentType: "application/json", body: "{\"status\":\"ok\"}\n")
        case "/health/ready": await ready()
        case "/metrics": Page(status: 200, contentType: PrometheusText.contentType, body: await metrics())
        default: Page(status: 404, contentType: "text/plain", body: "/health/live, /health/ready, /metrics\n")
        }
    }

    /// Whether requests can be served at the moment, and everything that keeps them from it, or soon might.
    package func readiness() -> (isReady: Bool, problems: [String], warnings: [String]) {
        let health = snapshots.health()
        var problems: [String] = []
        if server.isDraining { problems.append("the data plane is being stopped") }
        let revocation = health.revocation.map {
            (isInForce: $0.isInForce, text: $0.text(graceMilliseconds: snapshots.revocationGraceMilliseconds))
        }
        if let revocation, revocation.isInForce {
            problems.append(revocation.text)
        } else if !health.isServing {
            problems.append("no configuration is in force yet")
        }
        if pipeline.isRecovering { problems.append("what the process before left in the usage journal is still being read") }
        if case .refusing(let reason) = pipeline.shared.state { problems.append(reason) }
        var warnings: [String] = []
        if let revocation, !revocation.isInForce { warnings.append(revocation.text) }
        warnings += pipeline.health.filter { !problems.contains($0) } + health.problems
        if health.isServing, health.secondsSinceHeartbeat > SnapshotHealth.staleSeconds {
            warnings.append("the control plane was not heard for \(health.secondsSinceHeartbeat) s; serving the last good configuration")
        }
        if let warning = server.redis?.health.warning { warnings.append(warning) }
        if let warning = server.tls?.warning() { warnings.append(warning) }
        warnings += server.endpointStates.warnings
        warnings += quarantined.map { "a damaged database lies in \($0); usage that was not shipped may be in it" }
        return (problems.isEmpty, problems, warnings)
    }

    private func ready() async -> Page {
        server.endpointStates.settle(now: MonotonicClock.nowMicroseconds())
        let (isReady, problems, warnings) = readiness()
        let health = snapshots.health()
        let active = await server.activeRequests()
        func list(_ items: [String]) -> String { "[" + items.map { text($0) }.joined(separator: ",") + "]" }
        var body =
            "{\"status\":\(text(isReady ? "ok" : "unavailable")),\"problems\":\(list(problems)),\"warnings\":\(list(warnings)),"
        body += "\"config\":{\"baseline\":\(health.baselineVersion),\"candidate\":\(health.candidateVersion)},"
        body += "\"directory\":{\"version\":\(health.directoryVersion),\"keys\":\(health.keyCount)},"
        body += "\"control_plane\":{\"heard_since_start\":\(health.hasHeardSinceStart),"
        body += "\"seconds_since_heartbeat\":\(health.secondsSinceHeartbeat),\"behind\":\(list(health.behind))},"
        body += "\"active_requests\":\(active)}\n"
        return Page(status: isReady ? 200 : 503, contentType: "application/json", body: body)
    }

    private func text(_ value: String) -> String { String(decoding: JSONText.quoted(value), as: UTF8.self) }

    // MARK: Metrics

    private func metrics() async -> String {
        let sums = await server.sums()
        let loops = sums.metrics
        let health = snapshots.health()
        var out = PrometheusText()
        out.family("weir_proxy_answers_total", "counter", "Answers to applications by status class.")
        for code in 1...5 { out.sample("weir_proxy_answers_total", [("class", "\(code)xx")], loops.answers[code]) }
        out.one("weir_proxy_limited_total", "counter", "Requests that a limit refused.", loops.limited)
        out.one(
            "weir_proxy_limited_observed_total", "counter", "Requests that limits which only observe would have refused.",
            loops.wouldHaveLimited)
        let rates = server.rates.size
        out.one("weir_proxy_limit_counters", "gauge", "Counters of limits in memory.", UInt64(rates.counters))
        out.one(
            "weir_proxy_limit_shared_total", "counter",
            "Times that a request was counted in a shared counter, since there was no room for another.",
            UInt64(rates.sharing))
        if let redis = server.redis {
            out.family("weir_proxy_redis_limited_requests_total", "counter", "Requests with limits, by where they were counted.")
            out.sample("weir_proxy_redis_limited_requests_total", [("counted", "redis")], loops.redisAsked)
            out.sample("weir_proxy_redis_limited_requests_total", [("counted", "locally")], loops.redisMissed)
            out.one("weir_proxy_redis_up", "gauge", "1 while limits are counted in Redis.", UInt64(redis.health.isUp ? 1 : 0))
            out.one("weir_proxy_redis_changes_total", "counter", "How often that has changed.", redis.health.changes)
        }
        out.one("weir_proxy_admitted_total", "counter", "Requests admitted: each has one usage record.", loops.admitted)
        out.one("weir_proxy_streams_total", "counter", "Admitted requests that asked for a stream.", loops.streams)
        out.family("weir_proxy_rejections_total", "counter", "Errors answered, by whose fault it was.")
        for (index, fault) in ["client", "weir", "provider"].enumerated() {
            out.sample("weir_proxy_rejections_total", [("fault", fault)], loops.rejections[index + 1])
        }
        out.one("weir_proxy_retries_total", "counter", "Attempts after the first one.", loops.retries)
        out.one(
            "weir_proxy_retries_denied_total", "counter", "Attempts that did not follow a failed one, since too many do.",
            loops.retriesDenied)
        out.one("weir_proxy_hedges_total", "counter", "Requests that were sent to a second endpoint beside the first.", loops.hedges)
        out.one("weir_proxy_hedges_won_total", "counter", "Requests that the second of two endpoints answered.", loops.hedgesWon)
        out.one(
            "weir_proxy_hedges_denied_total", "counter",
            "Requests that were not sent to a second endpoint, since too many are sent twice.", loops.hedgesDenied)
        out.one("weir_proxy_fallbacks_total", "counter", "Times that another model than the one before came to serve.", loops.fallbacks)
        out.one("weir_proxy_lookups_total", "counter", "Questions to services of workflows.", loops.lookups)
        out.one(
            "weir_proxy_lookup_failures_total", "counter", "Questions to services of workflows that came to nothing.", loops.lookupFailures)
        out.one(
            "weir_proxy_degraded_total", "counter", "Requests that went on with less, since a check of their workflow had failed.",
            loops.degraded)
        out.one(
            "weir_proxy_sanitised_total", "counter", "Answers of which something was masked by their channel's workflow.", loops.sanitised)
        out.one(
            "weir_proxy_template_members_left_total", "counter", "Members of routes' templates that a provider did not take.",
            loops.templateMembersLeft)
        out.one("weir_proxy_health_checks_total", "counter", "Health checks of endpoints.", loops.healthChecks)
        out.one("weir_proxy_health_check_failures_total", "counter", "Health checks that failed.", loops.healthCheckFailures)
        BreakerReport.write(server.health, to: &out)
        out.one(
            "weir_proxy_client_disconnects_total", "counter", "Clients that left before the end of their answer.", loops.clientDisconnects)
        out.one("weir_proxy_upstream_deaths_total", "counter", "Responses that broke off.", loops.upstreamDeaths)
        out.one("weir_proxy_malformed_requests_total", "counter", "Requests that are not HTTP/1.1.", loops.malformedRequests)
        out.one("weir_proxy_deadlines_total", "counter", "Deadlines passed, towards clients and providers.", loops.deadlinesPassed)
        out.one("weir_proxy_credential_refusals_total", "counter", "Times a provider refused a credential.", loops.credentialRefusals)
        out.one(
            "weir_proxy_credentials_refused", "gauge", "Credentials that their provider refused lately: tried last, not never.",
            UInt64(sums.refusedCredentials.count))
        out.one("weir_proxy_input_tokens_total", "counter", "Tokens read.", loops.inputTokens)
        out.one("weir_proxy_output_tokens_total", "counter", "Tokens written.", loops.outputTokens)
        out.one("weir_proxy_cost_nano_dollars_total", "counter", "Cost in 1e-9 USD.", loops.costNano)
        out.one("weir_proxy_estimated_records_total", "counter", "Usage records with estimated tokens.", loops.estimatedRecords)
        out.one("weir_proxy_connections", "gauge", "Open connections of applications.", UInt64(sums.connections))
        out.one("weir_proxy_active_requests", "gauge", "Requests under way.", UInt64(sums.active))
        out.one("weir_proxy_connections_total", "counter", "Connections of applications opened.", loops.connectionsOpened)
        writeFraming(loops, to: &out)
        out.one("weir_proxy_upstream_connections_total", "counter", "Connections to providers opened.", loops.upstreamConnectionsOpened)
        out.histogram("weir_proxy_request_duration_seconds", "From the end of a request's head to its settling.", loops.latency)
        out.histogram("weir_proxy_time_to_first_byte_seconds", "From the end of a request's head to the provider's.", loops.timeToFirstByte)
        out.one("weir_proxy_journal_failures_total", "counter", "Journal writes that failed.", loops.journalFailures)
        for (name, help, value) in pipeline.metrics {
            out.one("weir_proxy_usage_\(name)", name.hasSuffix("_total") ? "counter" : "gauge", help, value)
        }
        let budgets = server.budgets.sums
        out.family("weir_proxy_budget_requests_total", "counter", "Requests that budgets concern, by what became of them.")
        for (outcome, count) in [
            ("reserved", budgets.reserved), ("refused", budgets.refused), ("unavailable", budgets.unavailable),
            ("observed", budgets.observed),
            ("waited", budgets.waited),
        ] {
            out.sample("weir_proxy_budget_requests_total", [("outcome", outcome)], count)
        }
        out.one("weir_proxy_budget_overruns_total", "counter", "Requests that were charged more than they could come to.", budgets.beyond)
        writePlaces(to: &out)
        out.one("weir_proxy_directory_keys", "gauge", "Virtual keys held.", UInt64(health.keyCount))
        out.one("weir_proxy_config_baseline_version", "gauge", "The configuration in force.", health.baselineVersion)
        out.one("weir_proxy_config_candidate_version", "gauge", "The configuration being rolled out; 0: none.", health.candidateVersion)
        out.one("weir_proxy_heartbeat_age_seconds", "gauge", "Since the control plane was heard.", UInt64(health.secondsSinceHeartbeat))
        out.one(
            "weir_proxy_revoked", "gauge", "1 when the control plane has revoked this data plane.", UInt64(health.revocation == nil ? 0 : 1)
        )
        out.one("weir_proxy_ready", "gauge", "1 when requests can be served.", UInt64(readiness().isReady ? 1 : 0))
        let (failing, refused) = server.endpointStates.troubles
        out.one("weir_proxy_failing_endpoints", "gauge", "Endpoints that fail at the moment.", UInt64(failing.count))
        out.one("weir_proxy_refused_credentials", "gauge", "Credentials that a provider refuses at the moment.", UInt64(refused.count))
        AttemptMetrics.write(sums.attempts, to: &out)
        ProcessMetrics.write(component: "weir-proxy", log: .standardError, to: &out)
        return out.text + server.listenerMetrics.text
    }

    private func writeFraming(_ loops: LoopMetrics, to out: inout PrometheusText) {
        out.one("weir_proxy_http2_connections_total", "counter", "Connections of applications that speak HTTP/2.", loops.http2Connections)
        out.one("weir_proxy_http2_resets_total", "counter", "HTTP/2 requests that their clients cancelled.", loops.http2Resets)
        out.one(
            "weir_proxy_http2_violations_total", "counter",
            "HTTP/2 connections that were ended for what came on them: against the protocol, or a flood.", loops.http2Violations)
        guard let standing = server.tls?.standing else { return }
        out.one(
            "weir_proxy_tls_handshake_failures_total", "counter", "Connections on which TLS did not come about.", loops.handshakeFailures)
        out.one(
            "weir_proxy_tls_certificate_expiry_timestamp_seconds", "gauge", "When the certificate that applications see expires.",
            UInt64(max(0, standing.expires)))
        out.family("weir_proxy_tls_reloads_total", "counter", "Times that the certificate was read again, by what became of it.")
        out.sample("weir_proxy_tls_reloads_total", [("outcome", "served")], UInt64(standing.reloads))
        out.sample("weir_proxy_tls_reloads_total", [("outcome", "refused")], UInt64(standing.refusals))
    }

    private func writePlaces(to out: inout PrometheusText) {
        let sums = server.places.sums
        out.family(
            "weir_proxy_queue_requests_total", "counter", "Requests that had to wait for a place at an endpoint, by what became of them.")
        for (outcome, count) in [
            ("waited", sums.waited), ("served", sums.served), ("timeout", sums.late), ("crowded_out", sums.crowded), ("left", sums.left),
        ] {
            out.sample("weir_proxy_queue_requests_total", [("outcome", outcome)], count)
        }
        out.histogram("weir_proxy_queue_wait_seconds", "Waited for a place, by those who had one.", sums.times)
        out.family("weir_proxy_endpoint_places", "gauge", "Of endpoints with a bound: places, those taken, and requests that wait.")
        for standing in server.places.standings {
            for (state, count) in [("total", standing.places), ("taken", standing.taken), ("waiting", standing.waiting)] {
                out.sample("weir_proxy_endpoint_places", [("endpoint", standing.endpoint), ("state", state)], UInt64(count))
            }
        }
    }

    /// By listener (`applications`, `operator`) and reason.
    static let refusedConnections = "weir_proxy_connections_refused_total"
    var listenerMetrics: MetricsRegistry { server.listenerMetrics }
}

extension PrometheusText {
    fileprivate mutating func histogram(_ name: String, _ help: String, _ buckets: LoopMetrics.Buckets) {
        family(name, "histogram", help)
        var running: UInt64 = 0
        let counts = buckets.counts.map { count in
            running &+= count
            return running
        }
        let bounds = (0..<LoopMetrics.Buckets.count - 1).map { Double(UInt64(64) << UInt64($0)) / 1_000_000 }
        histogram(name, bounds: bounds, counts: counts, sum: Double(buckets.sum) / 1_000_000)
    }
}
