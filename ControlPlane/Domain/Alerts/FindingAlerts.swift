import Nouns
import Primitives
import Storage

/// Tells of what the doctor finds, when it comes and when it goes: a provider that refuses a credential, an endpoint that fails, a data plane
/// that is away. What is there in one look only, or gone in one, is told to nobody.
package struct FindingAlerts: Sendable {
    /// They are events of their own.
    private static let elsewhere: Set<Finding.Code> = [
        .budgetNear, .budgetExhausted, .sliceAlarm, .balanceNegative, .webhookFailing,
    ]
    private static let maximum = 500

    private let domain: DomainContext
    private let status: StatusService

    package init(_ status: StatusService) {
        self.status = status
        domain = status.domain
    }

    /// Once a minute or so.
    package func look() async throws {
        let found = try await status.status(for: .system("alerts")).findings
            .filter { $0.severity != .notice && !Self.elsewhere.contains($0.code) }.prefix(Self.maximum)
        let now = domain.clock.nowMilliseconds()
        try await domain.write(as: .all) { c in
            var known = Dictionary(
                try ToldFindingsTable.all(c).map { (Key(code: $0.code, subject: $0.subject), $0) }, uniquingKeysWith: { first, _ in first })
            var seen: Set<Key> = []
            for finding in found {
                // Of warnings without a subject of their own each is one.
                let key = Key(code: finding.code.rawValue, subject: finding.code == .operatorWarning ? finding.message : finding.subject)
                guard seen.insert(key).inserted else { continue }
                let row = known.removeValue(forKey: key)
                if row?.toldAt != nil, row?.missing == 0 { continue }
                if row?.toldAt == nil, row != nil { try Self.tell(.findingRaised, key, finding, now, c) }
                try ToldFindingsTable.put(
                    c, .init(code: key.code, subject: key.subject, toldAt: row.map { $0.toldAt ?? now }, missing: 0))
            }
            for (key, row) in known {
                guard let toldAt = row.toldAt, row.missing == 0 else {
                    if row.toldAt != nil { try Self.tell(.findingCleared, key, nil, now, c) }
                    try ToldFindingsTable.remove(c, row)
                    continue
                }
                try ToldFindingsTable.put(c, .init(code: key.code, subject: key.subject, toldAt: toldAt, missing: 1))
            }
        }
    }

    private struct Key: Hashable {
        let code: String
        let subject: String
    }

    private static func tell(_ kind: AlertKind, _ key: Key, _ finding: Finding?, _ now: Int64, _ c: any SQLConnection) throws {
        var detail = finding?.json.objectValue ?? JSONObject()
        detail["code"] = .string(key.code)
        detail["subject"] = .string(key.subject)
        try BudgetEvents.write(kind, for: "\(key.code) \(key.subject) \(now)", tenantID: "", detail, now, c)
    }
}
