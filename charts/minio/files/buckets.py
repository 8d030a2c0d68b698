"""Create the buckets that are missing; none is ever deleted. Runs in the cluster, with Python alone.

Signed as S3 asks for: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request

ENDPOINT = os.environ["ENDPOINT"]
REGION = "us-east-1"


def signed(method, path):
    """The headers of a request without a body, with its signature."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {"host": ENDPOINT.split("//")[1], "x-amz-content-sha256": nothing, "x-amz-date": moment}
    lines = [method, path, "", *(f"{name}:{value}" for name, value in headers.items()), "", ";".join(headers), nothing]
    scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
    key = f"AWS4{os.environ['MINIO_PASSWORD']}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    who = f"Credential={os.environ['MINIO_USER']}/{scope}"
    return {
        **headers,
        "Authorization": f"AWS4-HMAC-SHA256 {who}, SignedHeaders={';'.join(headers)}, Signature={key.hex()}",
    }


def create(bucket):
    """Create a bucket, unless it is there."""
    request = urllib.request.Request(f"{ENDPOINT}/{bucket}", headers=signed("PUT", f"/{bucket}"), method="PUT")
    try:
        urllib.request.urlopen(request, timeout=30).close()
        print(f"The bucket {bucket} is made.")
    except urllib.error.HTTPError as error:
        if error.code != 409:
            sys.exit(f"{ENDPOINT} answers {error.code} to PUT {bucket}: {error.read().decode()[:500]}")
        print(f"The bucket {bucket} was there.")
    except OSError as error:
        sys.exit(f"{ENDPOINT} cannot be reached: {error}\nNext: look at the pod of MinIO; this Job tries again.")


if __name__ == "__main__":
    for bucket in json.loads(os.environ["BUCKETS"]):
        create(bucket)
