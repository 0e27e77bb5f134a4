import CLibCurl

/// Sets options of an easy handle one after the other and keeps the first failure.
struct Setting {
    let pointer: UnsafeMutableRawPointer
    var result = CURLE_OK

    mutating func long(_ option: CURLoption, _ value: Int) {
        if result == CURLE_OK { result = evergrant_easy_set_long(pointer, option, value) }
    }

    mutating func offset(_ option: CURLoption, _ value: Int) {
        if result == CURLE_OK { result = evergrant_easy_set_offset(pointer, option, curl_off_t(value)) }
    }

    mutating func string(_ option: CURLoption, _ value: String) {
        if result == CURLE_OK { result = evergrant_easy_set_string(pointer, option, value) }
    }

    mutating func pointer(_ option: CURLoption, _ value: UnsafeRawPointer?) {
        if result == CURLE_OK { result = evergrant_easy_set_pointer(pointer, option, value) }
    }

    mutating func list(_ option: CURLoption, _ value: UnsafeMutablePointer<curl_slist>?) {
        if result == CURLE_OK { result = evergrant_easy_set_list(pointer, option, value) }
    }

    /// The method, and how its body goes out.
    mutating func method(of request: EgressRequest) {
        let method = request.method
        switch request.body {
        case .none where method == "HEAD": long(CURLOPT_NOBODY, 1)
        case .none where ["POST", "PUT", "PATCH"].contains(method):
            // RFC 9110 §8.6: methods that expect content say that there is none.
            post([], method)
        case .none:
            long(CURLOPT_HTTPGET, 1)
            if method != "GET" { string(CURLOPT_CUSTOMREQUEST, method) }
        case .bytes(let bytes): method == "HEAD" ? long(CURLOPT_NOBODY, 1) : post(bytes, method)
        case .stream(_, let length):
            long(CURLOPT_UPLOAD, 1)
            offset(CURLOPT_INFILESIZE_LARGE, length ?? -1)
            if method != "PUT" { string(CURLOPT_CUSTOMREQUEST, method) }
        }
    }

    private mutating func post(_ bytes: [UInt8], _ method: String) {
        long(CURLOPT_POST, 1)
        // Size before bytes: libcurl copies that many.
        offset(CURLOPT_POSTFIELDSIZE_LARGE, bytes.count)
        bytes.withUnsafeBytes { buffer in
            guard result == CURLE_OK else { return }
            result =
                buffer.isEmpty
                ? evergrant_easy_set_string(pointer, CURLOPT_COPYPOSTFIELDS, "")
                : evergrant_easy_set_pointer(pointer, CURLOPT_COPYPOSTFIELDS, buffer.baseAddress)
        }
        if method != "POST" { string(CURLOPT_CUSTOMREQUEST, method) }
    }

    /// The callbacks of `Transfer`, whose address `context` is.
    mutating func callbacks(_ context: UnsafeMutableRawPointer, reads: Bool) {
        guard result == CURLE_OK else { return }
        result = evergrant_easy_set_prerequest(pointer, releaseRequest, context)
        guard result == CURLE_OK else { return }
        result = evergrant_easy_set_header(pointer, receiveHeader, context)
        guard result == CURLE_OK else { return }
        result = evergrant_easy_set_write(pointer, receiveBody, context)
        guard result == CURLE_OK, reads else { return }
        result = evergrant_easy_set_read(pointer, provideBody, context)
    }
}
