"""Make Secrets whose values nobody has to know, and a connection for each bucket.

Runs in the cluster, with Python alone. What it reads from the environment, as JSON:
GENERATE: the Secrets to make, each with its keys and the number of random bytes; one that is there stays as it is.
BUCKETS: the buckets that get a connection, the Secret aws-connection-<bucket>, with the values of minio-root.
"""

import base64
import json
import os
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
SERVER = os.environ.get("KUBERNETES_API", "https://kubernetes.default.svc")


def ask(method, name="", body=None, namespace=""):
    """Ask the Kubernetes API about the Secrets of a namespace. None: what should be made is there already."""
    namespace = namespace or (ACCOUNT / "namespace").read_text().strip()
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    request = urllib.request.Request(
        f"{SERVER}/api/v1/namespaces/{namespace}/secrets/{name}".rstrip("/"),
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}", "Content-Type": kind},
        method=method,
    )
    try:
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if (method, error.code) == ("POST", 409):
            return None
        asked, said = f"{method} secrets {name} in {namespace}", error.read().decode()[:500]
        what = f"The Kubernetes API answers {error.code} to {asked}: {said}"
    except OSError as error:
        what = f"The Kubernetes API {SERVER} cannot be asked: {error}"
    sys.exit(f"{what}\nNext: look at the Role and RoleBinding of this job's service account.")


def secret(name, values, **metadata):
    """A Secret as the API wants it."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **metadata}, "data": data}


def generate(name, keys, namespace="", **known):
    """Make a Secret with random values, and with those that are known, unless it is there."""
    values = known | {key: secrets.token_hex(size) for key, size in keys.items()}
    made = ask("POST", body=secret(name, values), namespace=namespace)
    print(f"The Secret {name} {'is made' if made else 'was there: it stays as it is'}.")


def read(name, namespace=""):
    """The values of a Secret."""
    known = ask("GET", name, namespace=namespace)["data"]
    return {key: base64.b64decode(value).decode() for key, value in known.items()}


def put(name, values, namespace="", **metadata):
    """Make a Secret, or bring it up to date."""
    wanted = secret(name, values, **metadata)
    if not ask("POST", body=wanted, namespace=namespace):
        ask("PATCH", name, wanted, namespace)


def connect(bucket, user, password):
    """Make a bucket's connection, or bring it up to date."""
    values = {
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": password,
        "AWS_S3_ENDPOINT": os.environ["ENDPOINT"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_S3_BUCKET": bucket,
    }
    # By these, the dashboard of OpenShift AI knows a connection.
    labels = {"opendatahub.io/dashboard": "true", "opendatahub.io/managed": "true"}
    name = f"aws-connection-{bucket}"
    annotations = {"opendatahub.io/connection-type": "s3", "openshift.io/display-name": name}
    put(name, values, labels=labels, annotations=annotations)
    print(f"The connection {name} is there.")


if __name__ == "__main__":
    for name, keys in json.loads(os.environ["GENERATE"]).items():
        generate(name, keys)
    buckets = json.loads(os.environ.get("BUCKETS", "[]"))
    if buckets:
        root = read("minio-root")
        for bucket in buckets:
            connect(bucket, root["user"], root["password"])
