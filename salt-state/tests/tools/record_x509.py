#!/usr/bin/env python3
"""Records what Salt 3008.3's x509 functions and states answer.

    salt-3008.3/bin/python record_x509.py > ../vectors/x509.json

The keys are made for this recording and belong to nobody. `W` stands for the directory the files are in.
"""

import json
import logging
import os
import shutil
import sys
import tempfile

logging.disable(logging.CRITICAL)

import salt.config
import salt.loader
import salt.state

DIR = tempfile.mkdtemp()
OPTS = salt.config.minion_config(None, minion_id="m1")
OPTS.update({"file_client": "local", "cachedir": os.path.join(DIR, "cache"), "features": {"x509_v2": True}})
OPTS["grains"] = salt.loader.grains(OPTS)
OPTS["pillar"] = {}
RUNS = {test: salt.state.State(dict(OPTS, test=test), initial_pillar={}) for test in (False, True)}
CALL = RUNS[False].functions


def inside(value):
    return json.loads(json.dumps(value).replace('"W/', '"' + DIR + "/").replace(" W/", " " + DIR + "/"))


def outside(value):
    return json.loads(json.dumps(value).replace(DIR, "W"))


def function(fun, *args, **kwargs):
    case = {"function": fun, "args": list(args), "kwargs": kwargs}
    try:
        case["returns"] = outside(CALL["x509." + fun](*inside(list(args)), **inside(kwargs)))
    except Exception as error:
        case["raises"] = outside([type(error).__name__, str(error)])
    return case


def state(fun, **kwargs):
    """A dry run, the change, and both again."""
    answers = []
    for test in (True, False, True, False):
        low = {"state": "x509", "fun": fun, "__id__": "i", "__sls__": "s", "__env__": "base", "order": 1}
        entry = RUNS[test].call(dict(low, **inside(kwargs)))
        answer = {key: entry[key] for key in ("result", "comment", "changes")}
        if "sub_state_run" in entry:
            answer["beside"] = [
                {key: sub[key] for key in ("result", "comment", "changes")} for sub in entry["sub_state_run"]
            ]
        answers.append(outside(answer))
    return {"state": fun, "kwargs": kwargs, "answers": answers}


FIXED = {"not_before": "2024-01-01 00:00:00", "not_after": "2044-01-01 00:00:00", "serial_number": "01:02:03"}
EVERYTHING = {
    "C": "DE", "ST": "State", "L": "City", "STREET": "Street 1", "O": "Org, Inc.", "OU": "Unit", "CN": "www",
    "MAIL": "a@b.c", "SN": "Last", "GN": "First", "UID": "u1", "DC": "example",
    "basicConstraints": "critical, CA:TRUE, pathlen:1", "keyUsage": "critical, cRLSign, keyCertSign, keyAgreement, decipherOnly",
    "extendedKeyUsage": "serverAuth, clientAuth, 1.2.3.4", "subjectKeyIdentifier": "hash",
    "authorityKeyIdentifier": "keyid:always", "issuerAltName": "DNS:ca.example",
    "authorityInfoAccess": "OCSP;URI:http://ocsp/,caIssuers;URI:http://ca/",
    "subjectAltName": ["dns:www.example.com", "ip:10.1.2.3", "ip:::1", "email:x@y.z", "uri:http://a/b", "rid:1.2.3", "dirName:CN=foo,O=bar"],
    "crlDistributionPoints": "URI:http://crl/1.crl", "certificatePolicies": "1.2.4.5, 1.1.3.4",
    "policyConstraints": "requireExplicitPolicy:3,inhibitPolicyMapping:1", "inhibitAnyPolicy": 2,
    "nameConstraints": "permitted;DNS:example.com, excluded;IP:10.0.0.0/255.0.0.0", "noCheck": True,
    "tlsfeature": "status_request",
}
CA = {"signing_private_key": "W/ec.key", "signing_cert": "W/ca.crt"}
SERVER = dict(CA, private_key="W/rsa.key", CN="www", days_valid=200, basicConstraints="CA:false",
              keyUsage=["digitalSignature", "keyEncipherment"], subjectAltName=["dns:www.example.com"],
              authorityKeyIdentifier="keyid", subjectKeyIdentifier="hash")
REVOKED = [
    {"serial_number": "D6:D2:DC:D8:4D:5C:C0:F4", "not_after": "2040-01-01 00:00:00", "revocation_date": "2020-01-02 03:04:05",
     "extensions": {"CRLReason": "cessationOfOperation"}},
    {"certificate": "W/ca.crt", "revocation_date": "2021-01-02 03:04:05"},
    {"serial_number": "01", "not_after": "2016-01-01 00:00:00", "revocation_date": "2015-02-01 00:00:00"},
]


