import NIOCore
import Synchronization

/// What the simulator says about itself, under `/_sim/` on the port of the provider.
///
/// - `GET /_sim/ledger?after=N&limit=M`: entries in the order of arrival (``LedgerEntry``)
/// - `GET /_sim/ledger/sums`: requests and stated tokens by model
/// - `GET /_sim/stats`: counters
/// - `POST /_sim/reset`: empties the ledger
/// - `GET /_sim/health`
enum ControlEndpoints {
    private static let largestPage = 100_000

    static func respond(get: Bool, path: Substring, query: Substring, shared: Shared) -> ByteBuffer {
        switch (get, path) {
        case (true, "/_sim/ledger"):
            let after = parameter("after", query) ?? 0
            let limit = min(parameter("limit", query) ?? largestPage, largestPage)
            return ok(ledger(shared.ledger.entries(after: after, limit: limit), total: shared.ledger.count))
        case (true, "/_sim/ledger/sums"): return ok(sums(shared.ledger))
        case (true, "/_sim/stats"):
            let requests = shared.requests.load(ordering: .relaxed)
            let open = shared.connectionsOpen.load(ordering: .relaxed)
            let opened = shared.connectionsOpened.load(ordering: .relaxed)
            let connections = #""connections_open":\#(open),"connections_opened":\#(opened)"#
            return ok(#"{"requests":\#(requests),\#(connections),"ledger":\#(shared.ledger.count)}"#)
        case (true, "/_sim/health"): return ok(#"{"status":"ok"}"#)
        case (false, "/_sim/reset"):
            shared.ledger.reset()
            return ok("{}")
        default: return response(status: 404, body: #"{"error":"no such control endpoint"}"#)
        }
    }

    private static func ledger(_ entries: [LedgerEntry], total: Int) -> String {
        var text = "{\"total\":\(total),\"entries\":["
        for (index, entry) in entries.enumerated() {
            if index > 0 { text += "," }
            entry.appendJSON(to: &text)
        }
        return text + "]}"
    }

    private static func sums(_ ledger: Ledger) -> String {
        let models = ledger.sums().sorted { $0.key < $1.key }.map { model, sum in
            #""\#(model)":{"requests":\#(sum.requests),"complete":\#(sum.complete),"stated":\#(sum.stated),"#
                + #""input":\#(sum.input),"output":\#(sum.output),"cached":\#(sum.cached)}"#
        }
        return "{\"models\":{" + models.joined(separator: ",") + "}}"
    }

    private static func parameter(_ name: String, _ query: Substring) -> Int? {
        for pair in query.split(separator: "&") where pair.hasPrefix(name + "=") { return Int(pair.dropFirst(name.count + 1)) }
        return nil
    }

    private static func ok(_ body: String) -> ByteBuffer { response(status: 200, body: body) }

    static func response(status: Int, body: String, closes: Bool = false, retryAfter: Int? = nil) -> ByteBuffer {
        var head = "HTTP/1.1 \(status) \(ErrorBody.reason(status))\r\ncontent-type: application/json\r\n"
        if let retryAfter { head += "retry-after: \(retryAfter)\r\n" }
        head += "content-length: \(body.utf8.count)\r\n" + (closes ? "connection: close\r\n\r\n" : "\r\n")
        return ByteBuffer(string: head + body)
    }
}
