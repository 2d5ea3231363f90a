import Contract
import Domain
import GRPCCore
import Logging
import Primitives
import Telemetry

/// One `ReportUsage` stream. A batch is acknowledged once it is committed and never before; while the database is away the stream
/// waits a little and then ends, and the data plane, which keeps what was not acknowledged, comes again.
struct UsageStream: Sendable {
    let dataPlaneID: String
    let store: FleetServices.StoreUsage
    /// How long one batch waits for the database.
    let patience: Duration
    let metrics: FleetMetrics
    let logger: Logger

    private static let firstPause = Duration.milliseconds(100)
    private static let longestPause = Duration.seconds(3)

    /// - Throws: `RPCError`: INVALID_ARGUMENT for what is no batch, UNAVAILABLE when it could not be stored.
    func take(_ batch: Weir_V1_UsageBatch) async throws -> Weir_V1_UsageAck {
        var pause = Self.firstPause
        var waited = Duration.zero
        while true {
            do {
                let ack = try await store(dataPlaneID, batch)
                metrics.usageBatches.increment()
                metrics.usageRecords.increment(by: UInt64(clamping: batch.records.count))
                return ack
            } catch {
                guard DomainError.isTemporary(error), waited < patience else { throw refusal(error, batch) }
                metrics.usageRetries.increment()
                logger.debug("usage batch waits for the database", metadata: ["data_plane": "\(dataPlaneID)"])
                try await Task.sleep(for: pause)
                waited += pause
                pause = min(pause * 2, Self.longestPause)
            }
        }
    }

    private func refusal(_ error: any Error, _ batch: Weir_V1_UsageBatch) -> any Error {
        if error is CancellationError || error is RPCError { return error }
        if let refusal = error as? UsageRefusal {
            logger.error(
                "no more usage is taken from this data plane", metadata: ["data_plane": "\(dataPlaneID)", "reason": "\(refusal.detail)"])
            return RPCError(code: .resourceExhausted, message: refusal.detail)
        }
        if case DomainError.invalid(let problems) = error {
            let what = problems.map { "\($0.field) \($0.message)" }.joined(separator: "; ")
            return RPCError(code: .invalidArgument, message: "not a usage batch: \(what)")
        }
        logger.error(
            "usage batch not stored",
            metadata: ["data_plane": "\(dataPlaneID)", "sequence": "\(batch.sequence)", "error": "\(error)"])
        return RPCError(code: .unavailable, message: "the batch could not be stored: send it again")
    }
}
