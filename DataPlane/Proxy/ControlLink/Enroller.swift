import Contract
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
package import Logging
import NIOCore
import NIOPosix
import Primitives
import Trust

/// Lets this data plane in, once in its life.
package enum Enroller {
    /// Answers what is written down, or uses the token. Safe to repeat: the keys are on the disk before the token is shown, and the
    /// control plane gives the same keys the same answer.
    /// - Throws: `EnrollmentError`; `.unreachable` is worth another try.
    package static func enroll(
        token: EnrollmentTokenText, keys: DataPlaneKeys, directory: String, name: String, logger: Logger
    ) async throws(EnrollmentError) -> Enrollment {
        if let known = try Enrollment.load(directory: directory) { return known }
        var request = Weir_V1_EnrollRequest()
        request.token = token.text
        request.identityPublicKey = Data(keys.identity.publicKey)
        request.sealingPublicKey = Data(keys.sealing.publicKey)
        request.name = name
        request.version = weirVersion.description
        let response = try await callEach(request, token)
        guard let id = try? DataPlaneID.parse(response.dataPlaneID), !response.deployment.isEmpty else {
            throw .refused("its answer names no data plane or no deployment")
        }
        let trusted = Dictionary(
            response.trustedKeys.map { ($0.keyID, Hex.encode($0.publicKey)) }, uniquingKeysWith: { first, _ in first })
        let enrollment = Enrollment(
            deployment: response.deployment, dataPlaneID: id, region: response.region, address: token.addresses.first ?? "",
            otherAddresses: token.addresses.count > 1 ? Array(token.addresses.dropFirst()) : nil, authorityPEM: token.authorityPEM,
            trustedKeys: trusted)
        guard enrollment.trust.keys.count == response.trustedKeys.count, !enrollment.trust.keys.isEmpty else {
            throw .refused("its answer holds a malformed signing key, or none")
        }
        try enrollment.save(directory: directory)
        logger.notice(
            "enrolled", metadata: ["data_plane": "\(id)", "region": "\(response.region)", "deployment": "\(response.deployment)"])
        return enrollment
    }

    /// The first address that answers.
    private static func callEach(
        _ request: Weir_V1_EnrollRequest, _ token: EnrollmentTokenText
    ) async throws(EnrollmentError) -> Weir_V1_EnrollResponse {
        var failures: [String] = []
        for text in token.addresses {
            guard let address = FleetAddress(text) else { throw .token("it names no address of the form host:port") }
            do {
                return try await call(request, token, address)
            } catch .unreachable(let detail) {
                failures.append("\(address): \(detail)")
            }
        }
        throw .unreachable(failures.joined(separator: "; "))
    }

    private static func call(
        _ request: Weir_V1_EnrollRequest, _ token: EnrollmentTokenText, _ address: FleetAddress
    ) async throws(EnrollmentError) -> Weir_V1_EnrollResponse {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let outcome: Result<Weir_V1_EnrollResponse, EnrollmentError>
        do {
            let transport = try FleetConnection.transport(to: address, authorityPEM: token.authorityPEM, group: group)
            outcome = .success(
                try await withGRPCClient(transport: transport) { client in
                    try await Weir_V1_Fleet.Client(wrapping: client).enroll(request, options: FleetConnection.callOptions)
                })
        } catch let error as RPCError where [.unavailable, .deadlineExceeded, .cancelled, .internalError, .unknown].contains(error.code) {
            outcome = .failure(.unreachable(FleetConnection.text(error)))
        } catch let error as RPCError {
            outcome = .failure(.refused(FleetConnection.text(error)))
        } catch {
            outcome = .failure(.unreachable(FleetConnection.text(error)))
        }
        try? await group.shutdownGracefully()
        return try outcome.get()
    }
}
