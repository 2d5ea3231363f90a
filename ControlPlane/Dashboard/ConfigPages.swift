import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// The draft, the versions that were published of it, and the way from one to the other.
struct ConfigPages: RouteGroup {
    let dashboard: DashboardRoutes
    var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    private static let note = FieldShape("note", .text(maximum: 200), "What is new in it, for those who read the list of versions.") {
        $0.standard = ""
    }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, "/admin/config", to: &table, draft)
        dashboard.page(.get, "/admin/config/publish", to: &table) { try await publishing($0) }
        dashboard.page(.post, "/admin/config/publish", to: &table, publish)
    }

    private func draft(_ visit: Visit) async throws -> APIResponse {
        try visit.request.query.allow([])
        let changes = try await api.get("/admin/api/config/draft/changes", for: visit)
        let check = try await api.call(.post, "/admin/api/config/draft/validate", for: visit).value
        let versions = try await api.get("/admin/api/config/versions", ["limit": "20"], for: visit)
        let changed = (changes["items"] ?? changes["changes"])?.arrayValue ?? []
        let isValid = check["valid"]?.boolValue == true
        var page = DetailPage(
            chrome: dashboard.chrome("Configuration", visit), listHref: "/admin", listText: "Overview",
            facts: [
                Fact(
                    label: "Draft",
                    cells: [Cell(text: changed.isEmpty ? "as the newest version" : "\(changed.count) changes that no version has yet")]),
                Fact(label: "Can be published", cells: [Cell(text: isValid ? "yes" : "no", kind: isValid ? "good" : "bad")]),
            ])
        if !changed.isEmpty, isValid, api.allows(visit.actor, .post, "/admin/api/config/versions") {
            page.acts = [Act(text: "Publish", href: "/admin/config/publish", isMain: true)]
        }
        if versions["next_cursor"]?.stringValue != nil { page.related = [Act(text: "All versions", href: "/admin/config/versions")] }
        let problems = (check["problems"]?.arrayValue ?? []) + (check["warnings"]?.arrayValue ?? [])
        page.tables = [
            TitledTable(title: "To be mended, or known", table: Self.table(problems, ["path", "message", "remedy"])),
            TitledTable(title: "Changes of the draft", table: Self.table(changed, ["change", "action", "kind", "name", "author", "at"])),
            TitledTable(title: "Versions", table: Self.versions(versions["items"]?.arrayValue ?? [], visit, api)),
        ].filter { !$0.isEmpty }
        return DashboardRoutes.html("detail", page)
    }

    /// Those of `names` that there are, and what else fits into a cell.
    private static func table(_ items: [JSONValue], _ names: [String]) -> Table {
        let present = (items.first?.objectValue?.members ?? []).filter { member in
            switch member.value {
            case .object, .array: false
            default: true
            }
        }.map(\.name)
        let shapes = (names.filter(present.contains) + present.filter { !names.contains($0) }).map { name in
            FieldShape(name, name == "at" || name.hasSuffix("_at") ? .time : .anything, "")
        }
        return Rendering().table(items, shapes)
    }

    private static func versions(_ items: [JSONValue], _ visit: Visit, _ api: InternalAPI) -> Table {
        let shapes: [FieldShape] = [
            .told("version", .number, ""), .told("note", .text(maximum: 200), ""), .told("by", .text(maximum: 128), ""),
            .told("created_at", .time, ""), .told("restores", .number, "", nullable: true),
        ]
        var table = Rendering().table(
            items.map { item in
                var line = item.objectValue ?? JSONObject()
                line["by"] = item["author"]?["name"] ?? .null
                return .object(line)
            }, shapes)
        guard api.allows(visit.actor, .post, "/admin/api/rollouts") else { return table }
        table.columns.append(Column(text: "Next"))
        table.rows = zip(table.rows, items).map { row, item in
            Row(
                cells: row.cells + [
                    Cell(title: "Next", text: "Roll out", href: "/admin/rollouts/new?version=\(item["version"]?.intValue ?? 0)")
                ])
        }
        return table
    }

    private func publishing(_ visit: Visit, refusal: DomainError? = nil, note: String = "") async throws -> APIResponse {
        let revision = try await api.call(.get, "/admin/api/config/draft/changes", for: visit).revision
        var page = FormPage(
            chrome: dashboard.chrome("Publish the draft", visit),
            about: "It becomes a version that never changes, and serves nobody until it is rolled out.", action: "/admin/config/publish",
            back: "/admin/config", backText: "Configuration", submit: "Publish",
            fields: Forms().fields([Self.note], ["note": .string(note)], isNew: true))
        page.revision = revision
        page.problems =
            refusal.map { refusal in
                [Problem(refusal).detail] + Problem(refusal).errors.prefix(20).map { "\($0.field) \($0.message). \($0.remedy)" }
            } ?? []
        return DashboardRoutes.html("form", page, status: refusal.map { Problem($0).status } ?? .ok)
    }

    private func publish(_ visit: Visit) async throws -> APIResponse {
        let sent = try visit.form(dashboard.signOn.policy)
        do {
            let made = try await api.call(
                .post, "/admin/api/config/versions", ["note": .string(sent["note"] ?? "")], revision: sent["revision"] ?? "", for: visit
            ).value
            return .redirect(
                to: "/admin/rollouts/new?" + FormBody.query([("version", String(made["version"]?.intValue ?? 0))]))
        } catch let refusal as DomainError {
            return try await publishing(visit, refusal: refusal, note: sent["note"] ?? "")
        }
    }
}
