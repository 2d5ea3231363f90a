import ArgumentParser
import Nouns
import Primitives

/// `weir revoked-grant`: what DIDs passed on to keys and does not count any more.
enum RevokedGrantNoun: DeclaredResource {
    typealias Content = RevokedGrantContent
    static var subcommands: [any ParsableCommand.Type] {
        [ListCommand<Self>.self, GetCommand<Self>.self, ShowCommand<Self>.self, CreateCommand<Self>.self, DeleteCommand<Self>.self]
    }
}
