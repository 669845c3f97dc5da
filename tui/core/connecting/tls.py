"""The TLS handshake with Milvus, before its own client tries: whose certificate, what is wrong with it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tui.core.connecting import network
from tui.core.errors import EngineUnreachable, InvalidInput, KitescopeError
from tui.core.words import counted

_FILES = ("client_pem_path", "client_key_path", "ca_pem_path", "server_pem_path")
_SOON_DAYS = 14

# OpenSSL's X509_V_ERR_ numbers.
_NOT_YET, _EXPIRED = 9, 10
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})


@dataclass(frozen=True)
class Certificate:
    """What a server's certificate says; times are UTC."""

    owner: str
    names: tuple[str, ...]
    issuer: str
    begins: datetime
    ends: datetime

    def __str__(self) -> str:
        names = ", ".join(self.names) or self.owner
        return f"certificate until {self.ends:%Y-%m-%d} of {names}, issued by {self.issuer}"


def shake_hands(host: str, port: int, values: Mapping[str, str | bool | None], timeout: float) -> str:
    """Do what Milvus' client will do, and answer what was agreed on.

    Args:
        values: the Milvus parameters.
        timeout: seconds for each wait.

    Raises:
        InvalidInput: the certificate is not one that these settings accept, or a PEM file cannot be used.
        EngineUnreachable: the server does not speak TLS, refuses, or its certificate has ended.
    """
    name = str(values.get("server_name") or host)
    context = _context(values)
    with network.connect(host, port, timeout) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name) as tls:
                _hear_refusal(tls, timeout)
                certificate = _read(tls.getpeercert(binary_form=True))
                return f"{tls.version()}, {certificate}{_soon(certificate)}"
        except ssl.SSLCertVerificationError as error:
            raise _not_accepted(error, certificate_of(host, port, timeout), name, values) from error
        except TimeoutError as error:
            raise EngineUnreachable(
                f"{host}:{port} does not answer the TLS handshake",
                "See whether it speaks TLS, and whether it is overloaded",
            ) from error
        except (ssl.SSLError, OSError) as error:
            raise _no_handshake(error, f"{host}:{port}", values) from error


def speaks_tls(host: str, port: int, timeout: float) -> bool:
    """Whether a server that does not answer in plain text would have answered in TLS."""
    try:
        with network.connect(host, port, timeout) as plain, _trusting().wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        # A server that wants the client's certificate says so with an alert, which is TLS too.
        return "ALERT" in str(error.reason or "").upper()
    except (KitescopeError, OSError):
        return False


def certificate_of(host: str, port: int, timeout: float) -> Certificate | None:
    """What the server shows, whoever issued it; None when it shows nothing."""
    try:
        with network.connect(host, port, timeout) as plain, _trusting().wrap_socket(plain) as tls:
            return _read(tls.getpeercert(binary_form=True))
    except (KitescopeError, OSError, ValueError):
        return None


def _trusting() -> ssl.SSLContext:
    """For a look at what is there; nothing is sent over such a connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def _context(values: Mapping[str, str | bool | None]) -> ssl.SSLContext:
    """As Milvus' client will do it: the CA of two-way TLS, else the server's pem, else the system's roots."""
    two_way = _two_way(values)
    for name in _FILES:
        if values.get(name) and not Path(str(values[name])).is_file():
            raise InvalidInput(f"The file of {name} does not exist: {values[name]}", "Correct the path")
    roots = values["ca_pem_path"] if two_way else values.get("server_pem_path")
    try:
        context = ssl.create_default_context(cafile=str(roots) if roots else None)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(
            f"{roots} is no file of certificates ({_reason(error)})", "Give a file in PEM format"
        ) from error
    # gRPC's servers hang up on clients that do not offer HTTP/2.
    context.set_alpn_protocols(["h2"])
    # A server's own certificate is trusted as it is, also when it is no authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if two_way:
        pem, key = str(values["client_pem_path"]), str(values["client_key_path"])
        try:
            # Without an answer here OpenSSL would ask for the key's password on the terminal.
            context.load_cert_chain(pem, key, password=lambda: b"")
        except (ssl.SSLError, OSError) as error:
            raise InvalidInput(
                f"The client key {key} cannot be used with {pem} ({_reason(error)})",
                "Give the certificate and its own key, without a password, both in PEM format",
            ) from error
    return context


