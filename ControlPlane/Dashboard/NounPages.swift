import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// The pages of everything that is declared: list, look, make, change, delete, and what else can be done with one. All of them follow from the
/// noun's declaration and the API's routes.
struct NounPages: RouteGroup {
    let dashboard: DashboardRoutes
    var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    /// A noun as pages need it.
    struct Subject: Sendable {
        let words: NounWords
        let shapes: [FieldShape]
        let prefix: String
        var api: String { "/admin/api/\(words.path)" }
        var page: String { "/admin/\(words.path)" }
        /// As the API shows it.
        var shown: [FieldShape] {
            [FieldShape("id", .id(prefix), "Its identifier.")] + shapes.filter(\.isShown) + [
                FieldShape("created_at", .time, "When it was made.") { $0.use = .shown },
                FieldShape("updated_at", .time, "When it was changed last.") { $0.use = .shown },
            ]
        }
        /// In lists: the name first, then what the declaration gives a heading.
        var columns: [FieldShape] {
            let headed = shapes.filter { $0.heading != nil && $0.isShown }
            let first = headed.first { $0.name == "name" } ?? FieldShape("id", .text(maximum: 64), "Its identifier.")
            return [first] + headed.filter { $0.name != "name" } + [
                FieldShape("created_at", .time, "When it was made.") { $0.use = .shown }
            ]
        }

        init(_ noun: any Noun.Type) {
            words = noun.words
            shapes = noun.shapes
            prefix = noun.idPrefix
        }

        func title(of item: JSONValue) -> String {
            for name in ["name", "did", "email", "group", "oid", "app_id"] {
                if let text = item[name]?.stringValue, !text.isEmpty { return text }
            }
            return item["id"]?.stringValue ?? words.name
        }
    }

    static let subjects: [Subject] = DeclaredNouns.all.map { Subject($0) }

    /// Verbs of single ones that change nothing that a form of its own would not say.
    private static let verbs = ["rotate", "rotate-secret", "revoke", "promote", "abort", "resolve", "test", "toggle"]
    private static let dangerous: Set<String> = ["revoke", "abort"]

    func addRoutes(to table: inout RouteTable) {
        TestCallPage(dashboard).addRoutes(to: &table)
        RolloutPages(dashboard).addRoutes(to: &table)
        AddModelPage(dashboard).addRoutes(to: &table)
        PriceImportPage(dashboard).addRoutes(to: &table)
        for subject in Self.subjects where api.route(.get, subject.api) != nil {
            let page = subject.page
            dashboard.page(.get, page, to: &table) { try await list(subject, $0) }
            dashboard.page(.get, "\(page)/export.csv", to: &table) { try await export(subject, $0) }
            dashboard.page(.get, "\(page)/{id}", to: &table) { try await detail(subject, $0) }
            if api.route(.post, subject.api) != nil {
                dashboard.page(.get, "\(page)/new", to: &table) { try await creation(subject, $0) }
                dashboard.page(.post, "\(page)/new", to: &table) { try await create(subject, $0) }
            }
            if api.route(.patch, "\(subject.api)/x") != nil {
                dashboard.page(.get, "\(page)/{id}/edit", to: &table) { try await editing(subject, $0) }
                dashboard.page(.post, "\(page)/{id}/edit", to: &table) { try await edit(subject, $0) }
            }
            if api.route(.delete, "\(subject.api)/x") != nil {
                dashboard.page(.get, "\(page)/{id}/delete", to: &table) { try await asking(subject, "delete", $0) }
                dashboard.page(.post, "\(page)/{id}/delete", to: &table) { try await act(subject, "delete", $0) }
            }
            for verb in Self.verbs where api.route(.post, "\(subject.api)/x/\(verb)") != nil {
                dashboard.page(.get, "\(page)/{id}/\(verb)", to: &table) { try await asking(subject, verb, $0) }
                dashboard.page(.post, "\(page)/{id}/\(verb)", to: &table) { try await act(subject, verb, $0) }
            }
        }
    }

    // MARK: Lists

    private static let sorting = Sorting(columns: [("name", .name), ("created_at", .time)], standard: "-created_at")

