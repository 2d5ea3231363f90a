package import Primitives

/// Something made of declared fields: an administered noun, an object inside of one, or the body of an action.
package protocol Record: Sendable, Hashable {
    /// In the order of the API.
    static var fields: [Field<Self>] { get }
    /// What is there before anything was read.
    init()
    /// After members were given: what follows for those that were not.
    mutating func settle(given: Set<String>)
}

extension Record {
    package mutating func settle(given: Set<String>) {}

    /// One with some of its fields set.
    package init(_ edit: (inout Self) -> Void) {
        self.init()
        edit(&self)
    }

    package static var shapes: [FieldShape] { fields.map(\.shape) }
    package static var columns: [String] { fields.flatMap(\.columns) }
    /// Where a field of one column is kept.
    package static func column(of shape: FieldShape) -> String {
        fields.first { $0.shape.name == shape.name }?.columns.first ?? shape.name
    }

    /// What the API shows of it. Never a secret.
    package var json: JSONValue { .object(members) }
    package var members: JSONObject {
        JSONObject(members: Self.fields.filter(\.shape.isShown).map { .init(name: $0.shape.name, value: $0.json(self)) })
    }

    /// In the order of `columns`.
    package var columnValues: [ColumnValue] { Self.fields.flatMap { $0.store(self) } }

    /// Nil when a column holds something else.
    package init?(columns values: ArraySlice<ColumnValue>) {
        self.init()
        var rest = values
        for field in Self.fields {
            guard field.load(&self, rest.prefix(field.columns.count)) else { return nil }
            rest = rest.dropFirst(field.columns.count)
        }
    }

    /// A new one, from what a request gives.
    package static func reading(_ object: JSONObject, problems: inout [FieldProblem]) -> Self {
        var content = Self()
        content.take(object, isNew: true, prefix: "", &problems)
        return content
    }

    /// A whole one, of which nothing is known yet: what is left out is as in a new one, and a secret may be left out.
    package static func declared(_ object: JSONObject, problems: inout [FieldProblem]) -> Self {
        var content = Self()
        content.take(object, isNew: true, needsSecrets: false, prefix: "", &problems)
        return content
    }

    /// This one with what a request gives in place of what it has.
    package func changed(_ object: JSONObject, problems: inout [FieldProblem]) -> Self {
        var content = self
        content.take(object, isNew: false, prefix: "", &problems)
        return content
    }

    /// What is wrong with its fields by their kinds; of one that replaces another, only with those that differ.
    package func fieldProblems(replacing old: Self?) -> [FieldProblem] {
        Self.fields.filter(\.shape.isInput).flatMap { field -> [FieldProblem] in
            if let old {
                if field.isEqual(old, self) { return [] }
                if field.shape.use != .given { return [.fixed(field.shape.name)] }
            }
            return field.shape.problems(of: field.json(self), at: field.shape.name)
        }
    }

    /// Takes over what only the system writes.
    package mutating func keep(of present: Self) {
        for field in Self.fields where !field.shape.isInput { _ = field.load(&self, field.store(present)[...]) }
    }

    /// Reads each member, fills in what is left out, and notes everything that is wrong at once.
    mutating func take(
        _ object: JSONObject, isNew: Bool, needsSecrets: Bool = true, prefix: String, _ problems: inout [FieldProblem]
    ) {
        let before = self
        for field in Self.fields where field.shape.isInput {
            let name = prefix + field.shape.name
            guard let value = object[field.shape.name] else {
                guard isNew, needsSecrets || field.shape.use != .secret else { continue }
                if let fill = field.fill {
                    fill(&self)
                } else {
                    problems.append(FieldProblem(name, "is missing", remedy: "Give \(field.shape.kind.words)."))
                }
                continue
            }
            let count = problems.count
            field.read(&self, value, field.shape, name, &problems)
            // A value that stays as it is was checked when it was given.
            guard problems.count == count, isNew || !field.isEqual(before, self) else { continue }
            if !isNew, field.shape.use != .given {
                problems.append(.fixed(name))
            } else {
                problems += field.shape.problems(of: field.json(self), at: name)
            }
        }
        settle(given: Set(object.members.map(\.name)))
        let known = Self.fields.map(\.shape).filter(\.isInput).map(\.name).sorted()
        for member in object.members where !known.contains(member.name) {
            problems.append(
                FieldProblem(
                    prefix + String(member.name.prefix(64)), "is not a field of this object",
                    remedy: known.isEmpty ? "It takes none." : "Leave it out; the fields are: \(known.joined(separator: ", "))."))
        }
    }
}

extension FieldProblem {
    static func fixed(_ name: String) -> FieldProblem {
        FieldProblem(name, "cannot be changed", remedy: "Leave it as it is; make a new one where another is needed.")
    }

    /// A value of another type. Its type only is told, since a text may be a secret.
    static func unfit(_ name: String, _ value: JSONValue, _ kind: FieldKind) -> FieldProblem {
        let what =
            switch value {
            case .string: "a string that does not fit"
            case .int: "an integer that does not fit"
            case .number: "a number that does not fit"
            case .array: "an array that does not fit"
            default: value.typeName
            }
        return FieldProblem(name, "is \(what)", remedy: "Give \(kind.words).")
    }
}
