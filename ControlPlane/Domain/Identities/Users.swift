package import Nouns
package import Primitives
import Storage

package typealias User = Entity<UserContent>

/// People on whose behalf apps and keys ask.
extension UserContent: Administered {
    package static var scope: NounScope { .directory }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }
    package static var alias: String? { "oid" }

    package static var taken: FieldProblem {
        FieldProblem("oid", "is taken by another user of this tenant", remedy: "Choose another oid, or change that user.")
    }

    /// Its keys go with it; an app that it owns keeps it.
    package static var goingAlong: [any Administered.Type] { [VirtualKeyContent.self] }

    package func problems(replacing old: UserContent?, now: Int64) -> [FieldProblem] {
        guard let email, email != old?.email else { return [] }
        let parts = email.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), !email.contains(where: \.isWhitespace) else {
            return [FieldProblem("email", "is no e-mail address", remedy: "Give one like ada@example.org, or null.")]
        }
        return []
    }

    package static func willDelete(_ user: User, _ change: NounChange) throws {
        for key in try VirtualKeyContent.listed(change.connection, where: "user_id", is: user.id.rawValue) {
            try NounService<VirtualKeyContent>.remove(key, change)
        }
    }
}

extension TenantContent {
    /// For who names none: the only one there is.
    /// - Throws: `DomainError.invalid` when there are several, or none.
    static func only(_ c: any SQLConnection) throws -> TenantID {
        let some = try table.list(c, limit: 2)
        guard let tenant = some.first, some.count == 1 else {
            throw DomainError.invalid(
                "tenant_id", some.isEmpty ? "is missing, and there is no tenant" : "is missing, and there are several tenants",
                remedy: some.isEmpty ? "Create a tenant first." : "Name the tenant that is meant.")
        }
        return TenantID(tenant.id)
    }
}

/// Users, and what follows from the day up to which they have paid. Data planes decide by their own clocks; what is done here tells people
/// and the audit log.
package struct UserService: Sendable {
    package let nouns: NounService<UserContent>

    package init(_ domain: DomainContext) {
        nouns = NounService(domain)
    }

    /// - Throws: `DomainError.invalid` for one without a tenant, unless there is only one.
    package func create(_ content: UserContent, by actor: Actor) async throws -> User {
        var content = content
        if content.tenantID.rawValue.isEmpty {
            content.tenantID = try await nouns.domain.read(as: actor.scope) { try TenantContent.only($0) }
        }
        return try await nouns.create(content, by: actor)
    }

    /// Takes note of whether the present day is paid for.
    /// - Returns: the user, and whether that was another answer than the last time.
    package func syncExpiry(_ id: UserID, by actor: Actor) async throws -> (user: User, changed: Bool) {
        let present = try await nouns.get(id, as: actor.scope)
        guard present.content.syncedStatus != present.content.paymentStatus(at: nouns.now) else { return (present, false) }
        let user = try await nouns.change(id, at: nil, "sync_expiry", by: actor) { user, change in
            user.syncedStatus = user.paymentStatus(at: change.now)
        }
        return (user, true)
    }

    package struct BulkSync: Sendable {
        /// Users whose payment has an end.
        package let checked: Int64
        /// Of these, whose status became expired now.
        package let expired: Int
        /// Unix milliseconds.
        package let at: Int64
    }

    /// The same for all, one transaction each: nobody else waits for long.
    package func syncAll(by actor: Actor) async throws -> BulkSync {
        let now = nouns.now
        let checked = try await nouns.domain.read(as: actor.scope) { try UsersTable.countWithEnd($0) }
        var expired = 0
        var last = ""
        while !Task.isCancelled {
            let after = last
            let due = try await nouns.domain.read(as: actor.scope) { c in
                try UsersTable.outOfStep(
                    c, dayBegan: now - now % 86_400_000, expired: PaymentStatus.expired.rawValue, after: after, limit: 200)
            }
            guard let end = due.last else { break }
            last = end
            for id in due {
                do {
                    let (user, changed) = try await syncExpiry(UserID(id), by: actor)
                    if changed, user.content.syncedStatus == .expired { expired += 1 }
                } catch DomainError.notFound {
                    // Deleted in the meantime.
                    continue
                }
            }
        }
        return BulkSync(checked: checked, expired: expired, at: now)
    }
}