    private func list(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        let filters = subject.shapes.filter(\.isFilter)
        try query.allow(Set(filters.map(\.name) + ["sort", "cursor", "limit"]))
        let sort = query["sort"] ?? Self.sorting.standard
        let narrowing = Narrowing(api: api)
        let asked = try await narrowing.asked(filters, query, visit) + [("sort", sort), ("limit", query["limit"] ?? "")]
        let answer = try await api.get(
            subject.api, Dictionary(asked + [("cursor", query["cursor"] ?? ""), ("limit", query["limit"] ?? "50")]) { $1 }, for: visit)
        let items = answer["items"]?.arrayValue ?? []
        let rendering = try await api.rendering(items.map { ($0, subject.columns) }, for: visit)
        var table = rendering.table(items, subject.columns) { item in item["id"]?.stringValue.map { "\(subject.page)/\($0)" } }
        Self.sorting.link(&table, subject.columns, sort: sort, others: asked.filter { !["sort", "limit"].contains($0.0) })
        let add = Act(text: "New \(subject.words.name)", href: "\(subject.page)/new", isMain: true)
        let mayAdd = api.allows(visit.actor, .post, subject.api)
        var page = ListPage(
            chrome: dashboard.chrome(Navigation.title(of: subject.words.path), visit), about: subject.words.about,
            filters: try await narrowing.fields(filters, asked, visit) + [Self.sorting.field(subject.columns, sort: sort)],
            plain: subject.page, table: table, emptyWords: "There is no \(subject.words.name) here.")
        if mayAdd { (page.acts, page.emptyAct) = ([add], add) }
        page.acts = lists(subject, visit) + page.acts
        if query["cursor"] != nil { page.first = subject.page + "?" + FormBody.query(asked) }
        if let next = answer["next_cursor"]?.stringValue { page.next = subject.page + "?" + FormBody.query(asked + [("cursor", next)]) }
        if !items.isEmpty {
            let href = "\(subject.page)/export.csv?" + FormBody.query(asked.filter { $0.0 != "limit" })
            page.exports = [Act(text: "Export as CSV", href: href)]
        }
        return DashboardRoutes.html("list", page)
    }

    /// What a noun's list leads to beside a new one.
    private func lists(_ subject: Subject, _ visit: Visit) -> [Act] {
        switch subject.words.path {
        case "models" where api.allows(visit.actor, .post, subject.api): [Act(text: "Add a model in one step", href: AddModelPage.page)]
        case "prices" where api.allows(visit.actor, .post, PriceImportPage.api):
            [Act(text: "Import a catalogue", href: PriceImportPage.page)]
        default: []
        }
    }

    private func export(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        let filters = subject.shapes.filter(\.isFilter)
        try visit.request.query.allow(Set(filters.map(\.name) + ["sort"]))
        var asked = Dictionary(try await Narrowing(api: api).asked(filters, visit.request.query, visit)) { $1 }
        asked["sort"] = visit.request.query["sort"]
        return try await dashboard.csv(subject.api, asked, columns: subject.shown.map(\.name), named: subject.words.path, visit)
    }

    // MARK: One of them

    private func detail(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let shapes = (api.route(.get, "\(subject.api)/\(id)")?.shapes).map { $0.isEmpty ? subject.shown : $0 } ?? subject.shown
        let item = try await api.get("\(subject.api)/\(id)", for: visit)
        let rendering = try await api.rendering([(item, shapes)], for: visit)
        var page = DetailPage(
            chrome: dashboard.chrome(subject.title(of: item), visit), listHref: subject.page,
            listText: Navigation.title(of: subject.words.path),
            facts: rendering.facts(
                item,
                shapes.filter { shape in
                    // Lists of objects are tables of their own.
                    if case .objects = shape.kind { item[shape.name]?.arrayValue?.isEmpty != false } else { true }
                }.map { shape in
                    // Its own id leads nowhere else.
                    shape.name == "id" ? FieldShape("id", .text(maximum: 64), shape.about) { $0.use = .shown } : shape
                }, hidesNothing: false))
        if api.allows(visit.actor, .patch, "\(subject.api)/\(id)") {
            page.acts.append(Act(text: "Edit", href: "\(subject.page)/\(id)/edit", isMain: true))
        }
        for verb in Self.verbs where api.allows(visit.actor, .post, "\(subject.api)/\(id)/\(verb)") {
            page.acts.append(
                Act(
                    text: Rendering.label(verb.replacing("-", with: "_")), href: "\(subject.page)/\(id)/\(verb)",
                    isDanger: Self.dangerous.contains(verb)))
        }
        if api.allows(visit.actor, .delete, "\(subject.api)/\(id)") {
            page.acts.append(Act(text: "Delete", href: "\(subject.page)/\(id)/delete", isDanger: true))
        }
        page.tables = NounDetails.tables(item, shapes, rendering)
        page.related = related(subject, id, visit)
        try await NounDetails(dashboard).add(to: &page, path: subject.words.path, id: id, item, visit)
        return DashboardRoutes.html("detail", page)
    }

