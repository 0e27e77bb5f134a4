import Credentials

/// Which Postgres, and how many connections to it.
package struct DatabaseConfiguration: Sendable {
    static let urlSetting = Setting(
        "database.url", .optional(.text), default: nil, isSecret: true,
        "Connection URI or `key=value` list of libpq (PostgreSQL manual, 34.1.1), several hosts and "
            + "`target_session_attrs=read-write` included. Required, except by `evergrant up`.")
    static let listenURLSetting = Setting(
        "database.listen_url", .optional(.text), default: nil, isSecret: true,
        "Direct address for LISTEN when `database.url` is a pooler in transaction mode.")
    static let connectionsSetting = Setting(
        "database.maximum_connections", .integer(2...500), default: 8, "Most connections of this process.")
    static let acquireTimeoutSetting = Setting(
        "database.acquire_timeout", .duration(.milliseconds(10) ... .seconds(300)), default: .seconds(10),
        "Longest wait for a free connection of this process.")
    static let connectTimeoutSetting = Setting(
        "database.connect_timeout", .duration(.milliseconds(100) ... .seconds(300)), default: .seconds(5),
        "Longest time to connect to one host.")
    static let statementTimeoutSetting = Setting(
        "database.statement_timeout", .duration(.milliseconds(100) ... .seconds(3600)), default: .seconds(30),
        "Longest time of one statement; it is cancelled then.")
    static let preparesSetting = Setting(
        "database.prepared_statements", .flag, default: true,
        "Set to false behind PgBouncer in transaction mode before its version 1.21.")

    package static let rows = [
        urlSetting.row, listenURLSetting.row, connectionsSetting.row, acquireTimeoutSetting.row,
        connectTimeoutSetting.row, statementTimeoutSetting.row, preparesSetting.row,
    ]

    /// Held as a secret because it usually has a password in it; nil when none was given.
    package var url: Secret?
    package var listenURL: Secret?
    package var maximumConnections: Int
    package var acquireTimeout: Duration
    package var connectTimeout: Duration
    package var statementTimeout: Duration
    package var preparesStatements: Bool

    package init(reading reader: SettingsReader, isRequired: Bool) {
        url = reader.value(Self.urlSetting).map { Secret($0) }
        listenURL = reader.value(Self.listenURLSetting).map { Secret($0) }
        maximumConnections = reader.value(Self.connectionsSetting)
        acquireTimeout = reader.value(Self.acquireTimeoutSetting)
        connectTimeout = reader.value(Self.connectTimeoutSetting)
        statementTimeout = reader.value(Self.statementTimeoutSetting)
        preparesStatements = reader.value(Self.preparesSetting)
        if isRequired, url == nil {
            reader.record(
                Self.urlSetting.name, "is missing",
                repair: "set EVERGRANT_DATABASE_URL, for example postgres://evergrant@127.0.0.1/app")
        }
    }
}
