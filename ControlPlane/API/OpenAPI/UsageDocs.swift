import Domain
import Nouns
import Primitives

/// What is said of the reports.
enum UsageDocs {
    private static func told(_ name: String, _ kind: FieldKind, _ about: String, nullable: Bool = false) -> FieldShape {
        .told(name, kind, about, nullable: nullable)
    }

    private static let words = Shapes.words
    private static let number = FieldKind.number

    static func summary(for reader: UsageReader) -> RouteDocs {
        let about =
            reader == .administrator
            ? "Sum up usage." : "Sum up the key's usage, or its project's or tenant's where it has the right."
        return RouteDocs(about) {
            $0.query =
                Shapes.window + reader.fields.map(\.shape) + [
                    FieldShape(
                        "group_by", .text(maximum: 400),
                        "What to sum by, with commas: \(reader.groupWords.joined(separator: ", ")). By hour, by the days of another time zone than UTC, and about endpoints, providers and errors a report goes over 31 days at most."
                    ),
                    FieldShape("time_zone", .checked(format: nil), "Whose hours, days and months they are: Europe/Berlin.") {
                        $0.standard = "UTC"
                    },
                    FieldShape("sort", .word(UsageReportRequest.Order.words), "By the groups, or by a sum; a minus turns it round.") {
                        $0.standard = "group"
                    },
                    FieldShape("limit", .integer(1...Int64(UsageReportRequest.maximumLimit)), "At most so many groups; the rest is others.")
                    {
                        $0.standard = .int(Int64(UsageReportRequest.defaultLimit))
                    },
                ]
            $0.answer = .object(report(for: reader))
        }
    }

    private static func report(for reader: UsageReader) -> [FieldShape] {
        let sums = sums(for: reader)
        return [
            told("from", .time, "When the window begins; it is a month where none is given."),
            told("until", .time, "When it ends; not included. Where none is given, the end of today."),
            told("time_zone", words, "Whose hours, days and months they are."),
            told("as_of", .time, "What ended before is known of every data plane; null: one cannot say.", nullable: true),
            told(
                "records_since", .time,
                "Single records from before are purged: of that time the sums of whole days (UTC) are here, and parts of days, hours, endpoints and errors are not. Null: nothing is missing.",
                nullable: true),
            told("group_by", .list(.text(maximum: 80), 0...UsageReportRequest.maximumGroups), "What it is summed by."),
            told("sort", .word(UsageReportRequest.Order.words), "The order of the groups."),
            told("items", .objects(groups(for: reader) + sums, maximum: UsageReportRequest.maximumLimit), "The groups."),
            told("totals", .object(sums), "Of all groups."),
            told(
                "others", .object([told("groups", number, "How many groups there are beyond the limit.")] + sums),
                "What is not among the items; null: nothing.", nullable: true),
        ]
            + (reader == .administrator
                ? [
                    told(
                        "behind",
                        .objects(
                            [
                                told("data_plane_id", .id(DataPlaneKind.prefix), "Which."), told("data_plane", words, "Its name."),
                                told("as_of", .time, "What ended before is known; null: it does not say.", nullable: true),
                            ], maximum: 100), "Data planes whose usage is late by more than a minute, the latest first.")
                ] : [])
    }

    private static func groups(for reader: UsageReader) -> [FieldShape] {
        UsageGroup.words.filter { reader.mayGroup(by: $0.group) }.flatMap { word, group -> [FieldShape] in
            switch group {
            case .tenant, .project, .key, .app, .user, .owner, .endpoint, .provider, .dataPlane:
                [
                    told("\(word)_id", words, "Where it is grouped by it.", nullable: true),
                    told(word, words, "Its name; null: it has none, or is gone.", nullable: true),
                ]
            case .price: [told("price_id", words, "Where it is grouped by it; null: there was no price.", nullable: true)]
            case .configVersion: [told(word, number, "Where it is grouped by it.")]
            case .tags: [told(word, .list(.text(maximum: 512), 0...64), "Where it is grouped by them: all tags, name=text.")]
            case .status: [told(word, words, "pending, completed or failed.")]
            case .hour: [told(word, .time, "The hour's first instant.")]
            case .day, .month: [told(word, words, "In the time zone of the report.")]
            case .did, .dialect, .model, .tag, .errorOrigin, .errorCode: [told(word, words, "Where it is grouped by it.", nullable: true)]
            }
        }.map(sometimes) + [sometimes(told("tag", .labels, "Where it is grouped by some: the text of each that there is."))]
    }

