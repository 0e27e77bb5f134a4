#!/usr/bin/env python3
"""Writes the vault's known-answer vectors with Python's `cryptography`, independently of the Swift code.

Usage: python3 -m venv .venv-vectors && .venv-vectors/bin/pip install cryptography
       .venv-vectors/bin/python Tests/VaultTests/Vectors/generate.py

Everything is derived from fixed labels, so a second run writes the same files. The published vectors (GCM
specification of McGrew and Viega, test cases 13 to 16; RFC 4231; RFC 5869 appendix A) are typed in below and verified
here before they are written.
"""
import hashlib
import hmac
import json
import pathlib
import struct
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).parent


def derived(label, length):
    return hashlib.shake_256(("evergrant vectors: " + label).encode()).digest(length)


def field(data):
    return struct.pack(">I", len(data)) + data


def number(value):
    return field(struct.pack(">q", value))


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def sealed_values():
    places = [
        ("token_set", 1, "7", 1, '{"v":1,"a":"ya29.token","t":"Bearer"}'.encode()),
        ("token_set", 1, "7", 2, b""),
        ("client_secret", 42, "oapp_0123456789abcdef", 0, derived("binary", 257)),
        ("webhook_secret", 2**63 - 1, "söme röw 🗝", 2**63 - 1, "späßchen 🔑".encode()),
        ("", -1, "", -(2**63), b"\x00"),
        ("token_set", 3, "9", 77, derived("large", 5000)),
    ]
    for index, (purpose, environment, row, generation, plaintext) in enumerate(places):
        key, nonce = derived(f"data key {index}", 32), derived(f"nonce {index}", 12)
        key_id = uuid.UUID(bytes=derived(f"data key id {index}", 16), version=4)
        associated = (
            b"\x01" + key_id.bytes + field(purpose.encode()) + number(environment) + field(row.encode())
            + number(generation)
        )
        yield {
            "purpose": purpose, "environmentID": environment, "rowID": row, "generation": generation,
            "dataKeyID": str(key_id), "dataKey": key.hex(), "nonce": nonce.hex(), "plaintext": plaintext.hex(),
            "associatedData": associated.hex(),
            "sealed": (b"\x01" + key_id.bytes + nonce + AESGCM(key).encrypt(nonce, plaintext, associated)).hex(),
        }


def wrapped_data_keys():
    for index, (kek_id, environment) in enumerate([("key-1", 1), ("k", -5), ("a" * 64, 2**40), ("2026-01.Prod_eu", 0)]):
        kek, data_key, nonce = (derived(f"{what} {index}", n) for what, n in [("kek", 32), ("wrapped", 32), ("wn", 12)])
        key_id = uuid.UUID(bytes=derived(f"wrapped id {index}", 16), version=4)
        associated = b"\x01" + key_id.bytes + field(b"data_key") + field(kek_id.encode()) + number(environment)
        wrapped = bytes([1, len(kek_id)]) + kek_id.encode() + nonce + AESGCM(kek).encrypt(nonce, data_key, associated)
        yield {
            "kekID": kek_id, "kek": kek.hex(), "environmentID": environment, "dataKeyID": str(key_id),
            "dataKey": data_key.hex(), "nonce": nonce.hex(), "wrapped": wrapped.hex(),
        }


K = "feffe9928665731c6d6a8f9467308308" * 2
P = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
    "b16aedf5aa0de657ba637b391aafd255"
)
C = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
    "c5f61e6393ba7a0abcc9f662898015ad"
)
GCM = [  # name, key, nonce, plaintext, associated data, ciphertext, tag
    ("test case 13", "00" * 32, "00" * 12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    ("test case 14", "00" * 32, "00" * 12, "00" * 16, "", "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"),
    ("test case 15", K, "cafebabefacedbaddecaf888", P, "", C, "b094dac5d93471bdec1a502270e3cc6c"),
    ("test case 16", K, "cafebabefacedbaddecaf888", P[:120], "feedfacedeadbeeffeedfacedeadbeefabaddad2", C[:120],
     "76fc6ece0f4e1768cddf8853bb2d551b"),
]
HMAC = [  # name, key, message, digest
    ("RFC 4231 §4.2", "0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    ("RFC 4231 §4.3", b"Jefe".hex(), b"what do ya want for nothing?".hex(),
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ("RFC 4231 §4.4", "aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    ("RFC 4231 §4.5", bytes(range(1, 26)).hex(), "cd" * 50,
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    ("RFC 4231 §4.7", "aa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    ("RFC 4231 §4.8", "aa" * 131,
     (b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
      b"hashed before being used by the HMAC algorithm.").hex(),
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
]
HKDF_CASES = [  # name, key, salt, info, length, output
    ("RFC 5869 A.1", "0b" * 22, bytes(range(13)).hex(), "f0f1f2f3f4f5f6f7f8f9", 42,
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
    ("RFC 5869 A.2", bytes(range(80)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(), 82,
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
     "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
    ("RFC 5869 A.3", "0b" * 22, "", "", 42,
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
]


def published():
    x = bytes.fromhex
    for name, key, nonce, plaintext, associated, ciphertext, tag in GCM:
        assert AESGCM(x(key)).encrypt(x(nonce), x(plaintext), x(associated)).hex() == ciphertext + tag, name
    for name, key, message, digest in HMAC:
        assert hmac.new(x(key), x(message), "sha256").hexdigest() == digest, name
    for name, key, salt, info, length, output in HKDF_CASES:
        made = HKDF(algorithm=hashes.SHA256(), length=length, salt=x(salt) or None, info=x(info)).derive(x(key))
        assert made.hex() == output, name
    names = {
        "gcm": ["name", "key", "nonce", "plaintext", "associatedData", "ciphertext", "tag"],
        "hmac": ["name", "key", "message", "digest"],
        "hkdf": ["name", "key", "salt", "info", "length", "output"],
    }
    return {k: [dict(zip(names[k], case)) for case in v] for k, v in zip(names, [GCM, HMAC, HKDF_CASES])}


write("sealed-values.json", list(sealed_values()))
write("wrapped-data-keys.json", list(wrapped_data_keys()))
write("published.json", published())
