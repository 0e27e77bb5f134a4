import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Processor time used so far, in seconds, by whom. From proc(5), to the kernel's tick (10 ms), and getrusage(2).
struct ProcessorTimes: Sendable {
    /// The Postgres server with all its processes; nil when it is not a process of this machine.
    var server: Double?
    /// This process, by what its threads are for.
    var client: Double
    /// Of `client`: threads that own a libpq connection (sending, receiving, encoding parameters).
    var connections: Double
    /// A second process with its children, where there is one.
    var helper: Double
    /// Everything on the machine.
    var machine: Double

    static func read(server postmaster: Int32?, helper: Int32? = nil) -> ProcessorTimes {
        ProcessorTimes(
            server: postmaster.map(familyTime), client: ownTime(), connections: connectionThreads(),
            helper: helper.map(familyTime) ?? 0, machine: machineTime())
    }

    private static let tick = Double(sysconf(Int32(_SC_CLK_TCK)))

    private static func ownTime() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Fields of a stat file after the name, which may hold spaces: [0] is the state, [1] the parent.
    private static func fields(_ path: String) -> [Substring] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), let end = text.lastIndex(of: ")") else {
            return []
        }
        return text[text.index(after: end)...].split(separator: " ")
    }

    /// Own time, and with `children` that of ended children.
    private static func time(_ path: String, children: Bool) -> Double {
        let fields = fields(path)
        guard fields.count > 14 else { return 0 }
        return (11..<(children ? 15 : 13)).reduce(0) { $0 + (Double(fields[$1]) ?? 0) } / tick
    }

    /// A process, its ended children, and those that live.
    static func familyTime(_ parent: Int32) -> Double {
        let own = time("/proc/\(parent)/stat", children: true)
        let list =
            (try? String(contentsOfFile: "/proc/\(parent)/task/\(parent)/children", encoding: .utf8)) ?? ""
        return list.split { $0 == " " || $0 == "\n" }
            .reduce(own) { $0 + time("/proc/\($1)/stat", children: false) }
    }

    private static func connectionThreads() -> Double {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        return threads.reduce(0) { sum, thread in
            let path = "/proc/self/task/\(thread)/"
            guard let name = try? String(contentsOfFile: path + "comm", encoding: .utf8), name == "postgres\n" else {
                return sum
            }
            return sum + time(path + "stat", children: false)
        }
    }

    static func machineTime() -> Double {
        let text = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? ""
        let numbers = text.prefix { $0 != "\n" }.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard numbers.count >= 8 else { return 0 }
        // user, nice, system, (idle, iowait,) irq, softirq, steal
        return (numbers[0] + numbers[1] + numbers[2] + numbers[5] + numbers[6] + numbers[7]) / tick
    }

    /// The postmaster above a backend, when that is a process of this machine that we can see.
    static func postmaster(ofBackend backend: Int32) -> Int32? {
        let fields = fields("/proc/\(backend)/stat")
        guard fields.count > 1, let parent = Int32(fields[1]), parent > 1,
            let name = try? String(contentsOfFile: "/proc/\(backend)/comm", encoding: .utf8),
            name.hasPrefix("postgres")
        else { return nil }
        return parent
    }
}
