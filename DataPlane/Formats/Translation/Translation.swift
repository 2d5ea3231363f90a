/// From the dialect of a caller into that of a provider: requests one way, answers the other.
package struct Translation: Sendable {
    package let caller: Dialect
    package let provider: Dialect

    /// Nil where there is no translation between the two, or none is needed.
    package init?(from caller: Dialect, to provider: Dialect) {
        guard caller != provider, Self.known.contains(where: { $0.caller == caller && $0.provider == provider }) else { return nil }
        self.caller = caller
        self.provider = provider
    }

    private static let known: [(caller: Dialect, provider: Dialect)] = []

    /// Writes a request in the provider's dialect.
    /// - Parameter body: The caller's, which `RequestMembers` were found in: whole JSON (RFC 8259) of bounded depth.
    /// - Throws: What of the request cannot be carried over.
    package func request(
        _ body: UnsafeRawBufferPointer, _ members: RequestMembers, _ options: Options
    ) throws(Refusal) -> TranslatedRequest {
        throw Refusal(message: "The request cannot be carried over to the provider's API.", param: nil)
    }

    /// What of the request is not the caller's to say.
    package struct Options: Sendable {
        /// The provider's name for the model.
        package var model: String
        /// Usage is asked for in a stream of chat completions. False where the provider takes no such question.
        package var asksForUsage: Bool
        /// The most tokens of the answer where the caller says nothing and the provider's API demands a bound (Messages), or a budget
        /// wants one written.
        package var outputBound: Int64
        /// Nil: no budget wants a bound. Else the name that a chat completions provider knows it by.
        package var boundName: StaticString?

        package init(model: String, asksForUsage: Bool, outputBound: Int64, boundName: StaticString?) {
            self.model = model
            self.asksForUsage = asksForUsage
            self.outputBound = outputBound
            self.boundName = boundName
        }
    }

    /// What cannot be carried over.
    package struct Refusal: Error, Sendable, Equatable {
        /// For the caller; holds nothing of the body but names of members.
        package var message: String
        /// The member that is to blame: `tools[2].type`.
        package var param: String?

        package init(message: String, param: String?) {
            self.message = message
            self.param = param
        }
    }
}

/// A request in another dialect, and what its answer is to be turned back with.
package final class TranslatedRequest: Sendable {
    package let body: [UInt8]
    /// As it is at the answer's begin: each attempt takes a copy.
    package let answer: AnswerTranslator

    package init(body: [UInt8], answer: AnswerTranslator) {
        self.body = body
        self.answer = answer
    }
}

/// Turns the provider's answer into the caller's dialect: a whole document, or a stream event by event. Has seen nothing yet when an
/// attempt begins, and is asked for one of the two.
///
/// A case for each pair of dialects, with that pair's state.
package enum AnswerTranslator: Sendable {
    /// The two dialects have the answer in common.
    case none

    /// The next bytes of a stream: whole events, as a rule. Errors in them are fit to be shown. What is ready for the caller goes to `emit`,
    /// in whole events of its dialect.
    package mutating func stream(_ bytes: UnsafeRawBufferPointer, emit: (UnsafeRawBufferPointer) -> Void) {
        switch self {
        case .none: emit(bytes)
        }
    }

    /// The provider's stream came to its end: what is still to be said. Of one that ended before its answer did, an error event and
    /// no end of an answer: what broke never looks finished.
    package mutating func endStream(emit: (UnsafeRawBufferPointer) -> Void) {
        switch self {
        case .none: break
        }
    }

    /// - Parameter body: One whole answer.
    /// - Throws: Where it is none.
    package mutating func document(_ body: UnsafeRawBufferPointer) throws(Unreadable) -> [UInt8] {
        switch self {
        case .none: Array(body)
        }
    }

    /// The provider's answer is none of its dialect's.
    package struct Unreadable: Error, Sendable, Equatable {
        /// For the log; holds nothing of the answer's text.
        package var reason: String

        package init(reason: String) { self.reason = reason }
    }
}
