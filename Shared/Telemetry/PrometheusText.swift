/// Prometheus's text exposition format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): what `/metrics` answers.
package struct PrometheusText: Sendable {
    package typealias Labels = [(String, String)]

    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package private(set) var text = ""

    package init() {}

    /// Begins a family; its samples follow, before the next family's.
    package mutating func family(_ name: String, _ type: String, _ help: String) {
        let name = Self.clean(name)
        text += "# HELP \(name) \(help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n# TYPE \(name) \(type)\n"
    }

    package mutating func sample(_ name: String, _ labels: Labels, _ value: UInt64) {
        text += "\(Self.clean(name))\(Self.braces(Self.written(labels))) \(value)\n"
    }

    package mutating func sample(_ name: String, _ labels: Labels, _ value: Double) {
        sample(name, written: Self.written(labels), Self.number(value))
    }

    /// A family of one sample without labels.
    package mutating func one(_ name: String, _ type: String, _ help: String, _ value: UInt64) {
        family(name, type, help)
        sample(name, [], value)
    }

    package mutating func one(_ name: String, _ type: String, _ help: String, _ value: Double) {
        family(name, type, help)
        sample(name, [], value)
    }

    /// - Parameter labels: as `written` makes them.
    mutating func sample(_ name: String, written labels: String, _ value: String) {
        text += "\(Self.clean(name))\(Self.braces(labels)) \(value)\n"
    }

    /// The samples of a histogram, whose family was begun.
    /// - Parameters:
    ///   - bounds: rising, without +Inf.
    ///   - counts: of each bound those at or below it, and last the count of all.
    package mutating func histogram(_ name: String, written labels: String = "", bounds: [Double], counts: [UInt64], sum: Double) {
        let separator = labels.isEmpty ? "" : ","
        for (bound, count) in zip(bounds.map(Self.number) + ["+Inf"], counts) {
            sample("\(name)_bucket", written: "\(labels)\(separator)le=\"\(bound)\"", "\(count)")
        }
        sample("\(name)_sum", written: labels, Self.number(sum))
        sample("\(name)_count", written: labels, "\(counts.last ?? 0)")
    }

    // MARK: Pieces

    static func written(_ labels: Labels) -> String {
        labels.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\(clean(name))=\"\(escaped)\""
        }.joined(separator: ",")
    }

    private static func braces(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return String(value)
    }

    /// Names hold letters, digits, underscores and colons only, and do not start with a digit.
    static func clean(_ name: String) -> String {
        var out = ""
        for scalar in name.unicodeScalars {
            let letter = ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_" || scalar == ":"
            let digit = ("0"..."9").contains(scalar)
            out.unicodeScalars.append(letter || digit && !out.isEmpty ? scalar : "_")
        }
        return out
    }
}
