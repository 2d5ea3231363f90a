import CLibPQ

/// A connection URI taken apart by libpq. Holds the password; its description does not.
struct PostgresAddress: Sendable, CustomStringConvertible {
    /// libpq's parameters that the URI sets, by keyword.
    let parameters: [String: String]

    /// - Throws: `DatabaseError.invalidAddress`. libpq's own text is not repeated: it may quote a part of a password that was not
    ///   percent-encoded.
    init(uri: String) throws {
        guard !uri.utf8.contains(0), !Self.hasStrayAt(uri) else { throw Self.malformed }
        guard let options = PQconninfoParse(uri, nil) else { throw Self.malformed }
        defer { PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        self.parameters = parameters
    }

    /// Who, where and what, without secrets.
    var description: String {
        let user = parameters["user"].map { $0 + "@" } ?? ""
        let port = parameters["port"].map { ":" + $0 } ?? ""
        return "postgresql://\(user)\(parameters["host"] ?? "")\(port)/\(parameters["dbname"] ?? "")"
    }

    /// What is passed to libpq: the URI's parameters over our defaults.
    func connectionParameters(options: DatabaseOptions) -> [(keyword: String, value: String)] {
        var all = [
            "application_name": "weir-control",
            "connect_timeout": String(max(1, options.connectTimeoutSeconds)),
            // A server that vanished without a word is noticed within about 20 s, also in the middle of a statement.
            "keepalives_idle": "10", "keepalives_interval": "3", "keepalives_count": "3", "tcp_user_timeout": "20000",
        ]
        all.merge(parameters) { _, given in given }
        all["client_encoding"] = "UTF8"
        return all.map { ($0.key, $0.value) }
    }

    /// An "@" or "/" inside a password that was not percent-encoded moves a part of it into what is taken for the host's name,
    /// which libpq then repeats in its errors.
    private static func hasStrayAt(_ uri: String) -> Bool {
        guard let scheme = uri.range(of: "://") else { return true }
        let beforeQuery = uri[scheme.upperBound...].prefix { $0 != "?" }
        let slash = beforeQuery.firstIndex(of: "/") ?? beforeQuery.endIndex
        return beforeQuery[..<slash].filter { $0 == "@" }.count > 1 || beforeQuery[slash...].contains("@")
    }

    private static let malformed = DatabaseError.invalidAddress(
        "write postgresql://user:password@host:port/database?parameter=value, with special characters of the user, the password and "
            + "the values percent-encoded")
}

extension StringProtocol {
    /// The first occurrence of `needle`, without Foundation.
    fileprivate func range(of needle: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(needle) { return start..<index(start, offsetBy: needle.count) }
            start = index(after: start)
        }
        return nil
    }
}
