import Domain
import Nouns
import Primitives

/// The body of a rotation.
struct KeyRotation: Record {
    var graceSeconds = VirtualKeyService.defaultGraceSeconds
    var force = false

    static let fields: [Field<Self>] = [
        Field(
            "grace_seconds", \.graceSeconds, .integer(0...VirtualKeyService.maximumGraceSeconds),
            "For how long the old secret works beside the new one.", or: VirtualKeyService.defaultGraceSeconds),
        Field("force", \.force, "Also while an earlier rotation's old secret still works: that one ends at once.", or: false),
    ]
}

package struct KeyRoutes: RouteGroup {
    let keys: VirtualKeyService

    package func addRoutes(to table: inout RouteTable) {
        let routes = NounRoutes(keys.nouns, showing: "key") { content, actor in
            let issued = try await keys.create(content, by: actor)
            return (issued.key, issued.plaintext)
        }
        routes.addRoutes(to: &table)
        routes.action(
            "rotate", "Give a key a new secret; the old one works on for the grace period.", KeyRotation.self, showing: "key", to: &table
        ) { id, revision, body, actor in
            let issued = try await keys.rotate(id, at: revision, graceSeconds: body.graceSeconds, force: body.force, by: actor)
            return (issued.key, issued.plaintext)
        }
        routes.action("revoke", "End a key at once and for good.", NoFields.self, to: &table) { id, revision, _, actor in
            (try await keys.revoke(id, at: revision, by: actor), nil)
        }
    }
}
