/// Writes a JSON document, member after member. What is written twice in the same order is the same byte for byte.
package struct JSONOutput: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var needsComma = false

    package init(reserving capacity: Int = 256) { bytes.reserveCapacity(capacity) }

    // MARK: Structure

    package mutating func object(_ write: (inout JSONOutput) throws -> Void) rethrows {
        begin(UInt8(ascii: "{"))
        try write(&self)
        end(UInt8(ascii: "}"))
    }

    package mutating func array(_ write: (inout JSONOutput) throws -> Void) rethrows {
        begin(UInt8(ascii: "["))
        try write(&self)
        end(UInt8(ascii: "]"))
    }

    package mutating func object(_ name: StaticString, _ write: (inout JSONOutput) throws -> Void) rethrows {
        key(name)
        try object(write)
    }

    package mutating func array(_ name: StaticString, _ write: (inout JSONOutput) throws -> Void) rethrows {
        key(name)
        try array(write)
    }

    private mutating func begin(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func end(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func key(_ name: StaticString) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        append(name)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    private mutating func append(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    // MARK: Values

    package mutating func value(_ text: EscapedText) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: text.bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    package mutating func value(_ view: JSONView) { raw(view.bytes) }

    /// A value that is JSON already.
    package mutating func raw(_ json: some Sequence<UInt8>) {
        separate()
        bytes.append(contentsOf: json)
    }

    // MARK: Members

    /// A text of ours, which needs no escapes.
    package mutating func member(_ name: StaticString, _ text: StaticString) {
        key(name)
        separate()
        bytes.append(UInt8(ascii: "\""))
        append(text)
        bytes.append(UInt8(ascii: "\""))
    }

    package mutating func member(_ name: StaticString, _ text: EscapedText) {
        key(name)
        value(text)
    }

    package mutating func member(_ name: StaticString, _ view: JSONView) {
        key(name)
        value(view)
    }

    package mutating func member(_ name: StaticString, _ number: Int64) {
        key(name)
        raw(String(number).utf8)
    }

    package mutating func member(_ name: StaticString, _ flag: Bool) {
        key(name)
        separate()
        append(flag ? "true" : "false")
    }

    package mutating func member(_ name: StaticString, json: some Sequence<UInt8>) {
        key(name)
        raw(json)
    }

    package mutating func null(_ name: StaticString) {
        key(name)
        separate()
        append("null")
    }

    /// The text, or null.
    package mutating func member(_ name: StaticString, orNull text: EscapedText?) {
        if let text { member(name, text) } else { null(name) }
    }
}
