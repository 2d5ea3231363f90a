import Contract
import Domain
import GRPCCore
import GRPCProtobuf

/// The method `ReportUsage`, registered behind the generated service's own: batches are handed on as bytes, since decoding thousands of
/// records a second into message objects would cost more than storing them.
struct UsageReceiver: RegistrableRPCService {
    let service: FleetService

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: Weir_V1_Fleet.Method.ReportUsage.descriptor, deserializer: UsageBatchDeserializer(),
            serializer: ProtobufSerializer<Weir_V1_UsageAck>()
        ) { request, context in try await service.takeUsage(request.metadata, request.messages, context) }
    }
}

private struct UsageBatchDeserializer: MessageDeserializer {
    func deserialize<Bytes: GRPCContiguousBytes>(_ serialized: Bytes) throws -> UsageBatchBytes {
        do {
            return try UsageBatchBytes(serialized.withUnsafeBytes { Array($0) })
        } catch {
            throw RPCError(code: .invalidArgument, message: "not a usage batch: it cannot be read")
        }
    }
}
