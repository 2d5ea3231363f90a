import Domain
import HTTPTypes
import Nouns
import Primitives

/// What is said of the routes that no noun's declaration describes, by method and pattern. A test fails for one that is missing here.
enum HandwrittenRoutes {
    static func docs(_ route: APIRoute) -> RouteDocs? { all["\(route.method.rawValue) \(route.pattern)"] }

    private static let all: [String: RouteDocs] = [
        "GET /health/live": RouteDocs("Whether the process is alive.") { $0.answer = .anything },
        "GET /health/ready": RouteDocs("Whether it can do its work.") { $0.answer = .anything },
        "GET /metrics": RouteDocs("Metrics for Prometheus.") { $0.answer = .text },

        "GET /admin/api/usage/quarantine": RouteDocs("List what data planes reported and may not report, newest first.") {
            $0.query =
                RouteDocs.page + [
                    reporter, FieldShape("tenant_id", .id(TenantKind.prefix), "Only what claims to be of this tenant."), reason,
                ]
            $0.answer = .anything
        },
        "POST /admin/api/usage/quarantine/release": RouteDocs("Bill what was kept apart after all.") {
            $0.body = .form([required(reporter), reason])
            $0.answer = .anything
        },
        "POST /admin/api/usage/quarantine/discard": RouteDocs("Throw away what was kept apart.") {
            $0.body = .form([required(reporter), reason])
            $0.answer = .anything
        },
        "GET /external/v1/health": RouteDocs("Whether the key, its project and its tenant are in order.") { $0.answer = .anything },

        "GET /admin/api/fleet/endpoints": RouteDocs(
            "How endpoints and credentials fare at each data plane, by what it said last. A page is of data planes: it holds all that they said."
        ) {
            $0.query =
                RouteDocs.page + [
                    FieldShape("region", .label, "Only the data planes of this region."),
                    FieldShape("in_trouble", .flag, "Only what is failing or refused."),
                ]
            $0.answer = .list(Shapes.endpointState)
        },

        "GET /admin/api/signing-keys": RouteDocs("List the keys that documents are signed with.") { $0.answer = .list(Shapes.signingKey) },
        "POST /admin/api/signing-keys/rotate": RouteDocs("Sign with a new key from now on.") {
            $0.body = .optionalForm([
                FieldShape(
                    "grace_seconds", .integer(0...SigningKeyService.maximumGraceSeconds),
                    "For how long data planes that were away may still learn of it by the old key.")
            ])
            $0.answer = .object(Shapes.signingKey)
            $0.status = 201
        },
        "POST /admin/api/epoch/raise": RouteDocs("After a restore: let data planes accept older versions.") {
            $0.body = .optionalForm([])
            $0.answer = .object([.told("epoch", .number, "The epoch in force.")])
        },

        "GET /admin/api/config/draft": RouteDocs("Get the whole draft.") {
            $0.answer = .object(Shapes.draft)
            $0.hasRevision = true
        },
        "GET /admin/api/config/draft/changes": RouteDocs("Get what publishing the draft would change, and who did it.") {
            $0.answer = .object(Shapes.draftChanges)
            $0.hasRevision = true
        },
        "POST /admin/api/config/draft/validate": RouteDocs("Check whether the draft can be published.") {
            $0.body = .optionalForm([])
            $0.answer = .object(Shapes.validation)
        },
        "POST /admin/api/config/draft/test-calls": RouteDocs("Call the draft's endpoints with their credentials, from the control plane.") {
            $0.body = .optionalForm([
                FieldShape("endpoint_ids", .list(.id(EndpointKind.prefix), 0...64), "Only these endpoints; else all that are enabled.")
            ])
            $0.answer = .object(Shapes.testCalls)
        },
        "POST /admin/api/config/draft/reset": RouteDocs("Replace the draft by a version's content.") {
            $0.body = .form([required(FieldShape("version", version, "The version."))])
            $0.answer = .object(Shapes.draft)
            $0.ifMatch = .required
            $0.hasRevision = true
        },
        "GET /admin/api/config/versions": RouteDocs("List versions, newest first.") {
            $0.query = RouteDocs.page
            $0.answer = .list(Shapes.configVersion)
        },
        "POST /admin/api/config/versions": RouteDocs("Publish the draft, or an older version's content, as the next version.") {
            $0.body = .form([
                FieldShape("note", .text(maximum: 1000), "Why."), FieldShape("restore", version, "The version whose content is repeated."),
                FieldShape("acknowledge_rollback", .flag, "The draft may hold what a version was rolled back for."),
            ])
            $0.answer = .object(Shapes.publication)
            $0.status = 201
            // Of the draft; with restore none is needed.
            $0.ifMatch = .required
            $0.hasRevision = true
        },
        "GET /admin/api/config/versions/{id}": RouteDocs("Get a version and its content.") {
            $0.answer = .object(Shapes.versionWithContent)
            $0.hasRevision = true
        },
        "GET /admin/api/config/diff": RouteDocs("Compare two versions, or a version and the draft.") {
            $0.query = [
                required(FieldShape("from", .token, "A version's number, or draft.")),
                required(FieldShape("to", .token, "A version's number, or draft.")),
            ]
            $0.answer = .object(Shapes.diff)
        },
        "GET /admin/api/config/plan": RouteDocs(
            "Tell what requests of a channel go through: stages of the spine and steps of its workflow."
        ) {
            $0.query = [
                FieldShape("channel", .word(Vocabulary.channels), "Whose requests; default is the default."),
                FieldShape("version", .token, "A version's number, or draft, which is the default."),
            ]
            $0.answer = .object(Shapes.plan)
        },
    ]

    private static let reporter = FieldShape("data_plane_id", .id(DataPlaneKind.prefix), "What this data plane reported.")
    private static let reason = FieldShape(
        "reason", .word(QuarantineReason.allCases.map(\.rawValue)), "Only what is kept apart for this reason.")

    private static let version = FieldKind.integer(1...Int64.max)

    private static func required(_ shape: FieldShape) -> FieldShape {
        var shape = shape
        shape.isRequired = true
        return shape
    }
}
