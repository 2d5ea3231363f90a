import Primitives

/// HTML of the Markdown that the guides are written in (CommonMark 0.31 with GitHub's tables), which is the part of it that they use: headings,
/// paragraphs, lists, tables, fenced code; code, links, pictures, bold and slanted text within a line. Nothing of a text becomes HTML of its own.
struct Markdown {
    struct Heading: View {
        let level: Int
        let text: String
        let anchor: String
    }

    /// Where an address in the text leads; nil: nowhere, so that the words stand without a link.
    let resolve: (String) -> String?
    private(set) var headings: [Heading] = []
    private var code = 0

    init(resolve: @escaping (String) -> String?) { self.resolve = resolve }

    mutating func html(_ text: String) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }[...]
        return blocks(&lines)
    }

    // MARK: Blocks

    private mutating func blocks(_ lines: inout ArraySlice<String>) -> String {
        var out = ""
        while let line = lines.first {
            if line.isBlank {
                lines.removeFirst()
            } else if line.hasPrefix("```") {
                out += fence(&lines)
            } else if let level = Self.headingLevel(line) {
                lines.removeFirst()
                out += heading(String(line.dropFirst(level + 1)), level)
            } else if line.hasPrefix("|"), lines.dropFirst().first?.hasPrefix("|-") == true {
                out += table(&lines)
            } else if Self.marker(line) != nil {
                out += list(&lines)
            } else {
                out += paragraph(&lines)
            }
        }
        return out
    }

    private static func headingLevel(_ line: String) -> Int? {
        let level = line.prefix { $0 == "#" }.count
        return (1...4).contains(level) && line.dropFirst(level).hasPrefix(" ") ? level : nil
    }

    /// What a list's item begins with: `- ` or `12. `.
    private static func marker(_ line: String) -> (width: Int, isNumbered: Bool)? {
        if line.hasPrefix("- ") { return (2, false) }
        let digits = line.prefix { $0.isASCII && $0.isNumber }.count
        return (1...3).contains(digits) && line.dropFirst(digits).hasPrefix(". ") ? (digits + 2, true) : nil
    }

    private static func beginsBlock(_ line: String) -> Bool {
        line.isBlank || line.hasPrefix("```") || line.hasPrefix("|") || headingLevel(line) != nil || marker(line) != nil
    }

    private mutating func heading(_ text: String, _ level: Int) -> String {
        let plain = Self.plain(text)
        let slug = Self.slug(plain)
        let again = headings.count { $0.anchor == slug || $0.anchor.hasPrefix(slug + "-") && $0.text == plain }
        let anchor = again == 0 ? slug : "\(slug)-\(again)"
        headings.append(Heading(level: level, text: plain, anchor: anchor))
        return
            "<h\(level) id=\"\(anchor)\">\(inline(text))\(level == 1 ? "" : " <a class=\"anchor\" href=\"#\(anchor)\" aria-label=\"Link to this part\">#</a>")</h\(level)>\n"
    }

    /// As GitHub makes them, so that links of the files hold here as well.
    static func slug(_ text: String) -> String {
        String(text.lowercased().compactMap { $0 == " " ? "-" : $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" ? $0 : nil })
    }

    private mutating func fence(_ lines: inout ArraySlice<String>) -> String {
        lines.removeFirst()
        var held: [String] = []
        while let line = lines.popFirst(), !line.hasPrefix("```") { held.append(line) }
        code += 1
        return """
            <div class="code"><button type="button" data-copy="code-\(code)" hidden>Copy</button><pre tabindex="0" role="group" aria-label="Code"><code id="code-\(code)">\(held.joined(separator: "\n").escapedForHTML)
            </code></pre></div>

            """
    }

    private mutating func table(_ lines: inout ArraySlice<String>) -> String {
        var rows: [[String]] = []
        while let line = lines.first, line.hasPrefix("|") {
            rows.append(Self.cells(line))
            lines.removeFirst()
        }
        let titles = rows[0]
        let hasTitles = titles.contains { !$0.isEmpty }
        var out = "<div class=\"sheet\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table class=\"text\">"
        if hasTitles {
            out +=
                "<thead><tr>" + titles.map { $0.isEmpty ? "<td></td>" : "<th scope=\"col\">\(inline($0))</th>" }.joined() + "</tr></thead>"
        }
        out += "<tbody>"
        for row in rows.dropFirst(2) {
            // A row with fewer cells than the head has empty ones, and what is beyond is left out.
            out += "<tr>" + titles.indices.map { "<td>\($0 < row.count ? inline(row[$0]) : "")</td>" }.joined() + "</tr>"
        }
        return out + "</tbody></table></div>\n"
    }

    private static func cells(_ line: String) -> [String] {
        var cells = [""]
        var isEscaped = false
        for character in line.trimmed.dropFirst() {
            if isEscaped {
                cells[cells.count - 1] += character == "|" ? "|" : "\\\(character)"
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "|" {
                cells.append("")
            } else {
                cells[cells.count - 1].append(character)
            }
        }
        return cells.dropLast().map(\.trimmed)
    }

    private mutating func list(_ lines: inout ArraySlice<String>) -> String {
        guard let first = lines.first.flatMap(Self.marker) else { return "" }
        var out = first.isNumbered ? "<ol>" : "<ul>"
        while let line = lines.first, let marker = Self.marker(line), marker.isNumbered == first.isNumbered {
            lines.removeFirst()
            var item = [String(line.dropFirst(marker.width))]
            while let next = lines.first {
                let indent = next.prefix { $0 == " " }.count
                if next.isBlank {
                    // Goes on only with what is indented as it is.
                    guard let after = lines.dropFirst().first, after.prefix(while: { $0 == " " }).count >= marker.width else { break }
                    item.append("")
                } else if indent >= marker.width {
                    item.append(String(next.dropFirst(marker.width)))
                } else if !Self.beginsBlock(next), item.last?.isBlank == false {
                    item.append(next)
                } else {
                    break
                }
                lines.removeFirst()
            }
            var inner = item[...]
            let html = blocks(&inner)
            // One paragraph stands without the space of one.
            let only = html.hasPrefix("<p>") && html.hasSuffix("</p>\n") && html.dropFirst(3).range(of: "<p>") == nil
            out += "<li>\(only ? String(html.dropFirst(3).dropLast(5)) : html)</li>\n"
            while lines.first?.isBlank == true, lines.dropFirst().first.flatMap(Self.marker) != nil { lines.removeFirst() }
        }
        return out + (first.isNumbered ? "</ol>\n" : "</ul>\n")
    }

    private mutating func paragraph(_ lines: inout ArraySlice<String>) -> String {
        var held: [String] = []
        while let line = lines.first, held.isEmpty || !Self.beginsBlock(line) {
            held.append(line.trimmed)
            lines.removeFirst()
        }
        return "<p>\(inline(held.joined(separator: "\n")))</p>\n"
    }

    // MARK: Within a line

    /// Without the marks.
    private static func plain(_ text: String) -> String {
        var out = ""
        var rest = text[...]
        while let character = rest.first {
            if let link = link(rest) {
                out += plain(String(link.words))
                rest = rest[link.end...]
            } else {
                if character != "`", character != "*" { out.append(character) }
                rest.removeFirst()
            }
        }
        return out
    }

    private func inline(_ text: some StringProtocol) -> String {
        var out = ""
        var rest = Substring(text)
        while let character = rest.first {
            if character == "`", let end = rest.dropFirst().firstIndex(of: "`") {
                out += "<code>\(rest[rest.index(after: rest.startIndex)..<end].escapedForHTML)</code>"
                rest = rest[rest.index(after: end)...]
            } else if rest.hasPrefix("!["), let picture = Self.link(rest.dropFirst()) {
                if let source = resolve(String(picture.target)) {
                    let (source, words) = (source.escapedForHTML, picture.words.escapedForHTML)
                    out += "<a href=\"\(source)\"><img src=\"\(source)\" alt=\"\(words)\" loading=\"lazy\"></a>"
                }
                rest = rest[picture.end...]
            } else if let link = Self.link(rest) {
                let words = inline(link.words)
                out += resolve(String(link.target)).map { "<a href=\"\($0.escapedForHTML)\">\(words)</a>" } ?? words
                rest = rest[link.end...]
            } else if rest.hasPrefix("**"), let end = Self.close(of: "**", rest.dropFirst(2)) {
                out += "<strong>\(inline(rest[rest.index(rest.startIndex, offsetBy: 2)..<end.lowerBound]))</strong>"
                rest = rest[end.upperBound...]
            } else if character == "*", rest.dropFirst().first?.isLetter == true, let end = Self.close(of: "*", rest.dropFirst()) {
                out += "<em>\(inline(rest[rest.index(after: rest.startIndex)..<end.lowerBound]))</em>"
                rest = rest[end.upperBound...]
            } else {
                out += String(character).escapedForHTML
                rest.removeFirst()
            }
        }
        return out
    }

    /// Where a mark stands for the first time after something else, and not within code.
    private static func close(of mark: String, _ text: Substring) -> Range<Substring.Index>? {
        var (rest, isCode) = (text, false)
        while let character = rest.first {
            if character == "`" { isCode.toggle() }
            if !isCode, rest.startIndex > text.startIndex, rest.hasPrefix(mark) {
                return rest.startIndex..<rest.index(rest.startIndex, offsetBy: mark.count)
            }
            rest.removeFirst()
        }
        return nil
    }

    /// `[words](target)` at the beginning.
    private static func link(_ text: Substring) -> (words: Substring, target: Substring, end: Substring.Index)? {
        guard text.hasPrefix("["), let middle = text.range(of: "]("), let close = text[middle.upperBound...].firstIndex(of: ")") else {
            return nil
        }
        let words = text[text.index(after: text.startIndex)..<middle.lowerBound]
        let target = text[middle.upperBound..<close]
        guard !words.contains("["), !target.contains(where: \.isWhitespace) else { return nil }
        return (words, target, text.index(after: close))
    }
}

extension String {
    fileprivate var isBlank: Bool { allSatisfy(\.isWhitespace) }
}

extension StringProtocol {
    /// As text or an attribute's value of HTML or SVG.
    var escapedForHTML: String {
        var out = ""
        for character in unicodeScalars {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default: out.unicodeScalars.append(character)
            }
        }
        return out
    }

    /// The first place where `piece` stands.
    fileprivate func range(of piece: String) -> Range<Index>? {
        firstRange(of: piece)
    }
}
