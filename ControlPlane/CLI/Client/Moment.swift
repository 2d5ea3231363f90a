import ArgumentParser
import Primitives

/// A time as a person types it: a date (its first moment in UTC) or an RFC 3339 timestamp.
struct Moment: ExpressibleByArgument {
    /// RFC 3339.
    let text: String

    init?(argument: String) {
        let full = argument.count == 10 ? argument + "T00:00:00Z" : argument
        guard RFC3339.milliseconds(full) != nil else { return nil }
        text = full
    }
}

/// Query parameters that were given.
func pairs(_ parameters: (String, String?)...) -> [(String, String)] {
    parameters.compactMap { name, value in value.map { (name, $0) } }
}
