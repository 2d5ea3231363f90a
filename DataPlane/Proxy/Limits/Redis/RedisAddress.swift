import Foundation

/// Where Redis is, as `redis://[user[:password]@]host[:port][/database]` says it; `rediss://` for TLS, judged by the system's trust roots.
/// Printed without what must not be read.
package struct RedisAddress: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    package let host: String
    package let port: Int
    package let isTLS: Bool
    package let user: String?
    package let password: String?
    package let database: Int

    package static let defaultPort = 6379

    package struct Problem: Error, CustomStringConvertible {
        /// Without the address itself: a password may be in it.
        package let description: String
    }

    /// - Throws: `Problem`, in words for the operator.
    package init(_ text: String) throws(Problem) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(), scheme == "redis" || scheme == "rediss"
        else {
            throw Problem(description: "is no address of the form redis://user:password@host:port/database (rediss:// for TLS)")
        }
        guard var host = parts.host, !host.isEmpty else { throw Problem(description: "names no host") }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard parts.query == nil, parts.fragment == nil else {
            throw Problem(description: "has a query or a fragment, and there is none to understand: percent-encode ? and # in a password")
        }
        let path = parts.path.drop { $0 == "/" }
        guard let database = path.isEmpty ? 0 : Int(path), (0...65_535).contains(database) else {
            throw Problem(description: "has a database that is no number")
        }
        let port = parts.port ?? Self.defaultPort
        guard (1...65_535).contains(port) else { throw Problem(description: "has a port that is none") }
        let password = parts.password.flatMap { $0.isEmpty ? nil : $0 }
        if password == nil, parts.user?.isEmpty == false {
            throw Problem(description: "has a user and no password; a password alone is written as redis://:password@host")
        }
        self.host = host
        self.port = port
        self.database = database
        self.password = password
        isTLS = scheme == "rediss"
        user = parts.user.flatMap { $0.isEmpty ? nil : $0 }
    }

    package var description: String { "\(isTLS ? "rediss" : "redis")://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
