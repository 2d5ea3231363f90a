import Foundation

/// A list of short texts in one column: a JSON array.
package enum TextList {
    package static func encode(_ texts: [String]) -> String {
        guard let data = try? JSONEncoder().encode(texts) else { return "[]" }
        return String(decoding: data, as: UTF8.self)
    }

    /// - Throws: `DecodingError` when the column holds something else.
    package static func decode(_ text: String) throws -> [String] {
        try JSONDecoder().decode([String].self, from: Data(text.utf8))
    }
}
