package import Primitives
import Storage

/// What the audit trail is made of.
package enum AuditSource: String, CaseIterable, Sendable {
    /// What administrators did, and attempts of theirs that were refused.
    case administration
    /// Requests that were admitted: their usage records.
    case requests
    /// Requests that data planes refused.
    case refusals

    /// Orders what is of one millisecond.
    fileprivate var rank: Int { self == .administration ? 2 : self == .requests ? 1 : 0 }

    /// - Parameter words: With commas, or `all`.
    /// - Throws: `DomainError.invalid`.
    package static func sources(named words: String) throws(DomainError) -> Set<AuditSource> {
        if words == "all" { return Set(allCases) }
        var found: Set<AuditSource> = []
        for word in words.split(separator: ",") {
            guard let source = AuditSource(rawValue: String(word)) else {
                throw .invalid(
                    "source", "is none that there is",
                    remedy: "Pass all, or some of \(allCases.map(\.rawValue).joined(separator: ", ")), with commas.")
            }
            found.insert(source)
        }
        return found
    }
}

/// How something in the audit trail ended.
package enum AuditStatus: String, CaseIterable, Sendable {
    /// Of a change that was made.
    case done
    /// Of a change, or of a request.
    case refused
    /// Of requests.
    case pending, completed, failed
}

/// One thing that somebody did or tried.
package struct AuditItem: Sendable {
    /// Unix milliseconds.
    package let at: Int64
    let source: AuditSource
    /// What decides among those of its source and moment: see `AuditTrail.Place`.
    let tie: String
    package let json: JSONValue

    func cursor(_ order: AuditOrder) -> Cursor { Cursor(list: order.list, time: at, id: "\(source.rank).\(tie)") }

    /// One line of a table: what is an object in the JSON has a column for each of its members.
    package var flat: JSONValue {
        var object = json.objectValue ?? JSONObject()
        object["actor_id"] = json["actor"]?["id"] ?? .null
        object["actor_name"] = json["actor"]?["name"] ?? .null
        object["actor_role"] = json["actor"]?["role"] ?? .null
        return .object(object)
    }

    package static let columns = [
        "id", "at", "source", "tenant_id", "actor_id", "actor_name", "actor_role", "remote_address", "action", "resource_kind",
        "resource_id", "status", "error_code", "key_id", "model", "request_id", "before", "after",
    ]
}

