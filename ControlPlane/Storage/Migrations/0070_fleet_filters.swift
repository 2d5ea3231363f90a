extension Migration {
    /// Rollouts and data planes are listed like every noun: by each field that a list can be narrowed to.
    static let fleetFilters = Migration(
        70, "fleet_filters",
        indexes: [
            OnlineIndex("rollouts_version", on: "rollouts", "version, created_at, id"),
            OnlineIndex("data_planes_name", on: "data_planes", "name, created_at, id"),
        ])
}
