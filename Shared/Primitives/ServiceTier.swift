/// How soon and how surely a provider serves a request, which some charge for. The numbers are those of `weir.v1.ServiceTier`.
package enum ServiceTier: UInt8, Hashable, Sendable, CaseIterable {
    case standard, priority, flex, batch

    /// Nil for a name that is none of a tier with prices of its own: `default`, `auto`, `scale`.
    package init?(name: some StringProtocol) {
        switch name {
        case "priority": self = .priority
        case "flex": self = .flex
        case "batch": self = .batch
        default: return nil
        }
    }

    /// As a provider states it: what is no tier of its own is the standard one.
    package init(stated name: UnsafeRawBufferPointer) {
        self = ServiceTier(name: String(decoding: name.prefix(16), as: UTF8.self)) ?? .standard
    }
}
