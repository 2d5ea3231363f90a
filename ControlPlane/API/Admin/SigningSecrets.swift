import Domain
import Nouns

package struct SigningSecretRoutes: RouteGroup {
    let secrets: SigningSecretService

    package func addRoutes(to table: inout RouteTable) {
        let routes = NounRoutes(secrets.nouns, showing: "secret") { content, actor in
            let issued = try await secrets.create(content, by: actor)
            return (issued.item, issued.plaintext)
        }
        routes.addRoutes(to: &table)
        routes.action(
            "rotate", "Give a key a new signing secret; the old one works on for the grace period.", KeyRotation.self, showing: "secret",
            to: &table
        ) { id, revision, body, actor in
            let issued = try await secrets.rotate(id, at: revision, graceSeconds: body.graceSeconds, force: body.force, by: actor)
            return (issued.item, issued.plaintext)
        }
    }
}
