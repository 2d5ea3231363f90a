/// One setting of a process: its name, what it may be, and what it is for. Its default is what the field it leads to is made with, and its
/// reason stands at that field.
///
/// The name is the same everywhere: `max-body-bytes` is `--max-body-bytes`, `WEIR_MAX_BODY_BYTES` and `"max-body-bytes"` in the settings
/// file.
package struct Setting<Target>: Sendable {
    package enum Unit: String, Sendable {
        case bytes, milliseconds
        case none = ""
    }

    enum Kind: Sendable {
        case number(Unit, ClosedRange<Int>)
        case text(placeholder: String)
        case choice([String])
        case flag
    }

    /// A value as a source gave it.
    enum Value: Sendable {
        case number(Int)
        case text(String)
        case flag(Bool)
    }

    package let name: String
    package let help: String
    let kind: Kind
    package let isSecret: Bool
    /// Another environment variable that holds it, where ours does not.
    let alias: String?
    /// The value in a target, for people; nil: none is set.
    let show: @Sendable (Target) -> String?
    /// - Throws: what the value should have been.
    let put: @Sendable (Value, inout Target) throws(SettingProblem) -> Void

    private init(
        _ name: String, _ kind: Kind, _ help: String, isSecret: Bool = false, alias: String? = nil,
        show: @escaping @Sendable (Target) -> String?,
        put: @escaping @Sendable (Value, inout Target) throws(SettingProblem) -> Void
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.isSecret = isSecret
        self.alias = alias
        self.show = show
        self.put = put
    }

    package var environmentName: String { "WEIR_" + name.uppercased().replacing("-", with: "_") }

    // MARK: Kinds

    /// - Parameter alias: another environment variable by which it is known elsewhere.
    package static func number(
        _ name: String, _ path: any WritableKeyPath<Target, Int> & Sendable, _ unit: Unit = .none, in range: ClosedRange<Int>,
        alsoNamed alias: String? = nil, _ help: String
    ) -> Setting {
        Setting(name, .number(unit, range), help, alias: alias, show: { String($0[keyPath: path]) }) {
            value, target throws(SettingProblem) in
            guard case .number(let number) = value, range.contains(number) else {
                throw SettingProblem("has to be a number from \(range.lowerBound) to \(range.upperBound)")
            }
            target[keyPath: path] = number
        }
    }

    package static func text(
        _ name: String, _ path: any WritableKeyPath<Target, String> & Sendable, placeholder: String, _ help: String
    ) -> Setting {
        Setting(name, .text(placeholder: placeholder), help, show: { $0[keyPath: path] }) { value, target throws(SettingProblem) in
            guard case .text(let text) = value, !text.isEmpty else { throw SettingProblem("has to be a text") }
            target[keyPath: path] = text
        }
    }

    /// A text that may be missing.
    /// - Parameters:
    ///   - isSecret: never shown.
    ///   - alias: another environment variable by which it is known elsewhere.
    package static func text(
        _ name: String, _ path: any WritableKeyPath<Target, String?> & Sendable, placeholder: String, isSecret: Bool = false,
        alsoNamed alias: String? = nil, _ help: String
    ) -> Setting {
        Setting(name, .text(placeholder: placeholder), help, isSecret: isSecret, alias: alias, show: { $0[keyPath: path] }) {
            value, target throws(SettingProblem) in
            guard case .text(let text) = value, !text.isEmpty else { throw SettingProblem("has to be a text") }
            target[keyPath: path] = text
        }
    }

    /// Texts separated by commas.
    package static func list(
        _ name: String, _ path: any WritableKeyPath<Target, [String]> & Sendable, placeholder: String, _ help: String
    ) -> Setting {
        Setting(
            name, .text(placeholder: placeholder), help,
            show: { $0[keyPath: path].isEmpty ? nil : $0[keyPath: path].joined(separator: ",") }
        ) { value, target throws(SettingProblem) in
            guard case .text(let text) = value else { throw SettingProblem("has to be a list separated by commas") }
            target[keyPath: path] = text.split { $0 == "," || $0 == " " }.map(String.init)
        }
    }

    package static func choice<Choice: RawRepresentable<String> & CaseIterable & SendableMetatype>(
        _ name: String, _ path: any WritableKeyPath<Target, Choice> & Sendable, _ help: String
    ) -> Setting {
        let words = Choice.allCases.map(\.rawValue)
        return Setting(name, .choice(words), help, show: { $0[keyPath: path].rawValue }) { value, target throws(SettingProblem) in
            guard case .text(let text) = value, let choice = Choice(rawValue: text) else {
                throw SettingProblem("has to be one of \(words.joined(separator: ", "))")
            }
            target[keyPath: path] = choice
        }
    }

    package static func flag(_ name: String, _ path: any WritableKeyPath<Target, Bool> & Sendable, _ help: String) -> Setting {
        Setting(name, .flag, help, show: { $0[keyPath: path] ? "true" : "false" }) { value, target throws(SettingProblem) in
            guard case .flag(let flag) = value else { throw SettingProblem("has to be true or false") }
            target[keyPath: path] = flag
        }
    }

    /// `host:port`, IPv6 in brackets. Port 0 takes any free one.
    package static func address(
        _ name: String, _ path: any WritableKeyPath<Target, ListenAddress> & Sendable, _ help: String
    ) -> Setting {
        Setting(name, .text(placeholder: "host:port"), help, show: { $0[keyPath: path].description }) {
            value, target throws(SettingProblem) in
            guard case .text(let text) = value else { throw SettingProblem("has to be host:port") }
            target[keyPath: path] = try ListenAddress(parsing: text)
        }
    }
}

/// What is wrong with a value, in words that follow the setting's name.
package struct SettingProblem: Error, Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }
}

/// Where something listens.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package init(parsing text: String) throws(SettingProblem) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port) else {
            throw SettingProblem("has to be host:port, not \"\(text)\"")
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw SettingProblem("has an IPv6 address without brackets; write [::1]:7080")
        }
        guard !host.isEmpty else { throw SettingProblem("names no host; 0.0.0.0 stands for all addresses") }
        self.init(host: String(host), port: port)
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
