import Domain
import Nouns

/// DIDs, and the documents of did:web.
package struct DIDRoutes: RouteGroup {
    let dids: NounService<DIDContent>
    let documents: DIDDocuments

    package func addRoutes(to table: inout RouteTable) {
        let routes = NounRoutes(dids)
        routes.addRoutes(to: &table)
        routes.action("resolve", "Read the document of a did:web now, not when it is due.", NoFields.self, to: &table) { id, _, _, actor in
            (try await documents.read(id, by: actor), nil)
        }
    }
}
