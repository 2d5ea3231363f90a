import Testing

@testable import Wire

@Suite("A set of characters")
struct CharacterTests {
    @Test("written as two words holds what its text says")
    func sets() {
        let sets: [(ASCIISet, ASCIISet)] = [
            (.token, ASCIISet("!#$%&'*+-.^_`|~", alphanumeric: true)), (.target, ASCIISet("-._~!$&'()*+,;=:@/?%[]", alphanumeric: true)),
            (.host, ASCIISet("-._~:[]", alphanumeric: true)),
        ]
        for (words, text) in sets {
            for byte in UInt8.min...UInt8.max {
                #expect(words.contains(byte) == text.contains(byte), "\(byte)")
                if byte >= 0x80 || byte <= 0x20 || byte == 0x7F { #expect(!words.contains(byte)) }
            }
        }
    }
}
