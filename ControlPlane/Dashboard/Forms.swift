import Nouns
import Primitives

/// Forms out of shapes, and JSON out of what a browser sends of them.
struct Forms {
    /// Of a noun's prefix, those that can be chosen, where they are few.
    var choices: [String: [Choice]] = [:]
    /// By a field's path.
    var problems: [String: String] = [:]

    /// More than this many empty rows nobody fills in at once; the next appear with the next look.
    private static let emptyRows = 2

    func fields(_ shapes: [FieldShape], _ value: JSONValue?, prefix: String = "", isNew: Bool) -> [FormField] {
        shapes.filter { $0.isInput && (isNew || $0.use == .given) }.flatMap { field($0, value?[$0.name], prefix + $0.name, isNew: isNew) }
    }

    private func field(_ shape: FieldShape, _ value: JSONValue?, _ path: String, isNew: Bool) -> [FormField] {
        var field = FormField(
            name: path, label: Rendering.label(shape),
            about: shape.about.replacing("null: ", with: "empty: ").replacing("empty: ", with: "left empty: "),
            isRequired: shape.isRequired && isNew, problem: problems[path])
        switch shape.kind {
        case .object(let shapes):
            field.isGroup = true
            field.fields = fields(shapes, value, prefix: path + ".", isNew: isNew)
            return [field]
        case .objects(let shapes, let maximum):
            field.isGroup = true
            let rows = value?.arrayValue ?? []
            for index in 0..<min(maximum, rows.count + Self.emptyRows) {
                let row = rows.indices.contains(index) ? rows[index] : nil
                field.fields.append(
                    FormField(
                        name: "\(path).\(index)", label: "\(index + 1)", about: row == nil ? "Leave it empty for none." : "",
                        fields: fields(shapes, row, prefix: "\(path).\(index).", isNew: true).map(Self.optional), isGroup: true))
            }
            return [field]
        case .flag:
            field.input = .select
            field.options = choices(["true", "false"], ["yes", "no"], value, shape)
        case .word(let words):
            field.input = .select
            field.options = choices(words, words.map { $0.replacing("_", with: " ") }, value, shape)
        case .id(let prefix) where choices[prefix] != nil:
            field.input = .select
            let present = value?.stringValue ?? ""
            let all = choices[prefix] ?? []
            field.options =
                [Choice(value: "", text: shape.nullWord ?? "–", isSelected: present.isEmpty)]
                + all.map { Choice(value: $0.value, text: $0.text, isSelected: $0.value == present) }
            if !present.isEmpty, !all.contains(where: { $0.value == present }) {
                field.options.append(Choice(value: present, text: present, isSelected: true))
            }
        case .secret: field.input = .text("password")
        case .integer:
            field.input = .text("number")
            field.value = text(value)
        case .list, .scope, .labels, .anything:
            field.input = .area
            field.value = text(value)
            field.about += shape.kind.lines
        case .checked(format: "pem"):
            field.input = .area
            field.value = text(value)
        case .text(let maximum) where maximum > 300:
            field.input = .area
            field.value = text(value)
        default:
            field.value = text(value)
            if case .time = shape.kind { field.placeholder = "2026-11-26T00:00:00Z" }
            if case .checked(format: "uri") = shape.kind { field.input = .text("url") }
        }
        if field.placeholder.isEmpty, isNew, let standard = shape.standard, standard != .null { field.placeholder = text(standard) }
        return [field]
    }

    private static func optional(_ field: FormField) -> FormField {
        var field = field
        field.isRequired = false
        return field
    }

    private func choices(_ values: [String], _ texts: [String], _ value: JSONValue?, _ shape: FieldShape) -> [Choice] {
        let present = value.map(text) ?? shape.standard.map(text) ?? ""
        let none = present.isEmpty || shape.isNullable ? [Choice(value: "", text: shape.nullWord ?? "–", isSelected: present.isEmpty)] : []
        return none + zip(values, texts).map { Choice(value: $0, text: $1, isSelected: $0 == present) }
    }

    /// As a person writes it.
    private func text(_ value: JSONValue?) -> String {
        switch value ?? .null {
        case .null: ""
        case .string(let text): text
        case .bool(let flag): flag ? "true" : "false"
        case .int(let number): String(number)
        case .number(let text): text
        case .array(let elements):
            elements.allSatisfy { $0.stringValue != nil }
                ? elements.compactMap(\.stringValue).joined(separator: "\n") : JSONValue.array(elements).text
        case .object(let object): object.members.map { "\($0.name)=\($0.value.stringValue ?? $0.value.text)" }.joined(separator: "\n")
        }
    }

    // MARK: Reading

