import Connect

/// The codes that a window may be told, by the server or by its own doing.
enum ConnectErrorCodes {
    static let all =
        ConnectError.Code.allCases.map(\.rawValue) + ["popup_blocked", "popup_closed", "network_lost", "setup"]
}
