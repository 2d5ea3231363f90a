import Nouns
package import Primitives
import Storage

/// Who has how much of a limit, as data planes have told: of each one that counts by itself, the busiest first.
package struct LimitUses: Sendable {
    /// So many are shown.
    package static let maximum = 200

    private let domain: DomainContext

    package init(_ domain: DomainContext) { self.domain = domain }

    /// - Parameter scope: One tenant's administrator is told of what is that tenant's.
    /// - Throws: `DomainError.notFound`.
    package func uses(of id: LimitID, as scope: TenantScope) async throws -> JSONValue {
        let limit = try await domain.read(as: scope) { c in try LimitContent.present(c, id) }
        let prefix = limit.content.level.subjectPrefix
        // Whose counters are whose is no column: they are read by us, and judged one by one.
        let (told, names) = try await domain.read(as: .all) { c in
            var told: [(subject: String, rows: [RateShareRow])] = []
            let rows = try RateSharesTable.all(c).compactMap { row in RateCounter(row.counter).map { ($0, row) } }
                .filter { $0.0.limitID == id.rawValue }
            for (subject, own) in Dictionary(grouping: rows, by: \.0.subject) {
                if case .tenant(let tenant) = scope {
                    guard try own.first?.0.tenant(at: limit.content.level, c)?.rawValue == tenant else { continue }
                }
                told.append((prefix.map { $0 + subject } ?? "", own.map(\.1)))
            }
            return (told, try EntityNames.of(told.map(\.subject).filter { !$0.isEmpty }, c))
        }
        let items = told.map { one in
            (one.subject, one.rows, one.rows.reduce(Int64(0)) { $0 &+ min(max(0, $1.had), limit.content.amount &* 2) })
        }.sorted { ($1.2, $0.0) < ($0.2, $1.0) }
        return [
            "limit_id": .string(id.rawValue), "amount": .int(limit.content.amount), "subjects": .int(Int64(items.count)),
            "items": .array(
                items.prefix(Self.maximum).map { subject, rows, used in
                    [
                        "subject_id": subject.isEmpty ? .null : .string(subject), "name": .optional(names[subject]), "used": .int(used),
                        "data_planes": .int(Int64(rows.count)), "as_of": .time(rows.map(\.updatedAt).min()),
                    ]
                }),
        ]
    }
}

extension LimitLevel {
    /// Of those that count by themselves; nil: they have no identifier.
    fileprivate var subjectPrefix: String? {
        switch self {
        case .global, .ip: nil
        case .tenant: TenantKind.prefix
        case .project: ProjectKind.prefix
        case .app: AppKind.prefix
        case .user: UserKind.prefix
        case .key: KeyKind.prefix
        case .did: DIDKind.prefix
        }
    }
}
