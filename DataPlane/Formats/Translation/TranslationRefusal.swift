/// Why something cannot be said in the other dialect.
package struct TranslationRefusal: Error, Sendable, Equatable {
    /// For the caller; holds nothing of the request but names of members.
    package let message: String
    /// The member to blame, as the caller knows it: `messages[2].content[0].type`.
    package let param: String?
    /// A code of its own that SDKs look at; nil for the common one.
    package let code: StaticCode?

    package enum StaticCode: Sendable, Equatable {
        /// Anthropic's SDK sends the whole conversation again, without the thread.
        case threadUnsupported
    }

    package init(_ param: String?, _ message: String, code: StaticCode? = nil) {
        self.param = param
        self.message = message
        self.code = code
    }

    static func unsupported(_ param: String, _ dialect: Dialect) -> TranslationRefusal {
        TranslationRefusal(param, "'\(param)' cannot be carried over to a model that is served through \(dialect.name).")
    }

    static func wrongType(_ param: String, _ expected: StaticString) -> TranslationRefusal {
        TranslationRefusal(param, "'\(param)' must be \(expected).")
    }

    static func tooMany(_ param: String) -> TranslationRefusal {
        TranslationRefusal(param, "'\(param)' has more than \(JSONView.maxElements) elements.")
    }
}
