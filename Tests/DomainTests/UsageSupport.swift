import Contract
import Domain
import Foundation
import Logging
import Primitives
import Storage

/// What the usage tests share: records with prices that are known, and a clock that stands still.
enum UsageSupport {
    /// 2026-11-21T04:05:06Z.
    static let now: Int64 = 1_795_233_906_000

    static let price: Weir_V1_Price = {
        var price = Weir_V1_Price()
        price.id = "price_a"
        price.input = 2_500_000_000
        price.output = 10_000_000_000
        price.cachedInput = 1_250_000_000
        price.perRequest = 7
        return price
    }()

    struct Prices: PriceBook {
        func price(configVersion: Int64, priceID: String) async throws -> Weir_V1_Price? {
            configVersion == 1 && priceID == UsageSupport.price.id ? UsageSupport.price : nil
        }
    }

    static var quiet: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }

    static func intake(_ database: any Database, clock: any WallClock = ManualClock(milliseconds: now)) -> UsageIntake {
        UsageIntake(database: database, prices: Prices(), clock: clock, logger: quiet)
    }

    static func queries(_ database: any Database) -> UsageQueries {
        UsageQueries(DomainContext(database: database, clock: ManualClock(milliseconds: now), signal: ChangeSignal()))
    }

    /// A completed request, rated as the data plane would.
    static func record(
        _ number: UInt64, tenant: String = "ten_a", key: String = "key_a", model: String = "gpt", input: Int64 = 100, output: Int64 = 20,
        at milliseconds: Int64 = now
    ) -> Weir_V1_UsageRecord {
        var record = Weir_V1_UsageRecord()
        record.requestID = Data(RequestID(high: 1, low: number).bytes)
        record.tenantID = tenant
        record.projectID = "prj_of_" + tenant
        record.keyID = key
        record.model = model
        record.routeID = "rt_a"
        record.capability = .chat
        record.channel = "default"
        record.admittedAtUs = milliseconds * 1000
        record.configVersion = 1
        record.traceID = Data(repeating: 9, count: 16)
        record.status = .completed
        record.httpStatus = 200
        record.upstreamStatus = 200
        record.inputTokens = input
        record.outputTokens = output
        record.latencyUs = 1234
        record.attempts = 1
        record.priceID = price.id
        record.costNano = Pricing.rate(TokenUsage(input: input, output: output), price).rawValue
        record.sentUpstream = true
        return record
    }

    static func batch(_ incarnation: String, _ sequence: UInt64, _ records: [Weir_V1_UsageRecord]) -> Weir_V1_UsageBatch {
        var batch = Weir_V1_UsageBatch()
        batch.incarnation = incarnation
        batch.sequence = sequence
        batch.records = records
        return batch
    }

    static let everything = UsageFilter(from: 0, to: .max)
}
