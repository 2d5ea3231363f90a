import Contract
import Domain
import Foundation
import GRPCCore
import Logging
import Primitives

/// One `Ask` stream: what a data plane needs for callers who wait. Answered as they are ready; of those that come faster than that only so
/// many are under way, and the stream reads no further.
struct QuestionStream: Sendable {
    let dataPlaneID: String
    let services: FleetServices
    let logger: Logger

    private static let concurrent = 16

    func answer(_ questions: RPCAsyncSequence<Weir_V1_Question, any Error>, _ writer: RPCWriter<Weir_V1_Answer>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var running = 0
            for try await question in questions {
                if running >= Self.concurrent {
                    try await group.next()
                    running -= 1
                }
                running += 1
                group.addTask { try await writer.write(try await answer(question)) }
            }
            try await group.waitForAll()
        }
    }

    /// - Throws: `FleetRefusal`, which ends the stream: the data plane itself may not ask.
    private func answer(_ question: Weir_V1_Question) async throws -> Weir_V1_Answer {
        var answer: Weir_V1_Answer
        do {
            switch question.question {
            case .newcomer(let newcomer): answer = try await services.newcomers.admit(newcomer, from: dataPlaneID)
            case .upstreamKey(let wish):
                answer = try await services.upstreamKeys.wish(
                    wish.didID, refused: wish.refusedRevision, from: dataPlaneID)
            case .ownUsage(let asked): answer = try await services.ownReports.answer(.usage, asked, from: dataPlaneID)
            case .ownLimits(let asked): answer = try await services.ownReports.answer(.limits, asked, from: dataPlaneID)
            case .ownAudit(let asked): answer = try await services.ownReports.answer(.audit, asked, from: dataPlaneID)
            case nil:
                answer = .refusal("not_known", "This control plane does not know what is asked.", status: 501)
            }
        } catch let refusal as FleetRefusal {
            throw RPCError(refusal)
        } catch is CancellationError {
            throw RPCError(code: .unavailable, message: "the control plane is shutting down")
        } catch {
            if !DomainError.isTemporary(error) {
                logger.error("a question was not answered", metadata: ["data_plane": "\(dataPlaneID)", "error": "\(error)"])
            }
            answer = .refusal("control_plane_unavailable", "The control plane cannot answer just now. Try again.", retryMilliseconds: 2000)
        }
        answer.id = question.id
        return answer
    }
}
