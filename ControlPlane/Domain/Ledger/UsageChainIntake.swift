import Contract
import Primitives
import Storage
import Synchronization
import Trust

/// What is wrong with a chain: its data plane's signature and what was stored do not go together. Usage is taken and billed all the same; the
/// bill cannot be proved from there on.
package enum ChainBreak: String, CaseIterable, Sendable {
    /// The head is not this data plane's.
    case badSignature = "bad_signature"
    /// The head is signed, and of other records than those that were stored.
    case otherRecords = "other_records"
    /// The head is signed, and of another number of records.
    case otherNumber = "other_number"
}

/// The records of some batches as they count in their tenants' chains: everything that can be worked out before the transaction.
struct ReportedChains: Sendable {
    struct Link: Sendable {
        /// Of `tenants`.
        let tenant: Int
        /// Where the bill lies in `bills`.
        let bill: Range<Int>
        let digests: UsageDigests
    }

    /// By the record's place among all batches; nil: it is in no chain.
    private(set) var links: [Link?] = []
    private(set) var bills: [UInt8] = []
    private(set) var tenants: [String] = []
    /// Of each batch, the first bytes of its digest: two processes that work with copies of one disk number different batches alike.
    let digests: [[UInt8]]
    private let heads: [[UsageHead]]

    init(_ batches: [UsageBatchBytes], of dataPlaneID: String) {
        digests = batches.map { Array(SHA256Digest.of($0.bytes).prefix(RecentBatches.digestBytes)) }
        heads = batches.map { $0.heads(of: dataPlaneID) }
        var splitter = UsageSplitter()
        var places: [[UInt8]: Int] = [:]
        var latest: (id: [UInt8], tenant: Int) = ([], 0)
        for batch in batches {
            guard batch.isChained else {
                links += [Link?](repeating: nil, count: batch.records.count)
                continue
            }
            batch.bytes.withUnsafeBytes { bytes in
                for range in batch.records {
                    let record = UnsafeRawBufferPointer(rebasing: bytes[range])
                    guard let read = splitter.read(record) else {
                        links.append(nil)
                        continue
                    }
                    let id = record[splitter.tenant]
                    if !latest.id.elementsEqual(id) || latest.id.isEmpty {
                        guard UsageChain.isTenant(id) else {
                            links.append(nil)
                            continue
                        }
                        let key = Array(id)
                        let place = places[key] ?? tenants.count
                        if place == tenants.count {
                            places[key] = place
                            tenants.append(String(decoding: key, as: UTF8.self))
                        }
                        latest = (key, place)
                    }
                    let start = bills.count
                    bills += splitter.bill
                    links.append(Link(tenant: latest.tenant, bill: start..<bills.count, digests: read))
                }
            }
        }
    }

    /// Of a batch.
    func heads(_ batch: Int) -> [UsageHead] { heads.indices.contains(batch) ? heads[batch] : [] }
}

/// The batches stored last, in a column of the watermark.
struct RecentBatches {
    static let digestBytes = 16
    /// Twice as many as are ever under way.
    private static let capacity = 16
    private static let entryBytes = 8 + digestBytes

    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes.count % Self.entryBytes == 0 ? bytes : [] }

    mutating func append(_ sequence: Int64, _ digest: [UInt8]) {
        bytes += withUnsafeBytes(of: sequence.bigEndian) { Array($0) } + digest
        bytes.removeFirst(max(0, bytes.count - Self.capacity * Self.entryBytes))
    }

    /// Whether a batch of this number is known to have been another one.
    func isOther(_ sequence: Int64, _ digest: [UInt8]) -> Bool {
        let number = withUnsafeBytes(of: sequence.bigEndian) { Array($0) }
        return stride(from: 0, to: bytes.count, by: Self.entryBytes).contains { start in
            bytes[start..<start + 8].elementsEqual(number) && !bytes[start + 8..<start + Self.entryBytes].elementsEqual(digest)
        }
    }
}

/// Follows the chains of a data plane through the batches of one transaction, which holds its watermark's row.
struct FollowedChains {
    /// How many records one row holds at most: some 200 KB.
    private static let recordsPerRow = 1000

    /// A head, and how many records of the batches stand before it.
    struct Told {
        let head: UsageHead
        let after: Int
    }

    private let reported: ReportedChains
    private let dataPlaneID: String
    private let incarnation: String
    private let publicKey: [UInt8]?
    private let now: Int64
    private var chains: [String: UsageChainRow] = [:]
    /// Of each tenant of `reported`: its records of these batches that are in a chain whose number is known, in their order.
    private var members: [[Int]]
    /// Of each record, its number in its chain; 0: none that is known.
    private(set) var numbers: [Int64]
    private var heads: [UsageHeadRow] = []
    private(set) var breaks: [(key: UsageChainKey, fault: ChainBreak)] = []

