import ArgumentParser
import Benchmark
import Bootstrap
import Catalog
import Credentials
import EmbeddedPostgres
import Escrow
import Foundation
import Lifecycle
import Postgres
import Queue
import Sandbox
import Schema
import Vault

/// How a command ends that could not do its work: one sentence on standard error that names the item and the repair,
/// and a status of sysexits.h. Never a stack trace.
enum Failure {
    /// What is told, and the status.
    static func words(for error: any Error) -> (text: String, status: Int32) {
        switch error {
        case let error as ConfigurationError: ("\(error)", EX_CONFIG)
        case let error as CatalogError: ("catalog: \(error)", EX_CONFIG)
        case let error as VaultError: ("\(error)", EX_CONFIG)
        case let error as EscrowError:
            ("escrow journal: \(error)", error.code == .writeFailed ? EX_IOERR : EX_CONFIG)
        case let error as SchemaError: ("schema: \(error)", EX_CONFIG)
        case let error as InvalidValue: ("\(error)", EX_USAGE)
        case let error as ClientSecretRotation.Refusal: ("\(error); \(error.repair)", EX_DATAERR)
        case let error as PostgresError: database(error)
        case let error as EmbeddedPostgresError: ("\(error)", EX_UNAVAILABLE)
        case let error as PortInUse: ("\(error)", EX_UNAVAILABLE)
        case let error as FleetError: ("\(error)", error.status)
        case let error as SandboxError: ("sandbox: \(error)", EX_UNAVAILABLE)
        case let error as BenchmarkError:
            ("bench: \(error)", error.code == .invalid ? EX_USAGE : EX_SOFTWARE)
        case let error as QueueError: ("\(error)", EX_DATAERR)
        default: ("\(error)", 1)
        }
    }

    private static func database(_ error: PostgresError) -> (String, Int32) {
        switch error.code {
        case .unreachable, .connectionLost, .poolExhausted, .timedOut:
            (
                "database: \(error)\ncheck that it runs and that EVERGRANT_DATABASE_URL (database.url) names it; "
                    + "`evergrant doctor` tells more", EX_UNAVAILABLE
            )
        case .misuse:
            (
                "database: \(error)\nEVERGRANT_DATABASE_URL (database.url) is not valid: write "
                    + "postgres://user@host/database", EX_CONFIG
            )
        default: ("database: \(error)", 1)
        }
    }

    static func exit(with error: any Error) -> Never {
        // Help, version, usage errors and statuses of our own are ArgumentParser's to print.
        let isParsers = error is ExitCode || error is ValidationError || error is CleanExit
        if isParsers || String(reflecting: type(of: error)).hasPrefix("ArgumentParser.") {
            Evergrant.exit(withError: error)
        }
        let (text, status) = words(for: error)
        FileHandle.standardError.write(Data("evergrant: \(text)\n".utf8))
        Foundation.exit(status)
    }
}