    /// Lists that can be narrowed to what is this one's.
    private func related(_ subject: Subject, _ id: String, _ visit: Visit) -> [Act] {
        var acts = Self.subjects.filter { $0.words != subject.words && api.allows(visit.actor, .get, $0.api) }.compactMap { other -> Act? in
            guard let field = other.shapes.first(where: { $0.isFilter && $0.kind == .id(subject.prefix) }) else { return nil }
            return Act(text: Navigation.title(of: other.words.path), href: "\(other.page)?\(FormBody.query([(field.name, id)]))")
        }
        let records = api.route(.get, "/admin/api/usage/records")?.docs?.query ?? []
        if let field = records.first(where: { $0.kind == .id(subject.prefix) }), api.allows(visit.actor, .get, "/admin/api/usage/records") {
            acts.append(Act(text: "Requests", href: "/admin/requests?\(FormBody.query([(field.name, id)]))"))
            acts.append(Act(text: "Usage", href: "/admin/usage?\(FormBody.query([(field.name, id)]))"))
        }
        if api.allows(visit.actor, .get, "/admin/api/audit") {
            acts.append(Act(text: "History", href: "/admin/audit?\(FormBody.query([("resource_id", id)]))"))
        }
        return acts
    }

    // MARK: Making

    private func creation(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        // What a link from something else names is filled in.
        let given = JSONObject(
            members: subject.shapes.compactMap { shape in
                visit.request.query[shape.name].map { .init(name: shape.name, value: .string($0)) }
            })
        return try await form(subject, visit, value: .object(given), isNew: true)
    }

    private func create(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        let sent = try visit.form(dashboard.signOn.policy)
        let shapes = api.route(.post, subject.api)?.form ?? subject.shapes
        let object = JSONValue.object(Forms.object(shapes, sent, isNew: true))
        do {
            let made = try await api.call(.post, subject.api, object, for: visit).value
            return done(subject, made, api.route(.post, subject.api), visit)
        } catch let refusal as DomainError {
            return try await form(subject, visit, value: object, refusal: refusal, isNew: true)
        }
    }

    /// On to the thing itself; or, this once, its secret.
    private func done(_ subject: Subject, _ item: JSONValue, _ route: APIRoute?, _ visit: Visit) -> APIResponse {
        let href = "\(subject.page)/\(item["id"]?.stringValue ?? "")"
        guard let once = route?.shapes.first(where: { $0.about.hasSuffix("shown this once.") }), let secret = item[once.name]?.stringValue
        else {
            return .redirect(to: href)
        }
        let page = CreatedPage(
            chrome: dashboard.chrome(subject.title(of: item), visit), label: Rendering.label(once.name), secret: secret, href: href)
        return DashboardRoutes.html("created", page)
    }

    private func form(
        _ subject: Subject, _ visit: Visit, value: JSONValue, refusal: DomainError? = nil, isNew: Bool, id: String = "",
        revision: String? = nil,
        now: [Fact] = []
    ) async throws -> APIResponse {
        let shapes = (isNew ? api.route(.post, subject.api) : api.route(.patch, "\(subject.api)/\(id)"))?.form ?? subject.shapes
        let problem = refusal.map { Problem($0) }
        var forms = Forms(choices: try await Narrowing(api: api).choices(shapes, visit))
        for one in problem?.errors ?? [] {
            forms.problems[Self.path(one.field)] = "\(one.message.prefix(1).uppercased())\(one.message.dropFirst()). \(one.remedy)"
        }
        let fields = forms.fields(shapes, value, isNew: isNew)
        let shownProblems = Set(fields.flatMap(Self.names))
        let title = isNew ? "New \(subject.words.name)" : "Edit \(subject.title(of: value))"
        var page = FormPage(
            chrome: dashboard.chrome(title, visit), about: isNew ? subject.words.about : "",
            action: isNew ? "\(subject.page)/new" : "\(subject.page)/\(id)/edit", back: isNew ? subject.page : "\(subject.page)/\(id)",
            backText: isNew ? Navigation.title(of: subject.words.path) : subject.title(of: value), submit: isNew ? "Create" : "Save",
            fields: fields)
        page.revision = revision
        page.now = now
        if let problem {
            let elsewhere = problem.errors.filter { !shownProblems.contains(Self.path($0.field)) }
            page.problems =
                (problem.errors.isEmpty || !elsewhere.isEmpty ? [problem.detail] : ["Some of it does not fit: see below."])
                + elsewhere.map(\.remedy)
        }
        return DashboardRoutes.html("form", page, status: problem?.status ?? .ok)
    }

