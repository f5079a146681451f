"""Authorities and the certificates that they give, as PEM files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who gives certificates."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, name: str) -> "Authority":
        """One that vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        begun = _begun(name, _name(name), key.public_key())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        return cls(name, key, begun.add_extension(constraints, critical=True).sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        """Its certificate, by which others know it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def give(self, name: str) -> bytes:
        """A new key and its certificate of this name, for 127.0.0.1 and localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        begun = _begun(name, self.certificate.subject, key.public_key())
        begun = begun.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = begun.sign(self.key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return secret + certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, path: Path) -> Path:
        """Its certificate as a file."""
        path.write_bytes(self.pem)
        return path


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
