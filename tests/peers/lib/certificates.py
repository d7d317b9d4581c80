"""A root and a server certificate as a Proxmox VE node has them, for one test run."""
import datetime
import hashlib
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make(folder, host, names):
    """A root as PVE has one and a server certificate signed by it; returns (root, chain, key, SHA-256 fingerprint)."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def sign(name, key, issuer, signer, ca):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            alternatives = [x509.IPAddress(ipaddress.ip_address(a)) for a in {host, "127.0.0.1"}] + [x509.DNSName(n) for n in {"localhost", *names}]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(signer, hashes.SHA256())

    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Proxmox Virtual Environment"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "PVE Cluster Manager CA")])
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = sign(root_name, root_key, root_name, root_key, True)
    leaf = sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), key, root_name, root_key, False)
    pem = serialization.Encoding.PEM
    paths = [os.path.join(folder, name) for name in ("pve-root-ca.pem", "pve-ssl.pem", "pve-ssl.key")]
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, data in zip(paths, (root.public_bytes(pem), leaf.public_bytes(pem) + root.public_bytes(pem), secret)):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
    digest = hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return (*paths, ":".join(digest[i:i + 2] for i in range(0, len(digest), 2)))
