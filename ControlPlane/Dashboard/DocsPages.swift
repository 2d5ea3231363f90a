import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// `/docs`: the guides, and the API as it describes itself, for people. The same declarations make the OpenAPI documents.
struct DocsPages: RouteGroup {
    private let page: String
    private let guides: Guides

    /// - Parameter origin: Where people reach this control plane: what stands before a path.
    init(_ api: RouteTable, _ guides: Guides = .all, origin: String) {
        let curl = Curl(origin: origin, table: api)
        let routes = api.routes.compactMap { route in route.docs.map { (route, $0) } }.enumerated().map {
            Self.view($0.element.0, $0.element.1, curl, number: $0.offset)
        }
        var groups: [DocsGroup] = []
        for route in routes {
            let title = Self.group(of: route.path)
            if groups.last?.title == title {
                groups[groups.count - 1].routes.append(route)
            } else {
                groups.append(DocsGroup(title: title, routes: [route]))
            }
        }
        page = Templates.render(
            "docs",
            DocsPage(
                chrome: Chrome(title: "Documentation", sections: guides.navigation(at: "/docs"), home: "/docs"), groups: groups,
                origin: origin))
        self.guides = guides
    }

    func addRoutes(to table: inout RouteTable) {
        table.get("/docs/", .open) { _ in .redirect(to: "/docs") }
        table.get("/docs", .open) { [page] _ in DashboardRoutes.html(page) }
        table.get("/docs/{name}", .open) { [guides] request in
            guard let guide = guides.pages[request.path] else {
                let words = "<h1>There is no such guide</h1><p>The menu has all of them, and <a href=\"/docs\">the API</a>.</p>"
                return DashboardRoutes.html("guide", GuidePage("No such guide", words, among: guides), status: .notFound)
            }
            return DashboardRoutes.html("guide", GuidePage(guide.title, guide.html, guide.headings, at: guide.href, among: guides))
        }
        table.get("/docs/images/{name}", .open) { [pictures = guides.pictures] request in
            let name = request.parameters["name"] ?? ""
            guard let bytes = pictures["images/" + name] else { throw DomainError.notFound(kind: "picture", id: String(name.prefix(64))) }
            return APIResponse(
                status: .ok, headers: [.contentType: "image/webp", .cacheControl: "public, max-age=86400"], body: bytes)
        }
    }

    /// What stands after the API's root.
    private static func group(of path: String) -> String {
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count > 2 else { return parts.first ?? "" }
        return (parts[0] == "admin" ? "" : parts[0] + ": ") + parts[2]
    }

    private static func view(_ route: APIRoute, _ docs: RouteDocs, _ curl: Curl, number: Int) -> DocsRoute {
        let (form, isChange): ([FieldShape], Bool) =
            switch docs.body {
            case .none: ([], false)
            case .form(let shapes), .optionalForm(let shapes): (shapes.filter(\.isInput), false)
            case .change(let shapes): (shapes.filter { $0.use == .given }, true)
            }
        let who =
            switch route.access {
            case .admin(let permission):
                "Administrators: " + permission.roles(for: .all).map(\.rawValue).sorted().joined(separator: ", ")
                    + (permission.roles(for: .tenant("")).isEmpty
                        ? "."
                        : "; of one tenant: " + permission.roles(for: .tenant("")).map(\.rawValue).sorted().joined(separator: ", ") + ".")
            case .virtualKey: "Holders of a virtual key."
            case .open, .signOn: "Anyone."
            }
        return DocsRoute(
            method: route.method.rawValue, path: route.pattern, summary: docs.summary, who: who, curl: curl.text(route, docs),
            number: number,
            query: docs.query.map { field($0, isRequired: $0.isRequired) },
            body: form.map { field($0, isRequired: $0.isRequired && !isChange) }, answer: answer(docs),
            problems: route.problems.map { DocsField(name: String($0.status), kind: "", about: $0.words) })
    }

    private static func answer(_ docs: RouteDocs) -> DocsAnswer {
        let (words, shapes): (String, [FieldShape]) =
            switch docs.answer {
            case .nothing: ("nothing more", [])
            case .text: ("a text", [])
            case .anything: ("a JSON object", [])
            case .object(let shapes): ("a JSON object", shapes.filter(\.isShown))
            case .partial(let shapes): ("a JSON object, of which any member may be missing", shapes)
            case .list(let shapes):
                ("one page of a list: next_cursor, and as items", shapes.filter(\.isShown))
            }
        return DocsAnswer(status: String(docs.status), words: words, fields: shapes.map(told))
    }

    private static func told(_ shape: FieldShape) -> DocsField {
        DocsField(name: shape.name, kind: kind(shape) + (shape.isNullable ? ", or null" : ""), about: shape.about)
    }

    private static func kind(_ shape: FieldShape) -> String { shape.kind.words + (shape.unit.map { " (\($0))" } ?? "") }

    private static func field(_ shape: FieldShape, isRequired: Bool) -> DocsField {
        DocsField(
            name: shape.name + (isRequired ? "" : "?"), kind: kind(shape),
            about: shape.about + (shape.standard.map { $0 == .null ? "" : " Left out: \($0.stringValue ?? $0.text)." } ?? ""))
    }
}

struct DocsField: View {
    let name: String
    let kind: String
    let about: String
}

/// What a route answers when all is well.
struct DocsAnswer: View {
    let status: String
    let words: String
    let fields: [DocsField]
    var derived: [String: Any] { ["hasFields": !fields.isEmpty] }
}

struct DocsRoute: View {
    let method: String
    let path: String
    let summary: String
    let who: String
    let curl: String
    /// Among all routes.
    let number: Int
    let query: [DocsField]
    let body: [DocsField]
    let answer: DocsAnswer
    let problems: [DocsField]
    var derived: [String: Any] { ["hasQuery": !query.isEmpty, "hasBody": !body.isEmpty] }
}

struct DocsGroup: View {
    let title: String
    var routes: [DocsRoute]
    var derived: [String: Any] { ["id": title.map { $0.isLetter ? $0 : "-" }.reduce(into: "") { $0.append($1) }] }
}

struct DocsPage: View {
    let chrome: Chrome
    let groups: [DocsGroup]
    let origin: String
}

struct GuidePage: View {
    let chrome: Chrome
    let html: String
    let parts: [Markdown.Heading]
    var derived: [String: Any] { ["hasParts": parts.count > 2] }

    init(_ title: String, _ html: String, _ headings: [Markdown.Heading] = [], at path: String = "", among guides: Guides) {
        chrome = Chrome(title: title, sections: guides.navigation(at: path), home: "/docs")
        self.html = html
        parts = headings.filter { $0.level == 2 }
    }
}
