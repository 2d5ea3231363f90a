extension Migration {
    /// What routes that learn have learnt at each data plane. The release before writes reports without, and leaves this as it is.
    static let arms = Migration(243, "arms") { _ in
        ["ALTER TABLE data_plane_endpoints ADD COLUMN arms TEXT NOT NULL DEFAULT '[]'"]
    }
}
