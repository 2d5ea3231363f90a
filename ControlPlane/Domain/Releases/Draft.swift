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

    /// The number of the draft's last change: the ETag of the draft as a whole.
    package static func revision(_ c: any SQLConnection) throws -> Int64 {
        try CountersTable.current(c, ChangeCounter.draft.rawValue)
    }

    /// Everything that keeps a configuration from being published: what both planes check, and what only the control plane knows.
    package static func problems(_ c: any SQLConnection, _ config: Weir_V1_ConfigPayload) throws -> [FieldProblem] {
        let tenants = Set(try TenantContent.all(c).map(\.id.rawValue))
        var unknown: [FieldProblem] = []
        for model in config.models {
            for (index, id) in model.tenantIds.enumerated() where !tenants.contains(id) {
                unknown.append(
                    FieldProblem(
                        "models[\(model.id)].tenant_ids[\(index)]", "there is no tenant \"\(id)\", or it was deleted",
                        remedy: "Take it out of the model."))
            }
        }
        return try faults(c, config) + unknown
    }

    /// What would make requests fail if this configuration, published some time ago, were in force now: above all credentials that were
    /// deleted since. A tenant that is gone sends none.
    package static func faults(_ c: any SQLConnection, _ config: Weir_V1_ConfigPayload) throws -> [FieldProblem] {
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
        return problems + unauthenticated(config) + inside(config)
    }

    /// Endpoints that may call public addresses alone and whose provider has another by now: every request to them would be refused.
    private static func inside(_ config: Weir_V1_ConfigPayload) -> [FieldProblem] {
        let providers = Dictionary(config.providers.map { ($0.id, ProviderContent($0)) }, uniquingKeysWith: { first, _ in first })
        return config.endpoints.filter { !$0.disabled }.compactMap { endpoint in
            providers[endpoint.providerID].flatMap { provider in
                PrivateAddressCheck.problem("endpoints[\(endpoint.id)].private_addresses", EndpointContent(endpoint), provider)
            }
        }
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
    /// Raised with each change: the ETag.
    package let revision: Int64
    /// `{"providers": […], "endpoints": […], …}`
    package let content: JSONObject
    /// The version the edits started from: the last one published from the draft or reset to.
    package let baseVersion: Int64?
    package let latestVersion: Int64?
    /// Whether publishing would make something new.
    package let changed: Bool
    /// Versions that were rolled back and of which the draft still holds something.
    package let rolledBack: [HeldRollback]

    package var json: JSONValue {
        var object: JSONObject = [
            "base_version": baseVersion.map(JSONValue.int) ?? .null, "latest_version": latestVersion.map(JSONValue.int) ?? .null,
            "changed": .bool(changed), "rolled_back": .array(rolledBack.map(\.json)),
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
        try await domain.read(as: .all) { c in
            let config = try Draft.payload(c)
            let latest = try ConfigVersionsTable.latest(c)
            let bytes: [UInt8] = try config.serializedBytes()
            let resources = ConfigResources(config)
            return DraftView(
                revision: try Draft.revision(c), content: resources.members, baseVersion: try ConfigVersionsTable.draftBase(c),
                latestVersion: latest?.version, changed: latest?.digest != SHA256Digest.of(bytes),
                rolledBack: try HeldRollback.all(c, in: resources))
        }
    }

    /// The number of the draft's last change.
    package func revision() async throws -> Int64 {
        try await domain.read(as: .all) { c in try Draft.revision(c) }
    }

    /// What publishing the draft now would change, and who did it.
    package func changes() async throws -> DraftChanges {
        try await domain.read(as: .all) { c in try DraftChanges(c, ConfigResources(Draft.payload(c))) }
    }

    /// Everything that keeps the draft from being published; none when it can be.
    package func problems() async throws -> [FieldProblem] {
        try await check().problems
    }

    /// What keeps the draft from being published, and what is allowed and most likely not meant.
    package func check() async throws -> (problems: [FieldProblem], warnings: [FieldProblem]) {
        try await domain.read(as: .all) { c in
            let config = try Draft.payload(c)
            return (try Draft.problems(c, config), ConfigWarnings.of(config))
        }
    }

    /// Replaces the whole draft by a version's content. What the draft held and was not published is lost; the audit log says what
    /// differed.
    /// - Parameter expecting: The revision of the draft that the caller saw; nil: whatever it is at.
    /// - Throws: `DomainError.invalid` when there is no such version, `preconditionFailed` when the draft has changed since.
    package func reset(to version: Int64, expecting: Int64? = nil, actor: Actor) async throws -> DraftView {
        let now = domain.clock.nowMilliseconds()
        try await domain.write(as: actor.scope) { c in
            let revision = try ChangeCounter.draft.next(c)
            if let expecting { try checkRevision(expecting, current: revision - 1) }
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
