package import Nouns
package import Primitives
package import Storage
import Trust

package typealias App = Entity<AppContent>

/// Programs that ask on behalf of users.
extension AppContent: Administered {
    package static var scope: NounScope { .directory }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }
    package static var alias: String? { "app_id" }

    package static var taken: FieldProblem {
        FieldProblem("app_id", "is taken by another app of this deployment", remedy: "Choose another app id.")
    }

    package func problems(id: AppID, replacing old: AppContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard let owner = try UserContent.find(c, ownerID.rawValue), owner.content.tenantID != tenantID else { return [] }
        return [FieldProblem("owner_id", "is a user of another tenant", remedy: "Name a user of the app's own tenant.")]
    }

    package mutating func forget() {
        sha256 = nil
        previousSHA256 = nil
        previousExpiresAt = nil
    }
}

/// Apps: made and rotated with a secret that is shown once.
package struct AppService: Sendable {
    /// An app and its plaintext secret, which is shown now and never again.
    package struct Issued: Sendable {
        package let app: App
        package let plaintext: Secret
    }

    package let nouns: NounService<AppContent>
    private let users: NounService<UserContent>

    package init(_ domain: DomainContext) {
        nouns = NounService(domain, issuing: Self.issue) { _, _, _ in }
        users = NounService(domain)
    }

    /// - Throws: `DomainError.invalid` for one without an owner.
    package func create(_ content: AppContent, by actor: Actor) async throws -> Issued {
        guard !content.ownerID.rawValue.isEmpty else {
            throw DomainError.invalid("owner_id", "is missing", remedy: "Name the user who pays, in the body or the query.")
        }
        let id = AppID.random()
        var content = content
        let text = Self.issue(&content, id)
        if content.tenantID.rawValue.isEmpty {
            let owner = content.ownerID.rawValue
            // Where there is no such user the reference is refused.
            if let tenant = try await nouns.domain.read(as: actor.scope, { try UserContent.find($0, owner)?.content.tenantID }) {
                content.tenantID = tenant
            } else {
                throw DomainError.invalid("owner_id", "names no user", remedy: "Create the user first, or name another.")
            }
        }
        return Issued(app: try await nouns.create(content, id: id, by: actor), plaintext: text)
    }

    /// The user whom an `owner_id` means: an identifier, or an oid.
    /// - Throws: `DomainError.invalid` naming `owner_id`.
    package func owner(_ text: String, tenantID: String?, by actor: Actor) async throws -> UserID {
        do {
            return try await users.find(text, in: tenantID, as: actor.scope).id
        } catch DomainError.notFound {
            throw DomainError.invalid("owner_id", "names no user", remedy: "Create the user first, or name another.")
        }
    }

    /// On, or off.
    package func toggle(_ id: AppID, at revision: Int64?, by actor: Actor) async throws -> App {
        try await nouns.change(id, at: revision, "toggle", by: actor) { app, _ in app.status = app.status == .active ? .disabled : .active }
    }

    /// A new secret for the same app. The one it replaces works for `graceSeconds` more.
    /// - Parameter force: Ends the grace that an earlier rotation promised to the secret before the present one.
    /// - Throws: `DomainError.conflict` while that grace lasts, unless forced.
    package func rotateSecret(
        _ id: AppID, at revision: Int64?, graceSeconds: Int64, force: Bool, by actor: Actor
    ) async throws -> Issued {
        let (text, digest) = Self.secret(id)
        let app = try await nouns.change(id, at: revision, "rotate_secret", by: actor) { app, change in
            if !force, app.previousSHA256 != nil, let until = app.previousExpiresAt, until > change.now {
                throw DomainError.conflict(
                    "id",
                    "is an app whose secret was rotated already: the one before works until \(RFC3339.string(milliseconds: until))",
                    remedy: "Wait until then. To end that secret at once and rotate again, send \"force\": true.")
            }
            app.previousSHA256 = graceSeconds > 0 ? app.sha256 : nil
            app.previousExpiresAt = graceSeconds > 0 && app.sha256 != nil ? change.now &+ graceSeconds &* 1000 : nil
            app.sha256 = digest
        }
        return Issued(app: app, plaintext: text)
    }

    /// Gives a new app its secret.
    @Sendable private static func issue(_ content: inout AppContent, _ id: AppID) -> Secret {
        let (text, digest) = secret(id)
        content.sha256 = digest
        return text
    }

    private static func secret(_ id: AppID) -> (text: Secret, digest: StoredBytes) {
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.appSecretPrefix, idSuffix: id.suffix).text
        return (Secret(text), StoredBytes(SHA256Digest.of(Array(text.utf8))))
    }
}
