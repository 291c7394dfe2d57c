"""Starts a gateway, has testssl.sh and sslyze look at its listeners, and judges what they say."""

import asyncio
import datetime
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from ports import free_port

HERE = Path(__file__).parent
GUARD_SECONDS = 1800.0  # a hang ends the suite; nothing else depends on time
# Only what is said about the certificate is left out: it belongs to the operator, here it is made on the spot, and no
# authority that is known publishes lists, stamps or DNS records about it.
ABOUT_THE_CERTIFICATE = ('cert', 'intermediate_cert', 'OCSP', 'DNS_CAA')
ABOUT_THIS_MACHINE = ('engine_problem',)  # what testssl.sh cannot do with the OpenSSL that is here
GOOD = {'OK', 'INFO', 'LOW', 'DEBUG'}


def certificates(directory: Path) -> None:
    """A certificate authority, and leaves for localhost with a key of each kind."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = sign('audit authority', authority_key, None, authority_key, is_authority=True)
    write(directory / 'ca.crt', authority.public_bytes(serialization.Encoding.PEM))
    leaves = {'ecdsa': ec.generate_private_key(ec.SECP256R1()), 'rsa': rsa.generate_private_key(65537, 2048)}
    for kind, key in leaves.items():
        leaf = sign('localhost', key, authority, authority_key, is_authority=False)
        write(directory / f'{kind}.crt', leaf.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        write(directory / f'{kind}.key', pem)


def sign(name, key, authority, authority_key, is_authority: bool):
    """A certificate for 90 days, as Mozilla and the authorities of browsers have it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=89))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .add_extension(usage(is_authority), critical=True)
    )
    if not is_authority:
        names = x509.SubjectAlternativeName([x509.DNSName('localhost')])
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(purposes, critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def usage(is_authority: bool) -> x509.KeyUsage:
    """What a key may be used for."""
    return x509.KeyUsage(
        digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def write(path: Path, content: bytes) -> None:
    """Writes a file."""
    path.write_bytes(content)


def configuration(directory: Path, listeners: dict[str, int], metrics: int) -> dict:
    """Listeners with nothing but a certificate, and an answer whose fields are those of a careful site."""
    hsts = 'max-age=63072000; includeSubDomains; preload'
    fields = {'strict-transport-security': hsts, 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY'}
    return {
        'listeners': {
            name: {
                'address': f'127.0.0.1:{port}',
                'tls': {
                    'certificates': [
                        {'certFile': str(directory / f'{name}.crt'), 'keyFile': str(directory / f'{name}.key')}
                    ]
                },
            }
            for name, port in listeners.items()
        },
        'routes': {'all': {'respond': {'body': 'hello'}, 'responseHeaders': {'set': fields}}},
        'metrics': {'address': f'127.0.0.1:{metrics}'},
        'accessLog': {'output': 'off'},
    }


async def wait_until_ready(process: asyncio.subprocess.Process, metrics: int, log: Path) -> None:
    """Waits for the probe of readiness."""
    while True:
        if process.returncode is not None:
            raise SystemExit(f'the gateway ended\n{log.read_text()}')
        try:
            urllib.request.urlopen(f'http://127.0.0.1:{metrics}/ready', timeout=GUARD_SECONDS).close()
            return
        except OSError:
            await asyncio.sleep(0.05)


def testssl(directory: Path, name: str, port: int) -> list[str]:
    """What testssl.sh finds. A busy machine can keep it from a check, which it warns of: then all of it is done again."""
    for _ in range(3):
        findings = run_testssl(directory, name, port)
        if worst(findings) != 'WARN':
            break
    print(f'testssl.sh, {name}: {len(findings)} findings, the worst {worst(findings)}')
    bad = [finding for finding in findings if finding['severity'] not in GOOD and is_ours(finding)]
    return [f'testssl.sh, {name}: {one["severity"]} {one["id"]}: {one["finding"]}' for one in bad]


def run_testssl(directory: Path, name: str, port: int) -> list[dict]:
    """Runs all of its checks: protocols, ciphers, preferences, headers, and all holes it knows."""
    report = directory / f'testssl-{name}.json'
    report.unlink(missing_ok=True)
    command = [
        os.environ['TESTSSL'], '--quiet', '--color', '0', '--warnings', 'batch', '--nodns', 'min', '--ip', '127.0.0.1',
        '--add-ca', str(directory / 'ca.crt'), '--jsonfile', str(report), f'localhost:{port}',
    ]  # fmt: skip
    with (directory / f'testssl-{name}.log').open('wb') as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=GUARD_SECONDS, check=False)
    findings = json.loads(report.read_text())
    # A run that broke off says little, and nothing bad.
    known = {finding['id'] for finding in findings}
    for needed in ('TLS1_2', 'TLS1_3', 'cipher_order', 'heartbleed', 'ROBOT', 'RC4', 'HSTS_time', 'LUCKY13'):
        assert needed in known, f'testssl.sh did not come to {needed}: see {directory}/testssl-{name}.log'
    return findings


def is_ours(finding: dict) -> bool:
    """Whether a finding is about the gateway."""
    return not finding['id'].startswith(ABOUT_THE_CERTIFICATE + ABOUT_THIS_MACHINE)


def worst(findings: list[dict]) -> str:
    """The worst severity of those that are about the gateway."""
    order = ['DEBUG', 'OK', 'INFO', 'LOW', 'WARN', 'MEDIUM', 'HIGH', 'CRITICAL', 'FATAL']
    severities = [finding['severity'] for finding in findings if is_ours(finding)]
    return max(severities, key=order.index)


def sslyze(directory: Path, name: str, port: int) -> list[str]:
    """What sslyze finds against Mozilla's intermediate configuration; it exits with 1 for anything."""
    log = directory / f'sslyze-{name}.log'
    command = [
        str(Path(sys.executable).parent / 'sslyze'), '--certinfo_ca_file', str(directory / 'ca.crt'), '--http_headers',
        '--early_data', '--resum', '--mozilla_config', 'intermediate',
        '--json_out', str(directory / f'sslyze-{name}.json'), f'localhost:{port}',
    ]  # fmt: skip
    with log.open('wb') as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=GUARD_SECONDS, check=False)
    compliant = [line.strip() for line in log.read_text().splitlines() if 'ompliant' in line]
    print(f'sslyze, {name}: {" ".join(compliant)}')
    if code.returncode == 0 and any('OK - Compliant' in line for line in compliant):
        return []
    return [f'sslyze, {name}: see {log}\n{log.read_text()}']


async def main() -> None:
    """Everything in order."""
    directory = Path(sys.argv[1])
    certificates(directory)
    ecdsa, rsa_port, metrics = (free_port() for _ in range(3))
    listeners = {'ecdsa': ecdsa, 'rsa': rsa_port}
    config, log = directory / 'gateway.json', directory / 'gateway.log'
    config.write_text(json.dumps(configuration(directory, listeners, metrics)))
    with log.open('wb') as stderr:
        process = await asyncio.create_subprocess_exec(
            os.environ['ATTACHE_BIN'], 'run', '-c', str(config), stdout=stderr, stderr=stderr
        )
    try:
        await wait_until_ready(process, metrics, log)
        bad = []
        for name, port in listeners.items():
            bad += await asyncio.to_thread(sslyze, directory, name, port)
            bad += await asyncio.to_thread(testssl, directory, name, port)
    finally:
        process.terminate()
        await process.wait()
    if bad:
        raise SystemExit('\n'.join(bad))
    print('tls audit: nothing of medium severity or worse')


asyncio.run(main())
