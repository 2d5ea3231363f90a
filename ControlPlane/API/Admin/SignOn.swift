import Domain
import HTTPTypes
import Nouns
import Primitives

/// Signing people on and off: `/admin/login` → the identity provider → `/admin/callback` → `/admin`, which is the dashboard's.
package struct SignOnRoutes: RouteGroup {
    let signOn: SignOnService
    private let cookies: SessionCookie

    init(signOn: SignOnService) {
        self.signOn = signOn
        cookies = SessionCookie(signOn.policy)
    }

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/login", .signOn, RouteDocs("Begin to sign on: leads to the identity provider.")) { request in
            try request.query.allow(["tenant_id"])
            do {
                let (location, kept) = try await signOn.begin(tenantID: request.query["tenant_id"])
                return .redirect(to: location, [cookies.keeping(attempt: kept)])
            } catch let refusal as SignOnRefusal {
                return page(of: refusal)
            }
        }
        table.get("/admin/callback", .signOn, RouteDocs("Where the identity provider leads back to.")) { request in
            let query = request.query
            do {
                let (held, person) = try await signOn.finish(
                    kept: cookies.attempt(in: request.headers), state: query["state"], code: query["code"], error: query["error"],
                    from: request.remoteAddress, in: request.requestID)
                // A tenant's people come to its own pages.
                return .redirect(
                    to: person.content.tenantID == nil ? "/admin" : "/portal", [cookies.keeping(held), cookies.forgettingAttempt])
            } catch let refusal as SignOnRefusal {
                return page(of: refusal)
            }
        }
        table.post("/admin/logout", .signOn, RouteDocs("End the session of this browser."), upTo: 4096) { request in
            guard let held = cookies.session(in: request.headers) else { return .redirect(to: "/admin/sign-in") }
            let form = String(decoding: request.body, as: UTF8.self)
            let given = form.hasPrefix("csrf_token=") ? String(form.dropFirst("csrf_token=".count)) : nil
            try SameSite.check(request.headers, held, signOn.policy, given: given)
            try await signOn.sessions.close(held)
            return .redirect(to: "/admin/sign-in", [cookies.forgettingSession])
        }
    }

    private func page(of refusal: SignOnRefusal) -> APIResponse {
        let (status, words): (HTTPResponse.Status, String) =
            switch refusal.reason {
            case .off: (.notFound, "Nobody signs on here: no identity provider is set up. Use a token.")
            case .stale: (.badRequest, "This sign-on was not begun in this browser, or took too long.")
            case .denied: (.forbidden, "The identity provider did not sign you on.")
            case .provider: (.badGateway, "The identity provider does not answer as it should. The control plane's log says more.")
            case .nobody: (.forbidden, "You are known, and have no role here. Ask an owner of this deployment for one.")
            }
        signOn.log(refusal)
        var answer = SignOnPage.html("Not signed on", "<p>\(words)</p><p><a href=\"/admin/login\">Try again</a></p>", status: status)
        if refusal.reason != .off { answer.headers.append(HTTPField(name: .setCookie, value: cookies.forgettingAttempt)) }
        return answer
    }
}

/// The little that there is to see.
enum SignOnPage {
    static func html(_ title: String, _ body: String, status: HTTPResponse.Status = .ok) -> APIResponse {
        var answer = APIResponse.text(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>\(title)</title><h1>\(title)</h1>\(body)</html>\n",
            contentType: "text/html; charset=utf-8", status: status)
        for (name, value) in [
            ("content-security-policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
            ("referrer-policy", "no-referrer"),
        ] {
            if let name = HTTPField.Name(name) { answer.headers[name] = value }
        }
        return answer
    }
}
