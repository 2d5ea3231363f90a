package import API
package import Domain
import HTTPTypes
import Nouns
package import Primitives

/// The console: pages at `/admin`, readable without a script. What they show and do is the admin API's (`InternalAPI`).
package struct DashboardRoutes: RouteGroup {
    let api: InternalAPI
    private let docs: DocsPages
    private let budgets: BudgetStateService
    private let usage: UsageQueries
    private let audits: AuditLog
    let signOn: SignOnService
    let tokens: AdminTokenService
    let hasProvider: Bool
    let clock: any WallClock
    let cookies: SessionCookie
    let live = LivePages()

    /// - Parameters:
    ///   - table: The admin API's.
    ///   - hasProvider: Whether people sign on with an identity provider.
    package init(_ table: RouteTable, _ services: ControlServices, hasProvider: Bool, clock: any WallClock) {
        api = InternalAPI(table)
        docs = DocsPages(table, origin: services.signOn.policy.origin)
        signOn = services.signOn
        budgets = services.budgetStates
        usage = services.usage
        audits = services.audit
        tokens = services.adminTokens
        self.hasProvider = hasProvider
        self.clock = clock
        cookies = SessionCookie(services.signOn.policy)
    }

    package func addRoutes(to table: inout RouteTable) {
        addSigningOn(to: &table)
        for (path, type, text) in [
            (Assets.stylePath, "text/css; charset=utf-8", Assets.style),
            (Assets.scriptPath, "text/javascript; charset=utf-8", Assets.script),
        ] {
            table.get(path, .open) { _ in
                var answer = APIResponse.text(text, contentType: type)
                answer.headers[.cacheControl] = "public, max-age=31536000, immutable"
                return answer
            }
        }
        table.get("/admin/", .signOn) { _ in .redirect(to: "/admin") }
        page(.get, "/admin", to: &table, overview)
        addLive("/admin/live", to: &table, overviewPart)
        NounPages(self).addRoutes(to: &table)
        ReportPages(self).addRoutes(to: &table)
        PortalPages(dashboard: self, budgets: budgets, usage: usage, audits: audits).addRoutes(to: &table)
        docs.addRoutes(to: &table)
    }

    // MARK: Pages

    typealias Making = @Sendable (Visit) async throws -> APIResponse

    /// A page that needs somebody to be signed on.
    func page(
        _ method: HTTPRequest.Method, _ pattern: String, upTo bodyLimitBytes: Int = APIResponder.bodyLimitBytes, to table: inout RouteTable,
        _ make: @escaping Making
    ) {
        let handler: APIRoute.Handler = { request in try await answer(request, make) }
        if method == .post {
            // Whoever is not signed on is sent away before anything is read.
            table.post(
                pattern, .signOn, nil, upTo: bodyLimitBytes,
                beforeBody: { headers, path in
                    if let held = cookies.session(in: headers), try await signedOn(held) != nil { return nil }
                    return toSignIn(next: path, unsaved: true)
                }, handler)
        } else {
            table.get(pattern, .signOn, nil, handler)
        }
    }

    private func answer(_ request: APIRequest, _ make: Making) async throws -> APIResponse {
        guard let held = cookies.session(in: request.headers), let actor = try await signedOn(held) else {
            let query = FormBody.query(request.query.names.sorted().map { ($0, request.query[$0] ?? "") })
            return toSignIn(next: request.path + (query.isEmpty ? "" : "?" + query), unsaved: request.method == .post)
        }
        let visit = Visit(request: request, actor: actor.asking(from: request.remoteAddress, in: request.requestID), held: held)
        do {
            return try await make(visit)
        } catch {
            guard let refusal = error as? DomainError ?? DomainError(translating: error) else { throw error }
            return message(refusal, visit)
        }
    }

    /// A form's page is at the address that it is sent to. What it held is not kept for whoever signs on next.
    private func toSignIn(next: String, unsaved: Bool) -> APIResponse {
        .redirect(to: "/admin/sign-in?" + FormBody.query([("next", next), ("unsaved", unsaved ? "1" : "")]))
    }

    /// The events of a page that renews itself; 204 ends them (WHATWG HTML §9.2.3) for who is not signed on.
    func addLive(_ pattern: String, to table: inout RouteTable, _ make: @escaping LivePages.Making) {
        table.get(pattern, .signOn) { request in
            guard let held = cookies.session(in: request.headers), let actor = try await signedOn(held) else { return .noContent }
            let visit = Visit(request: request, actor: actor.asking(from: request.remoteAddress, in: request.requestID), held: held)
            return try live.answer(visit, page: request.path, look: { try await signOn.sessions.authenticate(held, isUse: false) }, make)
        }
    }

    /// Nil: the session has ended. That it cannot be looked up is another matter, and told as one.
    private func signedOn(_ held: AdminSessions.Held) async throws -> Actor? {
        do {
            return try await signOn.sessions.authenticate(held)
        } catch DomainError.unauthenticated {
            return nil
        }
    }

    func chrome(_ title: String, _ visit: Visit) -> Chrome {
        let (actor, path) = (visit.actor, visit.request.path)
        let isPortal = Self.isBelow(PortalPages.home, path)
        let isOfTenant = actor.tenantID != nil && visit.looked == nil
        let home = isPortal ? PortalPages.home(visit) : "/admin"
        return Chrome(
            title: title,
            sections: isPortal
                ? PortalPages.sections(for: actor, at: path, from: home, api) : Navigation.sections(for: actor, at: path, api),
            person: actor.name, role: (actor.tokenRole ?? actor.role).rawValue + (isOfTenant ? " of one tenant" : ""),
            csrf: visit.held.changeToken, home: home,
            looked: visit.looked.map { Act(text: $0.called, href: "/admin/tenants/\($0.at.rawValue)") })
    }

    func message(_ refusal: DomainError, _ visit: Visit) -> APIResponse {
        let problem = Problem(refusal)
        // The detail of what is not valid is its problems' first words.
        let lines =
            (problem.errors.isEmpty ? [problem.detail] : [])
            + problem.errors.map { "\(Rendering.label($0.field)) \($0.message). \($0.remedy)" }
        let chrome = chrome(problem.title, visit)
        // Of what was asked for only the parameters were wrong.
        let back = problem.status == .badRequest && visit.request.method == .get ? visit.request.path : chrome.home
        let page = MessagePage(chrome: chrome, kind: "bad", lines: lines, back: back)
        return Self.html("message", page, status: problem.status)
    }

    /// All of a list as CSV, page by page: however long it is, one page of it is held.
    /// - Throws: `DomainError.invalid` for an order of which the list has the latest only.
    func csv(
        _ path: String, _ asked: [String: String], columns: [String], named name: String, _ visit: Visit
    ) async throws -> APIResponse {
        let asked = asked.merging(["limit": String(PageRequest.maximumLimit)]) { $1 }
        var answer = try await APIResponse.streamed(contentType: UsageFormat.csv.contentType, after: nil) { after in
            let page = try await api.get(path, asked.merging(["cursor": after?.id ?? ""]) { $1 }, for: visit)
            if page["sorted_since"]?.stringValue != nil {
                throw DomainError.invalid(
                    "sort", "has the latest of these records only", remedy: "Leave it out, or ask for a shorter time: from, until.")
            }
            let lines = UsageFormat.csv.lines(page["items"]?.arrayValue ?? [], columns: columns, withTitles: after == nil)
            return (lines, page["next_cursor"]?.stringValue.map { Cursor(list: "export", time: 0, id: $0) })
        }
        answer.headers[.contentDisposition] = "attachment; filename=\"\(name).csv\""
        return answer
    }

    static func html(_ template: String, _ page: Any, status: HTTPResponse.Status = .ok) -> APIResponse {
        html(Templates.render(template, page), status: status)
    }

    static func html(_ page: String, status: HTTPResponse.Status = .ok) -> APIResponse {
        var answer = APIResponse.text(page, contentType: "text/html; charset=utf-8", status: status)
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            ), ("referrer-policy", "same-origin"), ("cross-origin-opener-policy", "same-origin"),
        ] {
            if let name = HTTPField.Name(name) { answer.headers[name] = value }
        }
        return answer
    }

    // MARK: Signing on with a token

    private func addSigningOn(to table: inout RouteTable) {
        table.get("/admin/sign-in", .signOn) { request in
            signInPage(
                next: request.query["next"],
                problem: request.query["unsaved"] == nil
                    ? nil : "Your session had ended when the form came: nothing was changed. Sign on, and fill it in again.")
        }
        table.post("/admin/sign-in", .signOn, upTo: 8192) { request in
            let form = FormBody.parse(request.body)
            try SameSite.checkSignIn(request.headers, signOn.policy)
            do {
                let held = try await tokens.signOn(form["token"]?.trimmed ?? "", signOn.sessions)
                return .redirect(to: Self.own(form["next"]), [cookies.keeping(held)])
            } catch let refusal as DomainError {
                return signInPage(next: form["next"], problem: Problem(refusal).detail, status: Problem(refusal).status)
            }
        }
    }

    private func signInPage(next: String?, problem: String? = nil, status: HTTPResponse.Status = .ok) -> APIResponse {
        let page = SignInPage(chrome: Chrome(title: "Sign on"), next: Self.own(next), provider: hasProvider, problem: problem)
        var answer = Self.html("sign-in", page, status: status)
        // A browser has no use for the challenge that a 401 would bring.
        if status == .unauthorized { answer.status = .forbidden }
        return answer
    }

    /// Whether an address is that of a page, or one below it.
    private static func isBelow(_ page: String, _ address: String) -> Bool {
        address == page || address.hasPrefix(page + "/") || address.hasPrefix(page + "?")
    }

    /// A page of ours, whatever somebody wrote into a link.
    private static func own(_ next: String?) -> String {
        guard let next, isBelow("/admin", next) || isBelow(PortalPages.home, next), !next.contains("\\"),
            !next.hasPrefix("/admin/api"),
            next.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return "/admin" }
        return next
    }
}
