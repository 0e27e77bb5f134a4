// swift-tools-version: 6.2
// The architecture drawing: targets from the lowest layer up, one line of purpose each.
// A module imports only modules above it in this file; `./dev test` fails on an undeclared import.
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

// MARK: Packages

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let lifecycleService: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let mustache: Target.Dependency = .product(name: "Mustache", package: "swift-mustache")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let jwt: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")

/// A module under `Sources/Shared/<name>`.
func shared(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/Shared/\(name)", resources: resources,
        swiftSettings: strict)
}

/// A process, under `Sources/<name>`.
func process(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(name)", resources: resources, swiftSettings: strict)
}

/// The tests of one module, under `Tests/<name>Tests`.
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", resources: resources,
        swiftSettings: strict)
}

let targets: [Target] = [
    // C, words, time; import nothing of ours
    .systemLibrary(name: "CLibPQ", path: "Sources/Shared/CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(
        name: "CLibCurlSystem", path: "Sources/Shared/CLibCurlSystem", pkgConfig: "libcurl",
        providers: [.apt(["libcurl4-openssl-dev"])]),
    // typed wrappers of libcurl's variadics
    .target(name: "CLibCurl", dependencies: ["CLibCurlSystem"], path: "Sources/Shared/CLibCurl"),
    .systemLibrary(
        name: "CLibCrypto", path: "Sources/Shared/CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]
    ),
    shared("Credentials", []),  // the words: Secret, TokenSet, ConnectionKey, states and reasons
    shared("Pacing", []),  // time: clocks, backoff with jitter, spreading
    shared("EmbeddedPostgres", [logging]),  // a private cluster for `evergrant up` and tests

    // one outside thing each
    shared("Postgres", ["CLibPQ", "Pacing", logging]),  // libpq behind actors
    shared("Vault", ["CLibCrypto", "Credentials", logging]),  // envelope encryption, hashes, random
    shared("Catalog", ["Credentials", yams], resources: [.copy("Resources")]),  // providers and integrations, from YAML
    shared("Egress", ["CLibCurl", "Pacing", logging, metrics]),  // outgoing HTTP: address guard, send once

    shared("Escrow", ["Pacing", logging]),  // the local journal that keeps an answer until it is committed

    shared("Schema", ["Postgres", logging], resources: [.copy("Migrations")]),  // migrations

    shared("Queue", ["Postgres", "Pacing", "Schema", logging, metrics, lifecycleService]),  // jobs
    shared("Store", ["Postgres", "Vault", "Credentials", "Pacing", "Schema", logging]),  // rows: all but the queue's
    shared("OAuth", ["Catalog", "Egress", "Vault", "Credentials", "Pacing"]),  // the protocol, and provider shapes

    shared("Jobs", ["Queue", "Credentials"]),  // the contract: kinds of job and their arguments

    shared(
        "Lifecycle",
        [
            "Jobs", "Escrow", "Store", "OAuth", "Queue", "Catalog", "Vault", "Egress", "Postgres", "Pacing",
            "Credentials", logging, metrics,
        ]),  // refresh protocol, verdicts
    shared(
        "Connect",
        [
            "Jobs", "Escrow", "Store", "OAuth", "Queue", "Catalog", "Vault", "Egress", "Postgres", "Pacing",
            "Credentials", logging,
        ]),  // sessions, callbacks
    // deliveries
    shared(
        "Webhooks",
        ["Jobs", "Store", "Queue", "Vault", "Egress", "Postgres", "Pacing", "Credentials", logging, metrics]),

    shared(
        "Bootstrap",
        [
            "Lifecycle", "Connect", "Webhooks", "Jobs", "Escrow", "Queue", "Store", "OAuth", "Schema", "Postgres",
            "Vault", "Catalog", "Egress", "Pacing", "Credentials", configuration, yams, logging, metrics,
            lifecycleService,
        ]),  // configuration to running services

    // processes, and the test provider
    process(
        "Scheduler",
        [
            "Bootstrap", "Lifecycle", "Connect", "Webhooks", "Jobs", "Escrow", "Queue", "Store", "Postgres", "Pacing",
            "Credentials", logging, metrics, lifecycleService,
        ]),
    process(
        "Worker",
        [
            "Bootstrap", "Lifecycle", "Connect", "Webhooks", "Jobs", "Escrow", "Queue", "Store", "Postgres", "Pacing",
            "Credentials", logging, metrics, lifecycleService,
        ]),
    process(
        "Front",
        [
            "Lifecycle", "Connect", "Webhooks", "Jobs", "Queue", "Store", "OAuth", "Catalog", "Vault", "Egress",
            "Postgres", "Pacing", "Credentials", hummingbird, httpTypes, nioCore, mustache, logging, metrics,
            lifecycleService,
        ],
        resources: [.copy("Assets")]),
    process("Sandbox", ["CLibCrypto", "Vault", hummingbird, httpTypes, nioCore, logging, lifecycleService]),
    // the queue's ceiling: its statements through libpq alone
    .target(name: "CQueueCeiling", dependencies: ["CLibPQ"], path: "Sources/CQueueCeiling"),
    // a token endpoint that costs next to nothing, to measure refreshes against
    .target(
        name: "CTokenServer", path: "Sources/CTokenServer",
        linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    process(
        "Benchmark",
        [
            "CQueueCeiling", "CTokenServer", "Jobs", "Store", "Queue", "Vault", "Schema", "EmbeddedPostgres",
            "Postgres",
            "Pacing", "Credentials", logging,
        ]),  // measurements

    .executableTarget(
        name: "CLI",
        dependencies: [
            "Front", "Scheduler", "Worker", "Sandbox", "Benchmark", "Bootstrap", "EmbeddedPostgres", "Lifecycle",
            "Connect", "Webhooks", "Jobs", "Escrow", "Queue", "Store", "Schema", "Catalog", "Vault", "Egress",
            "Postgres",
            "Pacing", "Credentials", arguments, configuration, hummingbird, logging, metrics, lifecycleService,
            unixSignals,
        ],
        path: "Sources/CLI", swiftSettings: strict),

    // tests mirror the sources
    .target(
        name: "TestSupport",
        dependencies: ["EmbeddedPostgres", "Postgres", "Schema", "Pacing", "Credentials", "Vault", logging],
        path: "Tests/Support", swiftSettings: strict),
    .target(
        name: "LifecycleSupport",
        dependencies: [
            "TestSupport", "Lifecycle", "Escrow", "Queue", "Store", "OAuth", "Catalog", "Vault", "Egress", "Sandbox",
            "Postgres", "Schema", "Pacing", "Credentials", logging,
        ],
        path: "Tests/LifecycleSupport", swiftSettings: strict),
    // the queue's history checker: workers, observers and enqueuers under chaos, and the proof that nothing was lost
    .executableTarget(
        name: "QueueChaos",
        dependencies: [
            "Queue", "Postgres", "Schema", "EmbeddedPostgres", "Pacing", logging, lifecycleService, unixSignals,
        ], path: "Tests/QueueChaos", swiftSettings: strict),
    tests("Credentials", ["Credentials"]),
    tests("Pacing", ["Pacing"]),
    tests("EmbeddedPostgres", ["EmbeddedPostgres", "Postgres", logging]),
    tests("Postgres", ["Postgres", "TestSupport", logging]),
    tests("Vault", ["Vault", "Credentials", crypto], resources: [.copy("Vectors")]),
    tests("Catalog", ["Catalog", "Credentials"], resources: [.copy("Vectors")]),
    tests("Egress", ["Egress", "CLibCurl", "Pacing", logging, metrics]),
    tests("Schema", ["Schema", "Postgres", "TestSupport", logging]),
    tests("Queue", ["Queue", "Postgres", "EmbeddedPostgres", "Schema", "Pacing", "TestSupport", logging]),
    tests("QueueChaos", ["QueueChaos", "Postgres", "TestSupport"]),
    tests("Store", ["Store", "Vault", "Credentials", "Postgres", "Schema", "Pacing", "TestSupport"]),
    tests(
        "OAuth", ["OAuth", "Catalog", "Egress", "Vault", "Credentials", "Pacing"], resources: [.copy("Vectors")]),
    tests("Escrow", ["Escrow", "Pacing"]),
    tests(
        "Lifecycle",
        [
            "LifecycleSupport", "Lifecycle", "Escrow", "Jobs", "Queue", "Store", "OAuth", "Catalog", "Vault", "Egress",
            "Sandbox", "Postgres", "Schema", "Pacing", "Credentials", "TestSupport",
        ]),
    tests(
        "Connect",
        [
            "Connect", "Lifecycle", "Escrow", "Jobs", "Queue", "Store", "OAuth", "Catalog", "Vault", "Egress",
            "Sandbox", "Postgres", "Schema", "Pacing", "Credentials", "TestSupport",
        ]),
    tests(
        "Webhooks",
        [
            "Webhooks", "Jobs", "Queue", "Store", "Vault", "Egress", "Postgres", "Schema", "Pacing", "Credentials",
            "TestSupport",
        ], resources: [.copy("Vectors")]),
    tests("Sandbox", ["Sandbox", "Vault", logging]),
    tests(
        "Front",
        [
            "Front", "Sandbox", "Connect", "Lifecycle", "Webhooks", "Jobs", "Escrow", "Queue", "Store", "OAuth",
            "Catalog", "Vault", "Egress", "Postgres", "Schema", "Pacing", "Credentials", "TestSupport", hummingbird,
        ]),
    tests("Bootstrap", ["Bootstrap", "Credentials", "Pacing", logging, metrics]),
    tests("Benchmark", ["Benchmark", "CQueueCeiling", "Queue", "Postgres", "TestSupport", "CLI", logging]),
    tests("CLI", ["CLI", "Bootstrap", "Postgres", "TestSupport", "EmbeddedPostgres"]),
    tests(
        "Fleet",
        [
            "LifecycleSupport", "Lifecycle", "Escrow", "Queue", "Sandbox", "Egress", "Postgres", "Schema", "Store",
            "Vault", "Pacing", "Credentials", "EmbeddedPostgres", "TestSupport",
        ]),
]

let package = Package(
    name: "evergrant",
    products: [
        .executable(name: "evergrant", targets: ["CLI"]),
        .executable(name: "queue-chaos", targets: ["QueueChaos"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
    ],
    targets: targets
)
