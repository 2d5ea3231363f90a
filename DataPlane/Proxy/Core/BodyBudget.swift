/// What one request's body holds of its loop's budget, and in whose share.
struct HeldBody {
    private var bytes = 0
    private var share: BodyBudget.Share?

    /// - Parameters:
    ///   - bytes: of the body that are here.
    ///   - length: of the whole body, as far as it is known.
    /// - Returns: how many of them were not counted yet.
    mutating func missing(of bytes: Int, length: Int, _ exchange: Exchange) -> Int {
        if share == nil, max(bytes, length) > BodyBudget.smallBytes { attribute(exchange) }
        return bytes - self.bytes
    }

    /// Whether there is room for so many more, perhaps since somebody else had to give way; the request is to be refused where there is none.
    func hasRoom(for more: Int, _ loop: LoopContext) -> Bool {
        switch loop.bodies.verdict(share, adding: more) {
        case .fits: true
        case .makeRoom: loop.makeRoomForBodies() || !loop.bodies.isHopeless
        case .refuse: false
        }
    }

    mutating func add(_ more: Int, _ loop: LoopContext) {
        bytes += more
        loop.bodies.add(more, to: share)
    }

    /// What was counted as a small body's so far is somebody's from now on.
    private mutating func attribute(_ exchange: Exchange) {
        let share = exchange.loop.bodies.share(of: exchange.bodyHolder)
        exchange.loop.bodies.remove(bytes, from: nil)
        exchange.loop.bodies.add(bytes, to: share)
        self.share = share
    }

    func isIn(_ share: BodyBudget.Share) -> Bool { self.share === share }

    mutating func release(_ loop: LoopContext) {
        if bytes > 0 || share != nil { loop.bodies.remove(bytes, from: share) }
        bytes = 0
        share = nil
    }
}

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
