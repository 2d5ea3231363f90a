import Contract
import SwiftProtobuf
import Testing

@Suite("An attempt of a usage record")
struct UsageAttemptTests {
    /// One encoder writes both, so a member of an attempt has the number, the type and the name of the record's.
    @Test func readsAsTheRecordThatItIsAPartOf() throws {
        var attempt = Weir_V1_UsageAttempt()
        attempt.errorOrigin = .provider
        attempt.errorCode = "provider_error"
        attempt.upstreamStatus = 503
        attempt.inputTokens = 1
        attempt.outputTokens = 2
        attempt.cachedInputTokens = 3
        attempt.cacheWriteTokens = 4
        attempt.reasoningTokens = 5
        attempt.flags = 6
        attempt.costNano = 7
        attempt.latencyUs = 8
        attempt.timeToFirstByteUs = 9
        attempt.endpointID = "ep_a"
        attempt.providerID = "prov_a"
        attempt.credentialID = "cred_a"
        attempt.upstreamModel = "m"
        attempt.priceID = "price_a"
        attempt.sentUpstream = true
        let record = try Weir_V1_UsageRecord(serializedBytes: try attempt.serializedBytes() as [UInt8])
        #expect(record.unknownFields.data.isEmpty)
        #expect(try record.jsonString() == attempt.jsonString())
    }
}
