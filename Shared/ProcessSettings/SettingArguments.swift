/// Takes a command line apart by the declared settings: `--name value`, `--name=value`, and `--name` alone for a flag.
enum SettingArguments {
    static func parse(_ arguments: [String], _ settings: [(name: String, isFlag: Bool)]) throws(SettingsError) -> [String: String] {
        let areFlags = Dictionary(settings.map { ($0.name, $0.isFlag) }, uniquingKeysWith: { first, _ in first })
        var found: [String: String] = [:]
        var problems: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--") else {
                problems.append("\"\(argument)\" is not expected here: settings are written --name value")
                continue
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts.first ?? "")
            guard let isFlag = areFlags[name] else {
                let nearest = settings.map(\.name).min { distance($0, toBeginOf: name) < distance($1, toBeginOf: name) }
                problems.append("--\(name) is no setting" + (nearest.map { "; the nearest is --\($0)" } ?? ""))
                // What follows is most likely its value.
                if parts.count == 1, let next = rest.first, !next.hasPrefix("--") { rest.removeFirst() }
                continue
            }
            if parts.count > 1 {
                found[name] = String(parts[1])
            } else if isFlag {
                found[name] = "true"
            } else if let value = rest.popFirst() {
                found[name] = value
            } else {
                problems.append("--\(name) needs a value")
            }
        }
        guard problems.isEmpty else { throw SettingsError(problems) }
        return found
    }

    /// As far as it was typed: `max-bdy` is nearer to `max-body-bytes` than to `name`.
    private static func distance(_ name: String, toBeginOf typed: String) -> Int {
        distance(String(name.prefix(typed.count + 1)), typed)
    }

    /// Levenshtein's distance.
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.utf8), Array(b.utf8.prefix(64)))
        var row = Array(0...b.count)
        for (i, first) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, second) in b.enumerated() {
                let best = min(row[j] + 1, row[j + 1] + 1, diagonal + (first == second ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = best
            }
        }
        return row[b.count]
    }
}
