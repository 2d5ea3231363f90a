package import Domain

/// The fleet's background work, which one replica does for all. Each piece takes no input, looks at the database and sets right what time
/// has made wrong; doing it twice does no harm.
package enum FleetReconcilers {
    package static func jobs(_ services: FleetServices, replicas: ReplicaService) -> [LeasedWork.Job] {
        [
            LeasedWork.Job("retire_signing_keys", every: .seconds(15)) { try await services.keys.retireExpired() },
            LeasedWork.Job("forget_silent_data_planes", every: .seconds(10)) {
                try await services.dataPlanes.forgetSilent()
                try await replicas.forgetExpired()
            },
            LeasedWork.Job("roll_budget_periods", every: .seconds(15)) { try await BudgetPeriodService(services.context.domain).roll() },
            LeasedWork.Job("upstream_keys", every: .seconds(15)) { try await services.upstreamKeys.reconcile() },
            LeasedWork.Job("purge_slices", every: .seconds(600)) { try await services.leases.purge() },
            LeasedWork.Job("purge_nonces", every: .seconds(15)) { try await services.sessions.purgeNonces() },
        ]
    }
}
