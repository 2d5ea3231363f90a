package import Contract
import Foundation
import Nouns
import Primitives
import Storage

/// What a DID has used, for its own holder, asked through a data plane that has verified him. The data plane's word counts for its own tenants'
/// DIDs only: it serves them, and sees their requests anyway.
package struct OwnUsageService: Sendable {
    private let domain: DomainContext
    private let usage: UsageQueries
    /// Reports of callers, of all data planes together: administrators' have room beside them.
    private let limit = BuildLimit(2)

    private static let parameters: Set<String> = ["from", "until", "group_by", "time_zone", "limit"]
    private static let groups: [UsageGroup] = [.model, .status, .key, .hour, .day, .month]

    package init(_ domain: DomainContext) {
        self.domain = domain
        usage = UsageQueries(domain)
    }

    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    package func report(_ question: Weir_V1_OwnUsage, from dataPlaneID: String) async throws -> Weir_V1_Answer {
        let did = try await domain.read(as: .all) { c -> Entity<DIDContent>? in
            guard let plane = try DataPlanesTable.find(c, id: dataPlaneID), plane.status == .active else { throw FleetRefusal.revoked }
            guard let did = try DIDContent.find(c, question.didID) else { return nil }
            return DirectoryScope(tenantIDs: plane.tenantIDs).contains(did.content.tenantID.rawValue) ? did : nil
        }
        guard let did else { return .refusal("unknown_did", "This DID is not registered.", status: 403) }
        do {
            var request = try Self.request(question.query)
            request.query[.did] = did.id.rawValue
            let asked = request
            let report = try await limit.run { try await usage.report(asked, for: .tenant(did.content.tenantID)) }
            var answer = Weir_V1_Answer()
            answer.body = Data(report.bytes)
            return answer
        } catch DomainError.invalid(let problems) {
            let words = problems.map { "\($0.field) \($0.message). \($0.remedy)" }.joined(separator: " ")
            return .refusal("invalid_request", String(words.prefix(500)), status: 400)
        }
    }

    private static func request(_ query: String) throws -> UsageReportRequest {
        var request = UsageReportRequest()
        var seen: Set<String> = []
        for part in query.split(separator: "&") {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
                $0.replacing("+", with: " ").removingPercentEncoding ?? ""
            }
            let (name, value) = (halves[0], halves.count > 1 ? halves[1] : "")
            guard parameters.contains(name), seen.insert(name).inserted else {
                throw DomainError.invalid(
                    String(name.prefix(40)), "is no parameter here, or is given twice",
                    remedy: "Pass some of \(parameters.sorted().joined(separator: ", ")), once each.")
            }
            switch name {
            case "from": request.query.from = try time(name, value)
            case "until": request.query.until = try time(name, value)
            case "time_zone": request.timeZone = try ReaderTimeZone(named: value)
            case "limit":
                guard let number = Int(value), (1...UsageReportRequest.defaultLimit).contains(number) else {
                    throw DomainError.invalid(
                        name, "does not fit", remedy: "Pass a whole number from 1 to \(UsageReportRequest.defaultLimit).")
                }
                request.limit = number
            default:
                for word in value.split(separator: ",") {
                    guard let group = UsageGroup(word: word.trimmingCharacters(in: .whitespaces)), groups.contains(group) else {
                        throw DomainError.invalid(
                            name, "cannot group by this", remedy: "Pass some of \(groups.map(\.word).joined(separator: ", ")), with commas."
                        )
                    }
                    if !request.groups.contains(group) { request.groups.append(group) }
                }
            }
        }
        return request
    }

    private static func time(_ name: String, _ value: String) throws -> Int64 {
        guard let time = RFC3339.milliseconds(value) else {
            throw DomainError.invalid(name, "is no time", remedy: "Pass an RFC 3339 time like 2026-11-21T04:05:06Z.")
        }
        return time
    }
}
