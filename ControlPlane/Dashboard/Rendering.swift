import Nouns
import Primitives

/// How values look to people: by the shape that is declared of them.
struct Rendering {
    /// What ids are called.
    var names: [String: String] = [:]

    /// Every identifier in `value` that `shapes` say is one.
    static func ids(in value: JSONValue, _ shapes: [FieldShape]) -> Set<String> {
        shapes.reduce(into: []) { found, shape in
            guard let member = value[shape.name] else { return }
            switch shape.kind {
            case .id: if let id = member.stringValue { found.insert(id) }
            case .list(.id, _), .scope(.id): found.formUnion((member.arrayValue ?? []).compactMap(\.stringValue))
            case .object(let inner): found.formUnion(ids(in: member, inner))
            case .objects(let inner, _): for element in member.arrayValue ?? [] { found.formUnion(ids(in: element, inner)) }
            default: break
            }
        }
    }

    /// What a field is called on a page: `payment_valid_until` is "Payment valid until".
    static func label(_ name: String) -> String {
        var words = name.split(separator: "_").map(String.init)
        if words.count > 1, let last = words.last, ["id", "ids"].contains(last) { words.removeLast() }
        let text = words.joined(separator: " ")
        let label = (text.prefix(1).uppercased() + text.dropFirst()).replacing("Did", with: "DID").replacing("Http", with: "HTTP")

        switch label {
        case "Id": return "ID"
        case "Ip": return "IP"
        case _ where label.hasSuffix(" us"): return String(label.dropLast(3))
        case _ where label.hasSuffix(" url"): return label.dropLast(3) + "URL"
        default: return label.replacing(" ms", with: ", ms")
        }
    }

    static func isNumber(_ shape: FieldShape) -> Bool {
        switch shape.kind {
        case .integer, .dollars, .percentage: true
        default: false
        }
    }

    func cells(_ value: JSONValue?, _ shape: FieldShape) -> [Cell] {
        switch (value ?? .null, shape.kind) {
        case (.array(let elements), .list(let kind, _)), (.array(let elements), .scope(let kind)):
            let single = FieldShape(shape.name, kind, shape.about)
            return elements.isEmpty ? [Cell(text: Self.emptyWord(shape))] : elements.map { cell($0, single) }
        case (.object(let object), .object(let shapes)):
            // Somebody, or something, that has a name is told by it.
            if let id = object["id"]?.stringValue, let name = object["name"]?.stringValue, !name.isEmpty {
                return [Cell(text: name, href: Self.href(id))]
            }
            return members(value ?? .null, shapes)
        case (.array(let elements), .objects(let shapes, _)):
            return elements.isEmpty
                ? [Cell(text: "none")]
                : elements.map { element in Cell(text: members(element, shapes).map(\.text).joined(separator: " · ")) }
        default: return [cell(value, shape)]
        }
    }

    /// What a list without anything in it means: of some that there is no bound.
    private static func emptyWord(_ shape: FieldShape) -> String {
        guard let range = shape.about.firstRange(of: "empty: ") else { return "none" }
        return String(shape.about[range.upperBound...].prefix { $0 != "." && $0 != ";" })
    }

    private func members(_ value: JSONValue, _ shapes: [FieldShape]) -> [Cell] {
        shapes.compactMap { shape in
            guard let member = value[shape.name], member != .null else { return nil }
            let inner = cells(member, shape)
            return Cell(
                text: "\(Self.label(shape.name)): \(inner.map(\.text).joined(separator: ", "))",
                href: inner.count == 1 ? inner[0].href : nil)
        }
    }

    /// One cell: a list shows in it as its elements' texts.
    func cell(_ value: JSONValue?, _ shape: FieldShape) -> Cell {
        var cell = Cell(title: Self.label(shape.name), text: "–", isNumber: Self.isNumber(shape))
        switch (value ?? .null, shape.kind) {
        case (.null, _): if let word = shape.nullWord { cell.text = word }
        case (.string(let id), .id(let prefix)):
            cell.text = names[id] ?? id
            cell.href = prefix.isEmpty ? Self.href(id) : Self.href(id, prefix: prefix)
        case (.string(let text), .dollars): cell.text = Self.dollars(text)
        case (.string(let text), .time):
            cell.text = Self.time(text)
            cell.isTime = true
        case (.string(let text), .word):
            cell.text = text.replacing("_", with: " ")
            cell.kind = Self.mood(text)
        case (.string(let text), _): cell.text = text
        case (.bool(let flag), _): cell.text = flag ? "yes" : "no"
        case (.int(0), _) where shape.zeroWord != nil: cell.text = shape.zeroWord ?? ""
        case (.int(let number), _) where shape.name.hasSuffix("_us"):
            cell.text = Self.milliseconds(number)
            cell.isNumber = true
        case (.int(let number), _): cell.text = Self.grouped(number)
        case (.number(let text), _): cell.text = text
        case (.array, .list), (.array, .scope), (.array, .objects), (.object, .object):
            cell.text = cells(value, shape).map(\.text).joined(separator: ", ")
        case (.object(let object), .labels):
            cell.text = object.members.map { "\($0.name)=\($0.value.stringValue ?? "")" }.joined(separator: ", ")
        case (.array(let elements), _): cell.text = elements.map { $0.stringValue ?? $0.text }.joined(separator: ", ")
        case (.object(let object), _):
            // Not described: what it holds at its top.
            cell.text = object.members.map { "\($0.name): \($0.value.stringValue ?? $0.value.text)" }.joined(separator: " · ")
        }
        if cell.text.isEmpty { cell.text = "–" }
        return cell
    }

