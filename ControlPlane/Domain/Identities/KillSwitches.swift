import Contract
package import Nouns
package import Primitives
package import Storage

package typealias KillSwitch = Entity<KillSwitchContent>

/// What the operator has stopped.
extension KillSwitchContent: Administered {
    /// Data planes are sent all that are in force with each change.
    private static let maximum: Int64 = 10_000

    /// Never in a document: an application of an old one must neither stop nor start anything.
    package static var scope: NounScope {
        NounScope(counters: [.bans], topics: [.bans], changeColumn: "ban_revision", isDeclared: false)
    }

    package static var taken: FieldProblem {
        FieldProblem("subject_id", "is stopped already", remedy: "Change that kill switch, or lift it first.")
    }

    package func problems(replacing old: KillSwitchContent?, now: Int64) -> [FieldProblem] {
        expiresAt == old?.expiresAt ? [] : FieldProblem.past("expires_at", expiresAt, now: now)
    }

    package mutating func willWrite(_ id: KillSwitchID, replacing old: KillSwitchContent?, _ change: NounChange) throws {
        if old == nil, case .tenant(let tenant)? = try Self.owner(of: subjectID, change.connection) { tenantID = tenant }
    }

    package func problems(id: KillSwitchID, replacing old: KillSwitchContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard old == nil else { return [] }
        if try Self.owner(of: subjectID, c) == nil {
            return [
                FieldProblem(
                    "subject_id", "names no tenant, project, key, app or model",
                    remedy: "Give the identifier (ten_, prj_, key_, app_ or mdl_) of one, or \"world\" for everything.")
            ]
        }
        if try BansTable.killSwitches.count(c) >= Self.maximum {
            return [
                FieldProblem(
                    "subject_id", "is one too many: \(Self.maximum) kill switches are there",
                    remedy: "Disable keys, projects and apps, or lift kill switches.")
            ]
        }
        return []
    }

    /// Whose a subject is.
    private enum Owner {
        case tenant(TenantID)
        case everybody
    }

    /// Nil: there is no such subject.
    private static func owner(of subject: String, _ c: any SQLConnection) throws -> Owner? {
        if subject == world { return .everybody }
        return switch subjects[String(subject.prefix { $0 != "_" }) + "_"] {
        case "project": try ProjectContent.find(c, subject).map { .tenant($0.content.tenantID) }
        // What is served may be no part of the draft any more.
        case "model": try ModelContent.find(c, subject) != nil || KeyModels.isServed(id: subject, c) ? .everybody : nil
        case nil: nil
        default: try BanContent.tenant(of: subject, c).map { .tenant($0) }
        }
    }
}
