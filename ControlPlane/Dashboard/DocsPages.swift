import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// `/docs`: the API as it describes itself, for people. The same declarations make the OpenAPI documents.
struct DocsPages: RouteGroup {
    private let page: String

    init(_ api: RouteTable) {
        let routes = api.routes.compactMap { route in route.docs.map { Self.view(route, $0) } }
        var groups: [DocsGroup] = []
        for route in routes {
            let title = Self.group(of: route.path)
            if groups.last?.title == title {
                groups[groups.count - 1].routes.append(route)
            } else {
                groups.append(DocsGroup(title: title, routes: [route]))
            }
        }
        page = Templates.render("docs", DocsPage(chrome: Chrome(title: "API"), groups: groups))
    }

    func addRoutes(to table: inout RouteTable) {
        table.get("/docs/", .open) { _ in .redirect(to: "/docs") }
        table.get("/docs", .open) { [page] _ in DashboardRoutes.html(page) }
    }

    /// What stands after the API's root.
    private static func group(of path: String) -> String {
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count > 2 else { return parts.first ?? "" }
        return (parts[0] == "admin" ? "" : parts[0] + ": ") + parts[2]
    }

    private static func view(_ route: APIRoute, _ docs: RouteDocs) -> DocsRoute {
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
        var curl = "curl"
        if route.method != .get { curl += " -X \(route.method.rawValue)" }
        switch route.access {
        case .admin: curl += " -H \"Authorization: Bearer $WEIR_TOKEN\""
        case .virtualKey: curl += " -H \"Authorization: Bearer $WEIR_KEY\""
        case .open, .signOn: break
        }
        if docs.ifMatch == .required { curl += " -H 'If-Match: \"1\"'" }
        let required = form.filter(\.isRequired)
        if !form.isEmpty {
            let members = required.map { "\"\($0.name)\": …" }.joined(separator: ", ")
            curl += " -H 'Content-Type: application/json' -d '{\(members.isEmpty ? "…" : members)}'"
        }
        curl += " \"$WEIR_URL\(route.pattern)\""
        return DocsRoute(
            method: route.method.rawValue, path: route.pattern, summary: docs.summary, who: who, curl: curl,
            query: docs.query.map { field($0, isRequired: $0.isRequired) },
            body: form.map { field($0, isRequired: $0.isRequired && !isChange) })
    }

    private static func field(_ shape: FieldShape, isRequired: Bool) -> DocsField {
        DocsField(
            name: shape.name + (isRequired ? "" : "?"), kind: shape.kind.words + (shape.unit.map { " (\($0))" } ?? ""),
            about: shape.about + (shape.standard.map { $0 == .null ? "" : " Left out: \($0.stringValue ?? $0.text)." } ?? ""))
    }
}

struct DocsField: View {
    let name: String
    let kind: String
    let about: String
}

struct DocsRoute: View {
    let method: String
    let path: String
    let summary: String
    let who: String
    let curl: String
    let query: [DocsField]
    let body: [DocsField]
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
}
