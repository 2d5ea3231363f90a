package import Domain
import HTTPTypes
import Nouns
import Primitives

package struct AuditRoutes: RouteGroup {
    let trail: AuditTrail

    package func addRoutes(to table: inout RouteTable) {
        table.report("/admin/api/audit", .admin(.readAudit), AuditDocs.list) { request in
            try request.query.allow(Set(AuditDocs.list.query.map(\.name)))
            let (query, actor) = (try request.auditQuery(), try request.actor)
            let order = try request.query["sort"].map(AuditOrder.init(word:)) ?? .newestFirst
            let page = try request.page(of: order.list)
            return .list(try await trail.entries(query, page, sortedBy: order, for: UsageReader(actor))) { $0.json }
        }
        table.report("/admin/api/audit/export", .admin(.readAudit), AuditDocs.export) { request in
            try request.query.allow(Set(AuditDocs.export.query.map(\.name)))
            return try await request.auditExport(trail, try request.auditQuery(usually: "all"), for: UsageReader(try request.actor))
        }
    }
}

extension APIRequest {
    /// - Parameter usually: The sources where none is named.
    /// - Throws: `DomainError.invalid` for each parameter that does not fit.
    func auditQuery(usually sources: String = AuditSource.administration.rawValue) throws(DomainError) -> AuditQuery {
        var audit = AuditQuery(
            resourceKind: query["resource_kind"], resourceID: query["resource_id"], actorID: query["actor_id"],
            tenantID: query["tenant_id"], from: try query.time("from"), to: try query.time("until"))
        audit.sources = try AuditSource.sources(named: query["source"] ?? sources)
        audit.action = query["action"]
        audit.keyID = query["key_id"]
        audit.model = query["model"]
        audit.text = query["text"]
        if let word = query["status"] {
            guard let status = AuditStatus(rawValue: word) else {
                let words = AuditStatus.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("status", "is none that there is", remedy: "Pass one of: \(words).")
            }
            audit.status = status
        }
        return audit
    }

    /// All of it, piece by piece, and at last its checksum.
    func auditExport(_ trail: AuditTrail, _ audit: AuditQuery, for reader: UsageReader) async throws -> APIResponse {
        guard let format = UsageFormat(rawValue: query["format"] ?? UsageFormat.jsonl.rawValue) else {
            throw DomainError.invalid("format", "is not known", remedy: "Pass csv or jsonl.")
        }
        let export = AuditExport(audit)
        var answer = try await APIResponse.streamed(contentType: format.contentType, after: nil) { after in
            let page = try await trail.entries(audit, PageRequest(limit: PageRequest.maximumLimit, after: after), for: reader)
            let items = page.items.map { format == .csv ? $0.flat : $0.json }
            let lines = format.lines(items, columns: AuditItem.columns, withTitles: after == nil)
            export.add(lines, entries: items.count)
            guard page.next == nil else { return (lines, page.next) }
            return (lines + format.lines([export.trailer], columns: AuditItem.columns, withTitles: false), nil)
        }
        answer.headers[.contentDisposition] = "attachment; filename=\"audit.\(format.rawValue)\""
        return answer
    }
}

/// What is said of them.
enum AuditDocs {
    private static func narrowing(usually sources: String) -> [FieldShape] {
        Shapes.window + [
            FieldShape(
                "source", .text(maximum: 64),
                "What is looked through, with commas: administration (changes, and refused attempts at them), requests (admitted ones), refusals (requests that data planes refused); or all. Searches among requests go over 31 days at most."
            ) { $0.standard = .string(sources) },
            FieldShape("action", .token, "Only this: key.create, request.serve, request.refuse, …"),
            FieldShape("resource_kind", .token, "Only what was done to things of this kind; request: requests."),
            FieldShape("resource_id", .token, "Only what was done to this thing, or this request."),
            FieldShape("actor_id", .token, "Only what this one did: an administrator, key, app, user or DID."),
            FieldShape("key_id", .token, "Only what was done with, or to, this key."),
            FieldShape("model", .token, "Only what concerns this model, by its name."),
            FieldShape("status", .word(AuditStatus.allCases.map(\.rawValue)), "Only what ended so."),
            FieldShape(
                "text", .text(maximum: 128),
                "Only what has this in an id or name: a part of it; of a request or a trace the whole. 3 to 128 bytes."),
        ]
    }
    private static let tenant = FieldShape("tenant_id", .token, "Only what concerns this tenant.")
    private static let format = FieldShape("format", .word(UsageFormat.allCases.map(\.rawValue)), "As what.") {
        $0.standard = .string(UsageFormat.jsonl.rawValue)
    }

    static let list = RouteDocs("List what was done and tried, by administrators and by callers, newest first where nothing else is said.")
    {
        $0.query =
            RouteDocs.page + narrowing(usually: AuditSource.administration.rawValue) + [
                tenant,
                FieldShape("sort", .word(AuditOrder.words), "By time; a minus turns it round.") {
                    $0.standard = .string(AuditOrder.newestFirst.rawValue)
                },
            ]
        $0.answer = .list(Shapes.auditEntry)
    }

    static let export = RouteDocs(
        "All of it, newest first, and a last line with the number of entries and the SHA-256 of all bytes before it: see docs/audit.md. Of all sources where none is named."
    ) {
        $0.query = narrowing(usually: "all") + [tenant, format]
        $0.answer = .anything
        $0.otherTypes = ["text/csv", "application/jsonl"]
    }

    static let own = RouteDocs("List what was done with the key, and to it; with its rights of its project or tenant. Newest first.") {
        $0.query = RouteDocs.page + narrowing(usually: "all")
        $0.answer = .list(Shapes.auditEntry)
    }
}
