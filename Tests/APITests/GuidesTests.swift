import Foundation
import Primitives
import Testing

@testable import Dashboard

@Suite("The guides, as the control plane shows them")
struct GuidesTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    @Test("all files of docs/ are in the program, as they are")
    func files() throws {
        let docs = Self.root.appendingPathComponent("docs")
        var paths = ["../README.md"]
        for folder in ["", "images/"] {
            let names = try FileManager.default.contentsOfDirectory(atPath: docs.appendingPathComponent(folder).path)
            paths += names.filter { $0.hasSuffix(".md") || $0.hasSuffix(".webp") }.map { folder + $0 }
        }
        let files = Guides.files
        #expect(Set(files.keys) == Set(paths), "ControlPlane/Guides/guides.c names them")
        for path in paths {
            #expect(try Data(contentsOf: docs.appendingPathComponent(path)) == Data(files[path] ?? []), "\(path) is another one")
        }
    }

    @Test("every link leads to a page and a heading that there is, every picture is there, and no mark is left in the text")
    func links() throws {
        let guides = Guides.all
        #expect(guides.pages.count > 15)
        /// What only the repository has.
        let elsewhere: Set = ["ARCHITECTURE.md", "RESULTS.md"]
        for guide in guides.pages.values {
            for match in guide.html.matches(of: /(?:href|src)="([^"]*)"/) {
                let target = String(match.1).split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                if target[0].hasPrefix("https://") { continue }
                if target[0].hasPrefix("/docs/images/") {
                    #expect(guides.pictures[String(target[0].dropFirst(6))] != nil, "\(guide.path): \(match.1)")
                    continue
                }
                let page = target[0].isEmpty ? guide : guides.pages[target[0]]
                #expect(page != nil, "\(guide.path): \(match.1)")
                if target.count > 1 { #expect(page?.headings.contains { $0.anchor == target[1] } == true, "\(guide.path): \(match.1)") }
            }
            #expect(Set(guide.headings.map(\.anchor)).count == guide.headings.count, "\(guide.path)")
            let text = guide.html.replacing(/<code[^>]*>[^<]*<\/code>/, with: "").replacing(/<[^>]*>/, with: "")
            for mark in ["](", "**", "`", "\n|", "\n- ", "\n#"] { #expect(!text.contains(mark), "\(guide.path): \(mark)") }
            // A link that leads nowhere here is meant to.
            let file = try String(contentsOf: Self.root.appendingPathComponent("docs").appendingPathComponent(guide.path), encoding: .utf8)
            for match in file.matches(of: /\]\(([^)#]+)[^)]*\)/) where !match.1.hasPrefix("https://") && !match.1.hasSuffix(".webp") {
                let name = match.1.split(separator: "/").last.map(String.init) ?? ""
                let href = name == "README.md" ? "/docs/weir" : "/docs/" + name.dropLast(3)
                #expect(guides.pages[href] != nil || elsewhere.contains(name), "\(guide.path): \(match.1)")
            }
        }
    }

    @Test("Markdown becomes HTML, and nothing in it becomes HTML of its own")
    func markdown() {
        var markdown = Markdown { $0.hasPrefix("x") ? nil : "/at/" + $0 }
        let html = markdown.html(
            """
            # A `b` & <i>c</i>

            One *two* **three `**`** 2 * 3 * 4
            four [five](a.md#b "no") [`six`](b.md) [seven](x.md) <script>alert(1)</script>

            - one
              more
            - two

              ```sh
              a | b < "c"
              ```
            1. first
            2. second

            | a | |
            |---|---|
            | `x \\| y` | ![p](i.webp) |
            | one |
            ## Twice
            ## Twice
            """)
        for piece in [
            "<h1 id=\"a-b--ici\">A <code>b</code> &amp; &lt;i&gt;c&lt;/i&gt;</h1>",
            "<p>One <em>two</em> <strong>three <code>**</code></strong> 2 * 3 * 4\nfour [five](a.md#b &quot;no&quot;) "
                + "<a href=\"/at/b.md\"><code>six</code></a> seven &lt;script&gt;alert(1)&lt;/script&gt;</p>",
            "<ul><li>one\nmore</li>\n<li><p>two</p>", "<code id=\"code-1\">a | b &lt; &quot;c&quot;\n</code>",
            "<ol><li>first</li>\n<li>second</li>\n</ol>", "<th scope=\"col\">a</th><td></td>", "<tr><td>one</td><td></td></tr>",
            "<td><code>x | y</code></td><td><a href=\"/at/i.webp\"><img src=\"/at/i.webp\" alt=\"p\" loading=\"lazy\"></a></td>",
            "<h2 id=\"twice\">", "<h2 id=\"twice-1\">",
        ] {
            #expect(html.contains(piece), "\(piece)\n\(html)")
        }
        for broken in ["```", "|a|\n|-", "[", "![", "**", "*a", "`", "-", "- ", "1. ", "#", "# ", "| a\\", "[a](", "[a]("] {
            _ = markdown.html(broken)
        }
    }
}
