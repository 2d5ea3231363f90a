import Foundation
import Testing

/// The repository's own rules, read off its sources: who may import whom, what is not called, what is not left behind.
@Suite("The layout of the repository")
struct LayoutTests {
    /// Module → folder and the modules of ours that it may import. ARCHITECTURE.md shows the same table.
    static let modules: [String: (folder: String, mayImport: Set<String>)] = [
        "Primitives": ("Shared/Primitives", []),
        "Nouns": ("Shared/Nouns", ["Primitives"]),
        "Trust": ("Shared/Trust", ["Primitives"]),
        "Telemetry": ("Shared/Telemetry", ["Primitives"]),
        "ProcessSettings": ("Shared/ProcessSettings", ["Primitives"]),
        "Listening": ("Shared/Listening", ["Telemetry", "Primitives"]),
        "Contract": ("Shared/Contract", ["Primitives", "Trust"]),
        "Leases": ("Shared/Leases", ["Primitives"]),
        "Wire": ("DataPlane/Wire", ["Primitives"]),
        "Formats": ("DataPlane/Formats", ["Primitives"]),
        "Proxy": ("DataPlane/Proxy", ["Wire", "Formats", "Contract", "Leases", "Trust", "Listening", "Telemetry", "Primitives"]),
        "weir-proxy": ("DataPlane/Main", ["Proxy", "ProcessSettings", "Telemetry", "Primitives"]),
        "Storage": ("ControlPlane/Storage", ["CLibPQ", "Primitives"]),
        "Domain": ("ControlPlane/Domain", ["Storage", "Nouns", "Contract", "Leases", "Trust", "Telemetry", "Primitives"]),
        "API": ("ControlPlane/API", ["Domain", "Nouns", "Contract", "Listening", "Telemetry", "Primitives"]),
        "Dashboard": ("ControlPlane/Dashboard", ["API", "Domain", "Nouns", "Primitives"]),
        "Fleet": ("ControlPlane/Fleet", ["Domain", "Nouns", "Contract", "Leases", "Trust", "Listening", "Telemetry", "Primitives"]),
        "Outbound": ("ControlPlane/Outbound", ["Domain", "Contract", "Primitives"]),
        "SignOn": ("ControlPlane/SignOn", ["Domain", "Primitives"]),
        "weir-control": (
            "ControlPlane/Main",
            [
                "API", "Dashboard", "Fleet", "Outbound", "SignOn", "Domain", "Storage", "Nouns", "Contract", "ProcessSettings", "Trust",
                "Telemetry", "Primitives",
            ]
        ),
        "weir": ("ControlPlane/CLI", ["Nouns", "Trust", "Primitives"]),
        "Simulator": ("Simulator/Core", ["Wire", "Formats", "Primitives"]),
        "intake-bench": ("Bench/Intake", ["Domain", "Storage", "Contract", "Trust", "Primitives"]),
        "weir-simulator": ("Simulator/Main", ["Simulator", "Primitives"]),
        "TestSupport": ("Tests/Support", []),
    ]

    static let root: URL = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func sources(_ folder: String) -> [(path: String, text: String)] {
        let base = root.appendingPathComponent(folder)
        let files = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
        return files.filter { $0.pathExtension == "swift" }.sorted { $0.path < $1.path }.map { url in
            (String(url.path.dropFirst(root.path.count + 1)), (try? String(contentsOf: url, encoding: .utf8)) ?? "")
        }
    }

    static var all: [(path: String, text: String)] {
        ["Shared", "DataPlane", "ControlPlane", "Simulator"].flatMap { sources($0) }.filter { !$0.path.contains("/Generated/") }
    }

