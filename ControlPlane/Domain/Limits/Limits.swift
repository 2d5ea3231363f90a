import Contract
package import Nouns
package import Primitives
package import Storage

package typealias Limit = Entity<LimitContent>

/// How many requests and tokens there may be, for whom, in which time.
extension LimitContent: Administered {
    /// Every data plane holds all that concern its tenants.
    private static let maximum = 50_000

    package static var scope: NounScope { .directory }
    /// It ends with whom it limits, and keeps nobody from going.
    package static var endsWithItsReferences: Bool { true }
    /// A revoked key is in no document, so no limit of it is.
    package static var holding: String? {
        "(key_id IS NULL OR EXISTS (SELECT 1 FROM virtual_keys WHERE virtual_keys.id = limits.key_id AND revoked_at IS NULL))"
    }

    package static var taken: FieldProblem {
        FieldProblem("name", "is taken by another limit of this deployment", remedy: "Choose another name.")
    }

    package func problems(replacing old: LimitContent?, now: Int64) -> [FieldProblem] {
        var problems: [FieldProblem] = []
        for (field, of, _) in named where of != level {
            problems.append(
                FieldProblem(
                    field, "is not limited at the level \(level.rawValue)", remedy: "Make it the level \(of.rawValue), or leave it out."))
        }
        if let ip, ip.contains("/") || NetworkList([ip]) == nil {
            problems.append(FieldProblem("ip", "is no IP address", remedy: "Give one like 192.0.2.7 or 2001:db8::7."))
        }
        if tenantID == nil, let (field, _, _) = named.first(where: { $0.level != .ip }) {
            problems.append(
                FieldProblem("tenant_id", "is missing, and \(field) is a tenant's", remedy: "Name the tenant as well."))
        }
        if level == .global, tenantID != nil {
            problems.append(
                FieldProblem("tenant_id", "is not looked at globally", remedy: "Make it the level tenant, or leave the tenant out."))
        }
        if burst > 0, algorithm != .tokenBucket {
            problems.append(
                FieldProblem("burst", "is a token bucket's", remedy: "Set algorithm to token_bucket, or leave it out."))
        }
        return problems
    }

    /// Whom it limits has to be its tenant's, where it says one; and what it is about has to be there.
    package func problems(id: LimitID, replacing old: LimitContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard old == nil else { return [] }
        var problems: [FieldProblem] = []
        if let (field, _, subject) = named.first(where: { $0.level != .ip }), let tenantID,
            let owner = try level == .project ? ProjectContent.find(c, subject)?.content.tenantID : BanContent.tenant(of: subject, c),
            owner != tenantID
        {
            problems.append(
                FieldProblem(field, "is of another tenant", remedy: "Name a \(level.rawValue) of the limit's own tenant."))
        }
        if let model, try !KeyModels.problems(c, [model], besides: nil).isEmpty {
            problems.append(
                FieldProblem("model", "names no model", remedy: "Name one that `weir model list` lists, or create it first."))
        }
        if try DirectoryTables.limitCount(c) >= Self.maximum {
            problems.append(
                FieldProblem("name", "is one too many: \(Self.maximum) limits are there", remedy: "Limit each of a level instead."))
        }
        return problems
    }
}

extension Weir_V1_Limit {
    init(_ row: DirectoryTables.Limit) {
        self.init()
        id = row.id
        name = row.name
        level = row.level
        subjectID = row.subjectID ?? (row.level == LimitLevel.tenant.rawValue ? row.tenantID : nil) ?? ""
        tenantID = row.tenantID ?? ""
        channel = row.channel ?? ""
        model = row.model ?? ""
        measure = row.measure
        amount = row.amount
        windowMs = row.measure == LimitMeasure.concurrent.rawValue ? 0 : row.windowSeconds * 1000
        tokenBucket = row.algorithm == LimitAlgorithm.tokenBucket.rawValue
        burst = row.burst
        observe = row.mode == EnforcementMode.observe.rawValue
    }
}
