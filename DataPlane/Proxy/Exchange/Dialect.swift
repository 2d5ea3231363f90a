import Formats
import NIOCore
import Primitives
import Trust

// MARK: The request side

extension Dialect {
    /// Finds the members that decide routing, cost and framing; the rest of the body stays as it is.
    func scan(_ body: ByteBuffer) throws(Rejection) -> RequestMembers {
        // `withUnsafeReadableBytes` is no typed-throws function: the result carries the error out.
        let result: Result<RequestMembers, JSONViolation> = body.withUnsafeReadableBytes { bytes in
            do throws(JSONViolation) {
                return .success(try ChatRequestScan.scan(bytes))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let members): return members
        case .failure(let violation):
            throw .badRequest("invalid_json", violation.reason, param: violation.member.map { "\($0.name)" })
        }
    }

    /// What turns a caller's body into that of a provider which speaks the same, in the order of their places: the model's name there, and a
    /// question for usage, without which a stream of chat completions would end unmetered.
    func edits(_ admission: Admission, _ candidate: Candidate) -> [SpliceEdit] {
        if admission.forward != nil { return [] }
        if let form = admission.media?.form { return form.edits(admission, candidate) }
        let target = candidate.target
        let renames = target.upstreamModelBytes != admission.requested.nameBytes || admission.members.model == nil
        let bound = candidate.boundName == nil ? nil : admission.writtenOutputBound
        guard renames || candidate.asksForUsage || bound != nil || admission.previous != nil else { return [] }
        var edits = UpstreamEdits(admission.members)
        if renames { edits.setModel(target.upstreamModel) }
        if candidate.asksForUsage { _ = edits.askForUsage() }
        if let previous = admission.previous { edits.setPreviousResponse(previous.id) }
        // No answer may cost more than was reserved for it.
        if let bound, let name = candidate.boundName { edits.limitOutput(to: bound, as: name) }
        return edits.sorted()
    }
}

// MARK: The response side

extension Dialect {
    func errorBody(_ rejection: Rejection, _ requestID: RequestID) -> [UInt8] {
        switch self {
        case .openAI, .responses:
            OpenAIErrors.body(
                message: rejection.message, type: rejection.kind.rawValue, param: rejection.param,
                code: rejection.providerCode ?? "\(rejection.code)")
        case .messages:
            MessagesErrors.body(
                message: rejection.messagesMessage, type: rejection.messagesType, code: rejection.providerCode ?? "\(rejection.code)",
                requestID: "\(requestID)")
        }
    }

    /// The same rejection with the status that the API has for it.
    func adapted(_ rejection: Rejection) -> Rejection {
        guard self == .messages, rejection.isOverload else { return rejection }
        var adapted = rejection
        adapted.status = 529
        return adapted
    }

    /// What every answer in this dialect has besides.
    func fields(_ requestID: RequestID) -> [ReplyHead.Field] {
        self == .messages ? [.init(name: "request-id", value: Array("\(requestID)".utf8))] : []
    }

    /// As the usage record has it; OpenAI's chat completions go without saying.
    var word: StaticString {
        switch self {
        case .openAI: ""
        case .responses: "responses"
        case .messages: "messages"
        }
    }

    /// An error inside a stream that has begun: an event of its own, which the SDKs raise.
    /// - Parameter events: how many the stream had before it.
    func errorEvent(_ rejection: Rejection, _ requestID: RequestID, after events: Int64) -> [UInt8] {
        switch self {
        case .openAI: OpenAIErrors.event(message: rejection.message, type: rejection.kind.rawValue, code: "\(rejection.code)")
        case .responses:
            ResponsesErrors.event(message: rejection.message, code: "\(rejection.code)", param: rejection.param, sequence: events)
        case .messages:
            MessagesErrors.event(
                message: rejection.message, type: rejection.messagesType, code: "\(rejection.code)", requestID: "\(requestID)")
        }
    }
}
