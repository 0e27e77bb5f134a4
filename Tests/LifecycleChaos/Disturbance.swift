/// What disturbs a fleet.
enum Disturbance: String, Codable, Sendable, CaseIterable {
    // processes, at a step of an attempt
    /// SIGKILL, and another worker in its place.
    case kill
    /// SIGSTOP for longer than an attempt, then SIGCONT.
    case suspend
    /// SIGTERM, and another in its place.
    case drain
    /// SIGKILL to a scheduler or a front.
    case killOther

    // between processes and database
    case cut, isolate, freeze, deafen, slow
    /// pg_terminate_backend of every session.
    case terminate
    /// An immediate shutdown of the server and a start with recovery.
    case restart
    /// The rows' times jump, as if the database's clock had been set.
    case clock

    // the provider
    /// One request goes wrong: before or after the work, or without an answer.
    case fault
    /// Everything is refused with 5xx for a while.
    case outage
    /// 429 with Retry-After for a while.
    case limit
    /// A user revokes.
    case revocation

    /// Which of them are under way at the same time: one of each.
    enum Track: CaseIterable, Sendable { case processes, database, provider }

    var track: Track {
        switch self {
        case .kill, .suspend, .drain, .killOther: .processes
        case .cut, .isolate, .freeze, .deafen, .slow, .terminate, .restart, .clock: .database
        case .fault, .outage, .limit, .revocation: .provider
        }
    }
}
