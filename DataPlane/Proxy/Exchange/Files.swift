import Contract
import Formats
import NIOCore
import Primitives
import Trust
import Wire

/// `/v1/files/{id}` and `/v1/files/{id}/content`, of a file that a provider keeps for a tenant: see `ResourceIDs`.
final class FileCall {
    /// As the caller knows it.
    let name: [UInt8]
    let isContent: Bool
    private let method: [UInt8]
    /// Once it is known where the file is.
    private(set) var forward: Forward?

    /// - Parameter rest: of the path, behind `/files/`.
    init<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, rest: Range<Int>) throws(Rejection) {
        let parts = bytes[rest].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(Array.init)
        isContent = parts.count == 2 && parts[1].elementsEqual("content".utf8)
        guard let name = parts.first, !name.isEmpty, parts.count == 1 || isContent else {
            throw .unknownURL(Accept.text(bytes, head.methodRange), Accept.text(bytes, head.path))
        }
        self.name = name
        let method = Accept.text(bytes, head.methodRange)
        guard method == "GET" || (method == "DELETE" && !isContent) else {
            throw .methodNotAllowed(method, Accept.text(bytes, head.path), allowed: isContent ? "GET" : "GET, DELETE")
        }
        self.method = Array(method.utf8)
    }

    fileprivate func found(_ id: [UInt8], at endpoint: CompiledEndpoint) {
        let target = Array("/files/".utf8) + id + Array((isContent ? "/content" : "").utf8) + endpoint.pathSuffix
        forward = Forward(method: method, target: target, lines: Array("accept: */*\r\n".utf8))
    }
}

/// Files of its tenant that a request names.
struct FileUse {
    /// Where they all are.
    let place: ResourceIDs.Place
    /// The provider's names for them, and those that the caller knows.
    let names: [(hidden: [UInt8], shown: String)]
    /// Its content is what is asked for.
    var isContent = false

    /// That a request may name: each is looked up on the loop.
    static let most = 500
}

extension Exchange {
    /// Admit and Select for a file: at the endpoint and with the credential that it was made with, if its name is one of the caller's tenant.
    func file(_ call: FileCall, _ asked: Asked, _ caller: Caller, _ config: CompiledConfig) throws(Rejection) {
        if let scopes = caller.scopes, !scopes.allows(capability: .files) {
            throw .forbidden("capability_not_allowed", "The key may not be used for files.")
        }
        // Where no model keeps files nobody has any, and what they are named with has not been sent.
        if config.keepFiles.isEmpty { throw .fileNotFound(call.name) }
        guard let names = asked.snapshot.credentials.resourceIDs else { throw .namesNotReady() }
        guard let place = names.place(named: call.name, .file, tenant: caller.tenant.idBytes) else { throw .fileNotFound(call.name) }
        guard let (model, candidate) = asked.way(to: place, for: caller, among: config.keepFiles) else { throw .fileNotFound(call.name) }
        call.found(place.id, at: candidate.endpoint)
        asked.files = FileUse(place: place, names: [(place.id, String(decoding: call.name, as: UTF8.self))], isContent: call.isContent)
        let admittedAt = receivedAt &+ (loop.nowMicroseconds &- startedAt)
        let admission = Admission(
            call.forward, asked, caller, config, model, candidate.target, loop.nothing, requestID: requestID, at: admittedAt)
        if try hold(admission, address: asked.address, candidate: candidate) { try launch(admission, candidate) }
    }

