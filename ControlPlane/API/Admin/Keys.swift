import Domain
import Nouns
import Primitives

/// The body of a rotation.
struct KeyRotation: Record {
    var graceSeconds = VirtualKeyService.defaultGraceSeconds

    static let fields: [Field<Self>] = [
        Field(
            "grace_seconds", \.graceSeconds, .integer(0...VirtualKeyService.maximumGraceSeconds),
            "For how long the old secret works beside the new one.", or: VirtualKeyService.defaultGraceSeconds)
    ]
}

package struct KeyRoutes: RouteGroup {
    let keys: VirtualKeyService

    package func addRoutes(to table: inout RouteTable) {
        let routes = NounRoutes(keys.nouns) { content, actor in
            let issued = try await keys.create(content, by: actor)
            return (issued.key, ("key", issued.plaintext))
        }
        routes.addRoutes(to: &table)
        routes.action("rotate", KeyRotation.self, to: &table) { id, revision, body, actor in
            let issued = try await keys.rotate(id, at: revision, graceSeconds: body.graceSeconds, by: actor)
            return .item(issued.key, once: ("key", issued.plaintext))
        }
        routes.action("revoke", NoFields.self, to: &table) { id, revision, _, actor in
            .item(try await keys.revoke(id, at: revision, by: actor))
        }
    }
}
