import Foundation
import Primitives

/// What an application changes, for people: a thing a line, and a line for each field that differs.
struct Differences {
    let answer: JSONValue
    let isColoured: Bool

    private static let signs: [String: (sign: String, colour: String)] = [
        "created": ("+", "32"), "updated": ("~", "33"), "deleted": ("-", "31"),
    ]

    private static let maximumValue = 120

    /// Whether there is anything to do.
    var isEmpty: Bool { Self.signs.keys.allSatisfy { (answer.at($0)?.intValue ?? 0) == 0 } }

    var text: String {
        let lines = answer.list("changes").flatMap { change -> [String] in
            guard let (sign, colour) = Self.signs[change.string("change") ?? ""] else { return [] }
            let head = "\(sign) \(change.string("noun")?.visible ?? "") \(change.string("name")?.visible ?? "")"
            var lines = [coloured(head, colour)]
            for field in change.list("fields") {
                let before = field["from"].flatMap { $0 == .null ? nil : "\(Self.value($0)) → " } ?? ""
                lines.append("    \(field.string("path")?.visible ?? ""): \(before)\(Self.value(field["to"] ?? .null))")
            }
            if change.string("secret") == "set" { lines.append("    secret: set") }
            return lines
        }
        return (lines + [isEmpty ? "Nothing to change." : "\(lines.isEmpty ? "" : "\n")\(counts("to be "))"]).joined(separator: "\n")
    }

    /// `1 to be created, 2 to be updated, 5 unchanged`
    func counts(_ words: String) -> String {
        let parts = ["created", "updated", "deleted"].compactMap { name -> String? in
            let count = answer.at(name)?.intValue ?? 0
            return count == 0 ? nil : "\(count) \(words)\(name)"
        }
        return (parts + ["\(answer.at("unchanged")?.intValue ?? 0) unchanged"]).joined(separator: ", ") + "."
    }

    /// The secrets of new things, which are shown this once.
    var secrets: [String] {
        answer.list("changes").compactMap { change in
            change.string("shown_once").map { "\(change.string("noun") ?? "") \(change.string("name")?.visible ?? ""): \($0)" }
        }
    }

    private static func value(_ value: JSONValue) -> String {
        let text = value.text.visible
        return text.count > maximumValue ? String(text.prefix(maximumValue)) + "…" : text
    }

    private func coloured(_ text: String, _ colour: String) -> String { isColoured ? "\u{1B}[\(colour)m\(text)\u{1B}[0m" : text }

    /// Where colours are seen and wanted (no-color.org).
    static func areColoured(_ descriptor: Int32) -> Bool {
        let environment = ProcessInfo.processInfo.environment
        return isatty(descriptor) == 1 && environment["NO_COLOR"].nonEmpty == nil && environment["TERM"] != "dumb"
    }
}