/// Who did what, in one list: administrators, and those whose requests came to a data plane.
package struct AuditTrail: Sendable {
    package static let list = "audit_trail"
    /// Shorter parts of ids are in nearly all of them.
    private static let textLengths = 3...128

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// By time. Where requests are asked for and nothing says from when on, the last 31 days.
    /// - Throws: `DomainError.invalid` for what does not fit, or a window in which too many requests would have to be looked at.
    package func entries(
        _ query: AuditQuery, _ page: PageRequest, sortedBy order: AuditOrder = .newestFirst, for reader: UsageReader
    ) async throws -> Page<AuditItem> {
        let query = try Self.checked(query, now: domain.clock.nowMilliseconds())
        let after = try page.after.map { (cursor) throws(DomainError) in try Place(cursor, order) }
        let isTurned = order == .oldestFirst
        let limit = page.fetchLimit
        let items = try await domain.report(as: reader.scope) { c in
            var items: [AuditItem] = []
            if query.wants(.administration) { items += try Self.changes(c, query, isTurned, after, limit, reader) }
            if query.wants(.requests) { items += try Self.requests(c, query, isTurned, after, limit, reader) }
            if query.wants(.refusals) { items += try Self.refusals(c, query, isTurned, after, limit, reader) }
            return items
        }
        // Each source's are in order already, and their sort is stable.
        let ordered = items.enumerated().sorted { a, b in
            let (first, last) = isTurned ? (a.element, b.element) : (b.element, a.element)
            return (first.at, first.source.rank, a.offset) < (last.at, last.source.rank, b.offset)
        }.map(\.element)
        return Page(fetched: ordered, page) { $0.cursor(order) }
    }

    private static func checked(_ query: AuditQuery, now: Int64) throws(DomainError) -> AuditQuery {
        var query = query
        if let text = query.text, !textLengths.contains(text.utf8.count) {
            throw .invalid("text", "is too short or too long", remedy: "Pass a part of an id: 3 to 128 bytes.")
        }
        if let from = query.from, let to = query.to, from >= to {
            throw .invalid("until", "does not come after from", remedy: "The window includes from and excludes until.")
        }
        guard query.wants(.requests) || query.wants(.refusals) else { return query }
        let end = min(query.to ?? .max, now)
        if query.from == nil, query.requestID == nil { query.from = max(0, end - UsageQueries.defaultDays * 86_400_000) }
        let isNarrow =
            query.requestID != nil
            || (query.actorID == nil && query.keyID == nil && query.model == nil && query.text == nil
                && query.status == nil && query.projectID == nil && query.didID == nil)
        guard isNarrow || end - (query.from ?? 0) <= UsageQueries.maximumRecordsWindow + 86_400_000 else {
            throw UsageQueries.tooLong(
                UsageQueries.maximumRecordsWindow, "a search among requests",
                "a shorter time, or for administration only (source=administration)")
        }
        return query
    }

    /// Where a page ended.
    struct Place {
        let at: Int64
        let rank: Int
        let tie: String
        let isTurned: Bool

        init(_ cursor: Cursor, _ order: AuditOrder) throws(DomainError) {
            let parts = cursor.id.split(separator: ".", maxSplits: 1)
            guard parts.count == 2, let rank = Int(parts[0]), (0...2).contains(rank) else { throw Cursor.foreign }
            (at, self.rank, tie, isTurned) = (cursor.time, rank, String(parts[1]), order == .oldestFirst)
        }

        /// Whether it is one of this source's, whose tie then decides.
        func isOf(_ source: AuditSource) -> Bool { source.rank == rank }

        /// What of a window (Unix milliseconds) may hold something of this source that is still to be shown.
        func rest(of source: AuditSource, from: Int64?, to: Int64?) -> (from: Int64?, to: Int64?) {
            let next = at.addingReportingOverflow(1).partialValue
            guard !isOf(source) else { return isTurned ? (max(from ?? .min, at), to) : (from, min(to ?? .max, next)) }
            if isTurned { return (max(from ?? .min, source.rank > rank ? at : next), to) }
            return (from, min(to ?? .max, source.rank < rank ? next : at))
        }
    }

    // MARK: Administration

    private static func changes(
        _ c: any SQLConnection, _ query: AuditQuery, _ isTurned: Bool, _ after: Place?, _ limit: Int, _ reader: UsageReader
    ) throws -> [AuditItem] {
        guard query.status == nil || query.status == .done || query.status == .refused else { return [] }
        var filter = query.filter
        var place: (at: Int64, sequence: Int64)?
        if let after {
            (filter.from, filter.to) = after.rest(of: .administration, from: filter.from, to: filter.to)
            if after.isOf(.administration) {
                guard let sequence = Int64(after.tie) else { throw Cursor.foreign }
                place = (after.at, sequence)
            }
        }
        return try AuditTable.list(c, filter, oldestFirst: isTurned, after: place, limit: limit).map { row in
            let entry = AuditEntry(row, for: reader.scope)
            return AuditItem(at: entry.at, source: .administration, tie: String(entry.sequence), json: entry.json)
        }
    }

    // MARK: Requests

    private static func requests(
        _ c: any SQLConnection, _ query: AuditQuery, _ isTurned: Bool, _ after: Place?, _ limit: Int, _ reader: UsageReader
    ) throws -> [AuditItem] {
        guard query.action == nil || query.action == AuditItem.served, query.mayBeRequest else { return [] }
        var usage = UsageQuery()
        if let status = query.status {
            guard UsageStatus(rawValue: status.rawValue) != nil else { return [] }
            try usage.narrow(.status, to: status.rawValue)
        }
        usage[.tenant] = query.tenantID
        usage[.project] = query.projectID
        usage[.key] = query.keyID
        usage[.did] = query.didID
        usage[.model] = query.model
        var (from, end) = (query.from, query.to)
        var place: UsageTable.Place?
        if let after {
            (from, end) = after.rest(of: .requests, from: from, to: end)
            if after.isOf(.requests) {
                let parts = after.tie.split(separator: ".")
                guard parts.count == 2, let time = Int64(parts[0]), let id = RequestID(text: String(parts[1])) else { throw Cursor.foreign }
                place = UsageTable.Place(admittedAt: time, requestID: id.bytes)
            }
        }
        var filter = usage.filter(from: from ?? 0, until: end ?? .max)
        if let id = query.requestID { filter[.request] = .blob(id.bytes) }
        if let actor = query.actorID { filter[.party] = .text(actor) }
        if let text = query.text, query.requestID == nil {
            if let trace = Hex.decode(text), trace.count == 16 { filter[.trace] = .blob(trace) } else { filter[.idText] = .text(text) }
        }
        let rows = try UsageTable.list(c, filter, isDescending: !isTurned, after: place, limit: limit)
        let names = try EntityNames.of(Set(rows.flatMap(UsageRecord.ids)), c)
        return rows.map { row in
            let id = RequestID(bytes: row.requestID)?.text ?? ""
            let record = UsageRecord(row, names).json(for: reader)
            let party = AuditItem.Party(key: row.keyID, app: row.appID, user: row.userID, did: row.did)
            return AuditItem(
                at: row.admittedAtMicroseconds / 1000, source: .requests, tie: "\(row.admittedAtMicroseconds).\(id)",
                json: AuditItem.request(
                    id, at: row.admittedAtMicroseconds / 1000, tenantID: row.tenantID, party, name: names[party.id],
                    action: AuditItem.served,
                    source: .requests, status: UsageStatus.word(row.status), code: row.errorCode, keyID: row.keyID, model: row.model,
                    address: "", after: record))
        }
    }

    // MARK: Refusals

    private static func refusals(
        _ c: any SQLConnection, _ query: AuditQuery, _ isTurned: Bool, _ after: Place?, _ limit: Int, _ reader: UsageReader
    ) throws -> [AuditItem] {
        guard query.action == nil || query.action == AuditTable.refusal, query.mayBeRequest else { return [] }
        guard query.status == nil || query.status == .refused else { return [] }
        var filter = RequestRefusalFilter()
        (filter.from, filter.to) = (query.from, query.to)
        (filter.tenantID, filter.projectID, filter.keyID) = (query.tenantID, query.projectID, query.keyID)
        (filter.model, filter.party, filter.requestID) = (query.model, query.didID ?? query.actorID, query.requestID?.bytes)
        if query.requestID == nil { filter.text = query.text }
        var place: (at: Int64, requestID: [UInt8])?
        if let after {
            (filter.from, filter.to) = after.rest(of: .refusals, from: filter.from, to: filter.to)
            if after.isOf(.refusals) {
                guard let id = RequestID(text: after.tie) else { throw Cursor.foreign }
                place = (after.at, id.bytes)
            }
        }
        let rows = try RequestRefusalsTable.list(c, filter, oldestFirst: isTurned, after: place, limit: limit)
        let names = try EntityNames.of(Set(rows.flatMap { [$0.keyID, $0.appID, $0.userID] }), c)
        return rows.map { row in
            let id = RequestID(bytes: row.requestID)?.text ?? ""
            let party = AuditItem.Party(key: row.keyID, app: row.appID, user: row.userID, did: row.did)
            var told: JSONObject = [
                "http_status": .int(row.httpStatus), "error_origin": .optional(UsageErrorOrigin.word(row.errorOrigin)),
                "error_code": .string(row.errorCode), "channel": .string(row.channel), "repeated": .int(row.repeated),
                "project_id": row.projectID.isEmpty ? .null : .string(row.projectID),
            ]
            if reader == .administrator { told["data_plane_id"] = .string(row.dataPlaneID) }
            return AuditItem(
                at: row.at, source: .refusals, tie: id,
                json: AuditItem.request(
                    id, at: row.at, tenantID: row.tenantID, party, name: names[party.id], action: AuditTable.refusal, source: .refusals,
                    status: AuditStatus.refused.rawValue, code: row.errorCode, keyID: row.keyID, model: row.model,
                    address: row.remoteAddress, after: .object(told)))
        }
    }
}

