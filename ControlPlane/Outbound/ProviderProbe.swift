import Contract
package import Domain
import Primitives

/// Asks a provider for its models through the outbound client, and reads no more of the answer than its status.
package struct ProviderProbe: ProviderCaller {
    private let outbound: any OutboundHTTP

    package init(_ outbound: any OutboundHTTP) { self.outbound = outbound }

    package func call(_ call: ProviderCall) async -> ProviderAnswer {
        var headers = [(name: "accept", value: Secret("application/json"))]
        if let header = call.header { headers.append(header) }
        let request = OutboundRequest(
            .get, "\(call.address.isTLS ? "https" : "http")://\(call.address.authority)\(call.address.path)/models", headers: headers,
            reach: call.allowsPrivate ? .configured : .endpoint, limits: .statusOnly, authorities: call.caPEM)
        do throws(OutboundFailure) {
            return .status(try await outbound.send(request).status)
        } catch {
            return .failure("There is no answer: \(error.text).")
        }
    }
}
