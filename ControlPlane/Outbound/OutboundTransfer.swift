import CCurl
import Contract
import Domain
import Foundation
import Primitives

/// What holds for all calls of a client.
struct OutboundPolicy {
    let networks: NetworkList
    let authorities: String

    /// Nil: it may be connected to.
    /// - Parameter address: 4 or 16 bytes in network order.
    func refusal(of address: [UInt8], _ reach: OutboundRequest.Reach, isPlain: Bool) -> String? {
        let refused: AddressRefusal?
        switch reach {
        case .configured:
            refused = networks.contains(bytes: address) ? nil : AddressReach.configured.refusal(of: address)
            return refused.map { "it leads to \($0), which is never called" }
        case .endpoint:
            refused = AddressReach.public(and: .none).refusal(of: address)
            return refused.map { "it leads to \($0): say --private-addresses true of the endpoint, if that is meant" }
        case .public:
            refused = AddressReach.public(and: networks).refusal(of: address)
            if let refused { return "it leads to \(refused), and to no network that --outbound-networks allows" }
            return isPlain && !networks.contains(bytes: address) ? "plain http is for the networks that --outbound-networks allows" : nil
        }
    }
}

/// One call. Made by its caller, then the outbound thread's alone.
final class OutboundTransfer: @unchecked Sendable {
    private static let maximumFieldBytes = 1 << 16
    private static let maximumConnectMilliseconds = 5000

    let number: UInt64
    let continuation: CheckedContinuation<Result<OutboundAnswer, OutboundFailure>, Never>
    private let request: OutboundRequest
    private(set) var easy: UnsafeMutableRawPointer?
    private var policy: OutboundPolicy?
    private var fields: UnsafeMutablePointer<curl_slist>?
    private let words = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    private var headers: [(name: String, value: String)] = []
    private var headerBytes = 0
    private var body: [UInt8] = []
    private var isTooLarge = false
    /// The answer's status was all that was wanted, and is there.
    private var isEnough = false
    private var refusal: String?
    private var wasOpened = false

    init(number: UInt64, request: OutboundRequest, continuation: CheckedContinuation<Result<OutboundAnswer, OutboundFailure>, Never>) {
        self.number = number
        self.request = request
        self.continuation = continuation
        words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        free()
        words.deallocate()
    }

    func free() {
        if let easy { curl_easy_cleanup(easy) }
        easy = nil
        curl_slist_free_all(fields)
        fields = nil
    }

    var wasSent: Bool {
        var bytes = 0
        return easy.map { weir_curl_get_long($0, CURLINFO_REQUEST_SIZE, &bytes) == CURLE_OK && bytes > 0 } ?? false
    }

    private var isPlain: Bool { request.url.lowercased().hasPrefix("http://") }

    // MARK: - What is asked of libcurl

