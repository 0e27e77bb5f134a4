import CLibCurl

/// A libcurl easy handle with the memory that libcurl writes to during a transfer. Pooled by its lane.
final class EasyHandle: @unchecked Sendable {
    // One owner at a time: the task that configures it, then the lane's thread, then the pool.
    let pointer: UnsafeMutableRawPointer
    private let reason: UnsafeMutablePointer<CChar>
    private let sockets: UnsafeMutablePointer<evergrant_guarded_sockets>

    init?() {
        guard let pointer = curl_easy_init() else { return nil }
        self.pointer = pointer
        reason = .allocate(capacity: Int(CURL_ERROR_SIZE))
        reason.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        sockets = .allocate(capacity: 1)
        sockets.initialize(to: evergrant_guarded_sockets())
    }

    deinit {
        curl_easy_cleanup(pointer)
        reason.deallocate()
        sockets.deallocate()
    }

    /// Sockets the guard refused and let through since `arm`.
    var refusedSockets: Int { Int(sockets.pointee.refused) }
    var openedSockets: Int { Int(sockets.pointee.opened) }

    /// libcurl's own words. They name host, port and certificate before the request is sent; later they may quote the
    /// answer, so only early failures use them.
    var reasonText: String { String(cString: reason) }

    /// False when the transfer had to open a connection.
    var reusedConnection: Bool {
        var opened = 0
        return evergrant_easy_get_long(pointer, CURLINFO_NUM_CONNECTS, &opened) == CURLE_OK && opened == 0
    }

    /// Puts `guardian` and the error text in place; it must live as long as the transfer.
    func arm(with guardian: AddressGuard) -> CURLcode {
        reason[0] = 0
        sockets.pointee = evergrant_guarded_sockets(guard: UnsafePointer(guardian.pointer), opened: 0, refused: 0)
        let code = evergrant_easy_set_pointer(pointer, CURLOPT_ERRORBUFFER, reason)
        return code == CURLE_OK ? evergrant_easy_set_guard(pointer, sockets) : code
    }

    /// Forgets the request, its secrets and its callbacks; keeps nothing but the memory.
    func reset() { curl_easy_reset(pointer) }
}
