/// An answer that Weir gives by itself.
struct LocalAnswer {
    var status = 200
    var body: [UInt8]
    var configVersion: [UInt8] = []
    /// Beside those that each answer has.
    var fields: [ReplyHead.Field] = []

    static let live = LocalAnswer(body: Array(#"{"status":"ok"}"#.utf8))

    static func ready(_ isReady: Bool) -> LocalAnswer {
        isReady ? live : LocalAnswer(status: 503, body: Array(#"{"status":"unavailable"}"#.utf8))
    }
}