    /// A body that names files, with the provider's names for them. Where they are is noted.
    ///
    /// Looked for only where some model of the deployment keeps files: what they are named with is here then, whether or not this tenant sees
    /// that model.
    /// - Throws: 404 for a file that is none of the caller's, the provider's own names included; 400 for files in more than one place.
    func withFiles(_ body: ByteBuffer, _ asked: Asked, _ caller: Caller) throws(Rejection) -> ByteBuffer {
        guard let names = asked.snapshot.credentials.resourceIDs, asked.media?.isForm != true else { return body }
        guard let found = body.withUnsafeReadableBytes({ FileReferences.find(in: $0) }) else {
            // Whoever reads the whole says what is wrong with it.
            _ = try caller.dialect.scan(body)
            throw .badRequest("invalid_json", "The request is nested too deeply.")
        }
        guard !found.isEmpty else { return body }
        guard found.count <= FileUse.most else {
            throw .badRequest("too_many_files", "The request names more than \(FileUse.most) files.")
        }
        var edits: [SpliceEdit] = []
        var first: ResourceIDs.Place?
        var shown: [(hidden: [UInt8], shown: String)] = []
        for reference in found {
            guard let place = names.place(named: reference.id, .file, tenant: caller.tenant.idBytes) else {
                throw .fileNotFound(reference.id)
            }
            guard first.map({ $0.endpoint == place.endpoint && $0.credential == place.credential }) ?? true else {
                throw .badRequest("files_apart", "The request names files that are kept in different places. Upload them again together.")
            }
            first = first ?? place
            edits.append(SpliceEdit(range: reference.range, replacement: place.id))
            shown.append((place.id, String(decoding: reference.id, as: UTF8.self)))
        }
        var spliced: [UInt8] = []
        let isWhole = body.withUnsafeReadableBytes { Splice.append(edits, to: $0, into: &spliced) }
        guard isWhole, let first else { throw .badRequest("invalid_json", "The request's names of files cannot be read.") }
        asked.files = FileUse(place: first, names: shown)
        return ByteBuffer(bytes: spliced)
    }
}

extension Admission {
    /// The answer is a file's content, and nothing to be looked into.
    var isContent: Bool { files?.isContent ?? false }

    /// Its answer describes a file, whose id is the provider's.
    var describesFile: Bool { capability == .files && !isContent }

    /// A description of a file with the name that its tenant knows it by. Nil where there is no id in it, or one that no name can be made of.
    func withOwnID(_ body: [UInt8], _ candidate: Candidate) -> [UInt8]? {
        guard let names = snapshot.credentials.resourceIDs, let document = try? JSONView(checking: body), let members = document.members
        else { return nil }
        let ids = members.filter { $0.name.string == "id" }
        guard ids.count == 1, let member = ids.first, let id = member.value.text?.string else { return nil }
        let place = ResourceIDs.Place(
            endpointID: candidate.endpoint.id, credentialID: candidate.credential?.id ?? "", id: Array(id.utf8))
        guard let name = names.name(of: place, .file, tenant: caller.tenant.idBytes) else { return nil }
        var own = body
        own.replaceSubrange(member.value.bytes.startIndex..<member.value.bytes.endIndex, with: JSONText.quoted(name))
        return own
    }

    /// What the caller is told where the provider does not know the file that is asked for; nil for everything else.
    func fileRejection(_ outcome: AttemptOutcome) -> Rejection? {
        guard capability == .files, let name = files?.names.first?.shown, case .refused(let error, _) = outcome.ending, error.status == 404
        else { return nil }
        return .fileNotFound(name)
    }

    /// What happened to it says something of the endpoint. What is handed on says nothing: its caller chooses what is asked, and under which name;
    /// nor does a file that is not there any more.
    func tells(_ outcome: AttemptOutcome) -> Bool {
        guard capability == .files else { return forward == nil }
        if case .refused(let error, _) = outcome.ending { return error.status != 404 }
        return true
    }
}

extension Rejection {
    static func fileNotFound(_ name: [UInt8]) -> Rejection { fileNotFound(String(decoding: name.prefix(256), as: UTF8.self)) }

    static func fileNotFound(_ name: String?) -> Rejection {
        Rejection(
            status: 404, fault: .client, kind: .invalidRequest, code: "file_not_found",
            message: "No such file\(name.map { ": \($0.prefix(256))" } ?? ""). Files are known by the ids that this gateway gave them.",
            param: "file_id")
    }

    static func fileElsewhere(_ model: String) -> Rejection {
        badRequest(
            "file_elsewhere",
            "The file is kept where the model '\(model)' is not served from. Upload it again with x-weir-model: \(model), or use another model.",
            param: "model")
    }

    static func noFiles() -> Rejection {
        badRequest("unsupported_capability", "None of the models that you can use keeps files.")
    }

    /// - Parameter names: of models that would do.
    static func modelOfFileOpen(_ names: [String]) -> Rejection {
        let shown = names.prefix(5).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
        return badRequest(
            "missing_required_parameter",
            "Files may be kept in several places. Name the model that is to read this one, in the header x-weir-model or in the query (?model=…): \(shown).",
            param: "model")
    }

    static func filesNotListed() -> Rejection {
        badRequest(
            "files_not_listed",
            "Files cannot be listed: the provider's account holds those of several tenants, and the gateway keeps no list of its own. Keep the ids that uploads answer with."
        )
    }
}
