/// Usage records as data planes reported them, and how far each has reported.
extension Migration {
    static let usage = Migration(2, "usage", .breaking) { dialect in
        // Postgres: monthly partitions, made ahead and on demand (`UsagePartitions`); there is no DEFAULT one, since rows in it would
        // block the making of their month's.
        let partitioning = dialect == .postgres ? "PARTITION BY RANGE (admitted_at_us)" : ""
        return [
            """
            CREATE TABLE usage_records (
                request_id BLOB NOT NULL,
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                sequence BIGINT NOT NULL,
                position BIGINT NOT NULL,
                admitted_at_us BIGINT NOT NULL,
                received_at BIGINT NOT NULL,
                tenant_id TEXT NOT NULL,
                project_id TEXT NOT NULL,
                key_id TEXT NOT NULL,
                model TEXT NOT NULL,
                route_id TEXT NOT NULL,
                capability BIGINT NOT NULL,
                channel TEXT NOT NULL,
                streaming BIGINT NOT NULL,
                config_version BIGINT NOT NULL,
                estimated_input_tokens BIGINT NOT NULL,
                request_bytes BIGINT NOT NULL,
                trace_id BLOB,
                status BIGINT NOT NULL,
                error_origin BIGINT NOT NULL,
                error_code TEXT NOT NULL,
                http_status BIGINT NOT NULL,
                upstream_status BIGINT NOT NULL,
                input_tokens BIGINT NOT NULL,
                output_tokens BIGINT NOT NULL,
                cached_input_tokens BIGINT NOT NULL,
                cache_write_tokens BIGINT NOT NULL,
                reasoning_tokens BIGINT NOT NULL,
                flags BIGINT NOT NULL,
                cost_nano BIGINT NOT NULL,
                rerated_cost_nano BIGINT,
                latency_us BIGINT NOT NULL,
                time_to_first_byte_us BIGINT NOT NULL,
                attempts BIGINT NOT NULL,
                response_bytes BIGINT NOT NULL,
                endpoint_id TEXT NOT NULL,
                provider_id TEXT NOT NULL,
                credential_id TEXT NOT NULL,
                upstream_model TEXT NOT NULL,
                price_id TEXT NOT NULL,
                sent_upstream BIGINT NOT NULL
            ) \(partitioning)
            """,
            // Finds one request, and refuses it a second time. What keeps whole batches from being stored twice is the watermark: a
            // unique index of a partitioned table has to hold the partition key, so it sees one month only.
            "CREATE UNIQUE INDEX usage_records_request ON usage_records (request_id, data_plane_id, admitted_at_us)",
            "CREATE INDEX usage_records_time ON usage_records (admitted_at_us, request_id)",
            "CREATE INDEX usage_records_tenant ON usage_records (tenant_id, admitted_at_us, request_id)",
            """
            CREATE TABLE usage_watermarks (
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                sequence BIGINT NOT NULL,
                updated_at BIGINT NOT NULL,
                PRIMARY KEY (data_plane_id, incarnation)
            )
            """,
        ]
    }
}
