package import Primitives

/// One request to an address that somebody gave: a DID's document, a sign-on's discovery, a management API.
package struct OutboundRequest: Sendable {
    package enum Method: String, Sendable, CaseIterable {
        case get = "GET"
        case post = "POST"
        case put = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    /// Where a request may lead, judged by the address that is really connected to.
    package enum Reach: Sendable, Hashable {
        /// To the public Internet by https, and to the networks that the operator allows (`--outbound-networks`), by plain http, too: for
        /// what tenants and callers name.
        case `public`
        /// To any address that is not link-local, by plain http, too: for what the operator configured.
        case configured
        /// To the public Internet alone, by plain http, too: for endpoints that may not lead into private networks.
        case endpoint
    }

    package struct Limits: Sendable, Hashable {
        /// From the call to the end of the answer.
        package var milliseconds: Int
        /// Of the answer's body; its fields may take 64 KiB. 0: nothing of the body is wanted, the answer ends with its fields.
        package var bytes: Int

        package static let statusOnly = Limits(bytes: 0)

        package init(milliseconds: Int = 10_000, bytes: Int = 1 << 20) {
            self.milliseconds = milliseconds
            self.bytes = bytes
        }
    }

    package var method: Method
    package var url: String
    package var headers: [(name: String, value: Secret)]
    package var body: [UInt8]?
    package var reach: Reach
    package var limits: Limits
    /// Extra trust roots in PEM; empty: none.
    package var authorities: String

    package init(
        _ method: Method = .get, _ url: String, headers: [(name: String, value: Secret)] = [], body: [UInt8]? = nil,
        reach: Reach = .public, limits: Limits = Limits(), authorities: String = ""
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.reach = reach
        self.limits = limits
        self.authorities = authorities
    }
}

/// A whole answer, whatever its status: redirects come back as they are, none is followed.
package struct OutboundAnswer: Sendable, Hashable {
    package let status: Int
    /// In their order, names in lower case.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first field of that name; in lower case.
    package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    package static func == (a: Self, b: Self) -> Bool {
        a.status == b.status && a.body == b.body && a.headers.elementsEqual(b.headers, by: ==)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(status)
        hasher.combine(body)
    }
}

/// Why there is no whole answer.
package struct OutboundFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Reason: Sendable, Hashable {
        /// The URL, a field, or each address that the name leads to, is not one that is called. Nothing was sent.
        case notAllowed
        /// No such name, nobody there, or a certificate that nobody vouches for.
        case unreachable
        case timedOut
        /// The answer was larger than its limit.
        case tooLarge
        /// The connection ended, or what came was no HTTP.
        case broken
        /// As many calls are under way as there may be. Nothing was sent.
        case busy
        case cancelled
    }

    package let reason: Reason
    /// What happened, for the operator; never what was sent.
    package let text: String
    /// Whether the other side may have acted on the request.
    package let wasSent: Bool

    package init(_ reason: Reason, _ text: String, wasSent: Bool = false) {
        self.reason = reason
        self.text = text
        self.wasSent = wasSent
    }

    package var description: String { text }
}

/// Makes requests to the outside on the control plane's own account. Bounded in time, size and number; ends when its task is cancelled.
package protocol OutboundHTTP: Sendable {
    func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer
}

/// Where nothing outside is called.
package struct NoOutboundHTTP: OutboundHTTP {
    package init() {}
    package func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
        throw OutboundFailure(.notAllowed, "this control plane calls nobody")
    }
}
