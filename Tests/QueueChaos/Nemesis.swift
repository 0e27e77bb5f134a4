/// What disturbs a run.
enum Nemesis: String, Codable, Sendable, CaseIterable {
    // processes
    /// SIGKILL, and another process in its place.
    case kill
    /// SIGSTOP for longer than the patience, then SIGCONT: its jobs are elsewhere and it does not know.
    case stop
    /// SIGTERM to a worker, and another in its place.
    case drain
    /// A living worker is declared dead, as by an observer that is wrong.
    case verdict

    // network
    /// Everyone is cut off.
    case cut
    /// One process is cut off, longer than the patience.
    case isolate
    /// Nothing moves and nothing breaks.
    case freeze
    /// Answers do not arrive, then the connections break: commits and claims with unknown outcome.
    case deafen
    /// Everything arrives late.
    case slow

    // database
    /// pg_terminate_backend, again and again.
    case terminate
    /// An immediate shutdown (SIGQUIT, no checkpoint) and a start with recovery.
    case restart
    /// A transaction that holds a transaction id and some keys, idle.
    case writer
    /// A REPEATABLE READ transaction that holds its snapshot.
    case reader

    /// What meets what at the same time: one of each track is under way.
    enum Track: Int, CaseIterable, Sendable { case processes, network, database }

    var track: Track {
        switch self {
        case .kill, .stop, .drain, .verdict: .processes
        case .cut, .isolate, .freeze, .deafen, .slow: .network
        case .terminate, .restart, .writer, .reader: .database
        }
    }

    /// Between a process and its database something was wrong: a drain under it may fail to say goodbye.
    var isOutage: Bool {
        switch self {
        case .cut, .isolate, .freeze, .deafen, .slow, .terminate, .restart: true
        case .kill, .stop, .drain, .verdict, .writer, .reader: false
        }
    }
}
