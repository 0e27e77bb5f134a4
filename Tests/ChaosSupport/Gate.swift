/// How a process's way to the database is at the moment.
package enum Gate: Sendable, Hashable {
    case open
    /// Nobody gets through; what was connected is cut off.
    case cut
    /// Nothing moves and nothing breaks, as with a pooler's PAUSE or a backend that was stopped.
    case frozen
    /// The server hears us and its answers do not arrive.
    case deaf
    /// Everything arrives so many milliseconds later.
    case slow(Int)
}
