package import Primitives

/// One field of `Content`: its shape, and where its value is. Everything that is done with a field anywhere is done through this.
package struct Field<Content: Sendable>: Sendable {
    package typealias Path<Value> = WritableKeyPath<Content, Value> & Sendable

    package private(set) var shape: FieldShape
    package private(set) var columns: [String]
    /// The value as the API shows it.
    package let json: @Sendable (Content) -> JSONValue
    let isEqual: @Sendable (Content, Content) -> Bool
    /// Takes a value, noting what is wrong with it under the name that is given.
    private(set) var read: @Sendable (inout Content, JSONValue, FieldShape, String, inout [FieldProblem]) -> Void
    /// What the field is when a new object does not name it.
    private(set) var fill: (@Sendable (inout Content) -> Void)?
    package let store: @Sendable (Content) -> [ColumnValue]
    /// False when a column holds something else.
    package let load: @Sendable (inout Content, ArraySlice<ColumnValue>) -> Bool

    /// - Parameter standard: What it is when it is left out; without it the field is required, unless it is optional.
    package init<Value: FieldValue>(_ name: String, _ path: any Path<Value>, _ about: String, or standard: Value? = nil) {
        self.init(name, path, Value.kind ?? .anything, about, or: standard)
    }

    package init<Value: FieldValue>(
        _ name: String, _ path: any Path<Value>, _ kind: FieldKind, _ about: String, or standard: Value? = nil
    ) {
        let standard = standard ?? Value.absent
        self.init(stored: name, kind, about, path)
        shape.isNullable = Value.absent != nil
        shape.isRequired = standard == nil
        shape.standard = standard?.json(as: kind)
        if let standard { fill = { (content: inout Content) in content[keyPath: path] = standard } }
    }

    private init<Value: FieldValue>(stored name: String, _ kind: FieldKind, _ about: String, _ path: any Path<Value>) {
        shape = FieldShape(name, kind, about)
        columns = [name]
        json = { $0[keyPath: path].json(as: kind) }
        isEqual = { $0[keyPath: path] == $1[keyPath: path] }
        read = { content, value, shape, name, problems in
            guard let converted = Value.read(value, as: kind) else {
                problems.append(.unfit(name, value, kind))
                return
            }
            content[keyPath: path] = converted
        }
        store = { [$0[keyPath: path].column] }
        load = { content, values in
            guard let value = values.first.flatMap(Value.read) else { return false }
            content[keyPath: path] = value
            return true
        }
    }

    /// An object inside. Of one that is given, members that are left out stay as they are; null brings the defaults back.
    package init<Value: Record>(object name: String, _ path: any Path<Value>, _ about: String) {
        shape = FieldShape(name, .object(Value.shapes), about)
        shape.standard = Value().json
        columns = Value.columns
        json = { $0[keyPath: path].json }
        isEqual = { $0[keyPath: path] == $1[keyPath: path] }
        read = { content, value, _, name, problems in
            switch value {
            case .null: content[keyPath: path] = Value()
            case .object(let object):
                content[keyPath: path].take(object, isNew: false, prefix: name + ".", &problems)
            default: problems.append(.unfit(name, value, .object([])))
            }
        }
        fill = { $0[keyPath: path] = Value() }
        store = { $0[keyPath: path].columnValues }
        load = { content, values in
            guard let value = Value(columns: values) else { return false }
            content[keyPath: path] = value
            return true
        }
    }

    /// A list of objects, in one column as JSON; a change replaces the whole list.
    /// - Parameter orNone: It may be empty, and is when it is left out.
    package init<Value: Record>(objects name: String, _ path: any Path<[Value]>, maximum: Int, orNone: Bool = false, _ about: String) {
        let kind = FieldKind.objects(Value.shapes, maximum: maximum)
        shape = FieldShape(name, kind, about)
        shape.isRequired = !orNone
        if orNone {
            shape.standard = .array([])
            fill = { $0[keyPath: path] = [] }
        }
        columns = [name]
        json = { .array($0[keyPath: path].map(\.json)) }
        isEqual = { $0[keyPath: path] == $1[keyPath: path] }
        read = { content, value, _, name, problems in
            guard let elements = value.arrayValue else {
                problems.append(.unfit(name, value, kind))
                return
            }
            if elements.isEmpty, !orNone { problems.append(FieldProblem(name, "is empty", remedy: "Name at least one.")) }
            if elements.count > maximum {
                problems.append(FieldProblem(name, "holds more than \(maximum) entries", remedy: "Name fewer."))
                return
            }
            content[keyPath: path] = elements.enumerated().compactMap { index, element in
                guard case .object(let object) = element else {
                    problems.append(.unfit("\(name)[\(index)]", element, .object([])))
                    return nil
                }
                var value = Value()
                value.take(object, isNew: true, prefix: "\(name)[\(index)].", &problems)
                return value
            }
        }
        store = { [.text(JSONValue.array($0[keyPath: path].map(\.json)).text)] }
        load = { content, values in
            guard case .text(let text)? = values.first, let elements = try? JSONValue(parsing: text).arrayValue else { return false }
            content[keyPath: path] = elements.map { element in
                var value = Value()
                var ignored: [FieldProblem] = []
                value.take(element.objectValue ?? JSONObject(), isNew: true, prefix: "", &ignored)
                return value
            }
            return true
        }
    }

    /// Given when the object is made, kept nowhere as it is, and never shown.
    package init(secret name: String, _ path: any Path<Secret?>, _ about: String) {
        shape = FieldShape(name, .secret, about)
        shape.use = .secret
        shape.isRequired = true
        columns = []
        json = { _ in .null }
        isEqual = { $0[keyPath: path] == $1[keyPath: path] }
        read = { content, value, _, name, problems in
            guard let text = value.stringValue else {
                problems.append(.unfit(name, value, .secret))
                return
            }
            content[keyPath: path] = Secret(text)
        }
        store = { _ in [] }
        load = { _, _ in true }
    }

    /// Shown and not stored: made of the other fields.
    package init(computed name: String, _ kind: FieldKind, _ about: String, _ value: @escaping @Sendable (Content) -> JSONValue) {
        shape = FieldShape(name, kind, about)
        shape.use = .shown
        columns = []
        json = value
        isEqual = { _, _ in true }
        read = { _, _, _, _, _ in }
        store = { _ in [] }
        load = { _, _ in true }
    }

    // MARK: What a declaration adds

    package func with(_ change: (inout FieldShape) -> Void) -> Field {
        var field = self
        change(&field.shape)
        return field
    }

    /// Only when the object is made.
    package var fixed: Field { with { $0.use = .fixed } }
    /// Told by the system.
    package var shown: Field { with { $0.use = .shown } }
    /// Told by the system, which heard or saw it.
    package var observed: Field {
        with {
            $0.use = .shown
            $0.isObserved = true
        }
    }
    package var nullable: Field { with { $0.isNullable = true } }
    /// Kept for the system.
    package var hidden: Field { with { $0.use = .hidden } }
    /// A list can be narrowed by it.
    package var filter: Field { with { $0.isFilter = true } }
    /// In lists on the command line, under this heading.
    package func heading(_ heading: String) -> Field { with { $0.heading = heading } }
    package func option(_ option: String) -> Field { with { $0.option = option } }
    package func unit(_ unit: String) -> Field { with { $0.unit = unit } }
    /// People read and write this word for null, or for 0.
    package func reading(null nullWord: String? = nil, zero zeroWord: String? = nil) -> Field {
        with {
            $0.nullWord = nullWord
            $0.zeroWord = zeroWord
        }
    }

    /// Given and neither kept nor shown: others are made of it.
    package var transient: Field {
        var field = Field(self, store: { _ in [] }, load: { _, _ in true })
        field.columns = []
        field.shape.isTransient = true
        return field
    }

    package func column(_ name: String) -> Field {
        var field = self
        field.columns = [name]
        return field
    }

    /// When it is left out it is as another field, which stands before it.
    package func or(as words: String, _ fill: @escaping @Sendable (inout Content) -> Void) -> Field {
        var field = with {
            $0.isRequired = false
            $0.standard = nil
            $0.standardWords = words
        }
        field.fill = fill
        return field
    }

    /// The column holds an empty text where the value is null, and an empty text that is given means null.
    package var emptyForNull: Field {
        let (store, load, read) = (store, load, read)
        var field = Field(self, store: { store($0).map { $0 == .null ? .text("") : $0 } }) { content, values in
            load(&content, ArraySlice(values.map { $0 == .text("") ? .null : $0 }))
        }
        field.read = { content, value, shape, name, problems in read(&content, value == "" ? .null : value, shape, name, &problems) }
        return field
    }

    private init(
        _ other: Field, store: @escaping @Sendable (Content) -> [ColumnValue],
        load: @escaping @Sendable (inout Content, ArraySlice<ColumnValue>) -> Bool
    ) {
        shape = other.shape
        columns = other.columns
        json = other.json
        isEqual = other.isEqual
        read = other.read
        fill = other.fill
        self.store = store
        self.load = load
    }
}

extension Field where Content: Sendable {
    /// What people call it.
    package static func name(_ path: any Path<String>, _ about: String = "What people call it.") -> Field {
        Field("name", path, .name, about).filter.heading("NAME")
    }
}
