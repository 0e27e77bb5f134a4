import EmbeddedPostgres
import Foundation
import LifecycleSupport

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// `lifecycle-chaos`: docs/lifecycle-chaos.md tells what is played and what is counted.
@main
struct LifecycleChaos {
    static func main() async {
        do {
            guard let options = try ConductOptions(Array(CommandLine.arguments.dropFirst())) else {
                print(ConductOptions.help)
                exit(0)
            }
            let report = try await Conductor(options).conduct()
            print(report.text)
            if let path = options.reportPath {
                try JSONEncoder().encode(report).write(to: URL(filePath: path))
            }
            exit(report.isClean ? 0 : 1)
        } catch {
            FileHandle.standardError.write(Data("lifecycle-chaos: \(error)\n".utf8))
            exit(2)
        }
    }
}
