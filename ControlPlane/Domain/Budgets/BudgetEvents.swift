import Leases
package import Nouns
package import Primitives
import Storage

/// Something that somebody should hear of.
package struct SpendEvent: Sendable, Hashable {
    package typealias Kind = AlertKind

    package let id: String
    /// Unix milliseconds.
    package let at: Int64
    package let kind: String
    /// Nil: the installation's.
    package let tenantID: String?
    package let budgetID: String?
    package let dataPlaneID: String?
    package let detail: JSONValue

    init(_ row: SpendEventRow) {
        id = row.id
        at = row.at
        kind = row.kind
        tenantID = row.tenantID.isEmpty ? nil : row.tenantID
        budgetID = row.budgetID
        dataPlaneID = row.dataPlaneID
        detail = (try? JSONValue(parsing: row.detail)) ?? .null
    }

    package var json: JSONValue {
        [
            "id": .string(id), "at": .time(at), "kind": .string(kind), "tenant_id": .optional(tenantID), "budget_id": .optional(budgetID),
            "data_plane_id": .optional(dataPlaneID), "detail": detail,
        ]
    }
}

/// Writes down what is to be told, in the transaction in which it comes about. Each is told once for its occasion.
enum BudgetEvents {
    /// Of a budget's limit, in percent, from which it is told.
    private static let nearPercent = 80.0

    static func isNear(_ used: Int64, of limit: Int64) -> Bool { used > 0 && Double(used) >= Double(limit) * nearPercent / 100 }

    static func write(
        _ kind: SpendEvent.Kind, for occasion: String, tenantID: String, budgetID: String? = nil, dataPlaneID: String? = nil,
        _ detail: JSONObject, _ now: Int64, _ c: any SQLConnection
    ) throws {
        try SpendEventsTable.insert(
            c,
            SpendEventRow(
                id: "evt_" + Base32.encode(SecureRandom.bytes(10)), at: now, kind: kind.rawValue, tenantID: tenantID, budgetID: budgetID,
                dataPlaneID: dataPlaneID, occasion: "\(kind.rawValue) \(occasion)", detail: JSONValue.object(detail).text))
    }

    /// An account's sums have changed. A limit that is raised makes another occasion.
    static func crossed(_ account: BudgetAccountRow, _ now: Int64, _ c: any SQLConnection) throws {
        let used = account.settled.addingReportingOverflow(account.unknown).partialValue
        guard isNear(used, of: account.limit), let budget = try BudgetContent.find(c, account.budgetID)?.content
        else { return }
        let kind: SpendEvent.Kind =
            used > account.limit ? .budgetExceeded : used == account.limit ? .budgetExhausted : .budgetNear
        try write(
            kind, for: "\(account.budgetID) \(account.periodStart) \(account.limit)", tenantID: account.tenantID,
            budgetID: account.budgetID,
            [
                "budget": .string(budget.name), "unit": .string(budget.unit.rawValue), "kind": .string(budget.kind.rawValue),
                "limit": .string(BudgetContent.text(account.limit, budget.unit)), "used": .string(BudgetContent.text(used, budget.unit)),
                "resets_at": .time(account.periodEnd),
            ], now, c)
    }

    /// A report about a known slice was odd.
    static func odd(
        _ findings: ReportFindings, of row: BudgetSliceRow, saidBy dataPlaneID: String, _ now: Int64, _ c: any SQLConnection
    ) throws {
        for (finding, word) in [
            (ReportFindings.wentBack, "went_back"), (.aboveGranted, "above_granted"), (.notTheirs, "not_theirs"),
            (.afterTheEnd, "after_the_end"),
        ] where findings.contains(finding) {
            try write(
                .sliceAlarm, for: "\(row.id) \(word) \(dataPlaneID)", tenantID: finding == .notTheirs ? "" : row.tenantID,
                budgetID: finding == .notTheirs ? nil : row.budgetID, dataPlaneID: dataPlaneID,
                ["slice": .string(SliceID(rawValue: row.id)?.text ?? ""), "finding": .string(word)], now, c)
        }
    }

    /// A slice was named that is not known here.
    static func unknown(
        _ report: SliceReport, wasTaken: Bool, saidBy dataPlaneID: String, tenantID: String, _ now: Int64, _ c: any SQLConnection
    ) throws {
        // Of what is refused, one a data plane and day: somebody may invent any number.
        let occasion = wasTaken ? report.slice.text : String(now / 86_400_000)
        try write(
            .sliceAlarm, for: "\(wasTaken ? "adopted" : "refused") \(occasion) \(dataPlaneID)", tenantID: tenantID,
            budgetID: wasTaken ? report.account.budget.rawValue : nil, dataPlaneID: dataPlaneID,
            ["slice": .string(report.slice.text), "finding": .string(wasTaken ? "adopted" : "unknown")], now, c)
    }
}
