import Contract
package import Formats

/// Whose API a provider has: how it is dialled and authenticated, and what its answers have beside the dialect.
package enum ProviderFlavour: UInt8, Sendable {
    case openAI
    case anthropic
    case azure
    case openRouter

    init(kind: String) {
        switch kind {
        case "anthropic": self = .anthropic
        case "azure": self = .azure
        case "openrouter": self = .openRouter
        default: self = .openAI
        }
    }

    /// What it is asked in, the best first, where its operator does not say.
    fileprivate var dialects: [Dialect] {
        switch self {
        case .openAI, .azure: [.openAI, .responses]
        case .anthropic: [.messages]
        case .openRouter: [.openAI, .responses, .messages]
        }
    }
}

/// The dialects in which an endpoint can be asked.
package struct SpokenDialects: Sendable, Hashable {
    private let bits: UInt8
    /// Of those that it speaks the one for what has to be translated.
    package let preferred: Dialect

    /// - Parameter names: the provider's `apis`; empty: those of its flavour.
    init(_ names: [String], _ flavour: ProviderFlavour) {
        let stated = names.compactMap { name -> Dialect? in
            switch name {
            case "chat": .openAI
            case "responses": .responses
            case "messages": .messages
            default: nil
            }
        }
        let dialects = stated.isEmpty ? flavour.dialects : stated
        bits = dialects.reduce(0) { $0 | 1 << $1.rawValue }
        preferred = dialects.contains(.openAI) ? .openAI : dialects.first ?? .openAI
    }

    @inline(__always)
    package func contains(_ dialect: Dialect) -> Bool { bits & 1 << dialect.rawValue != 0 }
}

extension CompiledEndpoint {
    /// In which dialect the endpoint is asked for what a caller asks in `dialect`: in the same one where it speaks that, else in one that there is
    /// a translation to. Nil: it cannot serve such a request.
    @inline(__always)
    func dialect(for dialect: Dialect, _ capability: RequestTarget.Capability) -> Dialect? {
        if speaks.contains(dialect) { return dialect }
        return capability == .chat ? translated(dialect) : nil
    }

    private func translated(_ dialect: Dialect) -> Dialect? {
        let candidates = [speaks.preferred] + Dialect.allCases.filter { $0 != speaks.preferred && speaks.contains($0) }
        return candidates.first { Translation(from: dialect, to: $0) != nil }
    }
}
