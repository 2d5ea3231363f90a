package import Contract
import Foundation
import Nouns
import Primitives
import Storage

/// What a DID has used, what is left to it and what was done by it and to it, for its own holder, asked through a data plane that has verified
/// him. The data plane's word counts for its own tenants' DIDs only: it serves them, and sees their requests anyway.
package struct OwnReportService: Sendable {
    package enum Report: Sendable {
        case usage, limits, audit
    }

    private let domain: DomainContext
    private let usage: UsageQueries
    private let budgets: BudgetStateService
    private let trail: AuditTrail
    /// Reports of callers, of all data planes together: administrators' have room beside them.
    private let limit = BuildLimit(2)

    private static let auditParameters: Set<String> = [
        "from", "until", "source", "action", "status", "model", "text", "sort", "limit", "cursor",
    ]
    private static let groups: [UsageGroup] = [.model, .status, .key, .hour, .day, .month]

    package init(_ domain: DomainContext) {
        self.domain = domain
        usage = UsageQueries(domain)
        budgets = BudgetStateService(domain)
        trail = AuditTrail(domain)
    }

    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    package func answer(_ report: Report, _ question: Weir_V1_OwnUsage, from dataPlaneID: String) async throws -> Weir_V1_Answer {
        let did = try await domain.read(as: .all) { c -> Entity<DIDContent>? in
            guard let plane = try DataPlanesTable.find(c, id: dataPlaneID), plane.status == .active else { throw FleetRefusal.revoked }
            guard let did = try DIDContent.find(c, question.didID) else { return nil }
            return DirectoryScope(tenantIDs: plane.tenantIDs).contains(did.content.tenantID.rawValue) ? did : nil
        }
        guard let did else { return .refusal("unknown_did", "This DID is not registered.", status: 403) }
        do {
            var answer = Weir_V1_Answer()
            answer.body = Data(try await limit.run { try await body(report, question.query, of: did) })
            return answer
        } catch DomainError.invalid(let problems) {
            let words = problems.map { "\($0.field) \($0.message). \($0.remedy)" }.joined(separator: " ")
            return .refusal("invalid_request", String(words.prefix(500)), status: 400)
        }
    }

    private func body(_ report: Report, _ query: String, of did: Entity<DIDContent>) async throws -> [UInt8] {
        let reader = UsageReader.tenant(did.content.tenantID)
        switch report {
        case .usage:
            var request = try Self.usage(query)
            request.query[.did] = did.id.rawValue
            return try await usage.report(request, for: reader).bytes
        case .limits:
            _ = try OwnQuery(query, of: [])
            return try await budgets.limits(of: did).bytes
        case .audit:
            let asked = try OwnQuery(query, of: Self.auditParameters)
            var audit = AuditQuery(tenantID: did.content.tenantID.rawValue, from: try asked.time("from"), to: try asked.time("until"))
            audit.didID = did.id.rawValue
            audit.sources = try AuditSource.sources(named: asked["source"] ?? "all")
            (audit.action, audit.model, audit.text) = (asked["action"], asked["model"], asked["text"])
            audit.status = try asked.word("status")
            let order = try asked["sort"].map(AuditOrder.init(word:)) ?? .newestFirst
            let page = PageRequest(
                limit: try asked.number("limit", upTo: PageRequest.maximumLimit) ?? PageRequest.defaultLimit,
                after: try asked["cursor"].map { try Cursor(text: $0, list: order.list) })
            return JSONValue.object(try await trail.entries(audit, page, sortedBy: order, for: reader).json(\.json)).bytes
        }
    }

    private static func usage(_ query: String) throws -> UsageReportRequest {
        let asked = try OwnQuery(query, of: ["from", "until", "group_by", "time_zone", "limit"])
        var request = UsageReportRequest()
        (request.query.from, request.query.until) = (try asked.time("from"), try asked.time("until"))
        if let name = asked["time_zone"] { request.timeZone = try ReaderTimeZone(named: name) }
        if let limit = try asked.number("limit", upTo: UsageReportRequest.defaultLimit) { request.limit = limit }
        for word in (asked["group_by"] ?? "").split(separator: ",") {
            guard let group = UsageGroup(word: word.trimmingCharacters(in: .whitespaces)), groups.contains(group) else {
                throw DomainError.invalid(
                    "group_by", "cannot group by this", remedy: "Pass some of \(groups.map(\.word).joined(separator: ", ")), with commas.")
            }
            if !request.groups.contains(group) { request.groups.append(group) }
        }
        return request
    }
}

/// The query of a request that came to a data plane, as it was sent.
private struct OwnQuery {
    private var values: [String: String] = [:]

    /// - Throws: `DomainError.invalid` for a parameter that is none of `names`, or is there twice.
    init(_ text: String, of names: Set<String>) throws(DomainError) {
        for part in text.split(separator: "&") {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
                $0.replacing("+", with: " ").removingPercentEncoding ?? ""
            }
            let name = halves[0]
            guard names.contains(name), values.updateValue(halves.count > 1 ? halves[1] : "", forKey: name) == nil else {
                throw .invalid(
                    String(name.prefix(40)), "is no parameter here, or is given twice",
                    remedy: names.isEmpty ? "Leave it out." : "Pass some of \(names.sorted().joined(separator: ", ")), once each.")
            }
        }
    }

    subscript(name: String) -> String? { values[name] }

    func time(_ name: String) throws(DomainError) -> Int64? {
        guard let text = values[name] else { return nil }
        guard let time = RFC3339.milliseconds(text) else {
            throw .invalid(name, "is no time", remedy: "Pass an RFC 3339 time like 2026-11-21T04:05:06Z.")
        }
        return time
    }

    func number(_ name: String, upTo most: Int) throws(DomainError) -> Int? {
        guard let text = values[name] else { return nil }
        guard let number = Int(text), (1...most).contains(number) else {
            throw .invalid(name, "does not fit", remedy: "Pass a whole number from 1 to \(most).")
        }
        return number
    }

    func word<Word: RawRepresentable<String> & CaseIterable>(_ name: String) throws(DomainError) -> Word? {
        guard let text = values[name] else { return nil }
        guard let word = Word(rawValue: text) else {
            throw .invalid(
                name, "is none that there is", remedy: "Pass one of: \(Word.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return word
    }
}
