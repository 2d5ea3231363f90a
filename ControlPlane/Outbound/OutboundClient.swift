package import Domain
import Foundation
package import Primitives
import Synchronization

/// The outbound client on libcurl: one thread, on which nobody waits, makes all calls. What it may reach is judged by the address that a
/// socket is about to connect to, after names were resolved, so a name that leads elsewhere the second time changes nothing. Each call has
/// a connection of its own: none is used again that somebody with another reach opened.
package final class OutboundClient: OutboundHTTP {
    private let loop: OutboundLoop
    private let numbers = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - networks: What `Reach.public` leads to beside the public Internet.
    ///   - authorities: Extra trust roots for every call, in PEM; empty: none.
    ///   - maximum: Calls at one time.
    package init(networks: NetworkList = .none, authorities: String = "", maximum: Int = 64) {
        let loop = OutboundLoop(networks: networks, authorities: authorities, maximum: maximum)
        self.loop = loop
        let thread = Thread { loop.run() }
        thread.name = "outbound"
        thread.start()
    }

    deinit { loop.stop() }

    package func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
        if let problem = Self.problem(request) { throw OutboundFailure(.notAllowed, problem) }
        let number = numbers.add(1, ordering: .relaxed).newValue
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.start(OutboundTransfer(number: number, request: request, continuation: continuation))
            }
        } onCancel: {
            loop.cancel(number)
        }
        loop.forget(number)
        return try result.get()
    }

    /// What cannot be sent as it is: a line break in a field would begin another.
    private static func problem(_ request: OutboundRequest) -> String? {
        let url = request.url.utf8
        guard url.count <= 8192, url.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return "the URL is no URL" }
        guard request.url.lowercased().hasPrefix("https://") || request.url.lowercased().hasPrefix("http://") else {
            return "the URL does not begin with https://"
        }
        for (name, value) in request.headers {
            let isToken =
                !name.isEmpty && name.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
            guard isToken, value.reveal().utf8.allSatisfy({ $0 == 9 || ($0 >= 0x20 && $0 != 0x7F) }) else {
                return "the field \(isToken ? name : "?") cannot be sent"
            }
        }
        return nil
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