    private static func sometimes(_ shape: FieldShape) -> FieldShape {
        var shape = shape
        shape.isSometimes = true
        return shape
    }

    private static func sums(for reader: UsageReader) -> [FieldShape] {
        [
            told("requests", number, "How many were admitted."), told("failed", number, "How many of them failed."),
            told("failed_client", number, "Failures that were the caller's own."),
            told("failed_provider", number, "Failures of a provider's."), told("failed_weir", number, "Failures of Weir's."),
            told("estimated", number, "Requests with a number of Weir's own estimate."),
            told("input_tokens", number, "Cached ones included."), told("output_tokens", number, "Reasoning included."),
            told("cached_input_tokens", number, "Of the input."), told("cache_write_tokens", number, "Of the input."),
            told("reasoning_tokens", number, "Of the output."),
            told("cost_nano", number, "Nano-dollars, of the requests with a known price; null: none has one.", nullable: true),
            told("cost", .dollars, "The same in dollars.", nullable: true),
            told("unpriced", number, "Requests of which (a part of) the cost is not known, since no price was in force."),
        ]
            + (reader == .administrator
                ? [
                    told("rerated_cost_nano", number, "As the control plane rates it.", nullable: true),
                    told("cost_mismatches", number, "Requests that it rates otherwise than the data plane did."),
                ] : [])
    }

    static let latencies = RouteDocs("How long requests that were answered took, over 31 days at most.") {
        $0.query =
            Shapes.window + UsageReader.administrator.fields.map(\.shape) + [
                FieldShape("group_by", .word(UsageLatencyGroup.allCases.map(\.rawValue)), "Hours are UTC's.") {
                    $0.standard = .string(UsageLatencyGroup.none.rawValue)
                }
            ]
        $0.answer = .object([
            told("from", .time, "When the window begins."), told("until", .time, "When it ends; not included."),
            told(
                "items",
                .objects(
                    [
                        sometimes(told("hour", .time, "Its first instant.")),
                        sometimes(told("config_version", number, "Of the configuration that served it.")),
                        sometimes(told("model", words, "As the caller named it.")),
                        sometimes(told("endpoint_id", words, "The last one; null: none.", nullable: true)),
                        told("requests", number, "How many were answered."),
                    ]
                        + [("p50_us", "Half of them"), ("p90_us", "Nine of ten"), ("p99_us", "Ninety-nine of a hundred")].map {
                            told(
                                $0, number,
                                "\($1) took no longer: microseconds, rounded up to a millisecond, and beyond 100 ms to two digits.")
                        }, maximum: UsageReportRequest.maximumLimit), "The groups."),
        ])
    }

    static let records = RouteDocs("List usage records, newest first where nothing else is said.") {
        $0.query =
            RouteDocs.page + Shapes.window + UsageField.allCases.map(\.shape) + [
                FieldShape(
                    "sort", .word(RecordOrder.words),
                    "What the list is sorted by; a minus turns it round. By anything but the time the latest \(UsageQueries.mostSorted) records of the window (of the tenant, where one is named) are sorted: sorted_since tells since when these are. What has no price counts as nothing."
                ) { $0.standard = .string("-" + RecordOrder.Member.time.rawValue) },
                FieldShape(
                    "format", .word(["json"] + UsageFormat.allCases.map(\.rawValue)),
                    "csv and jsonl hold every record of the window, not a page of them, and come as they are read."
                ) { $0.standard = "json" },
            ]
        $0.answer = .list(recordShapes)
        $0.beside = [
            told(
                "sorted_since", .time,
                "There where they are sorted by something else than time: since when records are among those that were sorted; null: all of the window's are.",
                nullable: true)
        ]
        $0.otherTypes = ["text/csv", "application/jsonl"]
    }

    static let record = RouteDocs("Get the usage record of a request, with its attempts.") { $0.answer = .object(recordShapes) }

