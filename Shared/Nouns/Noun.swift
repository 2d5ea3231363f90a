package import Primitives

/// How a noun is called.
package struct NounWords: Sendable, Hashable {
    /// In sentences, cursors and, with underscores, in the audit log: `data plane`.
    package let name: String
    /// Below the API's root: `data-planes`.
    package let path: String
    /// What it is, for people.
    package let about: String
    /// Options of the command line that make one, and that change one.
    package let createExample: String
    package let updateExample: String

    package init(_ name: String, path: String, _ about: String, create: String, update: String) {
        self.name = name
        self.path = path
        self.about = about
        createExample = create
        updateExample = update
    }

    package var auditName: String { String(name.map { $0 == " " ? "_" : $0 }) }
    package var oneOfIt: String { ("aeio".contains(name.prefix(1)) ? "an " : "a ") + name }
}

/// Something that is administered. What is declared of it here is all that its table's columns, its JSON, its forms, lists, audit
/// entries and differences, its commands and its part of the API's description are made of.
package protocol Noun: Record {
    associatedtype Kind: IdentifierKind
    static var words: NounWords { get }
    /// The fields that together tell one from all others of its noun, the one that it is called by last. Where it has a name: that, within
    /// what it belongs to for good.
    static var identity: [String] { get }
    /// What it is called in messages.
    var title: String { get }
    /// It is looked at now, Unix milliseconds: for fields that tell whether a time has passed.
    mutating func seen(at now: Int64)
}

/// Every noun that is declared.
package enum DeclaredNouns {
    package static let all: [any Noun.Type] = [
        TenantContent.self, ProjectContent.self, VirtualKeyContent.self, ProviderContent.self, CredentialContent.self,
        EndpointContent.self, ModelContent.self, RouteContent.self, PriceContent.self, WorkflowContent.self,
        AdminTokenContent.self,
        EnrollmentTokenContent.self, UserContent.self, AppContent.self, RolloutContent.self, DataPlaneContent.self,
        DIDContent.self, SigningSecretContent.self, RevokedGrantContent.self, BanContent.self,
        BudgetContent.self,
        KillSwitchContent.self, LimitContent.self, PersonContent.self, GroupRoleContent.self, WebhookContent.self,
    ]

    package static func noun(prefix: String) -> (any Noun.Type)? { all.first { $0.idPrefix == prefix } }
}

extension Noun {
    package static var idPrefix: String { Kind.prefix }
    package static var identity: [String] {
        shapes.filter { shape in
            if case .id = shape.kind { shape.use == .fixed } else { false }
        }.map(\.name) + ["name"]
    }

    /// Whether one of them can be found by its name.
    package static var isFoundByName: Bool { shapes.contains { $0.name == "name" && $0.isFilter } }

    package mutating func seen(at now: Int64) {}
}