    /// `targets[0].endpoint_id` as a form names it.
    private static func path(_ field: String) -> String { field.replacing("[", with: ".").replacing("]", with: "") }
    private static func names(_ field: FormField) -> [String] { [field.name] + field.fields.flatMap(names) }

    // MARK: Changing

    private func editing(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let (item, revision) = try await api.call(.get, "\(subject.api)/\(id)", for: visit)
        return try await form(subject, visit, value: item, isNew: false, id: id, revision: revision)
    }

    private func edit(_ subject: Subject, _ visit: Visit) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let sent = try visit.form(dashboard.signOn.policy)
        let shapes = api.route(.patch, "\(subject.api)/\(id)")?.form ?? subject.shapes
        let object = JSONValue.object(Forms.object(shapes, sent, isNew: false))
        do {
            _ = try await api.call(.patch, "\(subject.api)/\(id)", object, revision: sent["revision"] ?? "", for: visit)
            return .redirect(to: "\(subject.page)/\(id)")
        } catch let refusal as DomainError {
            // Somebody else was faster: what was written here stays, beside what is there now.
            var (revision, now): (String?, [Fact]) = (sent["revision"], [])
            if case .preconditionFailed = refusal {
                let present = try await api.call(.get, "\(subject.api)/\(id)", for: visit)
                let rendering = try await api.rendering([(present.value, subject.shown)], for: visit)
                (revision, now) = (present.revision, rendering.facts(present.value, subject.shown))
            }
            return try await form(subject, visit, value: object, refusal: refusal, isNew: false, id: id, revision: revision, now: now)
        }
    }

    // MARK: Deleting, and verbs

    private func asking(_ subject: Subject, _ verb: String, _ visit: Visit, refusal: DomainError? = nil, sent: JSONValue = .null)
        async throws -> APIResponse
    {
        let id = visit.request.parameters["id"] ?? ""
        let (item, revision) = try await api.call(.get, "\(subject.api)/\(id)", for: visit)
        let route = verb == "delete" ? api.route(.delete, "\(subject.api)/\(id)") : api.route(.post, "\(subject.api)/\(id)/\(verb)")
        let word = Rendering.label(verb.replacing("-", with: "_"))
        var page = FormPage(
            chrome: dashboard.chrome("\(word) \(subject.title(of: item))?", visit),
            about: verb == "delete" ? "It is gone for everybody, and for good." : route?.docs?.summary ?? "",
            action: "\(subject.page)/\(id)/\(verb)",
            back: "\(subject.page)/\(id)", backText: subject.title(of: item), submit: word,
            isDanger: verb == "delete" || Self.dangerous.contains(verb),
            fields: Forms().fields(verb == "delete" ? [] : route?.form ?? [], sent, isNew: true))
        page.revision = revision
        if subject.words.path == "rollouts" { page.fragment = try await RolloutPages(dashboard).comparison(item, visit) }
        page.problems = refusal.map { refusal in [Problem(refusal).detail] + Problem(refusal).errors.map(\.remedy) } ?? []
        return DashboardRoutes.html("form", page, status: refusal.map { Problem($0).status } ?? .ok)
    }

    private func act(_ subject: Subject, _ verb: String, _ visit: Visit) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let sent = try visit.form(dashboard.signOn.policy)
        if verb == "delete" {
            do {
                _ = try await api.call(.delete, "\(subject.api)/\(id)", revision: sent["revision"] ?? "", for: visit)
                return .redirect(to: subject.page)
            } catch let refusal as DomainError {
                return try await asking(subject, verb, visit, refusal: refusal)
            }
        }
        let path = "\(subject.api)/\(id)/\(verb)"
        let object = JSONValue.object(Forms.object(api.route(.post, path)?.form ?? [], sent, isNew: true))
        do {
            let made = try await api.call(.post, path, object, revision: sent["revision"] ?? "", for: visit).value
            return done(subject, made, api.route(.post, path), visit)
        } catch let refusal as DomainError {
            return try await asking(subject, verb, visit, refusal: refusal, sent: object)
        }
    }
}
