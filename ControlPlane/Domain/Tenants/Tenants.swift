package import Contract
package import Nouns
package import Primitives
package import Storage

package typealias Tenant = Entity<TenantContent>

/// The operator's customers.
extension TenantContent: Administered {
    package static var scope: NounScope { .directory }
    package static var readPermission: Permission { .readTenants }
    package static var tenantColumn: String? { "id" }
    /// A customer who is missing in a file is not gone: that is said by name.
    package static var isPruned: Bool { false }
    /// Models of the draft and rollouts may name it.
    package static var deletionCounters: [ChangeCounter] { [.draft, .rollout] }

    package func problems(replacing old: TenantContent?, now: Int64) -> [FieldProblem] {
        var problems: [FieldProblem] = []
        for pattern in didPatterns where !pattern.hasPrefix("did:") || pattern.dropLast().contains("*") {
            problems.append(
                FieldProblem(
                    "did_patterns", "holds \"\(pattern.prefix(80))\", which is no DID or beginning of one",
                    remedy: "Give DIDs, or beginnings with one * at the end: did:key:z6Mk*."))
        }
        for host in didHosts where NewDIDPolicy.host(host) != host || host.contains("/") || host.contains("*") {
            problems.append(
                FieldProblem(
                    "did_hosts", "holds \"\(host.prefix(80))\", which is no host name",
                    remedy: "Give names in lower case, without a scheme or port: api.acme.example."))
        }
        if didPolicy == .allowList, didPatterns.isEmpty {
            problems.append(
                FieldProblem(
                    "did_patterns", "is empty, so that the allow list lets nobody in", remedy: "Name DIDs, or turn did_policy off."))
        }
        return problems
    }

    package func problems(id: TenantID, replacing old: TenantContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        if let didCredentialID, let credential = try CredentialContent.find(c, didCredentialID.rawValue),
            credential.content.purpose != .management
        {
            return [
                FieldProblem(
                    "did_credential_id", "is a credential for requests", remedy: "Name one that was made with the purpose management.")
            ]
        }
        return try hostProblems(id: id, replacing: old, beside: c)
    }

    /// A host leads to one tenant.
    private func hostProblems(id: TenantID, replacing old: TenantContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard !didHosts.isEmpty, didHosts != old?.didHosts else { return [] }
        let taken = try Self.table.list(c, condition: "did_hosts <> '[]'", limit: .max).map { try Tenant($0) }
            .first { $0.id != id && !Set($0.content.didHosts).isDisjoint(with: didHosts) }
        guard let taken else { return [] }
        return [
            FieldProblem(
                "did_hosts", "names a host that leads to the tenant \(taken.content.name)", remedy: "Name each host for one tenant.")
        ]
    }

    /// Nil: it takes none.
    package var newDIDs: NewDIDPolicy? {
        guard status == .active else { return nil }
        switch didPolicy {
        case .off: return nil
        case .on: return NewDIDPolicy(hosts: Set(didHosts), patterns: [])
        case .allowList: return didPatterns.isEmpty ? nil : NewDIDPolicy(hosts: Set(didHosts), patterns: didPatterns)
        }
    }

    /// Those that take DIDs that nobody knows.
    static func takingDIDs(_ c: any SQLConnection, _ scope: DirectoryScope) throws -> [(tenant: Tenant, policy: NewDIDPolicy)] {
        try table.list(c, condition: "did_policy <> 'off'", limit: .max).map { try Tenant($0) }.compactMap { tenant in
            guard scope.contains(tenant.id.rawValue) else { return nil }
            return tenant.content.newDIDs.map { (tenant, $0) }
        }
    }
}
