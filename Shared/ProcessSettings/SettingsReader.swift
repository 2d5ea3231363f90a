import Configuration
import Foundation
import Primitives
import Synchronization

/// Why a process cannot start with its settings: all that is wrong, one line each.
package struct SettingsError: Error, Hashable, Sendable, CustomStringConvertible {
    package let problems: [String]

    package init(_ problems: [String]) { self.problems = problems }

    package var description: String { problems.joined(separator: "\n") }
}

/// Settings as they are in force, and where each came from.
package struct EffectiveSettings<Target: Sendable>: Sendable {
    package enum Source: String, Sendable {
        case flag, environment, file
        case standard = "default"
    }

    package let target: Target
    /// By name.
    package let sources: [String: Source]
}

/// Reads the declared settings: a flag goes before the environment, that before the settings file, that before the default.
package struct SettingsReader<Target: Sendable>: Sendable {
    package typealias Source = EffectiveSettings<Target>.Source

    package let settings: [Setting<Target>]
    let standard: Target
    /// What is wrong between values that are right by themselves.
    private let relations: @Sendable (Target) -> [String]

    /// Names a JSON file with any of the settings in it, by their names.
    static var fileName: String { "settings-file" }
    static var fileVariable: String { "WEIR_SETTINGS_FILE" }

    /// - Parameter standard: the defaults.
    package init(_ settings: [Setting<Target>], standard: Target, relations: @escaping @Sendable (Target) -> [String] = { _ in [] }) {
        self.settings = settings
        self.standard = standard
        self.relations = relations
    }

    /// - Throws: `SettingsError` with everything that is wrong.
    package func read(arguments: [String], environment: [String: String]) throws(SettingsError) -> EffectiveSettings<Target> {
        // An empty variable counts as none: compose files and unit files leave such behind.
        var environment = environment.filter { !$0.value.isEmpty }
        for setting in settings {
            guard let alias = setting.alias, let value = environment[alias] else { continue }
            environment[setting.environmentName] = environment[setting.environmentName] ?? value
        }
        let (flags, path) = try flags(arguments, environment)
        var providers: [any ConfigProvider] = [
            InMemoryProvider(name: "flags", values: flags),
            EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: "weir"),
        ]
        var sources: [Source] = [.flag, .environment]
        if let path {
            providers.append(try file(path))
            sources.append(.file)
        }
        let found = SourceReporter()
        let reader = ConfigReader(providers: providers, accessReporter: found)
        var target = standard
        var used: [String: Source] = [:]
        var problems: [String] = []
        for setting in settings {
            let value = setting.value(in: reader)
            // The first source that has the setting decides, also when what it has is wrong: nothing of a lower rank takes its place unseen.
            guard let place = found.takePlace(), sources.indices.contains(place) else {
                used[setting.name] = .standard
                continue
            }
            used[setting.name] = sources[place]
            let name: String =
                switch sources[place] {
                case .flag: "--\(setting.name)"
                case .environment: setting.environmentName
                case .file, .standard: "\"\(setting.name)\" in \(path ?? "the settings file")"
                }
            do throws(SettingProblem) {
                guard let value else { throw SettingProblem(setting.expectation) }
                try setting.put(value, &target)
            } catch {
                problems.append("\(name) \(error.text)")
            }
        }
        if problems.isEmpty { problems = relations(target) }
        guard problems.isEmpty else { throw SettingsError(problems) }
        return EffectiveSettings(target: target, sources: used)
    }

    /// The flags as configuration values, and the settings file that they or the environment name.
    private func flags(
        _ arguments: [String], _ environment: [String: String]
    ) throws(SettingsError) -> (values: [AbsoluteConfigKey: ConfigValue], path: String?) {
        let names = settings.map { (name: $0.name, isFlag: $0.isFlag) } + [(name: Self.fileName, isFlag: false)]
        let given = try SettingArguments.parse(arguments, names)
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for setting in settings {
            guard let text = given[setting.name] else { continue }
            values[AbsoluteConfigKey([setting.name])] = ConfigValue(setting.content(of: text), isSecret: setting.isSecret)
        }
        return (values, given[Self.fileName] ?? environment[Self.fileVariable])
    }

    /// The members of a JSON object, each a setting's name. No more of JSON is needed than the project reads itself, so the library's own
    /// file support, a trait, stays off.
    private func file(_ path: String) throws(SettingsError) -> InMemoryProvider {
        guard let bytes = FileManager.default.contents(atPath: path) else {
            throw SettingsError(["the settings file \(path) cannot be read"])
        }
        guard case .object(let object)? = try? JSONValue(parsing: Array(bytes)) else {
            throw SettingsError(["the settings file \(path) is not a JSON object"])
        }
        let byName = Dictionary(settings.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        var problems: [String] = []
        for member in object.members {
            guard let setting = byName[member.name] else {
                problems.append("\"\(member.name)\" in \(path) is no setting")
                continue
            }
            let content: ConfigContent
            switch member.value {
            case .string(let text): content = .string(text)
            case .int(let number): content = .int(Int(clamping: number))
            case .bool(let flag): content = .bool(flag)
            default:
                problems.append("\"\(member.name)\" in \(path) \(setting.expectation)")
                continue
            }
            values[AbsoluteConfigKey([member.name])] = ConfigValue(content, isSecret: setting.isSecret)
        }
        guard problems.isEmpty else { throw SettingsError(problems) }
        return InMemoryProvider(name: "file", values: values)
    }
}

extension Setting {
    var isFlag: Bool { if case .flag = kind { true } else { false } }

    /// What a value has to be, in words that follow the setting's name.
    var expectation: String {
        switch kind {
        case .number(_, let range): "has to be a number from \(range.lowerBound) to \(range.upperBound)"
        case .text(let placeholder): "has to be a text (\(placeholder))"
        case .choice(let words): "has to be one of \(words.joined(separator: ", "))"
        case .flag: "has to be true or false"
        }
    }

    /// The text of a flag on the command line.
    fileprivate func content(of text: String) -> ConfigContent {
        switch kind {
        case .number: Int(text).map { .int($0) } ?? .string(text)
        case .flag: ["true", "false"].contains(text) ? .bool(text == "true") : .string(text)
        case .text, .choice: .string(text)
        }
    }

    /// Nil when no source has it, or the first that has it has something else.
    fileprivate func value(in reader: ConfigReader) -> Value? {
        let key = ConfigKey([name])
        return switch kind {
        case .number: reader.int(forKey: key).map { .number($0) }
        case .flag: reader.bool(forKey: key).map { .flag($0) }
        case .text, .choice: reader.string(forKey: key, isSecret: isSecret).map { .text($0) }
        }
    }
}

/// Which provider answered last: the place in their order of the one that had a value, whether of the right type or not.
private final class SourceReporter: AccessReporter {
    private let place = Mutex<Int?>(nil)

    func report(_ event: AccessEvent) {
        let last = event.providerResults.indices.last { index in
            switch event.providerResults[index].result {
            case .success(let found): found.value != nil
            case .failure: true
            }
        }
        place.withLock { $0 = last }
    }

    func takePlace() -> Int? {
        place.withLock { place in
            defer { place = nil }
            return place
        }
    }
}