def _two_way(values: Mapping[str, str | bool | None]) -> bool:
    return all(values.get(name) for name in ("client_pem_path", "client_key_path", "ca_pem_path"))


def _hear_refusal(tls: ssl.SSLSocket, timeout: float) -> None:
    """In TLS 1.3 a server refuses the client's certificate after the handshake; else Milvus greets."""
    # A server that says nothing leaves the other half to the login.
    tls.settimeout(timeout / 2)
    with contextlib.suppress(TimeoutError):
        tls.recv(1)


def _read(der: bytes | None) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import ExtensionOID, NameOID

    found = x509.load_der_x509_certificate(der or b"")
    names: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound):
        extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
        assert isinstance(extension, x509.SubjectAlternativeName)
        names = [str(name.value) for name in extension]
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    owner = str(common[0].value) if common else found.subject.rfc4514_string()
    return Certificate(
        owner,
        tuple(names),
        found.issuer.rfc4514_string(),
        found.not_valid_before_utc,
        found.not_valid_after_utc,
    )


def _soon(certificate: Certificate) -> str:
    days = (certificate.ends - datetime.now(UTC)).days
    return f" (ends in {counted(days, 'day')})" if days <= _SOON_DAYS else ""


def _not_accepted(
    error: ssl.SSLCertVerificationError,
    shown: Certificate | None,
    name: str,
    values: Mapping[str, str | bool | None],
) -> KitescopeError:
    code = error.verify_code
    if code == _EXPIRED:
        when = f" on {shown.ends:%Y-%m-%d %H:%M} UTC" if shown else ""
        return EngineUnreachable(
            f"The server's certificate has expired{when}",
            "Have it renewed on the server; if that date is still to come, set this machine's clock",
        )
    if code == _NOT_YET:
        when = f" before {shown.begins:%Y-%m-%d %H:%M} UTC" if shown else ""
        return EngineUnreachable(
            f"The server's certificate is not valid{when}", "Set this machine's clock, or the server's"
        )
    if code in _OTHER_NAME:
        names = ", ".join(shown.names) or shown.owner if shown else "another name"
        return InvalidInput(
            f"The server's certificate is for {names}, and not for {name}",
            "Set the server name to one of these (--milvus-server-name), or correct the host in the URI",
        )
    if code in _UNKNOWN_ISSUER:
        return _unknown_issuer(shown, values)
    return InvalidInput(
        f"The server's certificate is not accepted: {error.verify_message}",
        "Set the server pem (one-way) or the CA pem (two-way), and the server name in it",
    )


def _unknown_issuer(shown: Certificate | None, values: Mapping[str, str | bool | None]) -> InvalidInput:
    issuer = f" ({shown.issuer})" if shown else ""
    two_way, ca, pem = _two_way(values), values.get("ca_pem_path"), values.get("server_pem_path")
    known = f"is not in {ca if two_way else pem}" if two_way or pem else "is not known to this machine"
    if ca and not two_way and not pem:
        remedy = "Milvus' client uses a CA pem for two-way TLS only: give that file as the server pem"
    elif two_way:
        remedy = "Set the CA pem (--milvus-ca-pem-path) to the file of the authority that issued it"
    else:
        remedy = "Set the server pem (--milvus-server-pem-path) to that certificate or its authority's"
    return InvalidInput(f"The authority that issued the server's certificate{issuer} {known}", remedy)


def _no_handshake(error: OSError, where: str, values: Mapping[str, str | bool | None]) -> KitescopeError:
    reason = _reason(error)
    upper = reason.upper()
    if "CERTIFICATE REQUIRED" in upper or ("ALERT" in upper and not _two_way(values)):
        return InvalidInput(
            f"{where} wants a certificate of yours, too (two-way TLS)",
            "Set client pem, client key and CA pem",
        )
    if "ALERT" in upper:
        return InvalidInput(
            f"{where} does not accept your certificate ({reason})",
            "Set the client pem to one that an authority of the server issued, and the client key to its key",
        )
    if "WRONG VERSION" in upper or "RECORD LAYER" in upper or "HTTP REQUEST" in upper:
        return EngineUnreachable(
            f"{where} answers in plain text, not in TLS", "Use http:// and no --milvus-secure"
        )
    return EngineUnreachable(
        f"{where} ends the TLS handshake ({reason})",
        "See whether the server speaks TLS; if it does not, use http:// and no --milvus-secure",
    )


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error).replace("_", " ").lower()