    /// The pages of what reports name.
    static let pages = [
        "tenant": "tenants", "project": "projects", "key": "keys", "user": "users", "owner": "users", "app": "apps",
        "endpoint": "endpoints",
        "provider": "providers", "data_plane": "data-planes",
    ]

    /// The page of a thing, where it has one.
    static func href(_ id: String, prefix: String) -> String? {
        DeclaredNouns.noun(prefix: prefix).map { "/admin/\($0.words.path)/\(id)" }
    }

    /// The page of whatever an identifier is of, as its beginning says.
    static func href(_ id: String) -> String? {
        if RequestID(text: id) != nil { return "/admin/requests/\(id)" }
        return id.firstIndex(of: "_").flatMap { href(id, prefix: String(id[...$0])) }
    }

    /// "1 key", "2 keys".
    static func count(_ number: Int64, _ word: String) -> String { "\(grouped(number)) \(word)\(number == 1 ? "" : "s")" }

    /// With thin groups of three: 1 234 567 reads the same everywhere.
    static func grouped(_ number: Int64) -> String {
        let digits = String(number.magnitude)
        var out = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { out.append("\u{202F}") }
            out.append(digit)
        }
        return number < 0 ? "−" + out : out
    }

    /// At least two decimals, and no zeros after them.
    static func dollars(_ text: String) -> String {
        let isNegative = text.hasPrefix("-")
        let parts = text.drop { $0 == "-" }.split(separator: ".", maxSplits: 1).map(String.init)
        var decimals = parts.count > 1 ? parts[1] : ""
        while decimals.hasSuffix("0") { decimals.removeLast() }
        while decimals.count < 2 { decimals.append("0") }
        let whole = Int64(parts.first ?? "0").map(grouped) ?? parts.first ?? "0"
        return "\(isNegative ? "−" : "")$\(whole).\(decimals)"
    }

    /// Of microseconds.
    static func milliseconds(_ microseconds: Int64) -> String {
        let tenths = microseconds / 100
        return tenths >= 1000 ? "\(grouped(tenths / 10)) ms" : "\(tenths / 10).\((tenths % 10).magnitude) ms"
    }

    /// At a glance: cents, and of less than a dollar four decimals.
    static func roundedDollars(nano: Int64) -> String {
        let unit: Int64 = nano.magnitude >= 1_000_000_000 ? 10_000_000 : 100_000
        let rounded = nano / unit + (nano % unit * 2 / unit)
        let text =
            String(rounded.magnitude * UInt64(unit) / 1_000_000_000) + "."
            + String(1_000_000_000 + rounded.magnitude * UInt64(unit) % 1_000_000_000).dropFirst()
        return dollars((nano < 0 ? "-" : "") + text)
    }

    /// RFC 3339, as people read it: 2026-11-26 06:10:31 UTC.
    static func time(_ text: String) -> String {
        guard text.hasSuffix("Z"), let t = text.firstIndex(of: "T") else { return text }
        let clock = text[text.index(after: t)...].prefix(8)
        return "\(text[..<t]) \(clock) UTC"
    }

    /// What stands above a column: of times that they are UTC's, so that each of them need not say it.
    static func heading(_ shape: FieldShape) -> String {
        guard case .time = shape.kind else { return label(shape.name) }
        let word = shape.name == "at" ? "When" : label(shape.name)
        return (word.hasSuffix(" at") ? String(word.dropLast(3)) : word) + ", UTC"
    }

    /// Whether a state is one to be glad of.
    static func mood(_ word: String) -> String? {
        switch word {
        case "active", "ok", "completed", "connected", "paid", "promoted", "baseline", "enforce", "done": "good"
        case "pending", "expired", "suspended", "frozen", "warning", "warn", "observe", "candidate", "degraded", "disabled": "warn"
        case "revoked", "banned", "failed", "error", "critical", "aborted", "unpaid", "rolled_back", "refused", "failing": "bad"
        default: nil
        }
    }

    /// What a field is called where its value stands beside it: with its unit, where the name does not say it.
    static func label(_ shape: FieldShape) -> String {
        guard let unit = shape.unit?.split(separator: ",").first, !shape.name.hasSuffix(unit) else { return label(shape.name) }
        return "\(label(shape.name)) (\(unit))"
    }

    /// - Parameter hidesNothing: Whether members that are null, and mean nothing by it, are shown, too.
    func facts(_ value: JSONValue, _ shapes: [FieldShape], hidesNothing: Bool = true) -> [Fact] {
        shapes.filter { shape in
            shape.isShown && (hidesNothing || shape.nullWord != nil || (value[shape.name] ?? .null) != .null)
        }.map { shape in
            Fact(
                label: Self.label(shape), about: shape.about,
                cells: cells(value[shape.name], shape))
        }
    }

    func table(_ items: [JSONValue], _ shapes: [FieldShape], linking: (JSONValue) -> String? = { _ in nil }) -> Table {
        Table(
            columns: shapes.map { Column(text: Self.heading($0), isNumber: Self.isNumber($0)) },
            rows: items.map { item in
                let href = linking(item)
                return Row(
                    cells: shapes.enumerated().map { index, shape in
                        var cell = cell(item[shape.name], shape)
                        if cell.isTime {
                            cell.title = Self.heading(shape)
                            if cell.text.hasSuffix(" UTC") { cell.text.removeLast(4) }
                        }
                        // What comes with its id leads to its page.
                        if let id = item["\(shape.name)_id"]?.stringValue, let path = Self.pages[shape.name] {
                            cell.href = "/admin/\(path)/\(id)"
                        }
                        if shape.name == "status", let word = item[shape.name]?.stringValue { cell.kind = Self.mood(word) }
                        if index == 0, let href {
                            cell.href = href
                            cell.kind = nil
                        }
                        return cell
                    })
            })
    }
}
