package import Nouns
import Primitives

/// What a route says about itself: for the API's description, and for the check of its query.
package struct RouteDocs: Sendable {
    package enum Body: Sendable {
        case none
        /// Members that are given.
        case form([FieldShape])
        /// The same, and nothing at all means their defaults.
        case optionalForm([FieldShape])
        /// A change of an object: each member may be left out.
        case change([FieldShape])
    }

    package enum Answer: Sendable {
        case nothing
        case text
        case object([FieldShape])
        /// The same, whose members are left out where they are at their defaults.
        case partial([FieldShape])
        /// An object that is not described further.
        case anything
        /// One page of a list.
        case list([FieldShape])
    }

    package enum Precondition: Sendable {
        case none, optional, required
    }

    package var summary: String
    package var query: [FieldShape] = []
    package var body = Body.none
    package var answer = Answer.nothing
    /// What the answer has beside a list's items.
    package var beside: [FieldShape] = []
    /// Media types that the answer may have beside JSON, if it is asked for in them.
    package var otherTypes: [String] = []
    package var status = 200
    package var ifMatch = Precondition.none
    /// Whether the answer has an ETag.
    package var hasRevision = false

    package init(_ summary: String, _ change: (inout RouteDocs) -> Void = { _ in }) {
        self.summary = summary
        change(&self)
    }

    /// What every list takes.
    package static let page = [
        FieldShape("limit", .integer(1...200), "At most so many on a page.") { $0.standard = 50 },
        FieldShape("cursor", .text(maximum: 512), "Where to go on: next_cursor of the page before."),
    ]
}

extension FieldShape {
    package init(_ name: String, _ kind: FieldKind, _ about: String, _ change: (inout FieldShape) -> Void) {
        self.init(name, kind, about)
        change(&self)
    }

    /// Told by the system; null at times.
    package static func told(_ name: String, _ kind: FieldKind, _ about: String, nullable: Bool = false) -> FieldShape {
        FieldShape(name, kind, about) {
            $0.use = .shown
            $0.isNullable = nullable
        }
    }
}

extension Noun {
    /// As the API shows it.
    static var shown: [FieldShape] {
        [.told("id", .id(Kind.prefix), "Its identifier.")] + shapes.filter(\.isShown) + [
            .told("created_at", .time, "When it was made."), .told("updated_at", .time, "When it was changed last."),
        ]
    }
}
