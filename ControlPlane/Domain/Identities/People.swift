package import Nouns
package import Primitives
package import Storage

package typealias Person = Entity<PersonContent>
package typealias GroupRole = Entity<GroupRoleContent>

/// Administrators who sign on. Whoever is disabled, deleted or given another role is signed off with it, on every replica: sessions are rows.
extension PersonContent: Administered {
    package static var scope: NounScope { .administration }
    package static var permission: Permission { .administer }
    package static var readPermission: Permission { .administer }

    package static var taken: FieldProblem {
        FieldProblem("email", "is another person's", remedy: "Change that person, or give another address.")
    }

    package func problems(replacing old: PersonContent?, now: Int64) -> [FieldProblem] {
        guard let email else {
            return subject == nil
                ? [FieldProblem("email", "is missing", remedy: "Give the address that the identity provider tells of this person.")] : []
        }
        guard email != old?.email else { return [] }
        return Self.isAddress(email) ? [] : [FieldProblem("email", "is no e-mail address", remedy: "Give one like ada@example.org.")]
    }

    static func isAddress(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return parts.count == 2 && parts.allSatisfy { !$0.isEmpty } && !text.contains(where: \.isWhitespace)
    }

    package func problems(id: PersonID, replacing old: PersonContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        if old?.isLastingOwner == true, !isLastingOwner { try LastingOwners.checkAnother(c, than: id.rawValue) }
        return []
    }

    /// An address is told in any case; a role that is given by hand is no longer the groups'.
    package mutating func willWrite(_ id: PersonID, replacing old: PersonContent?, _ change: NounChange) throws {
        email = email?.lowercased()
        if let old, old.role != role, !change.actor.isSystem { roleSource = .hand }
    }

    package static func didWrite(_ person: Person, replacing old: Person?, _ change: NounChange) throws {
        guard let old, old.content.role != person.content.role || person.content.status != .active else { return }
        try AdminSessionsTable.remove(change.connection, of: person.id.rawValue)
    }

    /// Its sessions and tokens go with it.
    package static func willDelete(_ person: Person, _ change: NounChange) throws {
        if person.content.isLastingOwner { try LastingOwners.checkAnother(change.connection, than: person.id.rawValue) }
        try AdminSessionsTable.remove(change.connection, of: person.id.rawValue)
        for token in try AdminTokenContent.listed(change.connection, where: "person_id", is: person.id.rawValue) {
            try NounService<AdminTokenContent>.remove(token, change)
        }
    }

    /// Whether it can let others in again, whatever the identity provider's groups become.
    var isLastingOwner: Bool { tenantID == nil && role == .owner && status == .active && roleSource == .hand && subject != nil }
}

/// Roles by the identity provider's groups. A change counts from the next sign-on; who has a role by a group that loses it is signed off.
extension GroupRoleContent: Administered {
    package static var scope: NounScope { .administration }
    package static var permission: Permission { .administer }
    package static var readPermission: Permission { .administer }

    package static var taken: FieldProblem {
        FieldProblem("group", "has a role there already", remedy: "Change that group role, or delete it first.")
    }

    package static func didWrite(_ item: GroupRole, replacing old: GroupRole?, _ change: NounChange) throws {
        if old != nil { try signOff(item, change) }
    }

    package static func willDelete(_ item: GroupRole, _ change: NounChange) throws { try signOff(item, change) }

    /// Everybody who may have had it. They sign on again and get what their groups give now.
    private static func signOff(_ item: GroupRole, _ change: NounChange) throws {
        for person in try PersonContent.listed(change.connection, where: "role_source", is: RoleSource.groups.rawValue)
        where person.content.tenantID == item.content.tenantID {
            try AdminSessionsTable.remove(change.connection, of: person.id.rawValue)
        }
    }
}

/// Those who can let anybody in again: owners of the whole deployment whose right does not run out, and whom no group's change removes.
enum LastingOwners {
    /// - Throws: `DomainError.conflict` when there is none but this one.
    static func checkAnother(_ c: any SQLConnection, than id: String) throws {
        let tokens = try AdminTokenContent.all(c).contains { $0.id.rawValue != id && $0.content.isLastingOwner }
        if tokens { return }
        if try PersonContent.all(c).contains(where: { $0.id.rawValue != id && $0.content.isLastingOwner }) { return }
        throw DomainError.conflict(
            "id", "is the last owner whose right does not end", remedy: "Create another owner, without an expiry, first.")
    }
}

/// People, and what their groups give them.
package struct PeopleService: Sendable {
    package let people: NounService<PersonContent>
    package let groupRoles: NounService<GroupRoleContent>

    package init(_ domain: DomainContext) {
        people = NounService(domain)
        groupRoles = NounService(domain)
    }

    /// Who acts for a tenant makes administrators of that tenant.
    package func create(_ content: PersonContent, by actor: Actor) async throws -> Person {
        var content = content
        content.tenantID = content.tenantID ?? actor.tenantID
        return try await people.create(content, by: actor)
    }

    package func create(_ content: GroupRoleContent, by actor: Actor) async throws -> GroupRole {
        var content = content
        content.tenantID = content.tenantID ?? actor.tenantID
        return try await groupRoles.create(content, by: actor)
    }
}
