import Contract
import GRPCCore
import Logging
import Primitives

/// What requests ask the control plane.
extension ControlLink {
    /// A control plane that knows of no questions is asked again after this many milliseconds.
    private static let unknownMilliseconds: Int64 = 60_000

    /// Carries questions and answers for as long as the connection lives. That it does not work keeps nothing else from working.
    func carryQuestions(_ client: GRPCClient<FleetConnection.Transport>, _ metadata: Metadata) async throws {
        var backoff = Backoff()
        while true {
            let start = MonotonicClock.nowMicroseconds()
            var pause: Int64?
            let (number, questions) = snapshots.questions.connected()
            do {
                defer { snapshots.questions.disconnected(number) }
                let request = StreamingClientRequest<Weir_V1_Question>(metadata: metadata) { writer in
                    for await question in questions { try await writer.write(question) }
                }
                try await Weir_V1_Fleet.Client(wrapping: client).ask(request: request, options: FleetConnection.streamOptions) { response in
                    for try await answer in response.messages { self.snapshots.questions.answered(answer) }
                }
            } catch let error as RPCError where error.code == .unauthenticated {
                throw error
            } catch let error as RPCError where error.code == .unimplemented {
                pause = Self.unknownMilliseconds
            } catch {
                try Task.checkCancellation()
                logger.debug("no stream of questions", metadata: ["reason": "\(FleetConnection.text(error))"])
            }
            try await backoff.wait(since: start, milliseconds: pause)
        }
    }
}
