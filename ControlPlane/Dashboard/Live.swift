import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Synchronization

/// Pages that renew themselves: the part of them that changes, sent as a server-sent event (WHATWG HTML §9.2) whenever it is another.
///
/// A stream ends with its session, which it does not keep alive, and after a while by itself: a browser connects again. How many there are is
/// bounded; who comes beyond that has a page that asks again now and then (`Assets.script`).
final class LivePages: Sendable {
    /// Of one session: as many as it may have tabs in view.
    static let maximumOfOne = 4
    static let maximum = 64
    private static let secondsBetween = 5
    /// The comment that shows a proxy, and us, that both ends are there.
    private static let secondsToComment = 15
    private static let secondsOfOne = 600

    private let places = Places()
    private let fragments = Fragments()

    /// Makes what is in the page's live part.
    typealias Making = @Sendable (Visit) async throws -> String

    /// - Parameters:
    ///   - look: Whose session it is now; throws when it has ended.
    ///   - page: Address of the page: whoever sees the same is sent the same.
    func answer(
        _ visit: Visit, page: String, look: @escaping @Sendable () async throws -> Actor, _ make: @escaping Making
    ) throws -> APIResponse {
        guard let place = places.take(visit.held) else {
            throw DomainError.tooMany(detail: "There are as many live pages open as may be.", retryAfterSeconds: Self.secondsBetween)
        }
        let stream = Stream(place: place, fragments: fragments, page: page, visit: visit, look: look, make: make)
        var answer = APIResponse(
            status: .ok, headers: [.contentType: "text/event-stream; charset=utf-8"],
            body: Array("retry: \(Self.secondsBetween * 1000)\n\n".utf8))
        if let name = HTTPField.Name("x-accel-buffering") { answer.headers[name] = "no" }
        answer.events = { try await stream.next() }
        return answer
    }

    /// The live part as it was a moment ago, or is now.
    func fragment(at page: String, _ visit: Visit, _ make: @escaping Making) async throws -> String {
        try await fragments.get(page, visit, make)
    }

    /// A text as the data of one event.
    static func event(_ text: String) -> [UInt8] {
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.map { "data: \($0)\n" }
        return Array((lines.joined() + "\n").utf8)
    }

    /// One browser's stream. Its place is free again when it is gone, however that came.
    private actor Stream {
        private let place: Places.Place
        private let fragments: Fragments
        private let page: String
        private var visit: Visit
        private let look: @Sendable () async throws -> Actor
        private let make: Making
        private var seconds = 0
        private var last: String?

        init(
            place: Places.Place, fragments: Fragments, page: String, visit: Visit, look: @escaping @Sendable () async throws -> Actor,
            make: @escaping Making
        ) {
            (self.place, self.fragments, self.page, self.visit, self.look, self.make) = (place, fragments, page, visit, look, make)
        }

        func next() async throws -> [UInt8]? {
            guard seconds < LivePages.secondsOfOne else { return nil }
            if seconds > 0 { try await Task.sleep(for: .seconds(1)) }
            seconds += 1
            guard (seconds - 1).isMultiple(of: LivePages.secondsBetween) else { return [] }
            // The end of a session, a fault or a page that is gone: the page stays as it is, and its next look says why.
            guard let actor = try? await look() else { return nil }
            visit = visit.seen(by: actor)
            guard let fragment = try? await fragments.get(page, visit, make) else { return nil }
            if fragment != last {
                last = fragment
                return LivePages.event(fragment)
            }
            return (seconds - 1).isMultiple(of: LivePages.secondsToComment) ? Array(": \n\n".utf8) : []
        }
    }

    /// How many streams there are.
    private final class Places: Sendable {
        private let taken = Mutex<[AdminSessions.Held: Int]>([:])

        final class Place: Sendable {
            private let free: @Sendable () -> Void
            init(_ free: @escaping @Sendable () -> Void) { self.free = free }
            deinit { free() }
        }

        func take(_ held: AdminSessions.Held) -> Place? {
            let isFree = taken.withLock { taken in
                guard taken[held, default: 0] < LivePages.maximumOfOne, taken.values.reduce(0, +) < LivePages.maximum else { return false }
                taken[held, default: 0] += 1
                return true
            }
            guard isFree else { return nil }
            return Place { [self] in
                taken.withLock { taken in
                    let rest = taken[held, default: 1] - 1
                    taken[held] = rest > 0 ? rest : nil
                }
            }
        }
    }

    /// What was made a moment ago for those who may see the same: many who look at one page cost as much as one.
    private actor Fragments {
        private struct Key: Hashable {
            let page: String
            let role: Role
            let tokenRole: Role?
            let tenant: String?
        }
        /// at: when it was ready; nil: it is being made.
        private var made: [Key: (at: Int64?, task: Task<String, any Error>)] = [:]

        func get(_ page: String, _ visit: Visit, _ make: @escaping Making) async throws -> String {
            let actor = visit.actor
            let key = Key(page: page, role: actor.role, tokenRole: actor.tokenRole, tenant: actor.tenantID?.rawValue)
            let now = MonotonicClock.nowMicroseconds()
            made = made.filter { entry in entry.value.at.map { now - $0 < Int64(LivePages.secondsBetween - 1) * 1_000_000 } ?? true }
            if let found = made[key] { return try await found.task.value }
            let task = Task { try await make(visit) }
            made[key] = (nil, task)
            defer { made[key] = (MonotonicClock.nowMicroseconds(), task) }
            return try await task.value
        }
    }
}
