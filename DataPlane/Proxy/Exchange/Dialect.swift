import Formats
import NIOCore

/// An API that callers speak, as a value: how its requests are read, and how answers and errors are written in it.
enum Dialect {
    case openAI
}

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

    /// What turns a caller's body into the provider's, in the order of their places: the model's name there, and a question for usage,
    /// without which a stream would end unmetered.
    func edits(_ admission: Admission, _ candidate: Candidate) -> [SpliceEdit] {
        if admission.forward != nil { return [] }
        let target = candidate.target
        let renames = target.upstreamModelBytes != admission.model.nameBytes
        let bound = candidate.boundName == nil ? nil : admission.writtenOutputBound
        guard renames || candidate.asksForUsage || bound != nil else { return [] }
        var edits = UpstreamEdits(admission.members)
        if renames { edits.setModel(target.upstreamModel) }
        if candidate.asksForUsage { _ = edits.askForUsage() }
        // No answer may cost more than was reserved for it.
        if let bound, let name = candidate.boundName { edits.limitOutput(to: bound, as: name) }
        return edits.sorted()
    }
}

// MARK: The response side

extension Dialect {
    func errorBody(_ rejection: Rejection) -> [UInt8] {
        OpenAIErrors.body(
            message: rejection.message, type: rejection.kind.rawValue, param: rejection.param,
            code: rejection.providerCode ?? "\(rejection.code)")
    }

    /// An error inside a stream that has begun: an event of its own, which the SDKs raise.
    func errorEvent(_ rejection: Rejection) -> [UInt8] {
        OpenAIErrors.event(message: rejection.message, type: rejection.kind.rawValue, code: "\(rejection.code)")
    }

    /// Makes an attempt's meter ready for an answer in this dialect.
    /// - Parameter hidden: what the caller must not see in an error inside a stream.
    func begin(_ meter: inout ResponseMeter, _ shape: ResponseMeter.Shape, _ admission: Admission, hiding hidden: HiddenTexts) {
        switch shape {
        case .none: break
        case .document: meter.beginDocument()
        // Usage that the caller did not ask for is taken out again.
        case .stream: meter.beginStream(admission.isStreaming && !admission.clientWantsUsage ? .strip : .observe, hidden)
        }
    }
}