    private static func named(_ name: String) -> [FieldShape] {
        [
            told("\(name)_id", words, "Its \(name); null: none.", nullable: true),
            told(name, words, "That one's name; null: it has none, or is gone.", nullable: true),
        ]
    }

    private static let recordShapes: [FieldShape] =
        [
            told("request_id", words, "As the caller was told it."), told("admitted_at", .time, "By the data plane's clock."),
            told("received_at", .time, "By the control plane's."),
        ] + ["tenant", "project", "key", "app", "user", "owner"].flatMap(named) + [
            told("did", words, "Who asked, where that was proved by a DID.", nullable: true),
            told("model", words, "As the caller named it."),
            told("capability", words, "What was asked for.", nullable: true), told("channel", words, "By which door it came."),
            told("dialect", words, "Of the API that was called; null: OpenAI's.", nullable: true),
            told("tags", .list(.text(maximum: 512), 0...64), "The key's when it was admitted: name=text."),
            told("streaming", .flag, "Whether a stream was asked for."), told("status", words, "pending, completed or failed."),
            told("error_origin", words, "Whose fault a failure was: client, provider or weir.", nullable: true),
            told("error_code", words, "Of a failure.", nullable: true), told("http_status", number, "Sent to the caller; 0: none was."),
            told("upstream_status", number, "The provider's; 0: none."),
        ]
        + [
            "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "estimated_input_tokens",
        ].map { told($0, number, "As stated, or estimated.") } + [
            told(
                "token_kinds",
                .object(
                    ["cache_write_hour", "audio_input", "image_input", "audio_output", "image_output"].map {
                        sometimes(told($0, number, "As stated."))
                    }
                        + ["images", "media_milliseconds", "characters", "searches"].map {
                            sometimes(told($0, number, "Beside tokens."))
                        } + [sometimes(told("service_tier", words, "priority, flex or batch."))]),
                "What of these tokens is of a kind that may have a price of its own, and what is charged beside tokens; null: none is known.",
                nullable: true),
            told("cost_nano", number, "Nano-dollars; null: no price was in force.", nullable: true),
            told("cost", .dollars, "The same in dollars.", nullable: true),
            told("rerated_cost_nano", number, "As the control plane rates it; null: it cannot.", nullable: true),
            told("latency_us", number, "Microseconds from admission to the end."),
            told("time_to_first_byte_us", number, "Microseconds; 0: there was none."), told("request_bytes", number, "Of the body."),
            told("response_bytes", number, "Of the body."),
            told("flags", .list(.text(maximum: 64), 0...64), "What is unusual about it."),
            told("config_version", number, "Of the configuration that served it."),
            told("price_id", words, "What it was rated with.", nullable: true), told("route_id", words, "Its route.", nullable: true),
        ] + ["endpoint", "provider"].flatMap(named) + [
            told("credential_id", words, "The last one used.", nullable: true),
            told("upstream_model", words, "As the provider calls it.", nullable: true),
            told("sent_upstream", .flag, "Whether it left for a provider."), told("attempts", number, "How many there were."),
            told("attempt_list", .objects(attemptShapes, maximum: 64), "Where there were several: each of them."),
            told("trace_id", words, "W3C trace context.", nullable: true), told("data_plane_id", words, "Who served it."),
            told("incarnation", words, "Of the data plane's database."), told("batch", number, "In which it was reported."),
        ]

    private static let attemptShapes: [FieldShape] =
        ["endpoint", "provider"].flatMap(named) + [
            told("upstream_model", words, "As the provider calls it.", nullable: true),
            told("upstream_status", number, "The provider's; 0: none."), told("error_origin", words, "Whose fault.", nullable: true),
            told("error_code", words, "Why it was left; null: it gave the answer.", nullable: true),
            told("input_tokens", number, "Stated or estimated."), told("output_tokens", number, "Stated or estimated."),
            told("price_id", words, "What it was rated with.", nullable: true), told("cost_nano", number, "Nano-dollars."),
            told("started_us", number, "Microseconds after admission."), told("latency_us", number, "Microseconds."),
            told("hedge", .flag, "Whether it was sent beside another one that had not answered in time."),
            told("flags", .list(.text(maximum: 64), 0...64), "What is unusual about it."),
        ]
}
