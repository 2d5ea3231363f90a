import GRDB

/// SQLite's result codes (https://www.sqlite.org/rescode.html) in our terms.
enum SQLiteErrors {
    static func mapping<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as GRDB.DatabaseError {
            throw map(error)
        }
    }

    static func map(_ error: any Error) -> any Error {
        (error as? GRDB.DatabaseError).map(map) ?? error
    }

    /// SQLite's messages name tables and columns; GRDB's description, which repeats SQL and arguments, is not used.
    static func map(_ error: GRDB.DatabaseError) -> DatabaseError {
        let message = error.message ?? "result code \(error.extendedResultCode.rawValue)"
        switch error.extendedResultCode {
        case .SQLITE_CONSTRAINT_UNIQUE, .SQLITE_CONSTRAINT_PRIMARYKEY, .SQLITE_CONSTRAINT_ROWID:
            return .uniqueViolation(constraint: afterColon(message))
        case .SQLITE_CONSTRAINT_FOREIGNKEY, .SQLITE_CONSTRAINT_TRIGGER:
            return .foreignKeyViolation(constraint: afterColon(message))
        default: break
        }
        switch error.resultCode {
        case .SQLITE_CONSTRAINT: return .constraintViolation(constraint: afterColon(message))
        case .SQLITE_BUSY, .SQLITE_LOCKED: return .contended("another process holds the file: \(message)")
        case .SQLITE_FULL: return .unavailable("the disk is full")
        case .SQLITE_IOERR, .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_NOMEM,
            .SQLITE_PROTOCOL:
            return .unavailable(message)
        case .SQLITE_INTERRUPT: return .timedOut(message)
        default: return .statement(code: "SQLITE_\(error.extendedResultCode.rawValue)", message: message)
        }
    }

    /// "UNIQUE constraint failed: tenants.name" → "tenants.name".
    private static func afterColon(_ message: String) -> String {
        guard let colon = message.firstIndex(of: ":") else { return message }
        return String(message[message.index(after: colon)...].drop { $0 == " " })
    }
}
