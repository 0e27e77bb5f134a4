import NIOCore

/// Tells when the client of a connection has gone away while its request is still being worked on.
final class ClientWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private var isGone = false
    private var onGone: (@Sendable () -> Void)?

    /// Runs `action` once when the client of `channel` closes its side; at once when it has done so.
    static func watch(_ channel: any Channel, _ action: @escaping @Sendable () -> Void) {
        channel.eventLoop.execute {
            guard let watch = try? channel.pipeline.syncOperations.handler(type: ClientWatch.self), !watch.isGone else {
                // A pipeline without its handlers has been torn down.
                return action()
            }
            watch.onGone = action
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { tell() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        tell()
        context.fireChannelInactive()
    }

    private func tell() {
        isGone = true
        onGone?()
        onGone = nil
    }
}
