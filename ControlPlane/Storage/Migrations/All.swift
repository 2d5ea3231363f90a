package enum Migrations {
    /// Every migration this binary knows, one line each, in order of number.
    package static let all: [Migration] = [
        .counters,
        .usage,
        .usageDaily,
        .admin,
        .configVersions,
        .rollouts,
        .fleet,
        .endpointReports,
        .idempotency,
        .usageIdentity,
        .auditOrder,
        .configProjections,
        .keyRights,
        .masterKeyIDs,
        .rowSecurity,
        .confinement,
        .work,
        .rollbacks,
        .growthIndexes,
        .usageOutcomes,
        .keyUses,
        .forcedRowSecurity,
        .identities,
        .identityIndexes,
    ]
}
