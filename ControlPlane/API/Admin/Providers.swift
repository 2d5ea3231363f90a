package import Domain

package enum ProviderForm: CatalogForm {
    package typealias Noun = ProviderNoun
    package static let permission = Permission.operate
    package static let filters: Set<String> = []

    package static func content(_ fields: FieldReader, over present: ProviderContent?) -> ProviderContent {
        let presentAuth = present.map { ($0.authScheme, $0.authHeader) }
        let auth = fields.object("auth") { auth -> (AuthScheme, String) in
            let scheme = auth.choice("scheme", or: presentAuth?.0) ?? .none
            // A header's name that was for another scheme is not carried over.
            let header = auth.string("header", or: scheme == .header ? presentAuth?.1 : "")
            return (scheme, header)
        }
        let (scheme, header) = auth ?? presentAuth ?? (.bearer, "")
        return ProviderContent(
            name: fields.string("name", or: present?.name), kind: fields.string("kind", or: present?.kind ?? "openai"),
            baseURL: fields.string("base_url", or: present?.baseURL), authScheme: scheme, authHeader: header,
            caPEM: fields.optionalString("ca_pem", or: present?.caPEM) ?? "", timeouts: fields.timeouts(or: present?.timeouts))
    }
}

extension FieldReader {
    /// `timeouts`; members that are left out stay as they are.
    func timeouts(or present: Timeouts?) -> Timeouts {
        let present = present ?? Timeouts()
        let range = 0...Timeouts.maximumMS
        let given = object("timeouts") { fields in
            Timeouts(
                connectMS: fields.integer("connect_ms", in: range, or: present.connectMS),
                firstByteMS: fields.integer("first_byte_ms", in: range, or: present.firstByteMS),
                idleMS: fields.integer("idle_ms", in: range, or: present.idleMS),
                totalMS: fields.integer("total_ms", in: range, or: present.totalMS))
        }
        return given ?? present
    }
}
