import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What the sandbox knows and does, without HTTP. Tests in the same process may ask it directly; the control API is a
/// layer over the same functions.
package final class SandboxState: Sendable {
    private let book: Mutex<ProviderBook>
    private let settingsAtStart: SandboxSettings
    /// Scenarios to play, each with the factor of its times.
    let scenarios: AsyncStream<(SandboxScenario, Double)>
    private let scenarioQueue: AsyncStream<(SandboxScenario, Double)>.Continuation
    /// Open when the server shuts down: whoever waits for time to pass goes on.
    let closing = Latch()

    package init(settings: SandboxSettings = SandboxSettings()) {
        settingsAtStart = settings
        (scenarios, scenarioQueue) = AsyncStream.makeStream()
        book = Mutex(ProviderBook(settings: settings))
    }

    /// Everything under the lock. `body` gets the time by the provider's clock, in seconds since 1970.
    func withBook<Result: Sendable>(_ body: (inout ProviderBook, _ now: Double) -> Result) -> Result {
        book.withLock { book in
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            let now = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9 + book.clockOffset
            return body(&book, now)
        }
    }

    /// Plays a scenario when those before it are over; a server must run.
    /// - Parameter scale: multiplies its times.
    package func play(_ scenario: SandboxScenario, scale: Double = 1) { scenarioQueue.yield((scenario, scale)) }

    /// The scenario that is being played.
    package var playing: String? { withBook { book, _ in book.playing } }

    func isPlaying(_ name: String?) { withBook { book, _ in book.playing = name } }

    /// Lets every stopped, hanging and slow request go on.
    func releaseAll() {
        closing.open()
        let (faults, gates) = withBook { book, _ in (book.faults, book.gates) }
        for fault in faults { fault.latch.open() }
        for gate in gates { gate.release() }
    }

    /// Back to the start: no clients but the standard one, no grants, keys, faults, gates or lines; clock and settings as
    /// configured. Stopped requests go on. Numbers go on too, so that old names never mean something new.
    package func reset() {
        let (faults, gates) = withBook { book, _ in
            let held = (book.faults, book.gates)
            book.clear(settings: settingsAtStart)
            return held
        }
        for fault in faults { fault.latch.open() }
        for gate in gates { gate.release() }
    }
}

extension ProviderBook {
    mutating func clear(settings: SandboxSettings) {
        self.settings = settings
        clients = [OAuthClient.standard.id: .standard]
        grants = [:]
        places = [:]
        codes = [:]
        keys = [:]
        clockOffset = 0
        ledger = Ledger(settings)
        faults = []
        gates = []
        waiting = []
        revision += 1
    }
}
