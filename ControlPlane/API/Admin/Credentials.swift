import Domain
import Nouns
import Primitives

/// The body of a rotation.
struct CredentialRotation: Record {
    var secret: Secret?

    static let fields: [Field<Self>] = [Field(secret: "secret", \.secret, "The provider's new key.")]
}

package struct CredentialRoutes: RouteGroup {
    let credentials: CredentialService

    package func addRoutes(to table: inout RouteTable) {
        let routes = NounRoutes(credentials.nouns)
        routes.addRoutes(to: &table)
        routes.action("rotate", "Replace a credential's secret.", CredentialRotation.self, to: &table) { id, revision, body, actor in
            (try await credentials.rotate(id, at: revision, secret: body.secret ?? Secret(""), by: actor), nil)
        }
    }
}
