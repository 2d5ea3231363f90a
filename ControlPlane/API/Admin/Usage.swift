package import Domain
import HTTPTypes
import Nouns
package import Primitives

package struct UsageRoutes: RouteGroup {
    let usage: UsageQueries

    package func addRoutes(to table: inout RouteTable) {
        table.report("/admin/api/usage", .admin(.readUsage), UsageDocs.summary(for: .administrator)) { request in
            let reader = UsageReader(try request.actor)
            return .report(try await usage.report(request.usageReport(for: reader), for: reader))
        }
        table.report("/admin/api/usage/latencies", .admin(.readUsage), UsageDocs.latencies) { request in
            try request.query.allow(Set(UsageDocs.latencies.query.map(\.name)))
            let reader = UsageReader(try request.actor)
            let word = request.query["group_by"] ?? UsageLatencyGroup.none.rawValue
            guard let by = UsageLatencyGroup(rawValue: word), UsageGroup(word: word).map(reader.mayGroup) ?? true else {
                throw DomainError.invalid(
                    "group_by", "cannot group by this",
                    remedy: "Pass one of: \(UsageLatencyGroup.allCases.map(\.rawValue).joined(separator: ", ")).")
            }
            return .json(try await usage.latencies(request.usageQuery(reader.fields), by: by, for: reader))
        }
        table.report("/admin/api/usage/records", .admin(.readUsage), UsageDocs.records) { request in
            let reader = UsageReader(try request.actor)
            try request.query.allow(Set(UsageDocs.records.query.map(\.name)).subtracting(reader.hidden.map(\.rawValue)))
            let query = try request.usageQuery(UsageField.allCases.filter { !reader.hidden.contains($0) })
            let order = try request.query["sort"].map(RecordOrder.init(word:)) ?? .newestFirst
            let page = try request.page(of: order.list)
            let format = try request.usageFormat
            if !order.isByTime {
                guard format == nil else {
                    throw DomainError.invalid(
                        "sort", "cannot be with format",
                        remedy: "Leave it out, or sort by admitted_at: all of a window is told in the order of its time.")
                }
                let (found, since) = try await usage.sorted(query, page, by: order, for: reader)
                return .list(found, ["sorted_since": .time(since)]) { $0.json(for: reader) }
            }
            guard let format else {
                return .list(try await usage.list(query, page, sortedBy: order, for: reader)) { $0.json(for: reader) }
            }
            return try await .streamed(contentType: format.contentType, after: page.after) { after in
                let isFirst = after == page.after
                let piece = PageRequest(limit: PageRequest.maximumLimit, after: after)
                let next = try await usage.list(query, piece, sortedBy: order, for: reader)
                return (format.lines(next.items.map { $0.json(for: reader) }, withTitles: isFirst), next.next)
            }
        }
        table.report("/admin/api/usage/records/{id}", .admin(.readUsage), UsageDocs.record) { request in
            try request.query.allow([])
            let text = request.parameters["id"] ?? ""
            guard let id = RequestID(text: text) else { throw DomainError.notFound(kind: "usage record", id: String(text.prefix(64))) }
            let reader = UsageReader(try request.actor)
            return .json(try await usage.record(id, for: reader).json(for: reader))
        }
    }
}

