import Contract

/// What one try at one endpoint came to, as those who watch endpoints see it. Every attempt has exactly one.
enum AttemptResult: Sendable, Hashable {
    /// The provider's response head came, with this status; what followed came to its end.
    case answered(status: Int)
    /// No connection that could carry the request: no address, refused, no TLS.
    case unreachable
    /// None that is allowed: it leads to this address, or its host is not among those that this data plane calls (nil).
    case forbidden(AddressRefusal?)
    /// A deadline of ours passed: connecting, the first byte, a pause, the whole.
    case timedOut
    /// The connection ended, or the answer could not be read, before its end.
    case broken
    /// The connection was there, and what came over it is no answer to the request.
    case unusable
    /// A connection that had served before was closed before any of the request went over it; it was tried again on another.
    case notBegun
    /// No connection to the endpoint was free.
    case noRoom
    /// The client went away first: says nothing of the endpoint.
    case clientLeft
    /// This data plane ended it: a forced stop, a caller that lost its standing.
    case stopped
    /// Of two attempts at one time the other one answered first.
    case overtaken

    /// Whether the endpoint is to be blamed; nil when the attempt says nothing of it.
    var isFailure: Bool? {
        switch self {
        case .answered(let status): status == 408 || status == 429 || status >= 500
        case .unreachable, .forbidden, .timedOut, .broken, .unusable: true
        case .clientLeft, .stopped, .overtaken, .notBegun, .noRoom: nil
        }
    }

    /// The provider did what it was asked to.
    var isSuccess: Bool {
        if case .answered(200..<300) = self { true } else { false }
    }

    /// For people.
    var words: String {
        switch self {
        case .answered(let status): "status \(status)"
        case .unreachable: "no connection"
        case .forbidden(let refusal?): "it leads to \(refusal)"
        case .forbidden(nil): "its host is not among --provider-hosts of this data plane"
        case .timedOut: "no answer in time"
        case .broken: "the answer broke off"
        case .unusable: "no answer that could be understood"
        case .notBegun: "the connection had been closed"
        case .noRoom: "no place or connection was free"
        case .clientLeft: "the client left"
        case .stopped: "stopped by the data plane"
        case .overtaken: "another endpoint answered first"
        }
    }

    /// What an operator may do about it.
    var remedy: String {
        switch self {
        case .unreachable: "check the endpoint's base_url, its name in DNS, the network and its certificate"
        case .forbidden(let refusal?) where refusal.kind.isNeverCalled: "name another host: such addresses are never called"
        case .forbidden(.some): "if that is meant: weir endpoint update … --private-addresses true, and publish"
        case .forbidden(nil): "add its host to --provider-hosts there, or name another one in its base_url"
        case .timedOut: "check the provider's state, or raise the endpoint's timeouts"
        case .broken, .unusable: "check the provider's state and what stands between here and it"
        case .answered(401), .answered(403), .answered(402):
            "check the credential and its account, or replace the credential: weir credential rotate"
        case .answered(429): "ask the provider for higher limits, or add an endpoint to the route"
        case .answered, .clientLeft, .stopped, .overtaken, .notBegun, .noRoom: "check the provider's state"
        }
    }

    // MARK: As a metric's label

    /// Statuses with a label of their own; the others are counted by class. A provider cannot make new ones.
    private static let statuses = [200, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529]
    static let labels =
        statuses.map(String.init) + [
            "2xx", "3xx", "4xx", "5xx", "other", "unreachable", "timeout", "broken", "client_left", "stopped", "unusable", "not_begun",
            "no_room", "overtaken", "not_allowed",
        ]

    /// Places among `labels` for which the endpoint is to be blamed.
    static let failureIndices = labels.indices.filter {
        ["408", "429", "500", "502", "503", "504", "529", "5xx", "unreachable", "timeout", "broken", "unusable", "not_allowed"].contains(
            labels[$0])
    }

    /// Place among `labels`.
    var labelIndex: Int {
        let classes = Self.statuses.count
        switch self {
        case .answered(200): return 0
        case .answered(let status):
            if let index = Self.statuses.firstIndex(of: status) { return index }
            return (200..<600).contains(status) ? classes + status / 100 - 2 : classes + 4
        case .unreachable: return classes + 5
        case .timedOut: return classes + 6
        case .broken: return classes + 7
        case .clientLeft: return classes + 8
        case .stopped: return classes + 9
        case .unusable: return classes + 10
        case .notBegun: return classes + 11
        case .noRoom: return classes + 12
        case .overtaken: return classes + 13
        case .forbidden: return classes + 14
        }
    }
}
