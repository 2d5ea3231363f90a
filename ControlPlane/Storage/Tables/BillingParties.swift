/// Who pays, deleted ones included.
package enum BillingPartiesTable {
    package struct User: Sendable, Hashable {
        package let oid: String
        package let email: String?
    }

    /// The owners of apps, by the app's id.
    package static func owners(_ c: any SQLConnection, ofApps ids: Set<String>) throws -> [String: String] {
        try Dictionary(
            rows(c, "SELECT id, owner_id FROM apps", ids).map { (try $0.text("id"), try $0.text("owner_id")) },
            uniquingKeysWith: { first, _ in first })
    }

    package static func users(_ c: any SQLConnection, _ ids: Set<String>) throws -> [String: User] {
        try Dictionary(
            rows(c, "SELECT id, oid, email FROM users", ids).map {
                (try $0.text("id"), User(oid: try $0.text("oid"), email: try $0.optionalText("email")))
            }, uniquingKeysWith: { first, _ in first })
    }

    private static func rows(_ c: any SQLConnection, _ select: String, _ ids: Set<String>) throws -> [SQLRow] {
        let wanted = ids.filter { !$0.isEmpty }.sorted()
        return try stride(from: 0, to: wanted.count, by: 500).flatMap { start in
            var conditions = Conditions()
            conditions.add(among: "id", wanted[start..<min(start + 500, wanted.count)])
            conditions.confine("tenant_id", to: c.scope)
            return try c.query("\(select) \(conditions.clause)", conditions.arguments)
        }
    }
}
