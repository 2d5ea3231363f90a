/// One admitted request, as its data plane reported it and the control plane rated it.
package struct UsageRow: Sendable, Hashable {
    /// 16 bytes.
    package var requestID: [UInt8] = []
    package var dataPlaneID: String = ""
    package var incarnation: String = ""
    /// The batch, and the place in it.
    package var sequence: Int64 = 0
    package var position: Int64 = 0
    /// Unix microseconds, by the data plane's clock.
    package var admittedAtMicroseconds: Int64 = 0
    /// Unix milliseconds, by ours.
    package var receivedAt: Int64 = 0
    package var tenantID: String = ""
    package var projectID: String = ""
    package var keyID: String = ""
    package var model: String = ""
    package var routeID: String = ""
    /// Numbers of the enumerations in `usage.proto`, here and below.
    package var capability: Int64 = 0
    package var channel: String = ""
    package var streaming: Bool = false
    package var configVersion: Int64 = 0
    package var estimatedInputTokens: Int64 = 0
    package var requestBytes: Int64 = 0
    /// 16 bytes.
    package var traceID: [UInt8]?
    package var status: Int64 = 0
    package var errorOrigin: Int64 = 0
    package var errorCode: String = ""
    package var httpStatus: Int64 = 0
    package var upstreamStatus: Int64 = 0
    package var inputTokens: Int64 = 0
    package var outputTokens: Int64 = 0
    package var cachedInputTokens: Int64 = 0
    package var cacheWriteTokens: Int64 = 0
    package var reasoningTokens: Int64 = 0
    /// Contract's `UsageFlags`.
    package var flags: Int64 = 0
    /// Nano-dollars, as the data plane rated it.
    package var costNano: Int64 = 0
    /// Nano-dollars, as the control plane rates it; nil when it does not know the price.
    package var reratedCostNano: Int64?
    package var latencyMicroseconds: Int64 = 0
    package var timeToFirstByteMicroseconds: Int64 = 0
    package var attempts: Int64 = 0
    package var responseBytes: Int64 = 0
    package var endpointID: String = ""
    package var providerID: String = ""
    package var credentialID: String = ""
    package var upstreamModel: String = ""
    package var priceID: String = ""
    package var sentUpstream: Bool = false
    package var appID: String = ""
    package var userID: String = ""
    package var did: String = ""
    /// Of the API that was called; empty: OpenAI's.
    package var dialect: String = ""
    /// A JSON array of texts; empty: none.
    package var tags: String = ""
    /// The user who pays, where that is not who asked.
    package var ownerID: String = ""
    /// A JSON object of counts: tokens of kinds that few records have; empty: none.
    package var tokenKinds: String = ""
    /// A serialised `UsageRecord` that holds the attempts and nothing else; nil: there was one, or none.
    package var attemptList: [UInt8]?

    package init() {}

    /// Whether its cost is known. It is not where the data plane had no price in force and there was something to be charged.
    package var isPriced: Bool {
        Self.isPriced(
            flags: flags, isRerated: reratedCostNano != nil, isCharged: inputTokens > 0 || outputTokens > 0 || status == 1)
    }

    static func isPriced(flags: Int64, isRerated: Bool, isCharged: Bool) -> Bool { flags & 256 == 0 || !isRerated || !isCharged }

    static let columns = [
        "request_id", "data_plane_id", "incarnation", "sequence", "position", "admitted_at_us", "received_at", "tenant_id", "project_id",
        "key_id", "model", "route_id", "capability", "channel", "streaming", "config_version", "estimated_input_tokens", "request_bytes",
        "trace_id", "status", "error_origin", "error_code", "http_status", "upstream_status", "input_tokens", "output_tokens",
        "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "flags", "cost_nano", "rerated_cost_nano", "latency_us",
        "time_to_first_byte_us", "attempts", "response_bytes", "endpoint_id", "provider_id", "credential_id", "upstream_model",
        "price_id", "sent_upstream", "app_id", "user_id", "did", "dialect", "tags", "attempt_list", "owner_id",
        "token_kinds",
    ]

    /// In the order of `columns`.
    var values: [SQLValue] {
        [
            .blob(requestID), .text(dataPlaneID), .text(incarnation), .int(sequence), .int(position), .int(admittedAtMicroseconds),
            .int(receivedAt), .text(tenantID), .text(projectID), .text(keyID), .text(model), .text(routeID), .int(capability),
            .text(channel), .bool(streaming), .int(configVersion), .int(estimatedInputTokens), .int(requestBytes), .optional(traceID),
            .int(status), .int(errorOrigin), .text(errorCode), .int(httpStatus), .int(upstreamStatus), .int(inputTokens),
            .int(outputTokens), .int(cachedInputTokens), .int(cacheWriteTokens), .int(reasoningTokens), .int(flags), .int(costNano),
            .optional(reratedCostNano), .int(latencyMicroseconds), .int(timeToFirstByteMicroseconds), .int(attempts), .int(responseBytes),
            .text(endpointID), .text(providerID), .text(credentialID), .text(upstreamModel), .text(priceID), .bool(sentUpstream),
            .text(appID), .text(userID), .text(did), .text(dialect), .text(tags), .optional(attemptList), .text(ownerID),
            .text(tokenKinds),
        ]
    }

    init(_ row: SQLRow) throws {
        requestID = try row.blob("request_id")
        dataPlaneID = try row.text("data_plane_id")
        incarnation = try row.text("incarnation")
        sequence = try row.int("sequence")
        position = try row.int("position")
        admittedAtMicroseconds = try row.int("admitted_at_us")
        receivedAt = try row.int("received_at")
        tenantID = try row.text("tenant_id")
        projectID = try row.text("project_id")
        keyID = try row.text("key_id")
        model = try row.text("model")
        routeID = try row.text("route_id")
        capability = try row.int("capability")
        channel = try row.text("channel")
        streaming = try row.bool("streaming")
        configVersion = try row.int("config_version")
        estimatedInputTokens = try row.int("estimated_input_tokens")
        requestBytes = try row.int("request_bytes")
        traceID = try row.optionalBlob("trace_id")
        status = try row.int("status")
        errorOrigin = try row.int("error_origin")
        errorCode = try row.text("error_code")
        httpStatus = try row.int("http_status")
        upstreamStatus = try row.int("upstream_status")
        inputTokens = try row.int("input_tokens")
        outputTokens = try row.int("output_tokens")
        cachedInputTokens = try row.int("cached_input_tokens")
        cacheWriteTokens = try row.int("cache_write_tokens")
        reasoningTokens = try row.int("reasoning_tokens")
        flags = try row.int("flags")
        costNano = try row.int("cost_nano")
        reratedCostNano = try row.optionalInt("rerated_cost_nano")
        latencyMicroseconds = try row.int("latency_us")
        timeToFirstByteMicroseconds = try row.int("time_to_first_byte_us")
        attempts = try row.int("attempts")
        responseBytes = try row.int("response_bytes")
        endpointID = try row.text("endpoint_id")
        providerID = try row.text("provider_id")
        credentialID = try row.text("credential_id")
        upstreamModel = try row.text("upstream_model")
        priceID = try row.text("price_id")
        sentUpstream = try row.bool("sent_upstream")
        appID = try row.text("app_id")
        userID = try row.text("user_id")
        ownerID = try row.text("owner_id")
        tokenKinds = try row.text("token_kinds")
        did = try row.text("did")
        dialect = try row.text("dialect")
        tags = try row.text("tags")
        attemptList = try row.optionalBlob("attempt_list")
    }
}
