import CLibCurl
import Pacing

/// One request on its way through libcurl: what its callbacks count, and to whom its end is told.
///
/// Built and configured by the calling task, then handed to the lane's thread by `Lane.post(.start)`; from there on only
/// that thread touches it, apart from the two buffers, which have their own locks.
final class Transfer: @unchecked Sendable {
    // See above: handed over once, and the inbox's lock orders the handing over.
    let plan: RequestPlan
    let easy: EasyHandle
    let lane: Lane
    /// Nil for `send`, which collects the body here.
    let stream: ResponseBuffer?
    let upload: UploadSource?
    let preventsResend: Bool
    private var headerList: UnsafeMutablePointer<curl_slist>?

    /// Resumed once: with the whole answer, or for a stream with its head.
    var waiter: CheckedContinuation<EgressOutcome, Never>?
    /// How often the send hook let the request go, and what it said when it did not.
    var releases = 0
    /// The reason for ending it that Evergrant has, rather than libcurl.
    var verdict: EgressFailure.Code?
    var head = HeadParser()
    var body: [UInt8] = []
    var isReceivePaused = false
    var isSendPaused = false
    /// In the lane's list of streams to be flushed.
    var isTouched = false
    /// Only for streams: until when the head must be there.
    var headDeadline: BootInstant?
    /// The lane knows it, and its waiter is in place.
    var isStarted = false
    private(set) var isEnded = false
    /// Told after the end: a reused connection died before an answer, so a new connection may serve better.
    private(set) var diedStale = false

    init(
        plan: RequestPlan, easy: EasyHandle, lane: Lane, stream: ResponseBuffer? = nil, upload: UploadSource? = nil
    ) throws(EgressFailure) {
        self.plan = plan
        self.easy = easy
        self.lane = lane
        self.stream = stream
        self.upload = upload
        preventsResend = lane.configuration.preventsResend
        guard configure(lane.configuration, lane.guardian) == CURLE_OK else {
            easy.reset()
            throw EgressFailure(.local, "libcurl could not be set up for \(plan.origin)")
        }
    }

    deinit { curl_slist_free_all(headerList) }

    /// Tells the end to whoever waits for it. Called once, by the lane, when libcurl holds the transfer no more.
    func end(_ code: CURLcode) {
        guard !isEnded else { return }
        isEnded = true
        upload?.close()
        let failure = failure(for: code)
        if let failure, releases > 0, !head.hasBegun {
            diedStale =
                failure.code == .resendPrevented
                || easy.reusedConnection && (failure.code == .reset || failure.code == .emptyAnswer)
        }
        stream?.finish(failure)
        guard let waiter else { return }
        self.waiter = nil
        if let failure, stream == nil || !head.isComplete {
            waiter.resume(returning: releases == 0 ? .notSent(failure) : .ambiguous(failure))
        } else {
            // A stream that failed after its head tells so to the reader of its body.
            waiter.resume(
                returning: .answered(EgressResponse(status: head.status, headers: head.headers, body: body)))
        }
    }

    /// Ends a transfer that libcurl never got.
    func refuse(_ code: EgressFailure.Code) {
        verdict = code
        end(CURLE_ABORTED_BY_CALLBACK)
    }

    /// For streams: hands out the head, then wakes the reader of the body. True when libcurl has to be told to go on.
    func flush() -> Bool {
        isTouched = false
        // An answer that refuses the body ends the sending, but libcurl 7.88 would wait for a paused source all the same.
        let refusesBody = isSendPaused && head.isComplete && head.status >= 400
        guard let stream, head.isComplete else { return refusesBody }
        if let waiter {
            self.waiter = nil
            waiter.resume(returning: .answered(EgressResponse(status: head.status, headers: head.headers)))
        }
        return stream.flush() || refusesBody
    }

    // MARK: configuration

    /// The file of certificate authorities that libcurl was built for; nil when it has none.
    private static let systemAuthorities: String? = curl_version_info(CURLVERSION_SEVENTH)?.pointee.cainfo
        .map { String(cString: $0) }

    private func configure(_ configuration: EgressConfiguration, _ guardian: AddressGuard) -> CURLcode {
        let request = plan.request
        let pointer = easy.pointer
        let context = Unmanaged.passUnretained(self).toOpaque()
        for line in plan.headerLines {
            guard let longer = curl_slist_append(headerList, line) else { return CURLE_OUT_OF_MEMORY }
            headerList = longer
        }
        var setting = Setting(pointer: pointer)
        setting.result = easy.arm(with: guardian)
        setting.string(CURLOPT_URL, request.url)
        setting.long(CURLOPT_PATH_AS_IS, 1)
        setting.string(CURLOPT_PROTOCOLS_STR, plan.isSecure ? "https" : "http")
        setting.long(CURLOPT_FOLLOWLOCATION, 0)
        // Empty, not absent: otherwise http_proxy and its like would be read, and the guard would see the proxy.
        setting.string(CURLOPT_PROXY, "")
        setting.long(CURLOPT_NOSIGNAL, 1)
        // Otherwise ending a transfer whose name is being resolved holds up all others until the resolver gives up.
        setting.long(CURLOPT_QUICK_EXIT, 1)
        setting.long(CURLOPT_TCP_KEEPALIVE, 1)
        setting.long(CURLOPT_MAXAGE_CONN, Int(max(1, configuration.connectionIdleLimit.components.seconds)))
        setting.long(CURLOPT_CONNECTTIMEOUT_MS, Int(clamping: max(1, request.connectTimeout.milliseconds)))
        setting.list(CURLOPT_HTTPHEADER, headerList)
        if plan.isSecure {
            setting.long(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
            setting.long(
                CURLOPT_HTTP_VERSION, Int(plan.sharesConnection ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1))
            // Waits for the connection that is being opened rather than opening one for each request of a burst.
            setting.long(CURLOPT_PIPEWAIT, plan.sharesConnection ? 1 : 0)
            if let file = configuration.certificateAuthorityFile ?? Self.systemAuthorities {
                setting.string(CURLOPT_CAINFO, file)
                // A directory beside the file (Debian's default) would be trusted as well, and it keeps libcurl from
                // caching the parsed file: 20 ms of processor time for each new connection, measured here.
                setting.pointer(CURLOPT_CAPATH, nil)
                setting.long(CURLOPT_CA_CACHE_TIMEOUT, 3600)
            }
        } else {
            setting.long(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        }
        if request.freshConnection {
            setting.long(CURLOPT_FRESH_CONNECT, 1)
            setting.long(CURLOPT_FORBID_REUSE, 1)
        }
        if stream == nil {
            setting.long(CURLOPT_TIMEOUT_MS, Int(clamping: max(1, request.timeout.milliseconds)))
            // Zero would mean no limit; the write callback counts as well.
            if request.method != "HEAD", request.maximumResponseBytes > 0 {
                setting.offset(CURLOPT_MAXFILESIZE_LARGE, request.maximumResponseBytes)
            }
        } else if request.idleTimeout.components.seconds > 0 {
            setting.long(CURLOPT_LOW_SPEED_LIMIT, 1)
            setting.long(CURLOPT_LOW_SPEED_TIME, Int(request.idleTimeout.components.seconds))
        }
        setting.method(of: request)
        setting.callbacks(context, reads: upload != nil)
        return setting.result
    }
}
