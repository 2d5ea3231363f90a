import Contract
import Nouns
import Primitives
import Storage

extension DirectoryTables.Budget {
    /// What data planes are told of it: its periods are those of the moment.
    func entry(at now: Int64) -> Weir_V1_BudgetEntry {
        var entry = Weir_V1_BudgetEntry()
        entry.id = id
        entry.tenantID = tenantID
        entry.name = name
        entry.subjectID = subjectID
        entry.unit =
            switch BudgetUnit(rawValue: unit) {
            case .cost: .nanoDollars
            case .tokens: .tokens
            case .requests: .requests
            case nil: .unspecified
            }
        entry.soft = kind == BudgetStrictness.soft.rawValue
        entry.observe = mode == EnforcementMode.observe.rawValue
        entry.likely = unknownOutcomes == UnknownOutcomes.likely.rawValue
        // One that is not known here is no request's.
        entry.capability =
            capability.map { word in Weir_V1_Capability.allCases.first { String(describing: $0) == word } ?? .UNRECOGNIZED(.max) }
            ?? .unspecified
        let content = BudgetContent {
            // A period that this version does not know has no end.
            $0.period = BudgetPeriod(rawValue: period) ?? .never
            $0.timeZone = timeZone
        }
        entry.periods = content.periods(at: now).map { period in
            var message = Weir_V1_BudgetPeriod()
            message.startMs = period.start
            message.endMs = period.end ?? 0
            return message
        }
        return entry
    }
}
