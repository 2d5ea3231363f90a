/// The bytes of request bodies that one loop holds, and for whom. What has arrived counts, not what was announced. When there is no room
/// left, whoever holds more than a fair share (the bound divided by those who hold something) gives way, and the others are still served.
struct BodyBudget {
    /// One tenant's part. Kept while any of its larger bodies is held.
    final class Share {
        fileprivate(set) var bytes = 0
        fileprivate let holder: [UInt8]

        fileprivate init(_ holder: [UInt8]) { self.holder = holder }
    }

    enum Verdict: Equatable {
        case fits
        /// The asker holds more than its share.
        case refuse
        /// Somebody else does.
        case makeRoom
    }

    /// Bodies up to this size are counted and not attributed: they are most requests, and could not fill the bound.
    static let smallBytes = 16_384

    private let maximum: Int
    private(set) var total = 0
    private var shares: [[UInt8]: Share] = [:]

    init(maximum: Int) { self.maximum = max(1, maximum) }

    /// - Parameter holder: the tenant's id.
    mutating func share(of holder: [UInt8]) -> Share {
        if let share = shares[holder] { return share }
        let share = Share(holder)
        shares[holder] = share
        return share
    }

    mutating func add(_ bytes: Int, to share: Share?) {
        total &+= bytes
        share?.bytes &+= bytes
    }

    mutating func remove(_ bytes: Int, from share: Share?) {
        total &-= bytes
        guard let share else { return }
        share.bytes &-= bytes
        // `===`: a share that was let go and made anew is not this one.
        if share.bytes <= 0, shares[share.holder] === share { shares[share.holder] = nil }
    }

    /// Whether so many more bytes may be taken in for this share.
    func verdict(_ share: Share?, adding bytes: Int) -> Verdict {
        if total + bytes <= maximum { return .fits }
        guard let share else { return total <= 2 * maximum ? .fits : .refuse }
        return share.bytes + bytes > maximum / max(1, shares.count) ? .refuse : .makeRoom
    }

    /// Whether the bound may be passed for a tenant below its share because nobody's arriving body could be cut.
    var isHopeless: Bool { total > 2 * maximum }

    var largest: Share? { shares.values.max { $0.bytes < $1.bytes } }
}
