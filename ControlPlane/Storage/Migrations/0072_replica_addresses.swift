extension Migration {
    /// Where data planes reach each replica: `host:port`, several with commas between them. Empty: it has not said, as the release before.
    static let replicaAddresses = Migration(72, "replica_addresses") { _ in
        ["ALTER TABLE control_replicas ADD COLUMN addresses TEXT NOT NULL DEFAULT ''"]
    }
}
