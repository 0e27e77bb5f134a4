// OpenSSL's libcrypto as the Vault module uses it: AES-GCM, SHA-256, HMAC, HKDF and random bytes through EVP.
#ifndef EVERGRANT_CLIBCRYPTO_H
#define EVERGRANT_CLIBCRYPTO_H

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

/// HKDF (RFC 5869) with SHA-256, extract and expand. `kdf` comes from EVP_KDF_fetch(NULL, "HKDF", NULL).
/// Returns 1 on success. It is here because the parameter list is an array of unions that Swift can't write briefly.
static inline int evergrant_hkdf_sha256(
    EVP_KDF *kdf, const void *key, size_t key_length, const void *salt, size_t salt_length, const void *context,
    size_t context_length, void *output, size_t output_length
) {
    EVP_KDF_CTX *state = EVP_KDF_CTX_new(kdf);
    if (state == NULL) return 0;
    OSSL_PARAM parameters[5];
    OSSL_PARAM *next = parameters;
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_length);
    if (salt_length > 0) *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_length);
    if (context_length > 0)
        *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)context, context_length);
    *next = OSSL_PARAM_construct_end();
    int result = EVP_KDF_derive(state, (unsigned char *)output, output_length, parameters);
    EVP_KDF_CTX_free(state);
    return result;
}

#endif
