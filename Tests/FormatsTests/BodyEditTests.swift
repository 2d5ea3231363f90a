import Formats
import Testing

@Suite("Changes of a request's body")
struct BodyEditTests {
    private func apply(_ edits: [BodyEdit], to body: String, _ dialect: Dialect = .openAI) -> String? {
        BodyEdit.apply(edits, to: Array(body.utf8), in: dialect).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test("members that are not touched keep their bytes and their order")
    func members() {
        let body = #"{ "model" : "m" , "n":1.50,"a\u0062":[ 1 , 2 ],"user":null }"#
        #expect(apply([], to: body) == #"{"model":"m","n":1.50,"a\u0062":[ 1 , 2 ],"user":null}"#)
        #expect(
            apply(
                [.set("n", Array("2".utf8)), .fill("user", Array("\"u\"".utf8)), .fill("ab", Array("0".utf8)), .remove("model")], to: body)
                == #"{"n":2,"a\u0062":[ 1 , 2 ],"user":"u"}"#)
        #expect(apply([.set("x", Array("{}".utf8))], to: "{}") == #"{"x":{}}"#)
        // One that is there twice is there once afterwards, and none of them stays when it is taken out.
        #expect(apply([.set("x", Array("3".utf8))], to: #"{"x":1,"y":0,"x":2}"#) == #"{"x":3,"y":0}"#)
        #expect(apply([.remove("x")], to: #"{"x":1,"y":0,"\u0078":2}"#) == #"{"y":0}"#)
        #expect(apply([], to: "[1]") == nil)
    }

    @Test("a system message stands first, in each API as it writes them")
    func system() {
        let edit = [BodyEdit.system("Be \"brief\".")]
        let message = #"{"role":"system","content":"Be \"brief\"."}"#
        #expect(apply(edit, to: #"{"messages":[ {"role":"user"}]}"#) == #"{"messages":[\#(message), {"role":"user"}]}"#)
        #expect(apply(edit, to: #"{"messages":[ ]}"#) == #"{"messages":[\#(message) ]}"#)
        #expect(apply(edit, to: #"{"prompt":"a"}"#) == #"{"prompt":"a"}"#)
        #expect(apply(edit, to: #"{"system":"Old."}"#, .messages) == #"{"system":"Be \"brief\".\n\nOld."}"#)
        #expect(
            apply(edit, to: #"{"system":[{"type":"text","text":"Old."}]}"#, .messages)
                == #"{"system":[{"type":"text","text":"Be \"brief\"."},{"type":"text","text":"Old."}]}"#)
        #expect(apply(edit, to: "{}", .messages) == #"{"system":"Be \"brief\"."}"#)
        #expect(apply(edit, to: #"{"instructions":null}"#, .responses) == #"{"instructions":"Be \"brief\"."}"#)
        #expect(apply(edit, to: #"{"instructions":"\u00e9"}"#, .responses) == #"{"instructions":"Be \"brief\".\n\n\u00e9"}"#)
    }
}
