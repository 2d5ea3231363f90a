import CGuides
import Primitives

/// README.md and the files of docs/, as they were when the program was built.
struct Guides: Sendable {
    struct Guide: Sendable {
        /// Its path below docs/: `money.md`.
        let path: String
        /// Of its page.
        let href: String
        /// Its first heading.
        let title: String
        let headings: [Markdown.Heading]
        let html: String
    }

    /// In the order in which they are read.
    private static let order: [(section: String, paths: [String])] = [
        ("Begin", ["../README.md", "first-day.md", "clients.md", "providers.md", "production.md", "not.md"]),
        ("Requests", ["dialects.md", "media.md", "routing.md", "workflows.md", "signing.md", "dids.md"]),
        ("Money", ["money.md", "limits.md", "invoices.md", "alerts.md"]),
        ("Operating", ["runbook.md", "console.md", "pages.md", "administrators.md", "audit.md"]),
    ]

    let sections: [(title: String, guides: [Guide])]
    /// By their addresses.
    let pages: [String: Guide]
    let pictures: [String: [UInt8]]

    static let all = Guides(Self.files)

    /// By path.
    static var files: [String: [UInt8]] {
        var count = 0
        let first = weir_guides(&count)
        return Dictionary(
            UnsafeBufferPointer(start: first, count: count).map { guide in
                (String(cString: guide.path), Array(UnsafeBufferPointer(start: guide.bytes, count: guide.count)))
            }
        ) { $1 }
    }

    init(_ files: [String: [UInt8]]) {
        let texts = files.filter { $0.key.hasSuffix(".md") }
        let named = Self.order.flatMap(\.paths)
        // What nobody has put in order stands at the end.
        let others = texts.keys.filter { !named.contains($0) }.sorted()
        let order = Self.order + (others.isEmpty ? [] : [("More", others)])
        sections = order.map { section, paths in
            (section, paths.compactMap { path in texts[path].map { Self.guide(path, String(decoding: $0, as: UTF8.self), among: files) } })
        }
        pages = Dictionary(sections.flatMap(\.guides).map { ($0.href, $0) }) { $1 }
        pictures = files.filter { $0.key.hasPrefix("images/") }
    }

    private static func guide(_ path: String, _ text: String, among files: [String: [UInt8]]) -> Guide {
        var markdown = Markdown { target in address(of: target, in: path, among: files) }
        let html = markdown.html(text)
        let title = markdown.headings.first?.text ?? path
        return Guide(path: path, href: href(path), title: title, headings: markdown.headings, html: html)
    }

    private static func href(_ path: String) -> String {
        if path == "../README.md" { return "/docs/weir" }
        return "/docs/" + (path.hasSuffix(".md") ? String(path.dropLast(3)) : path)
    }

    /// Where a link of a guide leads here; nil: to something that is only in the repository.
    private static func address(of target: String, in path: String, among files: [String: [UInt8]]) -> String? {
        if target.hasPrefix("https://") || target.hasPrefix("#") { return target }
        let parts = target.split(separator: "#", maxSplits: 1)
        guard let first = parts.first else { return nil }
        var file = path.hasPrefix("../") ? "../" + first : String(first)
        if file.hasPrefix("../docs/") { file = String(file.dropFirst(8)) }
        guard files[file] != nil else { return nil }
        return href(file) + (parts.count > 1 ? "#" + parts[1] : "")
    }

    /// What leads to the guides.
    func navigation(at path: String) -> [NavigationSection] {
        sections.map { section in
            NavigationSection(
                title: section.title,
                links: section.guides.map { guide in
                    NavigationLink(href: guide.href, text: Self.short(guide.title), isCurrent: guide.href == path)
                })
        }
    }

    /// A title, in a list: what stands before a colon.
    private static func short(_ title: String) -> String { String(title.prefix { $0 != ":" }) }
}
