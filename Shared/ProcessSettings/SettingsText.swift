import Foundation
import Primitives

extension SettingsReader {
    /// Every setting with its default and what it is for, for `--help`.
    package var help: String {
        var out = """
            Settings. Each is a flag, a variable of the environment (--max-body-bytes is WEIR_MAX_BODY_BYTES) and a member of the JSON file
            that --settings-file names; the first of these that has it counts.


            """
        for setting in settings {
            let standard = setting.isSecret ? nil : setting.show(standard)
            out += "  --\(setting.name)\(setting.placeholder)\n      \(setting.help)"
            out += " (default: \(standard ?? "none"))\n"
        }
        return out
    }
}

extension Setting {
    fileprivate var placeholder: String {
        switch kind {
        case .number(let unit, _): " <\(unit == .none ? "number" : unit.rawValue)>"
        case .text(let placeholder): " <\(placeholder)>"
        case .choice(let words): " <\(words.joined(separator: "|"))>"
        case .flag: ""
        }
    }

    fileprivate var unit: String? { if case .number(let unit, _) = kind, unit != .none { unit.rawValue } else { nil } }
}

extension EffectiveSettings {
    private func shown(_ setting: Setting<Target>) -> String? {
        guard let value = setting.show(target) else { return nil }
        return setting.isSecret ? "<redacted>" : Self.withoutPassword(value)
    }

    /// The password of a URL is nobody's to read.
    static func withoutPassword(_ text: String) -> String {
        guard let scheme = text.range(of: "://"), let at = text[scheme.upperBound...].prefix(while: { $0 != "/" }).lastIndex(of: "@"),
            let colon = text[scheme.upperBound..<at].firstIndex(of: ":")
        else { return text }
        return text[...colon] + "<redacted>" + text[at...]
    }

    /// What is in force and where it comes from, in columns.
    package func table(_ settings: [Setting<Target>]) -> String {
        let rows =
            [("SETTING", "VALUE", "SOURCE")]
            + settings.map { setting in
                let value = shown(setting).map { value in setting.unit.map { "\(value) \($0)" } ?? value } ?? "-"
                return (setting.name, value, sources[setting.name, default: .standard].rawValue)
            }
        let widths = rows.reduce((0, 0)) { (max($0.0, $1.0.count), max($0.1, $1.1.count)) }
        return rows.map { name, value, source in
            "\(Self.pad(name, widths.0))  \(Self.pad(value, widths.1))  \(source)\n"
        }.joined()
    }

    private static func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

    /// The same as JSON: `{"name": {"value": …, "source": …}}`.
    package func json(_ settings: [Setting<Target>]) -> String {
        JSONValue.object(
            JSONObject(
                members: settings.map { setting in
                    let source = sources[setting.name, default: .standard].rawValue
                    let value: JSONValue = ["value": shown(setting).map(JSONValue.string) ?? .null, "source": .string(source)]
                    return .init(name: setting.name, value: value)
                })
        ).text
    }
}
