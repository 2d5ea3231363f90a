/// What a message head or a chunked body may not contain. One case for each thing that RFC 9112 (or RFC 9110) forbids or leaves to the
/// reader's taste: two readers with different tastes on one connection are how requests are smuggled, so every taste is refused.
///
/// The connection that produced a violation is closed after the answer: where the next message begins is unknown.
package enum HTTPViolation: UInt8, Error, CaseIterable, Sendable {
    // Bounds.
    case headTooLarge, targetTooLong, tooManyFields
    // Start line (RFC 9112 sections 3 and 4).
    case invalidMethod, invalidTarget, unsupportedTarget, fragmentInTarget, invalidPercentEncoding, malformedRequestLine
    case malformedVersion, unsupportedVersion, http09, http2Preface, malformedStatusLine, unexpectedUpgrade
    // Line structure (RFC 9112 section 2.2, RFC 9110 section 5).
    case bareCR, bareLF, leadingWhitespace, obsoleteFolding, emptyFieldName, invalidFieldName, spaceBeforeColon, missingColon
    case controlInFieldValue
    // Fields with one meaning only.
    case missingHost, repeatedHost, invalidHost, hostMismatch, repeatedField, invalidConnection, connectionNamesEndToEndField
    case unknownExpectation
    // Framing (RFC 9112 section 6).
    case invalidContentLength, repeatedContentLength, contentLengthOverflow, lengthAndTransferEncoding
    case unsupportedTransferEncoding, repeatedTransferEncoding, transferEncodingOnHTTP10
    // Chunked coding (RFC 9112 section 7.1).
    case invalidChunkSize, chunkSizeOverflow, chunkExtensionTooLong, invalidChunkExtension, chunkSizeLineEnding, chunkDataEnding
    case trailerTooLarge, forbiddenTrailer, decoderAlreadyEnded

    /// Text for the caller and the log; holds nothing of the message itself.
    package var reason: String {
        switch self {
        case .headTooLarge: "the message head is larger than allowed"
        case .targetTooLong: "the request target is longer than allowed"
        case .tooManyFields: "the message has more header fields than allowed"
        case .invalidMethod: "the method is not a token"
        case .invalidTarget: "the request target contains a byte that a URI may not contain"
        case .unsupportedTarget: "the form of the request target is not supported"
        case .fragmentInTarget: "the request target contains a fragment"
        case .invalidPercentEncoding: "the request target contains a malformed percent-encoding"
        case .malformedRequestLine: "the request line is malformed"
        case .malformedVersion: "the HTTP version is malformed"
        case .unsupportedVersion: "the HTTP version is not supported"
        case .http09: "HTTP/0.9 is not supported"
        case .http2Preface: "HTTP/2 is not spoken on this connection"
        case .malformedStatusLine: "the status line is malformed"
        case .unexpectedUpgrade: "the protocol was switched without having been asked to"
        case .bareCR: "a carriage return is not followed by a line feed"
        case .bareLF: "a line feed is not preceded by a carriage return"
        case .leadingWhitespace: "the first header line begins with whitespace"
        case .obsoleteFolding: "a header field is folded over several lines"
        case .emptyFieldName: "a header field has no name"
        case .invalidFieldName: "a header field name is not a token"
        case .spaceBeforeColon: "there is whitespace between a header field name and its colon"
        case .missingColon: "a header line has no colon"
        case .controlInFieldValue: "a header field value contains a control character"
        case .missingHost: "the Host header field is missing"
        case .repeatedHost: "there is more than one Host header field"
        case .invalidHost: "the Host header field is not a host"
        case .hostMismatch: "the request target names another host than the Host header field"
        case .repeatedField: "a header field that may occur once occurs more than once"
        case .invalidConnection: "the Connection header field is malformed"
        case .connectionNamesEndToEndField: "the Connection header field names a field that is not hop-by-hop"
        case .unknownExpectation: "the expectation is not supported"
        case .invalidContentLength: "Content-Length is not a decimal number"
        case .repeatedContentLength: "there is more than one Content-Length"
        case .contentLengthOverflow: "Content-Length is too large"
        case .lengthAndTransferEncoding: "both Content-Length and Transfer-Encoding are present"
        case .unsupportedTransferEncoding: "Transfer-Encoding is not exactly \"chunked\""
        case .repeatedTransferEncoding: "there is more than one Transfer-Encoding"
        case .transferEncodingOnHTTP10: "Transfer-Encoding is not allowed in HTTP/1.0"
        case .invalidChunkSize: "a chunk size is not a hexadecimal number"
        case .chunkSizeOverflow: "a chunk size is too large"
        case .chunkExtensionTooLong: "the chunk extensions are longer than allowed"
        case .invalidChunkExtension: "a chunk extension contains a control character"
        case .chunkSizeLineEnding: "a chunk size line does not end with CRLF"
        case .chunkDataEnding: "chunk data is not followed by CRLF"
        case .trailerTooLarge: "the trailer section is larger than allowed"
        case .forbiddenTrailer: "the trailer section contains a field that may not occur there"
        case .decoderAlreadyEnded: "there are bytes after the end of the chunked body"
        }
    }

    /// The status that answers a request with this violation.
    package var status: Int {
        switch self {
        case .headTooLarge, .tooManyFields, .trailerTooLarge: 431
        case .targetTooLong: 414
        case .unknownExpectation: 417
        case .unsupportedTransferEncoding: 501
        case .unsupportedVersion, .http2Preface, .http09: 505
        default: 400
        }
    }
}
