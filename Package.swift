// swift-tools-version: 6.1
import PackageDescription

/// Every target is compiled in language mode 6 with the same upcoming features, so that a file moves between modules unchanged.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// On the hot path, in release: accesses were checked for overlap at run time by every test of the debug build; here the check would be paid
/// by each request (2–3 % of a data plane's time).
let hotPath = settings + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

/// What the hot path takes from other modules, in release: without this the compiler inlines and specialises nothing of a `package`
/// declaration in another module, not even an option set's union.
let inlinedInPackage: [SwiftSetting] = [
    .unsafeFlags(
        ["-enable-library-evolution", "-Xfrontend", "-package-cmo", "-Xfrontend", "-allow-non-resilient-access"],
        .when(configuration: .release))
]

/// Names of external products, so that a target's line shows what it uses and nothing else.
extension Target.Dependency {
    static let argumentParser = product(name: "ArgumentParser", package: "swift-argument-parser")
    static let configuration = product(name: "Configuration", package: "swift-configuration")
    static let crypto = product(name: "Crypto", package: "swift-crypto")
    static let grdb = product(name: "GRDB", package: "GRDB.swift")
    static let grdbSQLite = product(name: "GRDBSQLite", package: "GRDB.swift")
    static let grpcCore = product(name: "GRPCCore", package: "grpc-swift-2")
    static let grpcNIO = product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")
    static let grpcProtobuf = product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")
    static let hummingbird = product(name: "Hummingbird", package: "hummingbird")
    static let hummingbirdCore = product(name: "HummingbirdCore", package: "hummingbird")
    static let hummingbirdTesting = product(name: "HummingbirdTesting", package: "hummingbird")
    static let httpTypes = product(name: "HTTPTypes", package: "swift-http-types")
    static let logging = product(name: "Logging", package: "swift-log")
    static let nioCore = product(name: "NIOCore", package: "swift-nio")
    static let nioHTTP1 = product(name: "NIOHTTP1", package: "swift-nio")
    static let nioPosix = product(name: "NIOPosix", package: "swift-nio")
    static let nioEmbedded = product(name: "NIOEmbedded", package: "swift-nio")
    static let nioHTTP2 = product(name: "NIOHTTP2", package: "swift-nio-http2")
    static let nioHPACK = product(name: "NIOHPACK", package: "swift-nio-http2")
    static let nioTLS = product(name: "NIOTLS", package: "swift-nio")
    static let nioSSL = product(name: "NIOSSL", package: "swift-nio-ssl")
    static let protobuf = product(name: "SwiftProtobuf", package: "swift-protobuf")
    static let serviceLifecycle = product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
    static let unixSignals = product(name: "UnixSignals", package: "swift-service-lifecycle")
    static let mustache = product(name: "Mustache", package: "swift-mustache")
    static let yams = product(name: "Yams", package: "Yams")
    static let x509 = product(name: "X509", package: "swift-certificates")
    static let asn1 = product(name: "SwiftASN1", package: "swift-asn1")
    static let jwtKit = product(name: "JWTKit", package: "jwt-kit")
}

func library(
    _ name: String, _ path: String, _ dependencies: [Target.Dependency], exclude: [String] = [], settings: [SwiftSetting] = settings
) -> Target {
    .target(name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: settings)
}

func program(_ name: String, _ path: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)", resources: resources, swiftSettings: settings)
}