extension AuditItem {
    /// Of a request that was admitted.
    static let served = "request.serve"

    /// Who asked.
    struct Party {
        let role: String
        let id: String

        init(key: String, app: String, user: String, did: String) {
            (role, id) =
                !did.isEmpty
                ? ("did", did)
                : !key.isEmpty
                    ? ("key", key)
                    : !app.isEmpty
                        ? ("app", app)
                        : !user.isEmpty
                            ? ("user", user)
                            : ("anonymous", "anonymous")
        }
    }

    /// In the shape that changes have, too.
    static func request(
        _ id: String, at: Int64, tenantID: String, _ party: Party, name: String?, action: String, source: AuditSource, status: String,
        code: String, keyID: String, model: String, address: String, after: JSONValue
    ) -> JSONValue {
        func optional(_ text: String) -> JSONValue { text.isEmpty ? .null : .string(text) }
        return [
            "id": .string(id), "sequence": 0, "at": .time(at), "tenant_id": optional(tenantID),
            "actor": ["id": .string(party.id), "name": .string(name ?? party.id), "role": .string(party.role)],
            "remote_address": .string(address), "request_id": .string(id), "action": .string(action), "resource_kind": "request",
            "resource_id": .string(id), "source": .string(source.rawValue), "status": .string(status), "error_code": optional(code),
            "key_id": optional(keyID), "model": optional(model), "before": .null, "after": after,
        ]
    }
}
