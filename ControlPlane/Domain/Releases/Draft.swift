package import Contract
import Nouns
package import Primitives
package import Storage
import SwiftProtobuf
import Trust

/// The draft: the rows of providers, endpoints, models, routes and prices as they are now.
package enum Draft {
    /// The draft as it would be published.
    package static func payload(_ c: any SQLConnection) throws -> Weir_V1_ConfigPayload {
        var config = Weir_V1_ConfigPayload()
        for noun in DraftNouns.all { try noun.fill(&config, c) }
        return config
    }

    /// Everything that keeps a configuration from being published: what both planes check, and what only the control plane knows.
    package static func problems(_ c: any SQLConnection, _ config: Weir_V1_ConfigPayload) throws -> [FieldProblem] {
        var problems = ConfigValidation.validate(config).map { FieldProblem($0.path, $0.message, remedy: $0.remedy) }
        let credentials = Dictionary(
            try CredentialContent.all(c).map { ($0.id.rawValue, $0.content.providerID.rawValue) }, uniquingKeysWith: { first, _ in first })
        for endpoint in config.endpoints {
            for (index, id) in endpoint.credentialIds.enumerated() {
                let path = "endpoints[\(endpoint.id)].credential_ids[\(index)]"
                guard let providerID = credentials[id] else {
                    problems.append(
                        FieldProblem(
                            path, "there is no credential \"\(id)\", or it was deleted",
                            remedy: "Create one, or take it out of the endpoint."))
                    continue
                }
                if providerID != endpoint.providerID {
                    problems.append(
                        FieldProblem(
                            path,
                            "the credential \"\(id)\" belongs to provider \"\(providerID)\", the endpoint to \"\(endpoint.providerID)\"",
                            remedy: "Use a credential of the endpoint's provider."))
                }
            }
        }
        let tenants = Set(try TenantContent.all(c).map(\.id.rawValue))
        for model in config.models {
            for (index, id) in model.tenantIds.enumerated() where !tenants.contains(id) {
                problems.append(
                    FieldProblem(
                        "models[\(model.id)].tenant_ids[\(index)]", "there is no tenant \"\(id)\", or it was deleted",
                        remedy: "Take it out of the model."))
            }
        }
        return problems + unauthenticated(config)
    }

    /// Endpoints in use whose provider wants a secret and that have none: every request to them would be refused.
    private static func unauthenticated(_ config: Weir_V1_ConfigPayload) -> [FieldProblem] {
        let schemes = Dictionary(config.providers.map { ($0.id, $0.authScheme) }, uniquingKeysWith: { first, _ in first })
        let used = Set(config.routes.filter { !$0.disabled }.flatMap { $0.targets.map(\.endpointID) })
        return config.endpoints.filter { endpoint in
            !endpoint.disabled && endpoint.credentialIds.isEmpty && used.contains(endpoint.id)
                && schemes[endpoint.providerID].map { $0 != .none } ?? false
        }.map { endpoint in
            FieldProblem(
                "endpoints[\(endpoint.id)].credential_ids", "the provider wants a credential and the endpoint has none",
                remedy: "Add one, disable the endpoint, or set the provider's auth.scheme to none.")
        }
    }
}

/// What is to be seen of the draft at one moment.
package struct DraftView: Sendable, Hashable {
    /// `{"providers": […], "endpoints": […], …}`
    package let content: JSONObject
    /// The version the edits started from: the last one published from the draft or reset to.
    package let baseVersion: Int64?
    package let latestVersion: Int64?
    /// Whether publishing would make something new.
    package let changed: Bool

    package var json: JSONValue {
        var object: JSONObject = [
            "base_version": baseVersion.map(JSONValue.int) ?? .null, "latest_version": latestVersion.map(JSONValue.int) ?? .null,
            "changed": .bool(changed),
        ]
        for member in content.members { object[member.name] = member.value }
        return .object(object)
    }
}

/// Looking at the draft as a whole. Its parts are edited by the services of the catalogue.
package struct Drafts: Sendable {
    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    package func view() async throws -> DraftView {
        try await domain.read { c in
            let config = try Draft.payload(c)
            let latest = try ConfigVersionsTable.latest(c)
            let bytes: [UInt8] = try config.serializedBytes()
            return DraftView(
                content: ConfigResources(config).members, baseVersion: try ConfigVersionsTable.draftBase(c),
                latestVersion: latest?.version,
                changed: latest?.digest != SHA256Digest.of(bytes))
        }
    }

    /// Everything that keeps the draft from being published; none when it can be.
    package func problems() async throws -> [FieldProblem] {
        try await domain.read { c in try Draft.problems(c, try Draft.payload(c)) }
    }

    /// Replaces the whole draft by a version's content. What the draft held and was not published is lost; the audit log says what
    /// differed.
    /// - Throws: `DomainError.invalid` when there is no such version.
    package func reset(to version: Int64, actor: Actor) async throws -> DraftView {
        let now = domain.clock.nowMilliseconds()
        try await domain.write { c in
            let revision = try ChangeCounter.draft.next(c)
            let before = try Draft.payload(c)
            let wanted = try ConfigVersions.existing(c, version, field: "version")
            let stamp = RowMeta(revision: revision, createdAt: now, updatedAt: now)
            for noun in DraftNouns.all { try noun.replaceAll(c, by: wanted, stamp) }
            try ConfigVersionsTable.setDraftBase(c, version)
            let difference = ConfigDiff(from: ConfigResources(before), to: ConfigResources(wanted)).json
            try AuditLog.record(
                c, actor, "config_draft.reset", id: "draft", before: nil, after: ["version": .int(version), "changes": difference], at: now)
        }
        return try await view()
    }
}
