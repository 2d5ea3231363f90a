import Contract
package import Primitives
import Storage
import SwiftProtobuf

/// Which records a report is about; nil is everything.
package struct UsageQuery: Sendable, Hashable {
    /// Unix milliseconds of admission, included.
    package var from: Int64?
    /// Unix milliseconds of admission, not included.
    package var to: Int64?
    package var tenantID: TenantID?
    package var projectID: ProjectID?
    package var keyID: KeyID?
    package var model: String?
    package var status: UsageStatus?
    package var requestID: RequestID?

    package init(
        from: Int64? = nil, to: Int64? = nil, tenantID: TenantID? = nil, projectID: ProjectID? = nil, keyID: KeyID? = nil,
        model: String? = nil, status: UsageStatus? = nil, requestID: RequestID? = nil
    ) {
        self.from = from
        self.to = to
        self.tenantID = tenantID
        self.projectID = projectID
        self.keyID = keyID
        self.model = model
        self.status = status
        self.requestID = requestID
    }

    fileprivate var filter: UsageFilter {
        func microseconds(_ milliseconds: Int64) -> Int64 {
            let (value, overflow) = milliseconds.multipliedReportingOverflow(by: 1000)
            return overflow ? (milliseconds < 0 ? .min : .max) : value
        }
        return UsageFilter(
            from: from.map(microseconds) ?? 0, to: to.map(microseconds) ?? .max, tenantID: tenantID?.rawValue,
            projectID: projectID?.rawValue, keyID: keyID?.rawValue, model: model, status: status.map { Int64($0.number) },
            requestID: requestID?.bytes)
    }
}

package enum UsageStatus: String, CaseIterable, Sendable {
    case pending, completed, failed

    fileprivate var number: Int {
        switch self {
        case .pending: Weir_V1_UsageStatus.pending.rawValue
        case .completed: Weir_V1_UsageStatus.completed.rawValue
        case .failed: Weir_V1_UsageStatus.failed.rawValue
        }
    }
}

/// What a summary is grouped by, in the order in which groups are sorted.
package enum UsageGroup: String, CaseIterable, Sendable {
    case tenant, project, key, model, day, app, user, did, tags, dialect, price
    case configVersion = "config_version"

    fileprivate var dimension: UsageDimension {
        switch self {
        case .tenant: .tenant
        case .project: .project
        case .key: .key
        case .model: .model
        case .day: .day
        case .app: .app
        case .user: .user
        case .did: .did
        case .tags: .tags
        case .dialect: .dialect
        case .price: .price
        case .configVersion: .configVersion
        }
    }
}

/// Who reads a report: tenants do not see what the operator checks the data planes with.
package enum UsageReader: Sendable, Hashable {
    case administrator
    case tenant(TenantID)
}

/// The sums of one group.
package struct UsageSummary: Sendable, Hashable {
    private let sums: UsageSums

    init(_ sums: UsageSums) { self.sums = sums }

    package func json(for reader: UsageReader) -> JSONValue {
        var object = JSONObject()
        if let id = sums.tenantID { object["tenant_id"] = .string(id) }
        if let id = sums.projectID { object["project_id"] = .string(id) }
        if let id = sums.keyID { object["key_id"] = .string(id) }
        if let model = sums.model { object["model"] = .string(model) }
        if let day = sums.day { object["day"] = .string(String(RFC3339.string(milliseconds: day * 86_400_000).prefix(10))) }
        if let id = sums.appID { object["app_id"] = .string(id) }
        if let id = sums.userID { object["user_id"] = .string(id) }
        if let did = sums.did { object["did"] = .string(did) }
        if let tags = sums.tags { object["tags"] = UsageRecord.tags(tags) }
        if let dialect = sums.dialect { object["dialect"] = .string(dialect) }
        if let id = sums.priceID { object["price_id"] = .string(id) }
        if let version = sums.configVersion { object["config_version"] = .int(version) }
        object["requests"] = .int(sums.requests)
        object["failed"] = .int(sums.failed)
        object["estimated"] = .int(sums.estimated)
        object["input_tokens"] = .int(sums.inputTokens)
        object["output_tokens"] = .int(sums.outputTokens)
        object["cached_input_tokens"] = .int(sums.cachedInputTokens)
        object["cache_write_tokens"] = .int(sums.cacheWriteTokens)
        object["reasoning_tokens"] = .int(sums.reasoningTokens)
        object["cost_nano"] = .int(sums.costNano)
        object["cost"] = .string(NanoDollars(sums.costNano).decimalString)
        if reader == .administrator {
            object["rerated_cost_nano"] = .int(sums.reratedCostNano)
            object["cost_mismatches"] = .int(sums.costMismatches)
        }
        return .object(object)
    }
}

