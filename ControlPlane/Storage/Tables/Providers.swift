/// Milliseconds; 0 is the data plane's own setting.
package struct TimeoutsColumns: Sendable, Hashable {
    package var connectMS: Int64
    package var firstByteMS: Int64
    package var idleMS: Int64
    package var totalMS: Int64

    package init(connectMS: Int64 = 0, firstByteMS: Int64 = 0, idleMS: Int64 = 0, totalMS: Int64 = 0) {
        self.connectMS = connectMS
        self.firstByteMS = firstByteMS
        self.idleMS = idleMS
        self.totalMS = totalMS
    }

    static let columns = ["connect_ms", "first_byte_ms", "idle_ms", "total_ms"]

    init(_ row: SQLRow) throws {
        self.init(
            connectMS: try row.int("connect_ms"), firstByteMS: try row.int("first_byte_ms"), idleMS: try row.int("idle_ms"),
            totalMS: try row.int("total_ms"))
    }

    var values: [SQLValue] { [.int(connectMS), .int(firstByteMS), .int(idleMS), .int(totalMS)] }
}

/// A company or server that answers requests, in the draft.
package struct ProviderRow: EntityRow {
    package static let table = "providers"
    package static let columns = ["name", "kind", "base_url", "auth_scheme", "auth_header", "ca_pem"] + TimeoutsColumns.columns

    package let id: String
    package var name: String
    package var kind: String
    package var baseURL: String
    /// `bearer`, `header`, `basic` or `none`.
    package var authScheme: String
    /// For `header`: its name; else empty.
    package var authHeader: String
    /// Extra trust roots; empty: none.
    package var caPEM: String
    package var timeouts: TimeoutsColumns
    package var meta: RowMeta

    package init(
        id: String, name: String, kind: String, baseURL: String, authScheme: String, authHeader: String, caPEM: String,
        timeouts: TimeoutsColumns, meta: RowMeta
    ) {
        self.id = id
        self.name = name
        self.kind = kind
        self.baseURL = baseURL
        self.authScheme = authScheme
        self.authHeader = authHeader
        self.caPEM = caPEM
        self.timeouts = timeouts
        self.meta = meta
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), name: try row.text("name"), kind: try row.text("kind"), baseURL: try row.text("base_url"),
            authScheme: try row.text("auth_scheme"), authHeader: try row.text("auth_header"), caPEM: try row.text("ca_pem"),
            timeouts: try TimeoutsColumns(row), meta: try RowMeta(row))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [.text(name), .text(kind), .text(baseURL), .text(authScheme), .text(authHeader), .text(caPEM)] + timeouts.values
    }
}

package enum ProvidersTable: EntityTable {
    package typealias Row = ProviderRow
}
