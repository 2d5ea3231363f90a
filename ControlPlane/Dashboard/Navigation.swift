import Domain
import HTTPTypes
import Nouns

/// Where one can go: only where one is let in.
enum Navigation {
    private struct Place {
        let href: String
        let text: String
        /// What of the API it shows.
        let api: String
        /// Whether it is for those who may change that.
        var isChange = false
    }

    private static func noun(_ path: String, _ text: String) -> Place {
        Place(href: "/admin/\(path)", text: text, api: "/admin/api/\(path)")
    }

    private static let sections: [(title: String, places: [Place])] = [
        (
            "Now",
            [
                Place(href: "/admin", text: "Overview", api: "/admin/api/whoami"),
                Place(href: "/admin/usage", text: "Usage and cost", api: "/admin/api/usage"),
                Place(href: "/admin/requests", text: "Requests", api: "/admin/api/usage/records"),
                Place(href: "/admin/failures", text: "Failures", api: "/admin/api/usage"),
            ]
        ),
        (
            "Who",
            [
                noun("tenants", "Tenants"), noun("projects", "Projects"), noun("keys", "Keys"), noun("users", "Users"),
                noun("apps", "Apps"),
                noun("dids", "DIDs"), noun("signing-secrets", "Signing secrets"), noun("bans", "Bans"),
                noun("kill-switches", "Kill switches"), noun("revoked-grants", "Revoked grants"),
            ]
        ),
        (
            "Money",
            [
                Place(href: "/admin/billing", text: "Billing", api: "/admin/api/billing"),
                Place(href: "/admin/ledger", text: "Ledger", api: "/admin/api/billing/entries"), noun("budgets", "Budgets"),
                noun("limits", "Limits"), noun("prices", "Prices"),
            ]
        ),
        (
            "Routing",
            [
                noun("providers", "Providers"), noun("credentials", "Credentials"), noun("endpoints", "Endpoints"),
                noun("models", "Models"),
                Place(href: AddModelPage.page, text: "Add a model", api: "/admin/api/models", isChange: true),
                noun("routes", "Routes"), noun("workflows", "Workflows"),
                Place(href: "/admin/config", text: "Configuration", api: "/admin/api/config/draft/changes"),
                noun("rollouts", "Rollouts"), Place(href: "/admin/routing", text: "Routing", api: "/admin/api/fleet/arms"),
            ]
        ),
        (
            "Fleet",
            [
                noun("data-planes", "Data planes"), noun("enrollment-tokens", "Enrolment tokens"),
                Place(href: "/admin/endpoint-health", text: "Endpoint health", api: "/admin/api/fleet/endpoints"),
            ]
        ),
        (
            "Administration",
            [
                noun("people", "People"), noun("group-roles", "Group roles"), noun("tokens", "Tokens"),
                Place(href: "/admin/audit", text: "Audit", api: "/admin/api/audit"),
            ]
        ),
    ]

    static func sections(for actor: Actor, at path: String, _ api: InternalAPI) -> [NavigationSection] {
        sections.compactMap { section in
            let links = section.places.filter { api.allows(actor, $0.isChange ? .post : .get, $0.api) }.map { place in
                NavigationLink(
                    href: place.href, text: place.text,
                    isCurrent: path == place.href || place.href != "/admin" && path.hasPrefix(place.href + "/"))
            }
            return links.isEmpty ? nil : NavigationSection(title: section.title, links: links)
        }
            + (actor.tenantID == nil
                ? []
                : [NavigationSection(title: "Yours", links: [NavigationLink(href: PortalPages.home, text: "Your page", isCurrent: false)])])
    }

    /// What a list of things is called.
    static func title(of path: String) -> String {
        sections.lazy.flatMap(\.places).first { $0.href == "/admin/\(path)" }?.text ?? Rendering.label(path.replacing("-", with: "_"))
    }
}
