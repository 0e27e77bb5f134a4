import Connect
import Pacing

/// How long things may take in connecting, from configuration.
enum ConnectSettings {
    private static let standard = ConnectLimits()
    private static let range = Duration.seconds(1) ... .seconds(30 * 86_400)

    static let sessionLife = Setting(
        "connect.session_life", .duration(.seconds(60) ... .seconds(30 * 86_400)), default: standard.sessionLife,
        "Life of a connect session that does not say.")
    static let longestSessionLife = Setting(
        "connect.longest_session_life", .duration(.seconds(60) ... .seconds(30 * 86_400)),
        default: standard.longestSessionLife, "Longest life that a session may ask for.")
    static let authorizationLife = Setting(
        "connect.authorization_life", .duration(range), default: standard.authorizationLife,
        "How long a user may take at the provider.")
    static let finishLife = Setting(
        "connect.finish_life", .duration(range), default: standard.finishLife, "Life of a finish code.")
    static let exchangeTimeout = Setting(
        "connect.exchange_timeout", .duration(range), default: standard.exchangeTimeout,
        "Longest wait for the answer to a code exchange.")
    static let probeTimeout = Setting(
        "connect.probe_timeout", .duration(range), default: standard.probeTimeout,
        "Longest wait for the probe of a new connection; with `connect.exchange_timeout` below two minutes.")

    static let rows = [
        sessionLife.row, longestSessionLife.row, authorizationLife.row, finishLife.row, exchangeTimeout.row,
        probeTimeout.row,
    ]
}

extension ConnectLimits {
    init(reading reader: SettingsReader) {
        self.init()
        sessionLife = reader.value(ConnectSettings.sessionLife)
        longestSessionLife = reader.value(ConnectSettings.longestSessionLife)
        authorizationLife = reader.value(ConnectSettings.authorizationLife)
        finishLife = reader.value(ConnectSettings.finishLife)
        exchangeTimeout = reader.value(ConnectSettings.exchangeTimeout)
        probeTimeout = reader.value(ConnectSettings.probeTimeout)
        if sessionLife > longestSessionLife {
            reader.record(
                ConnectSettings.sessionLife.name, "is longer than connect.longest_session_life",
                repair: "make it at most \(DurationText.print(longestSessionLife))")
        }
        // A claim is released when its length is over: the exchange must have ended by then.
        if exchangeTimeout + probeTimeout >= claimLength {
            reader.record(
                ConnectSettings.exchangeTimeout.name, "is too long: with connect.probe_timeout it passes a claim",
                repair: "keep the two together below \(DurationText.print(claimLength))")
        }
    }
}