def main():
    keys = {}
    for name, kwargs in {
        "ec": {"algo": "ec"}, "rsa": {"algo": "rsa"}, "ed": {"algo": "ed25519"}, "p384": {"algo": "ec", "keysize": 384},
        "p521": {"algo": "ec", "keysize": 521}, "secret": {"algo": "ec", "passphrase": "hunter2"},
    }.items():
        keys[name + ".key"] = CALL["x509.create_private_key"](**kwargs)
    for name, text in keys.items():
        with open(os.path.join(DIR, name), "w") as file:
            file.write(text)
    made = {
        "ca.crt": ("create_certificate", dict(FIXED, signing_private_key="W/ec.key", CN="My CA", basicConstraints="critical, CA:true",
                                              keyUsage="critical, cRLSign, keyCertSign", subjectKeyIdentifier="hash")),
        "all.crt": ("create_certificate", dict(EVERYTHING, **FIXED, signing_private_key="W/rsa.key")),
        "ed.crt": ("create_certificate", dict(FIXED, signing_private_key="W/ed.key", subject="CN=a,O=b\\, c,C=DE")),
        "p384.crt": ("create_certificate", dict(FIXED, signing_private_key="W/p384.key", CN="x", digest="sha384")),
        "p521.crt": ("create_certificate", dict(FIXED, signing_private_key="W/p521.key", CN="x", digest="sha512")),
        "sha512.crt": ("create_certificate", dict(FIXED, signing_private_key="W/rsa.key", subject={"CN": "y", "C": "DE"}, digest="sha512")),
        "far.crt": ("create_certificate", dict(FIXED, not_after="2066-01-01 00:00:00", signing_private_key="W/ed.key", subject=["C=DE", "O=x", "CN=y"])),
        "leaf.crt": ("create_certificate", dict(FIXED, **CA, private_key="W/ed.key", CN="leaf", authorityKeyIdentifier="keyid:always", subjectKeyIdentifier="hash")),
        "ed.csr": ("create_csr", {"private_key": "W/ed.key", "CN": "x", "subjectAltName": "DNS:a.b, IP:::1", "basicConstraints": "CA:TRUE, pathlen:1"}),
        "bare.csr": ("create_csr", {"private_key": "W/rsa.key"}),
        "requested.crt": ("create_certificate", dict(FIXED, signing_private_key="W/ec.key", signing_cert="W/ca.crt", csr="W/ed.csr", keyUsage="digitalSignature")),
        "list.crl": ("create_crl", {"signing_private_key": "W/ec.key", "signing_cert": "W/ca.crt", "revoked": REVOKED,
                                    "extensions": {"authorityKeyIdentifier": "keyid:always", "cRLNumber": 7}}),
    }
    files = []
    for name, (fun, kwargs) in made.items():
        text = CALL["x509." + fun](**inside(kwargs))
        with open(os.path.join(DIR, name), "w") as file:
            file.write(text)
        files.append({"name": name, "function": fun, "kwargs": kwargs, "text": text})
    functions = []
    for name in made:
        read = {"crt": "read_certificate", "csr": "read_csr", "crl": "read_crl"}[name[-3:]]
        functions.append(function(read, "W/" + name))
    for name in ("ca.crt", "all.crt", "ed.crt", "p384.crt", "p521.crt", "sha512.crt"):
        functions.append(function("verify_signature", "W/" + name))
    functions += [
        function("verify_signature", "W/leaf.crt"), function("verify_signature", "W/leaf.crt", "W/ca.crt"),
        function("verify_crl", "W/list.crl", "W/ca.crt"), function("verify_crl", "W/list.crl", "W/leaf.crt"),
        function("verify_private_key", "W/ec.key", "W/ca.crt"), function("verify_private_key", "W/rsa.key", "W/ca.crt"),
        function("get_public_key", "W/ec.key"), function("get_public_key", "W/ca.crt"), function("get_public_key", "W/ed.csr"),
        function("get_public_key", "/no"), function("get_public_key", "W/secret.key"),
        function("get_public_key", "W/secret.key", passphrase="no"), function("get_public_key", "W/secret.key", passphrase="hunter2"),
        function("get_private_key_size", "W/rsa.key"), function("get_private_key_size", "W/p521.key"),
        function("get_private_key_size", "W/ed.key"), function("expired", "W/ca.crt"), function("expires", "W/ca.crt"),
        function("expires", "W/ca.crt", days=20000), function("will_expire", "W/ca.crt", 30), function("read_certificate", "/nope"),
        function("read_certificate", "garbage"), function("get_pem_entry", "W/ca.crt", pem_type="X509 CRL"),
        function("create_certificate", CN="q"), function("create_certificate", **CA),
        function("create_certificate", signing_private_key="W/rsa.key", signing_cert="W/ca.crt", private_key="W/ec.key"),
        function("create_certificate", signing_private_key="W/ec.key", subjectAltName="foo:bar"),
        function("create_certificate", signing_private_key="W/ec.key", digest="md4"),
        function("create_certificate", signing_private_key="W/ec.key", extendedKeyUsage="what"),
        function("create_certificate", signing_private_key="W/ec.key", keyUsage="decipherOnly"),
        function("create_private_key", algo="dsa"), function("create_private_key", keysize=512),
        function("create_private_key", algo="ed25519", keysize=5), function("create_crl", "W/ec.key", []),
        function("get_signing_policy", "www"), function("encode_certificate", "W/ca.crt", encoding="der"),
    ]
    with open(os.path.join(DIR, "garbage"), "w") as file:
        file.write("hello")
    states = [
        state("private_key_managed", name="W/k.key"), state("private_key_managed", name="W/k.key", keysize=3072),
        state("private_key_managed", name="W/k.key"),
        state("private_key_managed", name="W/k.key", algo="ec"), state("private_key_managed", name="W/k.key", algo="ec", new=True),
        state("private_key_managed", name="W/k.key", algo="ec", mode="0640"), state("private_key_managed", name="W/k.key", algo="ec", passphrase="a"),
        state("private_key_managed", name="W/k.key", algo="ec", passphrase="b"), state("private_key_managed", name="W/k.key", algo="ec"),
        state("private_key_managed", name="W/k.key", algo="ec", overwrite=True),
        state("private_key_managed", name="W/k.key", algo="ec", encoding="der"),
        state("private_key_managed", name="W/der.key", algo="ed25519", encoding="der"),
        state("private_key_managed", name="W/garbage"), state("private_key_managed", name="W/garbage", overwrite=True),
        state("private_key_managed", name="W/no/k.key"), state("private_key_managed", name="W/yes/k.key", makedirs=True),
        state("private_key_managed", name="W/q", algo="dsa"), state("private_key_managed", name="q", algo="ed25519"),
        state("certificate_managed", name="W/a.crt", **SERVER), state("certificate_managed", name="W/a.crt", **dict(SERVER, mode="0600")),
        state("certificate_managed", name="W/a.crt", **dict(SERVER, CN="other", keyUsage="critical, digitalSignature", digest="sha512")),
        state("certificate_managed", name="W/a.crt", **dict(SERVER, private_key="W/ed.key")),
        state("certificate_managed", name="W/a.crt", **dict(SERVER, days_remaining=300)),
        state("certificate_managed", name="W/a.crt", **dict(SERVER, serial_number="AB:CD")),
        state("certificate_managed", name="W/a.crt", **dict(SERVER, encoding="der")),
        state("certificate_managed", name="W/a.crt", **dict(SERVER, append_certs=["W/ca.crt"])),
        state("certificate_managed", name="W/a.crt", signing_private_key="W/p384.key", CN="self", authorityKeyIdentifier="keyid"),
        state("certificate_managed", name="W/a.crt", **SERVER),
        state("certificate_managed", name="W/b.crt", signing_private_key="W/ec.key", signing_cert="W/ca.crt", csr="W/ed.csr"),
        state("certificate_managed", name="W/b.crt", signing_private_key="W/rsa.key", signing_cert="W/ca.crt", csr="W/ed.csr"),
        state("certificate_managed", name="W/c.crt", CN="x"), state("certificate_managed", name="W/no/c.crt", signing_private_key="W/ec.key"),
        state("certificate_managed", name="W/garbage", signing_private_key="W/ec.key"),
        state("csr_managed", name="W/a.csr", private_key="W/ec.key", CN="x", subjectAltName="DNS:a.b", basicConstraints="CA:TRUE"),
        state("csr_managed", name="W/a.csr", private_key="W/rsa.key", CN="y", subjectAltName="DNS:b.c", extendedKeyUsage="serverAuth", digest="sha512"),
        state("csr_managed", name="W/garbage", private_key="W/ed.key", CN="z"), state("csr_managed", name="W/c.csr", private_key="/nope", CN="z"),
        state("crl_managed", name="W/a.crl", **CA, revoked=REVOKED, days_remaining=5, days_valid=50, extensions={"authorityKeyIdentifier": "keyid:always", "cRLNumber": "auto"}),
        state("crl_managed", name="W/a.crl", **CA, revoked=REVOKED[1:2], days_remaining=5, days_valid=50, extensions={"authorityKeyIdentifier": "keyid:always", "cRLNumber": "auto"}),
        state("crl_managed", name="W/a.crl", **CA, revoked=REVOKED, include_expired=True, days_remaining=5, days_valid=50, digest="sha512", extensions={"cRLNumber": 9}),
        state("crl_managed", name="W/a.crl", **CA, revoked=[], days_remaining=300, days_valid=50),
        state("crl_managed", name="W/b.crl", signing_private_key="W/rsa.key", signing_cert="W/ca.crt", revoked=[]),
        state("pem_managed", name="W/p.pem", text="junk\n" + files[0]["text"]), state("pem_managed", name="W/p.pem", text=files[1]["text"], mode="0600"),
    ]
    json.dump({"keys": keys, "files": files, "functions": functions, "states": states}, sys.stdout, indent=1)
    shutil.rmtree(DIR)


main()
