package import Domain
import Primitives

package struct UsageRoutes: RouteGroup {
    let usage: UsageQueries

    package func addRoutes(to table: inout RouteTable) {
        table.report("/admin/api/usage", .admin(.read)) { request in
            try request.query.allow(["from", "to", "group_by", "tenant_id", "project_id", "key_id", "model", "status"])
            let query = try request.usageQuery(now: usage.now)
            let groups = try request.usageGroups(among: UsageGroup.allCases)
            return .usage(try await usage.summary(query, by: groups, for: .administrator), query, groups, for: .administrator)
        }
        // Newest first.
        table.report("/admin/api/usage/records", .admin(.read)) { request in
            try request.query.allow([
                "limit", "cursor", "from", "to", "tenant_id", "project_id", "key_id", "model", "status", "request_id",
            ])
            return .list(
                try await usage.list(
                    request.usageQuery(now: request.query["request_id"] == nil ? usage.now : nil), request.page(of: UsageQueries.list))
            ) { $0.json }
        }
    }
}

extension APIRequest {
    /// - Parameter now: Unix milliseconds; where it is given, a query that names no beginning is about the last month only.
    func usageQuery(now: Int64?) throws(DomainError) -> UsageQuery {
        var result = UsageQuery(
            from: try query.time("from"), to: try query.time("to"), tenantID: try query.id("tenant_id"),
            projectID: try query.id("project_id"), keyID: try query.id("key_id"), model: query["model"])
        if result.from == nil, let now {
            // From the start of a day (UTC), so that the oldest one shown is whole.
            let start = (result.to ?? now) - UsageQueries.defaultWindow
            result.from = start - start % 86_400_000
        }
        if let word = query["status"] {
            guard let status = UsageStatus(rawValue: word) else {
                let words = UsageStatus.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("status", "is not the status of a request", remedy: "Pass one of: \(words).")
            }
            result.status = status
        }
        if let text = query["request_id"] {
            guard let id = RequestID(text: text) else {
                throw .invalid("request_id", "is not a request's id", remedy: "Pass an id that starts with req_.")
            }
            result.requestID = id
        }
        return result
    }

    /// `?group_by=tenant,day`.
    func usageGroups(among allowed: [UsageGroup]) throws(DomainError) -> Set<UsageGroup> {
        var groups: Set<UsageGroup> = []
        for word in (query["group_by"] ?? "").split(separator: ",") {
            guard let group = UsageGroup(rawValue: String(word.trimmingSpaces)), allowed.contains(group) else {
                let words = allowed.map(\.rawValue).joined(separator: ", ")
                throw .invalid("group_by", "cannot group by this", remedy: "Pass some of these, with commas: \(words).")
            }
            groups.insert(group)
        }
        return groups
    }
}

extension APIResponse {
    /// The sums, with the window they are about.
    static func usage(_ summaries: [UsageSummary], _ query: UsageQuery, _ groups: Set<UsageGroup>, for reader: UsageReader) -> APIResponse {
        .json([
            "from": query.from.map { .string(RFC3339.string(milliseconds: $0)) } ?? .null,
            "to": query.to.map { .string(RFC3339.string(milliseconds: $0)) } ?? .null,
            "group_by": .strings(UsageGroup.allCases.filter(groups.contains).map(\.rawValue)),
            "items": .array(summaries.map { $0.json(for: reader) }),
        ])
    }
}