/// One record, as administrators see it.
package struct UsageRecord: Sendable, Hashable {
    private let row: UsageRow

    init(_ row: UsageRow) { self.row = row }

    package var json: JSONValue {
        var object = JSONObject()
        object["request_id"] = .string(RequestID(bytes: row.requestID)?.text ?? "")
        object["admitted_at"] = .string(RFC3339.string(milliseconds: row.admittedAtMicroseconds / 1000))
        object["received_at"] = .string(RFC3339.string(milliseconds: row.receivedAt))
        object["tenant_id"] = .string(row.tenantID)
        object["project_id"] = .string(row.projectID)
        object["key_id"] = .string(row.keyID)
        object["model"] = .string(row.model)
        object["capability"] = Self.word(Weir_V1_Capability(rawValue: Int(row.capability)))
        object["channel"] = .string(row.channel)
        object["streaming"] = .bool(row.streaming)
        object["status"] = Self.word(Weir_V1_UsageStatus(rawValue: Int(row.status)))
        object["error_origin"] = Self.word(Weir_V1_ErrorOrigin(rawValue: Int(row.errorOrigin)))
        object["error_code"] = Self.optional(row.errorCode)
        object["http_status"] = .int(row.httpStatus)
        object["upstream_status"] = .int(row.upstreamStatus)
        addNumbers(to: &object)
        object["flags"] = .strings(UsageFlags(rawValue: UInt32(truncatingIfNeeded: row.flags)).words)
        object["config_version"] = .int(row.configVersion)
        object["price_id"] = Self.optional(row.priceID)
        object["route_id"] = Self.optional(row.routeID)
        object["endpoint_id"] = Self.optional(row.endpointID)
        object["provider_id"] = Self.optional(row.providerID)
        object["credential_id"] = Self.optional(row.credentialID)
        object["upstream_model"] = Self.optional(row.upstreamModel)
        object["sent_upstream"] = .bool(row.sentUpstream)
        object["attempts"] = .int(row.attempts)
        object["attempt_list"] = attempts
        object["app_id"] = Self.optional(row.appID)
        object["user_id"] = Self.optional(row.userID)
        object["did"] = Self.optional(row.did)
        object["dialect"] = Self.optional(row.dialect)
        object["tags"] = Self.tags(row.tags)
        object["trace_id"] = row.traceID.map { .string(Hex.encode($0)) } ?? .null
        object["data_plane_id"] = .string(row.dataPlaneID)
        object["incarnation"] = .string(row.incarnation)
        object["batch"] = .int(row.sequence)
        return .object(object)
    }

    private func addNumbers(to object: inout JSONObject) {
        object["input_tokens"] = .int(row.inputTokens)
        object["output_tokens"] = .int(row.outputTokens)
        object["cached_input_tokens"] = .int(row.cachedInputTokens)
        object["cache_write_tokens"] = .int(row.cacheWriteTokens)
        object["reasoning_tokens"] = .int(row.reasoningTokens)
        object["estimated_input_tokens"] = .int(row.estimatedInputTokens)
        object["cost_nano"] = .int(row.costNano)
        object["rerated_cost_nano"] = row.reratedCostNano.map { .int($0) } ?? .null
        object["latency_us"] = .int(row.latencyMicroseconds)
        object["time_to_first_byte_us"] = .int(row.timeToFirstByteMicroseconds)
        object["request_bytes"] = .int(row.requestBytes)
        object["response_bytes"] = .int(row.responseBytes)
    }

    /// Empty where there was one attempt or none: the record's own members say it all.
    private var attempts: JSONValue {
        guard let bytes = row.attemptList, let record = try? Weir_V1_UsageRecord(serializedBytes: bytes) else { return [] }
        return .array(
            record.attemptList.map { attempt in
                [
                    "endpoint_id": Self.optional(attempt.endpointID), "provider_id": Self.optional(attempt.providerID),
                    "upstream_model": Self.optional(attempt.upstreamModel), "upstream_status": .int(Int64(attempt.upstreamStatus)),
                    "error_origin": Self.word(attempt.errorOrigin), "error_code": Self.optional(attempt.errorCode),
                    "input_tokens": .int(attempt.inputTokens), "output_tokens": .int(attempt.outputTokens),
                    "price_id": Self.optional(attempt.priceID), "cost_nano": .int(attempt.costNano),
                    "started_us": .int(attempt.startedUs), "latency_us": .int(attempt.latencyUs),
                    "flags": .strings(UsageFlags(rawValue: attempt.flags).words),
                ]
            })
    }

    fileprivate static func tags(_ text: String) -> JSONValue { (try? JSONValue(parsing: text)) ?? [] }

    private static func optional(_ text: String) -> JSONValue { text.isEmpty ? .null : .string(text) }

    /// The case's name; a number that only a newer version has a name for is shown as it is.
    private static func word(_ value: Weir_V1_Capability?) -> JSONValue {
        switch value {
        case .chat: "chat"
        case .completions: "completions"
        case .embeddings: "embeddings"
        case .unspecified, nil: .null
        case .UNRECOGNIZED(let number): .string(String(number))
        }
    }

    private static func word(_ value: Weir_V1_UsageStatus?) -> JSONValue {
        switch value {
        case .pending, nil: "pending"
        case .completed: "completed"
        case .failed: "failed"
        case .UNRECOGNIZED(let number): .string(String(number))
        }
    }

    private static func word(_ value: Weir_V1_ErrorOrigin?) -> JSONValue {
        switch value {
        case .none?: .null
        case .client: "client"
        case .weir: "weir"
        case .provider: "provider"
        case .UNRECOGNIZED(let number): .string(String(number))
        case nil: .null
        }
    }
}

extension UsageQueries {
    /// How far back a summary goes that names no beginning, in milliseconds: a month.
    package static let defaultWindow: Int64 = 31 * 86_400_000

    /// Sums for each combination of the groups' values; without groups one of everything.
    /// - Throws: `DomainError.invalid` for an empty window or one that gives too many groups.
    /// - Parameter reader: A tenant sees its own rows only, whatever the query says.
    package func summary(_ query: UsageQuery, by groups: Set<UsageGroup>, for reader: UsageReader) async throws -> [UsageSummary] {
        let scope: TenantScope =
            switch reader {
            case .administrator: .all
            case .tenant(let id): .tenant(id.rawValue)
            }
        return try await sums(query.filter, by: Set(groups.map(\.dimension)), as: scope).map(UsageSummary.init)
    }

    /// The records themselves, newest first.
    package func list(_ query: UsageQuery, _ page: PageRequest) async throws -> Page<UsageRecord> {
        try await records(query.filter, page).map(UsageRecord.init)
    }
}
