import Nouns
package import Primitives
import Storage

/// What a month cost, by whom it is charged to.
package struct Billing: Sendable {
    /// What a month can be divided by. By user it is where none is named.
    package enum Group: Hashable, Sendable {
        case user, tenant, project, app, key, model
        case tag(String)

        package static let words = ["user", "tenant", "project", "app", "key", "model", "tag:NAME"]

        package init?(word: String) {
            switch UsageGroup(word: word) {
            case .user: self = .user
            case .tenant: self = .tenant
            case .project: self = .project
            case .app: self = .app
            case .key: self = .key
            case .model: self = .model
            case .tag(let name): self = .tag(name)
            default: return nil
            }
        }

        fileprivate var dimensions: [UsageDimension] {
            switch self {
            // An app's owner pays for it.
            case .user: [.column(.user), .column(.app)]
            case .tenant: [.tenant]
            case .project: [.project]
            case .app: [.column(.app)]
            case .key: [.key]
            case .model: [.model]
            case .tag(let name): [.tag(name)]
            }
        }

        fileprivate var word: String {
            switch self {
            case .user: "user"
            case .tenant: "tenant"
            case .project: "project"
            case .app: "app"
            case .key: "key"
            case .model: "model"
            case .tag: "tag"
            }
        }
    }

    /// More groups than that are no bill.
    private static let maximumGroups = 200_000

    let domain: DomainContext
    package let ledger: BillingLedger

    package init(_ domain: DomainContext) {
        self.domain = domain
        ledger = BillingLedger(domain)
    }

    /// What the requests cost that were admitted within the month: `total_cost`, and by whom. What no user, app, … is charged for is a group,
    /// too, so that the groups come to the total. Of requests without a price nothing is known, and so nothing charged.
    package func month(_ month: BillingMonth, by group: Group, tenantID: TenantID?, as scope: TenantScope) async throws -> JSONValue {
        var filter = UsageFilter(
            from: month.milliseconds.lowerBound * 1000, to: month.milliseconds.upperBound * 1000)
        if let tenantID { filter[.tenant] = .text(tenantID.rawValue) }
        let query = UsageSumsQuery(filter, by: group.dimensions, limit: Self.maximumGroups)
        return try await domain.report(as: scope) { c in
            let found = try query.run(c)
            guard found.others == 0 else {
                throw DomainError.invalid(
                    "group_by", "has more than \(Self.maximumGroups) groups", remedy: "Name a tenant, or group by less.")
            }
            let head: JSONObject = [
                "month": .string(month.text), "total_cost": Self.dollars(found.totals.costNano),
                "total_requests": .int(found.totals.requests),
            ]
            let (name, items) =
                group == .user ? ("users", try Self.users(c, found.rows)) : ("items", try Self.items(c, found.rows, group))
            return .object(JSONObject(members: head.members + [.init(name: name, value: .array(items))]))
        }
    }

    private static func dollars(_ nano: Int64) -> JSONValue { .string(NanoDollars(nano).decimalString) }

    private static func users(_ c: any SQLConnection, _ rows: [UsageSums]) throws -> [JSONValue] {
        func id(_ sums: UsageSums, _ place: Int) -> String {
            if sums.group.indices.contains(place), case .text(let id) = sums.group[place] { id } else { "" }
        }
        let apps: [String: AppContent] = try contents(c, Set(rows.map { id($0, 1) }))
        var charged: [String: UsageSums] = [:]
        for sums in rows { charged[apps[id(sums, 1)]?.ownerID.rawValue ?? id(sums, 0), default: UsageSums()].add(sums) }
        let users: [String: UserContent] = try contents(c, Set(charged.keys))
        return charged.map { (user: users[$0.key], id: $0.key, sums: $0.value) }
            .sorted { ($0.sums.costNano, $1.id) > ($1.sums.costNano, $0.id) }
            .map { user, _, sums in
                [
                    "user_oid": .optional(user?.oid), "email": .optional(user?.email), "requests": .int(sums.requests),
                    "total_cost": dollars(sums.costNano),
                ]
            }
    }

    /// By identifier, deleted ones included.
    private static func contents<Content: Administered>(_ c: any SQLConnection, _ ids: Set<String>) throws -> [String: Content] {
        try Dictionary(
            Content.table.find(c, ids: ids.filter { !$0.isEmpty }.sorted()).map { ($0.id, try Entity<Content>($0).content) },
            uniquingKeysWith: { first, _ in first })
    }

    private static func items(_ c: any SQLConnection, _ rows: [UsageSums], _ group: Group) throws -> [JSONValue] {
        func text(_ sums: UsageSums) -> String { if case .text(let text)? = sums.group.first { text } else { "" } }
        let names = try EntityNames.of(Set(rows.map(text)), c)
        return rows.sorted { ($0.costNano, text($1)) > ($1.costNano, text($0)) }.map { sums in
            let value = text(sums)
            var object = JSONObject()
            switch group {
            case .model, .tag: object[group.word] = value.isEmpty ? .null : .string(value)
            default:
                object["\(group.word)_id"] = value.isEmpty ? .null : .string(value)
                object[group.word] = .optional(names[value])
            }
            object["requests"] = .int(sums.requests)
            object["total_cost"] = dollars(sums.costNano)
            return .object(object)
        }
    }
}