    /// False when libcurl does not take it.
    func prepare(_ policy: OutboundPolicy) -> Bool {
        guard let easy = curl_easy_init() else { return false }
        self.easy = easy
        self.policy = policy
        let milliseconds = max(1, request.limits.milliseconds)
        let codes = [
            weir_curl_set_text(easy, CURLOPT_URL, request.url),
            weir_curl_set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https"),
            weir_curl_set_long(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1),
            weir_curl_set_long(easy, CURLOPT_FOLLOWLOCATION, 0),
            // The environment's proxies would resolve names where nobody judges the address.
            weir_curl_set_text(easy, CURLOPT_PROXY, ""),
            weir_curl_set_text(easy, CURLOPT_NOPROXY, "*"),
            weir_curl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)),
            weir_curl_set_long(easy, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2)),
            weir_curl_set_long(easy, CURLOPT_NOSIGNAL, 1),
            // A call that is given up does not wait for its name's resolver.
            weir_curl_set_long(easy, CURLOPT_QUICK_EXIT, 1),
            weir_curl_set_long(easy, CURLOPT_FRESH_CONNECT, 1),
            weir_curl_set_long(easy, CURLOPT_FORBID_REUSE, 1),
            weir_curl_set_long(easy, CURLOPT_TIMEOUT_MS, milliseconds),
            weir_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, min(milliseconds, Self.maximumConnectMilliseconds)),
            weir_curl_set_text(easy, CURLOPT_USERAGENT, "weir-control"),
            weir_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, words),
            setMethod(easy), setFields(easy), setAuthorities(easy, policy), setCallbacks(easy),
        ]
        return codes.allSatisfy { $0 == CURLE_OK }
    }

    private func setMethod(_ easy: UnsafeMutableRawPointer) -> CURLcode {
        let body = request.body ?? []
        if request.body != nil || request.method == .post {
            let code = body.withUnsafeBytes { weir_curl_set_copied_body(easy, $0.baseAddress ?? UnsafeRawPointer(words), $0.count) }
            guard code == CURLE_OK else { return code }
        }
        return request.method == .get && request.body == nil
            ? CURLE_OK : weir_curl_set_text(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    }

    private func setFields(_ easy: UnsafeMutableRawPointer) -> CURLcode {
        // Without a value libcurl leaves its own away: it calls every body a form, and waits for leave to send a large one.
        var lines = ["expect:"]
        if !request.headers.contains(where: { $0.name.lowercased() == "content-type" }) { lines.append("content-type:") }
        for (name, value) in request.headers {
            let text = value.reveal()
            lines.append(text.isEmpty ? "\(name);" : "\(name): \(text)")
        }
        for line in lines {
            guard let longer = curl_slist_append(fields, line) else { return CURLE_OUT_OF_MEMORY }
            fields = longer
        }
        return weir_curl_set_pointer(easy, CURLOPT_HTTPHEADER, fields)
    }

    /// Beside the machine's own, which libcurl keeps as a directory, too.
    private func setAuthorities(_ easy: UnsafeMutableRawPointer, _ policy: OutboundPolicy) -> CURLcode {
        let pem = [policy.authorities, request.authorities].filter { !$0.isEmpty }.joined(separator: "\n")
        return pem.isEmpty ? CURLE_OK : Array(pem.utf8).withUnsafeBytes { weir_curl_set_authorities(easy, $0.baseAddress, $0.count) }
    }

    private func setCallbacks(_ easy: UnsafeMutableRawPointer) -> CURLcode {
        // The loop keeps the transfer until the handle is gone.
        let me = Unmanaged.passUnretained(self).toOpaque()
        let codes = [
            weir_curl_set_pointer(easy, CURLOPT_WRITEDATA, me),
            weir_curl_set_pointer(easy, CURLOPT_HEADERDATA, me),
            weir_curl_set_pointer(easy, CURLOPT_OPENSOCKETDATA, me),
            weir_curl_set_reader(easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
                OutboundTransfer.of(context)?.take(body: UnsafeRawBufferPointer(start: bytes, count: size * count)) ?? 0
            },
            weir_curl_set_reader(easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
                OutboundTransfer.of(context)?.take(field: UnsafeRawBufferPointer(start: bytes, count: size * count)) ?? 0
            },
            weir_curl_set_socket_opener(easy) { context, purpose, address in
                guard purpose == CURLSOCKTYPE_IPCXN, let address else { return CURL_SOCKET_BAD }
                return OutboundTransfer.of(context)?.open(address) ?? CURL_SOCKET_BAD
            },
        ]
        return codes.first { $0 != CURLE_OK } ?? CURLE_OK
    }

    private static func of(_ context: UnsafeMutableRawPointer?) -> OutboundTransfer? {
        context.map { Unmanaged<OutboundTransfer>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: - What libcurl tells

    /// The socket for an address that may be connected to.
    private func open(_ address: UnsafeMutablePointer<curl_sockaddr>) -> curl_socket_t {
        let start = MemoryLayout<curl_sockaddr>.offset(of: \.addr) ?? 0
        let raw = UnsafeRawPointer(address) + start
        let bytes: [UInt8]
        switch address.pointee.family {
        case AF_INET: bytes = withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in.self).sin_addr) { Array($0) }
        case AF_INET6: bytes = withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr) { Array($0) }
        default: return CURL_SOCKET_BAD
        }
        if let why = policy.flatMap({ $0.refusal(of: bytes, request.reach, isPlain: isPlain) }) {
            refusal = why
            return CURL_SOCKET_BAD
        }
        wasOpened = true
        return socket(address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.protocol)
    }

    private func take(field bytes: UnsafeRawBufferPointer) -> Int {
        headerBytes += bytes.count
        guard headerBytes <= Self.maximumFieldBytes else {
            isTooLarge = true
            return 0
        }
        let line = String(decoding: bytes, as: UTF8.self)
        // Of several heads (100 Continue before the answer) the last counts.
        if line.hasPrefix("HTTP/") {
            headers = []
        } else if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespacesAndNewlines)
            headers.append((line[..<colon].lowercased(), value))
        }
        return bytes.count
    }

    private func take(body bytes: UnsafeRawBufferPointer) -> Int {
        guard request.limits.bytes > 0 else {
            isEnough = true
            return 0
        }
        guard body.count + bytes.count <= request.limits.bytes else {
            isTooLarge = true
            return 0
        }
        body.append(contentsOf: bytes)
        return bytes.count
    }

    func result(_ code: CURLcode) -> Result<OutboundAnswer, OutboundFailure> {
        var status = 0
        if let easy { _ = weir_curl_get_long(easy, CURLINFO_RESPONSE_CODE, &status) }
        if code == CURLE_OK || isEnough { return .success(OutboundAnswer(status: status, headers: headers, body: body)) }
        return .failure(failure(code))
    }

    private func failure(_ code: CURLcode) -> OutboundFailure {
        let sent = wasSent
        let said = String(String(cString: words).map { $0.isNewline ? " " : $0 }.prefix(200))
        if isTooLarge {
            return OutboundFailure(
                .tooLarge, "the answer is larger than \(request.limits.bytes) bytes, or its fields than \(Self.maximumFieldBytes)",
                wasSent: sent)
        }
        if !wasOpened, let refusal { return OutboundFailure(.notAllowed, refusal) }
        switch code {
        case CURLE_OPERATION_TIMEDOUT:
            let seconds = Double(request.limits.milliseconds) / 1000
            return OutboundFailure(.timedOut, sent ? "no whole answer within \(seconds) seconds" : "nobody answered in time", wasSent: sent)
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_LOGIN_DENIED:
            guard !sent else { break }
            return OutboundFailure(.notAllowed, said.isEmpty ? "the URL is no URL" : said)
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION,
            CURLE_SSL_CACERT_BADFILE:
            guard !sent else { break }
            return OutboundFailure(.unreachable, said.isEmpty ? "it cannot be reached" : said)
        default: break
        }
        return OutboundFailure(.broken, said.isEmpty ? "the connection failed (\(code.rawValue))" : said, wasSent: sent)
    }
}