    /// - Parameters:
    ///   - due: the records of the batches that are stored now, in order.
    ///   - told: the heads of those batches, in order.
    ///   - publicKey: the data plane's identity; nil: it is not known.
    ///   - beginsAnew: no batch of this life was ever stored unfollowed, so a chain that is not known begins here.
    init(
        _ c: any SQLConnection, _ reported: ReportedChains, dataPlaneID: String, incarnation: String, due: [Int], told: [Told],
        publicKey: [UInt8]?, beginsAnew: Bool, now: Int64
    ) throws {
        self.reported = reported
        self.dataPlaneID = dataPlaneID
        self.incarnation = incarnation
        self.publicKey = publicKey
        self.now = now
        numbers = Array(repeating: 0, count: reported.links.count)
        members = Array(repeating: [], count: reported.tenants.count)
        for place in due where reported.links.indices.contains(place) {
            if let link = reported.links[place] { members[link.tenant].append(place) }
        }
        var places: [String: Int] = [:]
        for tenant in members.indices where !members[tenant].isEmpty { places[reported.tenants[tenant]] = tenant }
        let toldOf = Dictionary(grouping: told, by: \.head.tenantID)
        let tenants = Set(places.keys).union(toldOf.keys).sorted()
        guard !tenants.isEmpty else { return }
        chains = try UsageChainsTable.find(c, dataPlaneID: dataPlaneID, incarnation: incarnation, tenantIDs: tenants)
        for tenant in tenants {
            let key = UsageChainKey(tenantID: tenant, dataPlaneID: dataPlaneID, incarnation: incarnation)
            let genesis = UsageChain.genesis(dataPlaneID: dataPlaneID, incarnation: incarnation, tenantID: tenant)
            follow(
                chains[tenant] ?? UsageChainRow(key: key, number: beginsAnew ? 0 : -1, link: genesis.bytes), places[tenant],
                toldOf[tenant] ?? [])
        }
    }

    private mutating func follow(_ row: UsageChainRow, _ member: Int?, _ told: [Told]) {
        var (chain, told) = (row, told[...])
        guard var link = Digest256(bytes: row.link) else { return }
        var followed: [Int] = []
        for place in member.map({ members[$0] }) ?? [] {
            while let next = told.first, next.after <= place {
                told.removeFirst()
                take(next.head, &chain, &link)
            }
            guard chain.number >= 0, let record = reported.links[place] else { continue }
            link = UsageChain.link(link, record.digests)
            chain.number += 1
            numbers[place] = chain.number
            followed.append(place)
        }
        for rest in told { take(rest.head, &chain, &link) }
        if let member { members[member] = followed }
        chain.link = link.bytes
        chains[chain.key.tenantID] = chain
    }

    /// Judges a head by what was followed; one that is signed says in any case where the chain is from here on.
    private mutating func take(_ head: UsageHead, _ chain: inout UsageChainRow, _ link: inout Digest256) {
        let fault: ChainBreak? =
            if publicKey.map({ !head.isSigned(by: $0) }) ?? true {
                .badSignature
            } else if chain.number >= 0, chain.number != head.number {
                .otherNumber
            } else if chain.number >= 0, link != head.link {
                .otherRecords
            } else {
                nil
            }
        if let fault {
            breaks.append((chain.key, fault))
            chain.broken = chain.broken ?? fault.rawValue
            chain.brokenAt = chain.brokenAt ?? now
            guard fault != .badSignature else { return }
        }
        (chain.number, link, chain.signedAt) = (head.number, head.link, max(chain.signedAt, head.signedAt))
        heads.append(
            UsageHeadRow(key: chain.key, number: head.number, link: head.link.bytes, signedAt: head.signedAt, signature: head.signature))
    }

    /// Stores the records as they were signed, and how far the chains go.
    func store(_ c: any SQLConnection, _ rows: PackedRows, repeated: Set<Int>, apart: Set<Int>) throws {
        var stored: [SignedUsageRow] = []
        for (tenant, places) in members.enumerated() {
            let key = UsageChainKey(tenantID: reported.tenants[tenant], dataPlaneID: dataPlaneID, incarnation: incarnation)
            for start in stride(from: 0, to: places.count, by: Self.recordsPerRow) {
                let part = places[start..<min(start + Self.recordsPerRow, places.count)]
                guard let first = part.first.map({ numbers[$0] }) else { continue }
                var writer = SignedUsageWriter()
                for place in part {
                    guard let link = reported.links[place] else { continue }
                    let state: SignedUsage.State = apart.contains(place) ? .apart : repeated.contains(place) ? .repeated : .charged
                    writer.append(
                        reported.bills[link.bill], rest: link.digests.rest, state,
                        chargedNano: state == .charged ? rows[place, UsagePlace.costNano] : 0,
                        day: rows[place, UsagePlace.admittedAt] / 86_400_000_000)
                }
                stored.append(
                    SignedUsageRow(key: key, numbers: first...first + Int64(part.count) - 1, days: writer.days, records: writer.bytes))
            }
        }
        try SignedUsageTable.insert(c, stored)
        try UsageHeadsTable.put(c, heads)
        try UsageChainsTable.put(c, chains.values.sorted { $0.key.tenantID < $1.key.tenantID })
    }
}

/// The data planes' identities, which never change.
final class UsageIdentities: Sendable {
    private let known = Mutex<[String: [UInt8]]>([:])

    func publicKey(_ c: any SQLConnection, of dataPlaneID: String) throws -> [UInt8]? {
        if let key = known.withLock({ $0[dataPlaneID] }) { return key }
        guard let key = try DataPlanesTable.find(c, id: dataPlaneID)?.identityPublicKey else { return nil }
        known.withLock { $0[dataPlaneID] = key }
        return key
    }
}
