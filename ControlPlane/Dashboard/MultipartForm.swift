import Primitives

/// `multipart/form-data` (RFC 7578): what a browser sends of a form with a file.
enum MultipartForm {
    /// No form of ours has as many.
    private static let maximumParts = 32
    private static let maximumHeadBytes = 4096

    /// Members by name, files as their content.
    /// - Parameter contentType: Of the request: it says what parts are divided by.
    /// - Returns: nil where it is none, or is broken off.
    static func parse(_ body: [UInt8], contentType: String) -> [String: String]? {
        guard let boundary = boundary(contentType) else { return nil }
        let divider = Array("--\(boundary)".utf8)
        guard body.starts(with: divider) else { return nil }
        var form: [String: String] = [:]
        var place = divider.count
        for _ in 0..<maximumParts {
            // After a divider: the end, or a line's end and a part.
            if body[place...].starts(with: Array("--".utf8)) { return form }
            guard body[place...].starts(with: [13, 10]) else { return nil }
            place += 2
            guard let headEnd = find([13, 10, 13, 10], in: body, from: place, upTo: place + maximumHeadBytes) else { return nil }
            let name = name(String(decoding: body[place..<headEnd], as: UTF8.self))
            place = headEnd + 4
            guard let end = find([13, 10] + divider, in: body, from: place, upTo: body.count) else { return nil }
            if let name, form[name] == nil { form[name] = String(decoding: body[place..<end], as: UTF8.self) }
            place = end + 2 + divider.count
        }
        return nil
    }

    private static func boundary(_ contentType: String) -> String? {
        let parts = contentType.split(separator: ";").map { String($0).trimmed }
        guard parts.first?.lowercased() == "multipart/form-data" else { return nil }
        guard let text = parts.first(where: { $0.lowercased().hasPrefix("boundary=") })?.dropFirst(9) else { return nil }
        let bare = text.hasPrefix("\"") && text.hasSuffix("\"") && text.count > 1 ? String(text.dropFirst().dropLast()) : String(text)
        return (1...70).contains(bare.utf8.count) ? bare : nil
    }

    private static func name(_ head: String) -> String? {
        for line in head.split(whereSeparator: \.isNewline) where line.lowercased().hasPrefix("content-disposition:") {
            for part in line.split(separator: ";") {
                let part = String(part).trimmed
                if part.hasPrefix("name=\""), part.hasSuffix("\""), part.count > 6 { return String(part.dropFirst(6).dropLast()) }
            }
        }
        return nil
    }

    /// Where `needle` begins.
    private static func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int, upTo end: Int) -> Int? {
        let last = min(end, bytes.count) - needle.count
        guard start >= 0, start <= last, let first = needle.first else { return nil }
        return bytes.withUnsafeBufferPointer { bytes in
            var place = start
            while place <= last {
                if bytes[place] == first, needle.indices.allSatisfy({ bytes[place + $0] == needle[$0] }) { return place }
                place += 1
            }
            return nil
        }
    }
}
