import CLibPQ

/// SQLSTATEs (PostgreSQL documentation, appendix A) in our terms.
enum PostgresErrors {
    /// Field codes of PQresultErrorField (`postgres_ext.h`).
    private static let sqlstateField = Int32(UInt8(ascii: "C"))
    private static let messageField = Int32(UInt8(ascii: "M"))
    private static let constraintField = Int32(UInt8(ascii: "n"))
    private static let columnField = Int32(UInt8(ascii: "c"))

    static func sqlstate(_ result: OpaquePointer?) -> String? { field(result, sqlstateField) }

    /// Whether the transaction as a whole should be run again.
    static func isRetryable(_ sqlstate: String) -> Bool { sqlstate == "40001" || sqlstate == "40P01" }

    /// - Parameter connectionMessage: libpq's own text, for failures that have no answer of the server.
    static func map(_ result: OpaquePointer?, connectionLost: Bool, connectionMessage: String) -> DatabaseError {
        guard let state = sqlstate(result) else { return .unavailable(firstLine(connectionMessage)) }
        let message = field(result, messageField) ?? "no message"
        let constraint = field(result, constraintField) ?? field(result, columnField) ?? message
        switch state {
        case "23505": return .uniqueViolation(constraint: constraint)
        case "23503", "23001": return .foreignKeyViolation(constraint: constraint)
        case "57014": return .timedOut(message)
        case "40001", "40P01", "55P03": return .contended(message)
        // A protocol violation is one of ours, such as a wrong number of arguments: it would fail again.
        case "08P01" where !connectionLost: return .statement(code: state, message: message)
        case "22021": return .invalidValue("a text is not valid UTF-8 or holds a zero byte")
        default: break
        }
        switch state.prefix(2) {
        case "23": return .constraintViolation(constraint: constraint)
        // Messages of class 22 (data exceptions) quote the value.
        case "22": return .statement(code: state, message: "a value does not fit its column or function")
        // Connection, resources, operator intervention, system error. 25P03: idle in a transaction for too long.
        case "08", "53", "57", "58": return .unavailable(message)
        default: return connectionLost ? .unavailable(message) : .statement(code: state, message: message)
        }
    }

    static func firstLine(_ message: String) -> String {
        let line = message.prefix { $0 != "\n" }
        return line.isEmpty ? "the connection failed" : String(line)
    }

    private static func field(_ result: OpaquePointer?, _ code: Int32) -> String? {
        guard let result, let text = PQresultErrorField(result, code) else { return nil }
        return String(cString: text)
    }
}