let package = Package(
    name: "weir",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "weir-control", targets: ["weir-control"]),
        .executable(name: "weir-proxy", targets: ["weir-proxy"]),
        .executable(name: "weir", targets: ["weir"]),
        .executable(name: "weir-simulator", targets: ["weir-simulator"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
        // Of its file formats we need none: see SettingsReader.
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
    ],
    targets: [
        // Shared: what both planes stand on.
        .systemLibrary(name: "CLibPQ", path: "Shared/C/CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CZlib", path: "Shared/C/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CCurl", path: "Shared/C/CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CHiredis", path: "Shared/C/CHiredis", pkgConfig: "hiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "COpenSSL", path: "Shared/C/COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSodium", path: "Shared/C/CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .target(name: "CSecp256k1", dependencies: ["COpenSSL"], path: "Shared/C/CSecp256k1"),
        .target(name: "CDigest", dependencies: ["COpenSSL"], path: "Shared/C/CDigest"),
        .target(name: "CChecksum", path: "Shared/C/CChecksum"),
        library("Primitives", "Shared/Primitives", ["CChecksum"], settings: settings + inlinedInPackage),
        library("Nouns", "Shared/Nouns", ["Primitives"]),
        library("Trust", "Shared/Trust", ["CDigest", "CSecp256k1", "CSodium", "Primitives", .crypto]),
        library("Telemetry", "Shared/Telemetry", ["Primitives", .logging]),
        library("Listening", "Shared/Listening", ["Telemetry", "Primitives", .nioCore, .logging]),
        library("ProcessSettings", "Shared/ProcessSettings", ["Primitives", .configuration, .argumentParser]),
        library("Leases", "Shared/Leases", ["Primitives"], settings: hotPath + inlinedInPackage),
        library(
            "Contract", "Shared/Contract",
            ["Primitives", "Trust", .protobuf, .grpcCore, .grpcProtobuf], exclude: ["Protos"], settings: hotPath),

        // Data plane.
        library("Wire", "DataPlane/Wire", ["Primitives"], settings: hotPath + inlinedInPackage),
        library("Formats", "DataPlane/Formats", ["Primitives"], settings: hotPath + inlinedInPackage),
        library(
            "Proxy", "DataPlane/Proxy",
            [
                "CHiredis", "CZlib", "Wire", "Formats", "Contract", "Leases", "Trust", "Listening", "Telemetry", "Primitives",
                .nioCore, .nioPosix, .nioSSL, .nioTLS, .nioHTTP2, .nioHPACK, .grdb, .grpcCore, .grpcNIO, .grpcProtobuf, .protobuf, .crypto,
                .logging,
                .unixSignals, .serviceLifecycle,
            ], settings: hotPath),
        program("weir-proxy", "DataPlane/Main", ["Proxy", "ProcessSettings", "Telemetry", "Primitives", .argumentParser, .logging]),

        // Control plane.
        library("Storage", "ControlPlane/Storage", ["CLibPQ", "Primitives", .grdb, .grdbSQLite, .logging], settings: hotPath),
        library(
            "Domain", "ControlPlane/Domain",
            ["Storage", "Nouns", "Contract", "Leases", "Trust", "Telemetry", "Primitives", .crypto, .protobuf, .logging], settings: hotPath),
        library(
            "API", "ControlPlane/API",
            [
                "Domain", "Nouns", "Contract", "Listening", "Telemetry", "Primitives", .hummingbird, .hummingbirdCore, .httpTypes, .nioCore,
                .nioHTTP1,
                .logging, .serviceLifecycle,
            ]),
        // The guides of docs/, as the console shows them.
        .target(name: "CGuides", path: "ControlPlane/Guides"),
        library("Dashboard", "ControlPlane/Dashboard", ["CGuides", "API", "Domain", "Nouns", "Primitives", .mustache, .httpTypes]),
        library(
            "Fleet", "ControlPlane/Fleet",
            [
                "Domain", "Nouns", "Contract", "Leases", "Listening", "Telemetry", "Trust", "Primitives",
                .nioCore, .grpcCore, .grpcNIO, .grpcProtobuf, .protobuf, .crypto, .x509, .asn1, .logging, .serviceLifecycle,
            ]),
        library("Outbound", "ControlPlane/Outbound", ["CCurl", "Domain", "Contract", "Primitives"]),
        library("SignOn", "ControlPlane/SignOn", ["Domain", "Primitives", .jwtKit, .crypto]),
        program(
            "weir-control", "ControlPlane/Main",
            [
                "API", "Dashboard", "Fleet", "Outbound", "SignOn", "Domain", "Storage", "Nouns", "Contract", "ProcessSettings", "Telemetry",
                "Trust", "Primitives",
                .hummingbird, .argumentParser, .logging, .serviceLifecycle, .unixSignals,
            ]),
        program("weir", "ControlPlane/CLI", ["Nouns", "Trust", "Primitives", .argumentParser, .yams]),

        // The provider simulator: for tests, drills, benchmarks and the demonstration.
        library("Simulator", "Simulator/Core", ["Wire", "Primitives", .nioCore, .nioPosix, .nioSSL]),
        program("weir-simulator", "Simulator/Main", ["Simulator", .argumentParser]),

        // Tests mirror the folders.
        library("TestSupport", "Tests/Support", []),
        tests("PrimitivesTests", ["Primitives"]),
        tests("TrustTests", ["Trust", "Primitives", .crypto], resources: [.copy("Fixtures")]),
        tests("TelemetryTests", ["Telemetry", "Primitives", .logging]),
        tests("ListeningTests", ["Listening", "Telemetry", "Primitives", .nioCore, .nioEmbedded, .nioPosix, .logging]),
        tests("ProcessSettingsTests", ["ProcessSettings", "weir-proxy", "weir-control", "Proxy", "Primitives", .argumentParser]),
        tests("LeasesTests", ["Leases", "Primitives"]),
        tests("ContractTests", ["Contract", "Trust", "Primitives", .protobuf]),
        tests("WireTests", ["Wire", "Primitives"]),
        tests("FormatsTests", ["Formats", "Primitives"], resources: [.copy("Fixtures")]),
        tests(
            "ProxyTests",
            [
                "TestSupport", "Proxy", "Simulator", "Wire", "Formats", "Contract", "Leases", "Trust", "Telemetry", "Primitives",
                .nioCore, .nioPosix, .nioEmbedded,
                .nioSSL, .nioHTTP2, .nioHPACK,
                .protobuf, .grdb, .crypto, .x509, .asn1, .logging,
            ]),
        tests("StorageTests", ["Storage", "Primitives"]),
        tests("DomainTests", ["Domain", "Nouns", "Storage", "Contract", "Leases", "Trust", "Primitives", .protobuf, .crypto, .logging]),
        tests("OutboundTests", ["Outbound", "Domain", "Primitives", .nioCore, .nioPosix]),
        tests(
            "APITests",
            [
                "TestSupport", "API", "Dashboard", "Outbound", "weir", "Domain", "Nouns", "Storage", "Contract", "Leases", "Trust",
                "Listening",
                "Telemetry",
                "Primitives",
                .hummingbird,
                .hummingbirdTesting,
                .httpTypes, .nioCore, .nioEmbedded, .nioPosix, .nioHTTP1, .logging,
            ]),
        tests(
            "FleetTests",
            [
                "Fleet", "Outbound", "Proxy", "Domain", "Nouns", "Storage", "Simulator", "Contract", "Leases", "Trust", "Telemetry",
                "Primitives",
                .nioCore,
                .nioPosix,
                .grpcCore,
                .grpcNIO, .protobuf, .crypto, .logging,
            ]),
        tests("SignOnTests", ["SignOn", "Domain", "Primitives", .crypto]),
        tests("SimulatorTests", ["Simulator", "Primitives", .nioCore, .nioPosix]),
        tests("LayoutTests", []),
    ],
    swiftLanguageModes: [.v6]
)

// Measures the control plane's intake (ops/intake-bench); no part of a usual build.
if Context.environment["WEIR_BENCHMARKS"] != nil {
    package.targets.append(
        .executableTarget(
            name: "intake-bench", dependencies: ["Domain", "Storage", "Contract", "Trust", "Primitives", .protobuf, .logging],
            path: "Bench/Intake",
            swiftSettings: settings))
}
