import Contract
import Formats
import Primitives

/// What limits and budgets a caller's requests count in: found once for each directory, not with each request.
final class CallerRules {
    /// All that it depends on.
    struct Who: Hashable {
        private let directory: UInt64
        private let kind: Principal.Kind
        private let channel: Caller.Channel
        private let capability: RequestTarget.Capability
        private let id: IDBits
        private let tenant: IDBits
        private let project: IDBits?
        private let user: IDBits?
        private let owner: IDBits?
        private let delegate: IDBits?
        private let address: LimitSubject?
        /// Nil where no limit concerns one model alone.
        private let model: String?

        init(_ admission: Admission) {
            let principal = admission.caller.principal
            let directory = admission.snapshot.directory
            self.directory = directory.serial
            kind = principal.kind
            channel = admission.caller.channel
            capability = admission.capability
            id = principal.id
            tenant = principal.tenant.bits
            project = principal.project?.bits
            user = principal.user
            owner = principal.owner
            delegate = principal.delegate
            address = admission.address
            model = directory.limits.namesModels ? admission.model.name : nil
        }
    }

    let who: Who
    let rates: RatePlan
    /// Those that refuse first.
    let budgets: [BudgetRule]

    init(_ who: Who, _ admission: Admission) {
        self.who = who
        let caller = admission.caller
        let directory = admission.snapshot.directory
        rates =
            directory.limits.isEmpty
            ? RatePlan([])
            : directory.limits.plan(caller.principal, caller.channel, model: admission.model.name, address: admission.address)
        budgets =
            directory.budgets.concerns(caller.tenant)
            ? BudgetRule.inOrder(directory.budgets.rules(of: caller.principal, for: admission.capability)) : []
    }
}

/// The rules of callers that a loop knows of the directory that was asked for last.
struct KnownCallerRules {
    private var known: [CallerRules.Who: CallerRules] = [:]
    private var directory: UInt64 = 0

    private static let maximum = 4096

    mutating func find(_ who: CallerRules.Who, _ admission: Admission) -> CallerRules {
        let serial = admission.snapshot.directory.serial
        if serial != directory || known.count >= Self.maximum {
            known.removeAll(keepingCapacity: true)
            directory = serial
        }
        if let rules = known[who] { return rules }
        let rules = CallerRules(who, admission)
        known[who] = rules
        return rules
    }
}

extension Exchange {
    /// What the request counts in.
    func callerRules(_ admission: Admission) -> CallerRules {
        let who = CallerRules.Who(admission)
        if let lastRules, lastRules.who == who { return lastRules }
        let rules = loop.callerRules.find(who, admission)
        lastRules = rules
        return rules
    }
}
