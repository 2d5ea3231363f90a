package import Primitives

/// A field without its values: what JSON, forms, lists, the command line and the schema need to know of it.
package struct FieldShape: Sendable, Hashable {
    /// Who writes it, and when it is seen.
    package enum Use: Sendable, Hashable {
        /// Given when the object is made and by changes.
        case given
        /// Given when the object is made; a change may only repeat it.
        case fixed
        /// Given when the object is made and never shown.
        case secret
        /// Told by the system.
        case shown
        /// Kept for the system itself.
        case hidden
    }

    package var name: String
    package var kind: FieldKind
    /// For people: a sentence without its full stop's repetition of the name.
    package var about: String
    package var unit: String?
    package var use = Use.given
    /// It is not kept: other fields are made of it.
    package var isTransient = false
    package var isNullable = false
    /// It comes with use, not with a change: it is no part of what the audit log keeps.
    package var isObserved = false
    /// It is in an answer only where it was asked for.
    package var isSometimes = false
    /// It has to be given when the object is made.
    package var isRequired = false
    /// What it is when it is left out; nil where `defaultWords` say it, or it is required.
    package var standard: JSONValue?
    package var standardWords: String?
    /// A list can be narrowed to those that have one value of it.
    package var isFilter = false
    /// The heading of its column in lists on the command line; nil: it is not in lists.
    package var heading: String?
    /// The option's name where it is not the field's.
    package var option: String?
    /// What null means, and what 0 does (of a time: the beginning of 1970), in the word that people read and write for it.
    package var nullWord: String?
    package var zeroWord: String?

    package init(_ name: String, _ kind: FieldKind, _ about: String) {
        self.name = name
        self.kind = kind
        self.about = about
    }

    package func with(nullable: Bool) -> FieldShape {
        var shape = self
        shape.isNullable = nullable
        return shape
    }

    package var isInput: Bool { use == .given || use == .fixed || use == .secret }
    package var isShown: Bool { !isTransient && (use == .given || use == .fixed || use == .shown) }
}

extension FieldShape {
    /// Whether a document that declares things holds it.
    package var isDeclared: Bool { isInput && !isTransient }

    /// What it is called in such a document, where things are called by their names: `provider_id` is `provider`, `tenant_ids` are `tenants`.
    package var declaredName: String {
        switch kind {
        case .id, .list(.id, _), .scope(.id): break
        default: return name
        }
        if name.hasSuffix("_ids") { return name.dropLast(4) + "s" }
        return name.hasSuffix("_id") ? String(name.dropLast(3)) : name
    }
}
