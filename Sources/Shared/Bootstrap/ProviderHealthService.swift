import Lifecycle
import ServiceLifecycle

/// Keeps what this process knows of providers' troubles, until shutdown; then tells the fleet what is left.
package struct ProviderHealthService: Service {
    private let keeper: HealthKeeper

    package init(_ lifecycle: LifecycleServices) { keeper = HealthKeeper(lifecycle) }

    package func run() async throws { await cancelWhenGracefulShutdown { await keeper.run() } }
}
