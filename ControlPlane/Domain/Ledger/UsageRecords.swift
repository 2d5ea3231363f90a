import Contract
package import Primitives
import Storage
import SwiftProtobuf

/// One record, as administrators see it.
package struct UsageRecord: Sendable, Hashable {
    private let row: UsageRow
    private let names: [String: String]

    init(_ row: UsageRow, _ names: [String: String]) {
        self.row = row
        self.names = names
    }

    /// Where a request went, and what was made of its price, is the operator's.
    private static let operatorsMembers = [
        "received_at", "rerated_cost_nano", "price_id", "route_id", "endpoint_id", "endpoint", "provider_id", "provider", "credential_id",
        "upstream_model", "upstream_status", "attempt_list", "data_plane_id", "incarnation", "batch",
    ]

    package func json(for reader: UsageReader) -> JSONValue {
        guard reader != .administrator, var object = json.objectValue else { return json }
        for name in Self.operatorsMembers { object[name] = nil }
        return .object(object)
    }

    private var json: JSONValue {
        var object = JSONObject()
        object["request_id"] = .string(RequestID(bytes: row.requestID)?.text ?? "")
        object["admitted_at"] = .string(RFC3339.string(milliseconds: row.admittedAtMicroseconds / 1000))
        object["received_at"] = .string(RFC3339.string(milliseconds: row.receivedAt))
        addNamed("tenant", row.tenantID, to: &object)
        addNamed("project", row.projectID, to: &object)
        addNamed("key", row.keyID, to: &object)
        addNamed("app", row.appID, to: &object)
        addNamed("user", row.userID, to: &object)
        addNamed("owner", row.ownerID, to: &object)
        object["did"] = Self.optional(row.did)
        object["model"] = .string(row.model)
        object["capability"] = Self.word(Weir_V1_Capability(rawValue: Int(row.capability)))
        object["channel"] = .string(row.channel)
        object["dialect"] = Self.optional(row.dialect)
        object["tags"] = Self.tags(row.tags)
        object["streaming"] = .bool(row.streaming)
        object["status"] = .string(UsageStatus.word(row.status))
        object["error_origin"] = .optional(UsageErrorOrigin.word(row.errorOrigin))
        object["error_code"] = Self.optional(row.errorCode)
        object["http_status"] = .int(row.httpStatus)
        object["upstream_status"] = .int(row.upstreamStatus)
        addNumbers(to: &object)
        object["flags"] = .strings(UsageFlags(rawValue: UInt32(truncatingIfNeeded: row.flags)).words)
        object["config_version"] = .int(row.configVersion)
        object["price_id"] = Self.optional(row.priceID)
        object["route_id"] = Self.optional(row.routeID)
        addNamed("endpoint", row.endpointID, to: &object)
        addNamed("provider", row.providerID, to: &object)
        object["credential_id"] = Self.optional(row.credentialID)
        object["upstream_model"] = Self.optional(row.upstreamModel)
        object["sent_upstream"] = .bool(row.sentUpstream)
        object["attempts"] = .int(row.attempts)
        object["attempt_list"] = attempts
        object["trace_id"] = row.traceID.map { .string(Hex.encode($0)) } ?? .null
        object["data_plane_id"] = .string(row.dataPlaneID)
        object["incarnation"] = .string(row.incarnation)
        object["batch"] = .int(row.sequence)
        return .object(object)
    }

    private func addNamed(_ name: String, _ id: String, to object: inout JSONObject) {
        object["\(name)_id"] = Self.optional(id)
        object[name] = .optional(names[id])
    }

    private func addNumbers(to object: inout JSONObject) {
        object["input_tokens"] = .int(row.inputTokens)
        object["output_tokens"] = .int(row.outputTokens)
        object["cached_input_tokens"] = .int(row.cachedInputTokens)
        object["cache_write_tokens"] = .int(row.cacheWriteTokens)
        object["reasoning_tokens"] = .int(row.reasoningTokens)
        object["token_kinds"] = row.tokenKinds.isEmpty ? .null : (try? JSONValue(parsing: row.tokenKinds)) ?? .null
        object["estimated_input_tokens"] = .int(row.estimatedInputTokens)
        // What nobody knows is not nothing.
        object["cost_nano"] = row.isPriced ? .int(row.costNano) : .null
        object["cost"] = row.isPriced ? .string(NanoDollars(row.costNano).decimalString) : .null
        object["rerated_cost_nano"] = row.isPriced ? row.reratedCostNano.map { .int($0) } ?? .null : .null
        object["latency_us"] = .int(row.latencyMicroseconds)
        object["time_to_first_byte_us"] = .int(row.timeToFirstByteMicroseconds)
        object["request_bytes"] = .int(row.requestBytes)
        object["response_bytes"] = .int(row.responseBytes)
    }

    /// Empty where there was one attempt or none: the record's own members say it all.
    private var attempts: JSONValue {
        .array(
            Self.attempts(row).map { attempt in
                [
                    "endpoint_id": Self.optional(attempt.endpointID), "endpoint": .optional(names[attempt.endpointID]),
                    "provider_id": Self.optional(attempt.providerID), "provider": .optional(names[attempt.providerID]),
                    "upstream_model": Self.optional(attempt.upstreamModel), "upstream_status": .int(Int64(attempt.upstreamStatus)),
                    "error_origin": .optional(UsageErrorOrigin.word(Int64(attempt.errorOrigin.rawValue))),
                    "error_code": Self.optional(attempt.errorCode),
                    "input_tokens": .int(attempt.inputTokens), "output_tokens": .int(attempt.outputTokens),
                    "price_id": Self.optional(attempt.priceID), "cost_nano": .int(attempt.costNano),
                    "started_us": .int(attempt.startedUs), "latency_us": .int(attempt.latencyUs), "hedge": .bool(attempt.hedge),
                    "flags": .strings(UsageFlags(rawValue: attempt.flags).words),
                ]
            })
    }

    private static func attempts(_ row: UsageRow) -> [Weir_V1_UsageAttempt] {
        row.attemptList.flatMap { try? Weir_V1_UsageRecord(serializedBytes: $0) }?.attemptList ?? []
    }

    /// Everything in a record that has a name of its own.
    static func ids(_ row: UsageRow) -> [String] {
        let parties = [row.tenantID, row.projectID, row.keyID, row.appID, row.userID, row.ownerID, row.endpointID, row.providerID]
        return parties + attempts(row).flatMap { [$0.endpointID, $0.providerID] }
    }

    static func tags(_ text: String) -> JSONValue { (try? JSONValue(parsing: text)) ?? [] }

    private static func optional(_ text: String) -> JSONValue { text.isEmpty ? .null : .string(text) }

    /// The case's name; a number that only a newer version has a name for is shown as it is.
    private static func word(_ value: Weir_V1_Capability?) -> JSONValue {
        switch value {
        case .chat: "chat"
        case .completions: "completions"
        case .embeddings: "embeddings"
        case .countTokens: "count_tokens"
        case .forward: "forward"
        case .images: "images"
        case .audio: "audio"
        case .moderations: "moderations"
        case .files: "files"
        case .storedResponses: "stored_responses"
        case .unspecified, nil: .null
        case .UNRECOGNIZED(let number): .string(String(number))
        }
    }
}
