import ChaosSupport
import Foundation
import LifecycleSupport
import Synchronization

/// The processes of a run, each with a way of its own to the database.
final class Fleet: Sendable {
    struct Seat: Sendable {
        let role: String
        let place: Int
        let url: String
        let settings: [String: String]
        var process: FleetProcess
        /// Stopped or being replaced: not to be disturbed a second time.
        var isBusy = false
    }

    /// When something was done to which process, by the wall clock: `until` where it lasted.
    struct Blow: Sendable {
        let pid: Int32
        let from: Date
        var until: Date
    }

    private struct State {
        var seats: [Seat] = []
        var blows: [Blow] = []
        var fallen: [String] = []
    }

    let proxy: Proxy
    private let world: LifecycleWorld
    private let state = Mutex(State())
    let frontPorts: [UInt16]

    init(_ world: LifecycleWorld, behind proxy: Proxy, workers: Int) throws {
        self.world = world
        self.proxy = proxy
        let ports = try (0..<4).map { _ in try FreePort.find() }
        frontPorts = [ports[0], ports[2]]
        for _ in 0..<2 { try add("scheduler", [:]) }
        for _ in 0..<workers { try add("worker", [:]) }
        for number in 0..<2 {
            try add(
                "front",
                [
                    "EVERGRANT_FRONT_HTTP_PORT": "\(ports[2 * number])",
                    "EVERGRANT_FRONT_ADMIN_PORT": "\(ports[2 * number + 1])",
                ])
        }
    }

    /// Durations in which a run of seconds sees every wait of the protocol.
    static let settings = [
        "EVERGRANT_LIFECYCLE_CLAIM": "4s",
        "EVERGRANT_LIFECYCLE_CALLER_PATIENCE": "4s",
        "EVERGRANT_DATABASE_CONNECT_TIMEOUT": "1s",
        "EVERGRANT_DATABASE_ACQUIRE_TIMEOUT": "2s",
        "EVERGRANT_DATABASE_STATEMENT_TIMEOUT": "5s",
        "EVERGRANT_LOG_LEVEL": "warning",
    ]

    private func add(_ role: String, _ own: [String: String]) throws {
        let (place, port) = try proxy.add()
        let url = Proxy.url(port: port, database: world.databaseName)
        let settings = Self.settings.merging(own) { $1 }
        let process = try FleetProcess(role, in: world, url: url, settings: settings)
        state.withLock {
            $0.seats.append(Seat(role: role, place: place, url: url, settings: settings, process: process))
        }
    }

    /// Takes a living process of one of `roles` for a disturbance; give it back with ``release(_:)``.
    func take(_ roles: [String], pid: Int32? = nil, _ random: inout SeededRandom) -> (index: Int, seat: Seat)? {
        state.withLock { state in
            let free = state.seats.indices.filter { index in
                let seat = state.seats[index]
                return roles.contains(seat.role) && !seat.isBusy && (pid == nil || seat.process.pid == pid)
            }
            guard let index = free.randomElement(using: &random) else { return nil }
            state.seats[index].isBusy = true
            return (index, state.seats[index])
        }
    }

    func release(_ index: Int) { state.withLock { $0.seats[index].isBusy = false } }

    func kill(_ index: Int) {
        let seat = state.withLock { $0.seats[index] }
        note(seat.process.pid, lasting: .zero)
        seat.process.kill()
    }

    func drain(_ index: Int) { state.withLock { $0.seats[index] }.process.stop() }

    /// Stops it for so long.
    func suspend(_ index: Int, for duration: Duration) async throws {
        let process = state.withLock { $0.seats[index].process }
        note(process.pid, lasting: duration)
        process.suspend()
        defer { process.resume() }
        try await Task.sleep(for: duration)
    }

    /// Another in the place of one that has ended.
    func replace(_ index: Int) throws {
        let seat = state.withLock { $0.seats[index] }
        let process = try FleetProcess(seat.role, in: world, url: seat.url, settings: seat.settings)
        state.withLock { $0.seats[index].process = process }
    }

    /// Something came over every process, such as the end of the database's sessions.
    func note(_ pid: Int32, lasting: Duration) {
        let now = Date()
        state.withLock {
            $0.blows.append(
                Blow(pid: pid, from: now, until: now.addingTimeInterval(Double(lasting.components.seconds))))
        }
    }

    var blows: [Blow] { state.withLock { $0.blows } }

    /// Starts again what has ended by itself, as a supervisor would: a process that finds no database at its start says so
    /// and ends. Whatever else ended is kept, with its last words.
    func supervise() throws {
        let fallen = state.withLock { state in
            let indices = state.seats.indices.filter { !state.seats[$0].isBusy && !state.seats[$0].process.isRunning }
            for index in indices { state.seats[index].isBusy = true }
            return indices.map { ($0, state.seats[$0].process) }
        }
        for (index, process) in fallen {
            if !process.output.contains("evergrant: database: ") {
                let words = "\(process.role) \(process.pid): \(process.output.suffix(600))"
                state.withLock { $0.fallen.append(words) }
            }
            try replace(index)
            release(index)
        }
    }

    /// Processes that ended by themselves and not for want of a database.
    var fallen: [String] { state.withLock { $0.fallen } }

    /// Asks all to end; those of one role at a time.
    func stop() {
        let seats = state.withLock { $0.seats }
        for role in ["front", "scheduler", "worker"] {
            for seat in seats where seat.role == role && seat.process.isRunning { seat.process.stop() }
        }
    }

    func destroy() {
        for seat in state.withLock({ $0.seats }) where seat.process.isRunning { seat.process.kill() }
    }
}
