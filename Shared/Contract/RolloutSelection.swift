import Trust

/// Which configuration version serves whom, decided alike by every data plane and by the control plane's previews.
///
/// Stability matters more than randomness here: a key that was among the first 5 % has to be among the first 20 % too, on
/// every data plane and after every restart, so the choice hangs on nothing but the rollout's salt and the key's id.
package enum RolloutSelection {
    /// 100 % in the unit of `percentage_basis_points`.
    package static let allBasisPoints: UInt32 = 10_000

    /// The key's place in 0..<10000: the first eight bytes, big endian, of SHA-256(salt ‖ 0x00 ‖ key id), modulo 10000.
    package static func bucket(salt: String, keyID: String) -> UInt32 {
        var input = Array(salt.utf8)
        input.append(0)
        input.append(contentsOf: keyID.utf8)
        let head = SHA256Digest.of(input).prefix(8).reduce(UInt64(0)) { ($0 << 8) | UInt64($1) }
        return UInt32(truncatingIfNeeded: head % UInt64(allBasisPoints))
    }

    /// The configuration version for one key at one moment; 0 when there is none yet.
    package static func version(
        for keyID: String, tenant: String, region: String, dataPlane: String, payload: Weir_V1_RolloutPayload, nowMs: Int64
    ) -> UInt64 {
        let selector = RolloutSelector(payload: payload, region: region, dataPlane: dataPlane)
        return selector.version(candidate: selector.isCandidate(keyID: keyID, tenantID: tenant), nowMs: nowMs)
    }
}

/// A rollout document as one data plane sees it, with all that does not depend on the caller decided beforehand.
///
/// The hot path keeps `isCandidate` beside each key in its directory index (it cannot change while this document is in force)
/// and calls only `version(candidate:nowMs:)` per request, which is two comparisons.
package struct RolloutSelector: Sendable {
    package let baselineVersion: UInt64
    package let candidateVersion: UInt64
    package let effectiveAtMs: Int64

    /// Whether any key on this data plane can be given the candidate.
    package let concernsThisDataPlane: Bool

    private let tenants: Set<String>
    private let threshold: UInt32
    private let salt: String

    package init(payload: Weir_V1_RolloutPayload, region: String, dataPlane: String) {
        baselineVersion = payload.baselineVersion
        candidateVersion = payload.candidateVersion
        effectiveAtMs = payload.effectiveAtMs
        concernsThisDataPlane =
            payload.candidateVersion != 0
            && payload.percentageBasisPoints > 0
            && (payload.regions.isEmpty || payload.regions.contains(region))
            && (payload.dataPlaneIds.isEmpty || payload.dataPlaneIds.contains(dataPlane))
        tenants = Set(payload.tenantIds)
        threshold = payload.percentageBasisPoints
        salt = payload.salt
    }

    /// Whether the selectors give this key the candidate once it is in effect. Costs one SHA-256 unless the answer is the same
    /// for the whole tenant: evaluate once per key and document, not per request.
    package func isCandidate(keyID: String, tenantID: String) -> Bool {
        guard concernsThisDataPlane, tenants.isEmpty || tenants.contains(tenantID) else { return false }
        return threshold >= RolloutSelection.allBasisPoints || RolloutSelection.bucket(salt: salt, keyID: keyID) < threshold
    }

    /// The version in force now for a key of which `isCandidate` said `candidate`.
    package func version(candidate: Bool, nowMs: Int64) -> UInt64 {
        candidate && nowMs >= effectiveAtMs ? candidateVersion : baselineVersion
    }
}
