"""Makes the bucket in both servers: buckets.py PORT NAME. Azure Blob is at PORT+1."""

import base64
import datetime
import hashlib
import hmac
import sys
import urllib.request

# Azurite's own, the same everywhere; it guards nothing.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def put(url, headers):
    request = urllib.request.Request(url, method="PUT", headers=headers, data=b"")
    urllib.request.urlopen(request, timeout=30).close()


def main(port, name):
    put(f"http://127.0.0.1:{port}/{name}", {})
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-12-02"
    path = f"/{ACCOUNT}/{name}"
    kind = "application/octet-stream"
    # Verb, three empty headers, length (empty for 0), md5, type, six empty ones, then ours.
    lines = ["PUT", "", "", "", "", kind, "", "", "", "", "", "",
             f"x-ms-date:{date}", f"x-ms-version:{version}", f"/{ACCOUNT}{path}", "restype:container"]
    mac = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "x-ms-version": version, "Content-Type": kind,
               "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}"}
    try:
        put(f"http://127.0.0.1:{port + 1}{path}?restype=container", headers)
    except urllib.error.HTTPError as error:
        # 409: it is there from an earlier start.
        if error.code != 409:
            raise


main(int(sys.argv[1]), sys.argv[2])