/// How lists are written for other programs.
package enum UsageFormat: String, CaseIterable {
    case csv, jsonl

    package var contentType: String {
        switch self {
        case .csv: "text/csv; charset=utf-8"
        case .jsonl: "application/jsonl"
        }
    }

    /// The members of a record that are columns, in their order.
    private static let columns = [
        "request_id", "admitted_at", "tenant_id", "tenant", "project_id", "project", "key_id", "key", "app_id", "user_id", "did", "model",
        "endpoint_id", "endpoint", "provider_id", "provider", "config_version", "status", "http_status", "error_origin", "error_code",
        "attempts", "input_tokens", "output_tokens", "cached_input_tokens", "cost", "latency_us", "time_to_first_byte_us", "dialect",
        "tags",
        "trace_id",
    ]

    /// One line for each record; of CSV (RFC 4180) the first one may be the columns' names.
    package func lines(_ records: [JSONValue], columns: [String]? = nil, withTitles: Bool) -> [UInt8] {
        let columns = columns ?? Self.columns
        var out: [UInt8] = []
        switch self {
        case .jsonl:
            for record in records { out += record.bytes + [0x0A] }
        case .csv:
            if withTitles { out += Array((columns.joined(separator: ",") + "\r\n").utf8) }
            for record in records {
                out += Array((columns.map { Self.cell(record[$0] ?? .null) }.joined(separator: ",") + "\r\n").utf8)
            }
        }
        return out
    }

    private static func cell(_ value: JSONValue) -> String {
        switch value {
        case .null: return ""
        case .string(let text): return quoted(text)
        case .array(let values) where values.allSatisfy { $0.stringValue != nil }:
            return quoted(values.compactMap(\.stringValue).joined(separator: " "))
        default: return quoted(value.text)
        }
    }

    /// What a spreadsheet would take for a formula is marked as text.
    private static func quoted(_ text: String) -> String {
        let begins = text.utf8.first.map { [0x3D, 0x2B, 0x2D, 0x40, 0x09, 0x0D].contains($0) } ?? false
        // An amount below zero is a number.
        let isFormula = begins && NanoDollars(decimal: text) == nil
        let text = isFormula ? "'" + text : text
        guard text.utf8.contains(where: { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D }) else { return text }
        return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

extension APIResponse {
    static func report(_ report: UsageReport) -> APIResponse {
        APIResponse(status: .ok, headers: [.contentType: "application/json"], body: report.bytes)
    }
}

extension UsageReader {
    /// What it may narrow a summary to, and group it by. Endpoints, providers, prices and data planes are the operator's.
    var fields: [UsageField] {
        switch self {
        case .administrator: UsageField.allCases.filter { $0 != .request && $0 != .trace && $0 != .latency }
        case .tenant: [.project, .key, .app, .user, .did, .model, .status, .dialect, .configVersion, .tag]
        }
    }

    /// What it may not narrow a list of records to.
    var hidden: Set<UsageField> {
        switch self {
        case .administrator: []
        case .tenant: Set(UsageField.allCases).subtracting(fields + [.request, .trace])
        }
    }

    func mayGroup(by group: UsageGroup) -> Bool {
        switch (self, group) {
        case (.administrator, _): true
        case (.tenant, .tenant), (.tenant, .endpoint), (.tenant, .provider), (.tenant, .price), (.tenant, .dataPlane): false
        case (.tenant, .errorOrigin), (.tenant, .errorCode): false
        case (.tenant, _): true
        }
    }

    var groupWords: [String] { UsageGroup.words.filter { mayGroup(by: $0.group) }.map(\.word) + ["tag:NAME"] }
}

extension APIRequest {
    /// - Throws: `DomainError.invalid` for each parameter that does not fit.
    func usageQuery(_ fields: [UsageField]) throws(DomainError) -> UsageQuery {
        var result = UsageQuery(from: try query.time("from"), until: try query.time("until"))
        for field in fields {
            if let text = query[field.rawValue] { try result.narrow(field, to: text) }
        }
        return result
    }

    func usageReport(for reader: UsageReader) throws(DomainError) -> UsageReportRequest {
        try query.allow(Set(UsageDocs.summary(for: reader).query.map(\.name)))
        var report = UsageReportRequest()
        report.query = try usageQuery(reader.fields)
        if let name = query["time_zone"] { report.timeZone = try ReaderTimeZone(named: name) }
        report.groups = try usageGroups(for: reader)
        if let word = query["sort"] {
            guard let order = UsageReportRequest.Order(word: word) else {
                let words = UsageReportRequest.Order.words.joined(separator: ", ")
                throw .invalid("sort", "cannot sort by this", remedy: "Pass one of: \(words).")
            }
            report.order = order
        }
        let limit = try query.integer("limit", in: 1...Int64(UsageReportRequest.maximumLimit))
        report.limit = limit.map { Int($0) } ?? UsageReportRequest.defaultLimit
        return report
    }

    /// `?group_by=tenant,day`, in that order.
    private func usageGroups(for reader: UsageReader) throws(DomainError) -> [UsageGroup] {
        var groups: [UsageGroup] = []
        for word in (query["group_by"] ?? "").split(separator: ",") {
            guard let group = UsageGroup(word: String(word.trimmingSpaces)), reader.mayGroup(by: group) else {
                throw .invalid(
                    "group_by", "cannot group by this",
                    remedy: "Pass some of these, with commas: \(reader.groupWords.joined(separator: ", ")).")
            }
            if !groups.contains(group) { groups.append(group) }
        }
        guard groups.count <= UsageReportRequest.maximumGroups else {
            throw .invalid("group_by", "has more than \(UsageReportRequest.maximumGroups) words", remedy: "Group by fewer.")
        }
        return groups
    }

    /// Nil: a page of JSON.
    var usageFormat: UsageFormat? {
        get throws(DomainError) {
            guard let word = query["format"], word != "json" else { return nil }
            guard let format = UsageFormat(rawValue: word) else {
                throw .invalid("format", "is not known", remedy: "Pass one of: json, csv, jsonl.")
            }
            return format
        }
    }
}