    /// The modules a file imports, whatever stands before `import`.
    static func imports(_ text: String) -> Set<String> {
        var found: Set<String> = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let index = words.firstIndex(of: "import"), index <= 3, words[..<index].allSatisfy({ isModifier($0) }),
                index + 1 < words.count
            else { continue }
            let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "let", "var", "typealias"]
            let name = kinds.contains(words[index + 1]) ? words.dropFirst(index + 2).first : words[index + 1]
            if let module = name?.split(separator: ".").first { found.insert(String(module)) }
        }
        return found
    }

    private static func isModifier(_ word: Substring) -> Bool {
        word.hasPrefix("@") || ["package", "internal", "private", "fileprivate", "public"].contains(word)
    }

    @Test(arguments: modules.keys.sorted())
    func importsOnlyWhatItsLayerMay(module: String) throws {
        let (folder, mayImport) = try #require(Self.modules[module])
        let ours = Set(Self.modules.keys)
        let sources = Self.sources(folder)
        #expect(!sources.isEmpty, "\(folder) has no sources")
        for (path, text) in sources {
            let forbidden = Self.imports(text).intersection(ours).subtracting(mayImport)
            #expect(forbidden.isEmpty, "\(path) imports \(forbidden.sorted().joined(separator: ", "))")
        }
    }

    @Test func knowsEveryTargetOfThePackage() throws {
        let manifest = try String(contentsOf: Self.root.appendingPathComponent("Package.swift"), encoding: .utf8)
        for match in manifest.matches(of: /(?:library|program)\(\s*"([A-Za-z-]+)",\s*"([^"]+)"/) {
            #expect(Self.modules[String(match.1)]?.folder == String(match.2), "\(match.1) is not in this test's table")
        }
    }

    @Test func pureModulesKnowNoNetwork() {
        for folder in ["DataPlane/Wire", "DataPlane/Formats", "Shared/Primitives"] {
            for (path, text) in Self.sources(folder) {
                #expect(!Self.imports(text).contains { $0.hasPrefix("NIO") || $0.hasPrefix("GRPC") }, "\(path)")
            }
        }
        for (path, text) in Self.sources("ControlPlane/Domain") {
            #expect(Self.imports(text).isDisjoint(with: ["Hummingbird", "HTTPTypes", "NIOHTTP1"]), "\(path) knows HTTP")
        }
    }

    /// What serves requests knows of sockets and TLS in one folder: another transport is another folder. The link to the control plane stands
    /// on gRPC's own.
    @Test func onlyTheTransportKnowsSockets() {
        for (path, text) in Self.sources("DataPlane/Proxy") where !path.contains("/Transport/") && !path.contains("/ControlLink/") {
            #expect(Self.imports(text).isDisjoint(with: ["NIOPosix", "NIOSSL", "NIOTLS"]), "\(path)")
        }
    }

    /// Whose rows a transaction may touch is said, outside of the storage itself: there is no everybody by default.
    @Test func everyReadAndWriteNamesItsTenants() {
        let unscoped = ["read {", "read(_", "report {", "transaction {", "transaction(isolation:", "transaction(_"].map { "database.\($0)" }
        for folder in ["Domain", "Fleet", "API", "Main", "Outbound"] {
            for (path, text) in Self.sources("ControlPlane/\(folder)") {
                for call in unscoped { #expect(!text.contains(call), "\(path): \(call) – say `as:`") }
            }
        }
    }

    /// Words without which no line of a source can match a banned pattern. Looking for them in the bytes of a whole file first spares the
    /// patterns most of the lines: regular expressions are slow in a debug build.
    private static let telling = ["try!", "as! ", "fatalError(", "precondition", "public ", "TODO", "FIXME", "XXX", "print("].map {
        Data($0.utf8)
    }

    private static func mayBreakRules(_ text: String) -> Bool {
        let bytes = Data(text.utf8)
        return telling.contains { bytes.range(of: $0) != nil }
    }

    /// What must not stand in a source, and what to write in its place.
    static var banned: [(pattern: Regex<Substring>, remedy: String)] {
        [
            (#/\btry!/#, "handle the error"),
            (#/\bas! /#, "use as? and handle nil"),
            (#/\bfatalError\(/#, "return or throw an error: a trap in a data plane is a denial of service for every tenant"),
            (#/\bpreconditionFailure\(/#, "return or throw an error"),
            (#/\bprecondition\(/#, "check and return or throw an error"),
            (#/\bpublic (?:struct|class|enum|func|let|var|init|protocol|final|actor|extension)\b/#, "write package"),
            (#/\bTODO\b|\bFIXME\b|\bXXX\b/#, "do it, or write it in an issue"),
            (#/\bprint\(/#, "log, or write to a stream that was handed in"),
        ]
    }

    @Test func callsNothingThatTrapsOrPrints() {
        for (path, text) in Self.all where Self.mayBreakRules(text) {
            for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
            where Self.mayBreakRules(String(line)) {
                let code = line.prefix { $0 != "/" } + (line.contains("//") ? "" : line.drop { $0 != "/" })
                for (pattern, remedy) in Self.banned where code.contains(pattern) {
                    if remedy.hasPrefix("log"), path.hasPrefix("ControlPlane/CLI") || path.contains("/Main/") { continue }
                    Issue.record("\(path):\(number + 1): \(line.trimmingCharacters(in: .whitespaces)) – \(remedy)")
                }
            }
        }
    }

    @Test func leavesNoStubAndNoHugeFile() {
        for (path, text) in Self.all + Self.sources("Tests") {
            #expect(!path.hasSuffix("/Stub.swift"), "\(path) was a placeholder")
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count
            #expect(lines <= 600, "\(path) has \(lines) lines: split it by noun")
        }
    }

    // MARK: What comments and documents name

    /// Every file of the repository that is checked in or might be, by its path; folders end in a slash.
    static let paths: Set<String> = {
        let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: [.isDirectoryKey])
        var found: Set<String> = []
        while let url = files?.nextObject() as? URL {
            let path = String(url.path.dropFirst(root.path.count + 1))
            if path.hasPrefix(".build") || path.hasPrefix(".git/") || path.hasPrefix(".weir") {
                files?.skipDescendants()
                continue
            }
            let isFolder = (try? url.resourceValues(forKeys: [.isDirectoryKey]).isDirectory) ?? false
            found.insert(isFolder ? path + "/" : path)
        }
        return found
    }()

    /// Whether a file or folder has this name, or ends in it: `Front/FrontHandler` is `DataPlane/Proxy/Front/FrontHandler.swift`.
    static func exists(_ name: String) -> Bool {
        let name = name.hasSuffix("/") ? String(name.dropLast()) : name
        return ["", ".swift", "/"].contains { ending in
            let wanted = name + ending
            return paths.contains(wanted) || paths.contains { $0.hasSuffix("/" + wanted) }
        }
    }

    /// What looks like the name of a file: it ends like one, is an extension's (`Type+Part`), or begins with a folder of ours. A `Noun` or
    /// digits to be filled in stand for any.
    static func fileNames(_ text: Substring, quoted: Bool) -> [String] {
        let folders = Set(paths.filter { $0.hasSuffix("/") }.compactMap { $0.split(separator: "/").last.map(String.init) })
        let candidates =
            quoted
            ? text.matches(of: /`([^`\s]+)`/).map { String($0.1) }
            : text.split { " |,;()".contains($0) || $0.isNewline }.map(String.init)
        return candidates.filter { name in
            guard name.wholeMatch(of: /[A-Za-z][\w+.-]*(\/[A-Za-z_][\w+.-]*)*\/?/) != nil, !name.contains("Noun"), !name.contains("NNNN"),
                !name.contains("<")
            else { return false }
            let first = String(name.split(separator: "/").first ?? "")
            let isPath = name.contains("/") && folders.contains(first)
            return isPath || quoted && (name.hasSuffix(".swift") || name.wholeMatch(of: /[A-Z]\w+\+[A-Z]\w+/) != nil)
        }
    }

    @Test func filesThatAreNamedExist() throws {
        for name in ["README.md", "ARCHITECTURE.md"] {
            let text = try String(contentsOf: Self.root.appendingPathComponent(name), encoding: .utf8)
            let cells = text.split(separator: "\n").filter { $0.hasPrefix("|") }.joined(separator: "\n")
            for file in Self.fileNames(text[...], quoted: true) + Self.fileNames(cells.replacing("`", with: "")[...], quoted: false) {
                #expect(Self.exists(file), "\(name) names \(file), which is not there")
            }
        }
        for (path, text) in Self.all + Self.sources("Tests") where !path.hasPrefix("Tests/LayoutTests") {
            for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                guard let comment = line.range(of: "//") else { continue }
                for file in Self.fileNames(line[comment.upperBound...], quoted: true) {
                    #expect(Self.exists(file), "\(path):\(number + 1) names \(file), which is not there")
                }
            }
        }
    }

    @Test func noticesAFileThatIsNotThere() {
        #expect(
            Self.fileNames("see `Front/Nowhere.swift` and `Exchange+Nowhere`, not `text/html`", quoted: true) == [
                "Front/Nowhere.swift", "Exchange+Nowhere",
            ])
        #expect(
            !Self.exists("Front/Nowhere") && !Self.exists("Exchange+Nowhere") && Self.exists("Front/FrontHandler")
                && Self.exists("Tests/LayoutTests"))
    }

    /// Tests of both planes over real sockets poll, with a deadline, for what crosses them; nothing else waits for time to pass.
    @Test func testsDoNotSleep() {
        for (path, text) in Self.sources("Tests") where !path.hasPrefix("Tests/LayoutTests") && !path.contains("/BothPlanes/") {
            #expect(
                !text.contains(/\bTask\.sleep\(|\busleep\(|\bThread\.sleep\(/), "\(path) sleeps: inject the clock, or wait for the event")
        }
    }
}
