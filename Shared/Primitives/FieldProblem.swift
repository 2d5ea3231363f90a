/// One thing wrong with one field: what a caller needs to correct it without reading the source.
package struct FieldProblem: Hashable, Sendable {
    /// The field as the caller wrote it, members of members with dots and elements with brackets: `targets[1].endpoint_id`.
    package let field: String
    package let message: String
    /// What to do about it.
    package let remedy: String

    package init(_ field: String, _ message: String, remedy: String) {
        self.field = field
        self.message = message
        self.remedy = remedy
    }
}
