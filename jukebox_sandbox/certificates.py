"""The certificate with which the servers behind S3 know each other; they answer nobody who does not have it."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from jukebox_sandbox.ports import LOOPBACK
from jukebox_sandbox.state import is_written, write_secret

CERTIFICATE = "tls.pem"
"""The certificate and its key, in one file: half of a pair would be none, and SeaweedFS would answer everybody."""

SERVERS = ("MASTER", "VOLUME", "FILER", "ADMIN")


def ensure_certificate(folder: Path) -> Path:
    """Make the certificate of a sandbox, where it has none yet.

    It is its own authority, for this address, and has no end: a laptop's clock may be wrong.

    Args:
        folder: Where it is kept, readable by this user only.

    Returns:
        The file.
    """
    file = folder / CERTIFICATE
    if is_written(file):
        return file
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jukebox sandbox")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
    # RFC 5280, 4.1.2.5: the date that stands for no end.
    first, last = datetime.datetime(2000, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), first, last)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(folder, {CERTIFICATE: (made.public_bytes(pem) + private).decode()})
    return file


def variables(file: str) -> dict[str, str]:
    """What makes SeaweedFS want this certificate from whoever connects, by gRPC and by HTTP; S3 itself has signatures.

    They are the keys of its ``security.toml`` (``weed scaffold -config=security``). What is missing here would be
    open: it answers everybody where it finds no certificate.

    Args:
        file: The certificate's file.
    """
    named = {"WEED_GRPC_CA": file, "WEED_HTTPS_CLIENT_ENABLED": "true"}
    for section in [f"HTTPS_{server}" for server in (*SERVERS, "CLIENT")]:
        named |= {f"WEED_{section}_{key}": file for key in ("CA", "CERT", "KEY")}
    for section in [f"GRPC_{part}" for part in (*SERVERS, "S3", "CLIENT", "WORKER")]:
        named |= {f"WEED_{section}_{key}": file for key in ("CERT", "KEY")}
    return named


def context(file: Path) -> ssl.SSLContext:
    """How this sandbox itself asks those servers: with the certificate, and only whoever has it, too."""
    made = ssl.create_default_context(cafile=str(file))
    made.load_cert_chain(file)
    return made
