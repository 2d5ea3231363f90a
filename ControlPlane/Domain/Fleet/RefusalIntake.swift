import Contract
import Primitives
import Storage

/// What data planes tell of requests that they refused: shown in the audit trail and counted for nothing.
enum RefusalIntake {
    /// Of one report.
    private static let maximum = 600
    private static let maximumLength = 256
    /// How far a data plane's clock is believed.
    private static let tolerance: Int64 = 86_400_000

    /// Those that may be stored: what is said of a tenant that the data plane does not serve is not.
    static func rows(_ told: [Weir_V1_Refusal], of plane: DataPlaneRow, now: Int64) -> [RequestRefusalRow] {
        let scope = DirectoryScope(tenantIDs: plane.tenantIDs)
        return told.prefix(maximum).compactMap { refusal in
            guard refusal.requestID.count == 16, refusal.tenantID.isEmpty || scope.contains(refusal.tenantID) else { return nil }
            var row = RequestRefusalRow()
            row.requestID = Array(refusal.requestID)
            row.dataPlaneID = plane.id
            row.at = min(max(refusal.atMs, now - tolerance), now + tolerance)
            row.receivedAt = now
            row.tenantID = cut(refusal.tenantID)
            row.projectID = cut(refusal.projectID)
            row.keyID = cut(refusal.keyID)
            row.appID = cut(refusal.appID)
            row.userID = cut(refusal.userID)
            row.did = cut(refusal.didID)
            row.model = cut(refusal.model)
            row.channel = cut(refusal.channel)
            row.httpStatus = Int64(refusal.status)
            row.errorOrigin = Int64(refusal.fault)
            row.errorCode = cut(refusal.code)
            row.remoteAddress = cut(refusal.remoteAddress)
            row.repeated = Int64(clamping: refusal.repeated)
            return row
        }
    }

    private static func cut(_ text: String) -> String {
        String(text.unicodeScalars.lazy.filter { $0.value != 0 }.prefix(maximumLength).map(Character.init))
    }
}
