import Domain
import Nouns

/// Who may administer: tokens, people, and the groups that give people their roles.
package struct AdministratorRoutes: RouteGroup {
    let tokens: AdminTokenService
    let people: PeopleService

    package func addRoutes(to table: inout RouteTable) {
        NounRoutes(tokens.nouns, showing: "token") { [tokens] content, actor in
            let issued = try await tokens.create(content, by: actor)
            return (issued.token, issued.plaintext)
        }.addRoutes(to: &table)
        NounRoutes(people.people, showing: nil) { [people] content, actor in
            (try await people.create(content, by: actor), nil)
        }.addRoutes(to: &table)
        NounRoutes(people.groupRoles, showing: nil) { [people] content, actor in
            (try await people.create(content, by: actor), nil)
        }.addRoutes(to: &table)
    }
}
