package import Domain
import HTTPTypes
import Primitives

package struct KeyRoutes: RouteGroup {
    let keys: VirtualKeyService

    package func addRoutes(to table: inout RouteTable) {
        table.get("/admin/api/keys", .admin(.read)) { request in
            try request.query.allow(["limit", "cursor", "tenant_id", "project_id"])
            let now = keys.now
            let page = try await keys.items(
                of: request.query.id("tenant_id"), request.query.id("project_id"), request.page(of: VirtualKeyService.list))
            return .list(page) { $0.json(at: now) }
        }
        table.post("/admin/api/keys", .admin(.operate)) { request in
            issued(try await keys.create(try request.fields { content($0) }, by: request.actor), status: .created)
        }
        table.get("/admin/api/keys/{id}", .admin(.read)) { request in
            shown(try await keys.get(request.id("key")))
        }
        table.patch("/admin/api/keys/{id}", .admin(.operate)) { request in
            let present = try await keys.get(request.id("key"))
            let revision = try request.expectedRevision(current: present.revision)
            let changed = try request.fields { content($0, over: present.content) }
            return shown(try await keys.replace(present.id, at: revision, with: changed, by: request.actor))
        }
        table.delete("/admin/api/keys/{id}", .admin(.operate)) { request in
            let present = try await keys.get(request.id("key"))
            let revision = try request.expectedRevision(current: present.revision)
            try await keys.delete(present.id, at: revision, by: request.actor)
            return .noContent
        }
        table.post("/admin/api/keys/{id}/rotate", .admin(.operate)) { request in
            let present = try await keys.get(request.id("key"))
            let revision = try request.optionalRevision(current: present.revision)
            let grace =
                try request.body.isEmpty
                ? VirtualKeyService.defaultGraceSeconds
                : request.fields {
                    $0.integer(
                        "grace_seconds", in: 0...VirtualKeyService.maximumGraceSeconds, or: VirtualKeyService.defaultGraceSeconds)
                }
            return issued(try await keys.rotate(present.id, at: revision, graceSeconds: grace, by: request.actor), status: .ok)
        }
        table.post("/admin/api/keys/{id}/revoke", .admin(.operate)) { request in
            try request.expectNoFields()
            let present = try await keys.get(request.id("key"))
            let revision = try request.optionalRevision(current: present.revision)
            return shown(try await keys.revoke(present.id, at: revision, by: request.actor))
        }
    }

    private func shown(_ key: VirtualKey) -> APIResponse {
        .json(key.json(at: keys.now), revision: key.revision)
    }

    /// With the plaintext, this once.
    private func issued(_ issued: VirtualKeyService.Issued, status: HTTPResponse.Status) -> APIResponse {
        var object = issued.key.json(at: keys.now).objectValue ?? JSONObject()
        object["key"] = .string(issued.plaintext.reveal())
        return .json(.object(object), status: status, revision: issued.key.revision)
    }

    private func content(_ fields: FieldReader, over present: VirtualKeyContent? = nil) -> VirtualKeyContent {
        VirtualKeyContent(
            projectID: fields.identifier("project_id", or: present?.projectID), name: fields.string("name", or: present?.name),
            expiresAt: fields.optionalTime("expires_at", or: present?.expiresAt),
            models: fields.strings("models", or: present?.models ?? []),
            capabilities: fields.strings("capabilities", or: present?.capabilities ?? []),
            channels: fields.strings("channels", or: present?.channels ?? []), tags: fields.stringMap("tags", or: present?.tags ?? [:]))
    }
}
