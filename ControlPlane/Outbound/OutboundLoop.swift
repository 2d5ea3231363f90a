import CCurl
import Domain
import Foundation
import Primitives
import Synchronization

/// The thread of the outbound client. Everything but the mail is its own.
final class OutboundLoop: @unchecked Sendable {
    /// What others want of the thread.
    private struct Mail {
        var starting: [OutboundTransfer] = []
        var cancelled: [UInt64] = []
        /// Cancelled before they began.
        var early: Set<UInt64> = []
        /// Calls that have been taken and have no answer yet.
        var underWay: Set<UInt64> = []
        var isStopping = false
        /// The handle is gone: who woke it would write to whatever has its socket's number now.
        var isOver = false
    }

    private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private let mail = Mutex(Mail())
    private let maximum: Int
    private let policy: OutboundPolicy
    private let multi: UnsafeMutableRawPointer?
    private var running: [UInt64: OutboundTransfer] = [:]

    init(networks: NetworkList, authorities: String, maximum: Int) {
        self.maximum = maximum
        policy = OutboundPolicy(networks: networks, authorities: authorities)
        multi = Self.isReady ? curl_multi_init() : nil
    }

    func start(_ transfer: OutboundTransfer) {
        let refusal = mail.withLock { mail -> OutboundFailure? in
            if mail.early.remove(transfer.number) != nil { return OutboundFailure(.cancelled, "the call was given up") }
            guard multi != nil, !mail.isStopping else { return OutboundFailure(.busy, "no calls are made any more") }
            guard mail.underWay.count < maximum else { return OutboundFailure(.busy, "\(maximum) calls are under way already") }
            mail.underWay.insert(transfer.number)
            mail.starting.append(transfer)
            return nil
        }
        if let refusal { return transfer.continuation.resume(returning: .failure(refusal)) }
        wake()
    }

    private func wake() {
        mail.withLock { mail in
            if !mail.isOver { curl_multi_wakeup(multi) }
        }
    }

    func cancel(_ number: UInt64) {
        mail.withLock { mail in
            if mail.underWay.contains(number) { mail.cancelled.append(number) } else { mail.early.insert(number) }
        }
        wake()
    }

    func forget(_ number: UInt64) { mail.withLock { _ = $0.early.remove(number) } }

    func stop() {
        mail.withLock { $0.isStopping = true }
        wake()
    }

    func run() {
        guard let multi else { return }
        // A peer that has gone away is an error of its call; see CURLOPT_NOSIGNAL.
        var pipe = sigset_t()
        sigemptyset(&pipe)
        sigaddset(&pipe, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipe, nil)
        while true {
            let (starting, cancelled, isStopping) = mail.withLock { mail in
                defer {
                    mail.starting = []
                    mail.cancelled = []
                }
                return (mail.starting, mail.cancelled, mail.isStopping)
            }
            for transfer in starting { begin(transfer, multi) }
            for number in cancelled {
                if let transfer = running[number] { end(transfer, multi, OutboundFailure(.cancelled, "the call was given up")) }
            }
            if isStopping { break }
            var count: Int32 = 0
            curl_multi_perform(multi, &count)
            readEnds(multi)
            // Ends earlier when something arrives, when a call's time is up, and when there is mail.
            curl_multi_poll(multi, nil, 0, 60_000, nil)
        }
        for transfer in Array(running.values) { end(transfer, multi, OutboundFailure(.cancelled, "no calls are made any more")) }
        mail.withLock { $0.isOver = true }
        curl_multi_cleanup(multi)
    }

    private func begin(_ transfer: OutboundTransfer, _ multi: UnsafeMutableRawPointer) {
        running[transfer.number] = transfer
        guard transfer.prepare(policy), let easy = transfer.easy, curl_multi_add_handle(multi, easy) == CURLM_OK else {
            return end(transfer, multi, OutboundFailure(.notAllowed, "the call cannot be made as it is"))
        }
    }

    private func readEnds(_ multi: UnsafeMutableRawPointer) {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
            let code = message.pointee.data.result
            guard let transfer = running.values.first(where: { $0.easy == easy }) else { continue }
            end(transfer, multi, nil, code)
        }
    }

    /// - Parameter failure: Nil: what libcurl says.
    private func end(
        _ transfer: OutboundTransfer, _ multi: UnsafeMutableRawPointer, _ failure: OutboundFailure?, _ code: CURLcode = CURLE_OK
    ) {
        let result: Result<OutboundAnswer, OutboundFailure> =
            if let failure {
                .failure(OutboundFailure(failure.reason, failure.text, wasSent: transfer.wasSent))
            } else {
                transfer.result(code)
            }
        if let easy = transfer.easy { curl_multi_remove_handle(multi, easy) }
        transfer.free()
        running[transfer.number] = nil
        mail.withLock { _ = $0.underWay.remove(transfer.number) }
        transfer.continuation.resume(returning: result)
    }
}
