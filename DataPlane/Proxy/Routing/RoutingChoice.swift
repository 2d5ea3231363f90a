import Contract
import Formats
import Primitives
import Wire

/// What a key may do beyond asking, where that concerns a data plane.
package struct RoutingRights: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Its requests may name their endpoint and strategy.
    static let choose = RoutingRights(rawValue: 1)
    /// Its answers say who served them.
    static let see = RoutingRights(rawValue: 2)

    /// Nothing for a word that this release does not know.
    init(word: String) {
        switch word {
        case "routing:choose": self = .choose
        case "routing:see": self = .see
        default: self = []
        }
    }
}

/// What a request asks of its routing: `x-weir-endpoint` (an endpoint's identifier or name) and `x-weir-strategy`.
final class RoutingChoice {
    let endpoint: String?
    let strategy: RouteStrategy?

    private init(endpoint: String?, strategy: RouteStrategy?) {
        self.endpoint = endpoint
        self.strategy = strategy
    }

    /// Nil where the request asks for nothing.
    /// - Throws: 400 for a strategy that there is not.
    static func read(_ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer) throws(Rejection) -> RoutingChoice? {
        guard head.has(.xWeirEndpoint) || head.has(.xWeirStrategy) else { return nil }
        let word = head.text("x-weir-strategy", bytes)
        let strategy = word.flatMap { RouteStrategy(word: $0) }
        if let word, strategy == nil {
            let known = RouteStrategy.allCases.map(\.word).joined(separator: ", ")
            throw .badRequest("unknown_strategy", "x-weir-strategy is '\(word.prefix(64))'. Use one of: \(known).")
        }
        return RoutingChoice(endpoint: head.text("x-weir-endpoint", bytes), strategy: strategy)
    }

    /// The route's targets that are left, and by what one of them is chosen.
    /// - Throws: 403 for a key that may not choose, 400 for an endpoint that the route does not lead to.
    func plan(_ route: CompiledRoute, for caller: Caller, random: UInt64) throws(Rejection) -> RoutePlan {
        guard caller.scopes?.rights.contains(.choose) == true else {
            throw .forbidden(
                "routing_not_allowed", "x-weir-endpoint and x-weir-strategy are for keys with the right routing:choose.")
        }
        var only = UInt64.max
        if let endpoint {
            only = route.targets.indices.reduce(0) {
                let own = route.targets[$1].endpoint
                return own.id == endpoint || own.name == endpoint ? $0 | 1 << UInt64($1) : $0
            }
            if only == 0 { throw .badRequest("endpoint_not_routed", "The model's route does not lead to the endpoint of x-weir-endpoint.") }
        }
        if strategy?.observes == true { route.state.observe() }
        return RoutePlan(route, random: random, strategy: strategy, only: only)
    }
}

extension Admission {
    /// Who serves the request, for the answers of keys that may see it.
    /// - Parameter hedge: what became of its hedge, where there was one.
    func servingFields(of attempt: Attempt, number: UInt32, hedge: StaticString?) -> [ReplyHead.Field] {
        guard caller.scopes?.rights.contains(.see) == true else { return [] }
        return [
            ReplyHead.Field(name: "x-weir-endpoint", value: attempt.candidate.endpoint.idBytes),
            // A header holds bytes that a name may not have.
            ReplyHead.Field(name: "x-weir-model", value: model.nameBytes.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? model.nameBytes : []),
            ReplyHead.Field(name: "x-weir-attempt", value: Array(String(number).utf8)),
            ReplyHead.Field(name: "x-weir-hedge", value: hedge.map { Array($0.description.utf8) } ?? []),
        ].filter { !$0.value.isEmpty }
    }
}

extension Exchange {
    /// Fields of the answer beyond those that each has. Empty, and so without storage, for most.
    func answerFields(_ attempt: Attempt) -> [ReplyHead.Field] {
        guard let admission, admission.caller.scopes != nil else { return answerFields }
        // Of two at one time the hedge is the second.
        let number = sums.attempts &+ (attempt.isHedge && isRacing ? 2 : 1)
        let hedge: StaticString? = hedging?.wasSent != true ? nil : attempt.isHedge ? "won" : "lost"
        return answerFields + admission.servingFields(of: attempt, number: number, hedge: hedge)
    }
}
