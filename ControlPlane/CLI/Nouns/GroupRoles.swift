import ArgumentParser
import Nouns

/// `weir group-role`: which roles the identity provider's groups give.
enum GroupRoleNoun: DeclaredResource {
    typealias Content = GroupRoleContent
    static let name = "group-role"
    static let thing = "group role"
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands }
}