    /// The JSON that the API takes. Nothing is judged here: what does not fit goes on as it came, and the API says what is wrong with it.
    static func object(_ shapes: [FieldShape], _ form: [String: String], prefix: String = "", isNew: Bool) -> JSONObject {
        var object = JSONObject()
        for shape in shapes where shape.isInput && (isNew || shape.use == .given) {
            let path = prefix + shape.name
            switch shape.kind {
            case .object(let inner):
                guard form.keys.contains(where: { $0.hasPrefix(path + ".") }) else { continue }
                object[shape.name] = .object(Self.object(inner, form, prefix: path + ".", isNew: isNew))
            case .objects(let inner, let maximum):
                guard form.keys.contains(where: { $0.hasPrefix(path + ".") }) else { continue }
                var rows: [JSONValue] = []
                for index in 0..<maximum {
                    let prefix = "\(path).\(index)."
                    // A row counts when something is in it that is not there by itself.
                    let given = inner.contains { shape in
                        guard let text = form[prefix + shape.name], !text.isEmpty else { return false }
                        switch shape.kind {
                        case .flag, .word: return false
                        default: return true
                        }
                    }
                    if given { rows.append(.object(Self.object(inner, form, prefix: prefix, isNew: true))) }
                }
                object[shape.name] = .array(rows)
            default:
                guard let text = form[path] else { continue }
                if let value = value(text, shape, isNew: isNew) { object[shape.name] = value }
            }
        }
        return object
    }

    private static func value(_ given: String, _ shape: FieldShape, isNew: Bool) -> JSONValue? {
        let text = given.replacing("\r\n", with: "\n")
        if text.isEmpty {
            // Left out: as it is by itself. A text that somebody empties is empty.
            if isNew { return nil }
            if shape.isNullable { return .null }
            switch shape.kind {
            case .list: return .array([])
            case .labels: return .object(JSONObject())
            case .text, .checked: return ""
            default: return shape.standard
            }
        }
        switch shape.kind {
        case .flag: return text == "true" ? true : text == "false" ? false : .string(text)
        case .integer: return Int64(text.replacing("\u{202F}", with: "")).map(JSONValue.int) ?? .string(text)
        case .percentage: return (try? JSONValue(parsing: text)) ?? .string(text)
        case .list: return .strings(lines(text))
        case .scope: return text.trimmed == "all" ? "all" : .strings(lines(text))
        case .labels:
            return .object(
                JSONObject(
                    members: lines(text).map { line in
                        let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                        return .init(name: String(parts[0]), value: .string(parts.count > 1 ? String(parts[1]) : ""))
                    }))
        case .anything: return (try? JSONValue(parsing: text)) ?? .string(text)
        case .checked(format: "pem"), .text, .secret: return .string(text)
        default: return .string(text.trimmed)
        }
    }

    private static func lines(_ text: String) -> [String] {
        text.split(separator: "\n").map { String($0).trimmed }.filter { !$0.isEmpty }
    }
}

extension FieldKind {
    /// How several are written into one field.
    fileprivate var lines: String {
        switch self {
        case .list: " One on a line."
        case .scope: " \"all\", or one on a line."
        case .labels: " name=value, one on a line."
        default: ""
        }
    }
}

extension String {
    var trimmed: String {
        var rest = self[...]
        while let first = rest.first, first.isWhitespace { rest.removeFirst() }
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return String(rest)
    }
}

/// `application/x-www-form-urlencoded` (WHATWG URL §5): what a browser sends of a form.
enum FormBody {
    /// More members than any form of ours has.
    private static let maximumMembers = 2000

    static func parse(_ body: [UInt8]) -> [String: String] {
        var form: [String: String] = [:]
        for pair in body.split(separator: UInt8(ascii: "&"), maxSplits: maximumMembers) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            form[decoded(parts[0])] = parts.count > 1 ? decoded(parts[1]) : ""
        }
        return form
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>) -> String {
        var out: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            if byte == UInt8(ascii: "+") {
                out.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%"), bytes.endIndex - index > 2, let high = digit(bytes[index + 1]),
                let low = digit(bytes[index + 2])
            {
                out.append(high << 4 | low)
                index += 2
            } else {
                out.append(byte)
            }
            index += 1
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }

    /// A query of `members`, those with something in them.
    static func query(_ members: [(String, String)]) -> String {
        members.filter { !$0.1.isEmpty }.map { "\(encoded($0.0))=\(encoded($0.1))" }.joined(separator: "&")
    }

    static func encoded(_ text: String) -> String {
        text.utf8.reduce(into: "") { out, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "~"):
                out.unicodeScalars.append(Unicode.Scalar(byte))
            default: out += "%" + Hex.encode([byte]).uppercased()
            }
        }
    }
}
