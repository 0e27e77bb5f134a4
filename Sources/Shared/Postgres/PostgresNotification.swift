/// What a listener hears.
package enum PostgresNotification: Sendable, Hashable {
    /// The channels are listened to from now on; what was notified before was not heard.
    case listening
    /// As `listening`, after the connection was lost: notifications may have been missed, so look at the tables.
    /// Also given when the reader was so slow that notifications were dropped.
    case reconnected
    case notification(channel: String, payload: String)
}
