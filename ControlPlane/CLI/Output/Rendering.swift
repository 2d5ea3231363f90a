import Nouns
import Primitives

/// What is known beside an answer when it is shown to a person: the moment, and what the things that it names by id are called.
struct Rendering: Sendable {
    /// Unix milliseconds.
    var now = SystemClock().nowMilliseconds()
    /// By id.
    var names: [String: String] = [:]

    /// "3 min ago", "in 2 days"; a text that is no time as it is.
    func relative(_ text: String) -> String {
        guard let moment = RFC3339.milliseconds(text) else { return text.visible }
        let (past, seconds) = (moment <= now, abs(now - moment) / 1000)
        let words: String
        switch seconds {
        case ..<2: return "now"
        case ..<120: words = "\(seconds) s"
        case ..<7200: words = "\(seconds / 60) min"
        case ..<172_800: words = "\(seconds / 3600) h"
        case ..<(60 * 86_400): words = "\(seconds / 86_400) days"
        // Months and years are no help with a date that far off.
        default: return String(RFC3339.string(milliseconds: moment).prefix(10))
        }
        return past ? words + " ago" : "in " + words
    }

    /// Ids with the names that belong to them: `Acme (ten_…)`.
    func named(_ value: JSONValue, withIDs: Bool) -> String {
        func text(_ value: JSONValue) -> JSONValue {
            switch value {
            case .string(let id):
                guard let name = names[id] else { return value }
                return .string(withIDs ? "\(name) (\(id))" : name)
            case .array(let values): return .array(values.map(text))
            case .object(let object):
                return .object(JSONObject(members: object.members.map { .init(name: $0.name, value: text($0.value)) }))
            default: return value
            }
        }
        return text(value).plain.visible
    }

    /// Of one object: times as they are and how long ago that was, ids with names.
    func detail(_ value: JSONValue, named: Bool) -> String {
        if let text = value.stringValue, RFC3339.milliseconds(text) != nil {
            let relative = relative(text)
            return text.hasPrefix(relative) ? text : "\(text) (\(relative))"
        }
        return named ? self.named(value, withIDs: true) : value.plain.visible
    }
}

extension AdminClient {
    /// How many things are asked for by name at most: what one request takes.
    private static let maximumNames = 200

    /// What the things are called that an answer names by id. Nothing when it cannot be found out: an answer is shown without names then.
    func rendering(of items: [JSONValue]) async -> Rendering {
        var ids: [String] = []
        var seen = Set<String>()
        for item in items {
            for member in item.objectValue?.members ?? [] where member.name != "id" { Self.collect(member.value, &ids, &seen) }
        }
        guard !ids.isEmpty else { return Rendering() }
        let query = [("ids", ids.prefix(Self.maximumNames).joined(separator: ","))]
        let found = (try? await send("GET", "names", query: query))?.json.list("items") ?? []
        return Rendering(
            names: Dictionary(
                found.compactMap { item in item.string("id").flatMap { id in item.string("name").map { (id, $0) } } },
                uniquingKeysWith: { first, _ in first }))
    }

    private static func collect(_ value: JSONValue, _ ids: inout [String], _ seen: inout Set<String>) {
        switch value {
        case .string(let text): if isID(text), seen.insert(text).inserted { ids.append(text) }
        case .array(let values): for value in values { collect(value, &ids, &seen) }
        case .object(let object): for member in object.members { collect(member.value, &ids, &seen) }
        default: break
        }
    }

    /// `ten_` and sixteen characters of base 32.
    private static func isID(_ text: String) -> Bool {
        guard text.utf8.count <= 32, let underscore = text.firstIndex(of: "_") else { return false }
        let (prefix, rest) = (text[..<underscore], text[text.index(after: underscore)...])
        return (1...8).contains(prefix.count) && prefix.allSatisfy { $0.isASCII && $0.isLowercase }
            && Base32.decode(rest)?.count == 10
    }
}
